//! Making a case that shows a finding as small as it can be, in a given time.

use super::case::Case;
use super::play::{Finding, play};
use super::process::Machine;
use std::time::Instant;

/// Tries smaller cases as long as they show the same finding.
pub struct Shrink<'m> {
    machine: &'m Machine,
    finding: &'m Finding,
    until: Instant,
}

impl Shrink<'_> {
    /// The smallest case that was found until then.
    pub fn run(case: Case, finding: &Finding, machine: &Machine, until: Instant) -> Case {
        let shrink = Shrink { machine, finding, until };
        let mut best = case;
        loop {
            let before = size(&best);
            shrink.round(&mut best);
            if size(&best) >= before || Instant::now() > until {
                return best;
            }
        }
    }

    fn shows(&self, case: &Case) -> bool {
        let played = play(case, self.machine).ok();
        Instant::now() < self.until && played.and_then(|p| p.finding).is_some_and(|f| f.what == self.finding.what)
    }

    fn keep(&self, best: &mut Case, change: impl FnOnce(&mut Case)) {
        let mut smaller = best.clone();
        change(&mut smaller);
        if size(&smaller) < size(best) && self.shows(&smaller) {
            *best = smaller;
        }
    }

    fn round(&self, best: &mut Case) {
        for i in (0..best.commands.len()).rev() {
            self.keep(best, |c| drop(c.commands.remove(i)));
        }
        self.keep(best, |c| c.later.clear());
        self.keep(best, |c| c.seed.input = None);
        for name in best.seed.topics.keys().cloned().collect::<Vec<_>>() {
            self.keep(best, |c| drop(c.seed.topics.remove(&name)));
        }
        for name in best.seed.files.keys().cloned().collect::<Vec<_>>() {
            self.keep(best, |c| drop(c.seed.files.remove(&name)));
        }
        self.parts(best, &|case| Some(&mut case.seed.flow));
        for name in best.seed.files.keys().cloned().collect::<Vec<_>>() {
            self.parts(best, &|case| case.seed.files.get_mut(&name).map(|(bytes, _)| bytes));
        }
        for name in best.later.keys().cloned().collect::<Vec<_>>() {
            self.parts(best, &|case| case.later.get_mut(&name));
        }
        for name in best.seed.topics.keys().cloned().collect::<Vec<_>>() {
            self.parts(best, &|case| case.seed.topics.get_mut(&name).map(|(_, bytes)| bytes));
        }
        self.parts(best, &|case| case.seed.input.as_mut());
    }

    /// Takes parts out of some bytes: half of them, then smaller ones, lines first.
    fn parts(&self, best: &mut Case, of: &dyn Fn(&mut Case) -> Option<&mut Vec<u8>>) {
        let Some(len) = of(best).map(|b| b.len()) else { return };
        let mut part = len.max(1);
        while part > 0 && Instant::now() < self.until {
            let mut at = 0;
            while of(best).is_some_and(|b| at < b.len()) && Instant::now() < self.until {
                let before = size(best);
                self.keep(best, |c| {
                    if let Some(bytes) = of(c) {
                        let end = (at + part).min(bytes.len());
                        bytes.drain(at..end).for_each(drop);
                    }
                });
                if size(best) == before {
                    at += part;
                }
            }
            part /= 2;
        }
        self.lines(best, of);
    }

    fn lines(&self, best: &mut Case, of: &dyn Fn(&mut Case) -> Option<&mut Vec<u8>>) {
        let mut at = 0;
        loop {
            let Some(n) = of(best).map(|b| b.split(|b| *b == b'\n').count()) else { return };
            if at >= n || Instant::now() > self.until {
                return;
            }
            let before = size(best);
            self.keep(best, |c| {
                if let Some(bytes) = of(c) {
                    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
                    let left: Vec<&[u8]> =
                        lines.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| *line).collect();
                    *bytes = left.join(&b'\n');
                }
            });
            if size(best) == before {
                at += 1;
            }
        }
    }
}

/// How large a case is.
fn size(case: &Case) -> usize {
    let files = case.seed.files.values().map(|(b, _)| b.len() + 1).sum::<usize>();
    let later = case.later.values().map(|b| b.len() + 1).sum::<usize>();
    let topics = case.seed.topics.values().map(|(_, b)| b.len() + 1).sum::<usize>();
    let input = case.seed.input.as_ref().map_or(0, |b| b.len() + 1);
    case.seed.flow.len() + files + later + topics + input + case.commands.len()
}
