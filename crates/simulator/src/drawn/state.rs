//! What a flow has given so far, over all its runs, as the naive model has it.

use super::model::{self, End, Gave, Said};
use super::shape::{Home, Shape, Source, Verb};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a flow has given so far, over all its runs.
#[derive(Debug, Default)]
pub struct State {
    /// Lines by file, `stream:NAME` or `dead`. What stands beside a file, as `FILE.batch-N`, is taken together.
    pub holds: BTreeMap<String, Vec<String>>,
    /// By pair and side: what waits for a partner.
    pub(super) waits: BTreeMap<(String, usize), Vec<Value>>,
    /// Runs so far.
    pub runs: u64,
    /// The batches.
    pub batches: Vec<Batch>,
}

/// What is decided on an item that failed.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It is given up.
    Skip,
    /// It is tried again with this value.
    Edit(Value),
}

/// A batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The runs that worked for it.
    pub runs: Vec<u64>,
    /// What its sources gave.
    pub given: BTreeMap<usize, Vec<Value>>,
    /// What was decided, by step and item.
    pub decided: BTreeMap<(usize, String), Vec<Decision>>,
    /// What was said once.
    pub said: Said,
    /// Its dead letters that are not settled.
    pub letters: Vec<(usize, Value)>,
    /// Gates that were opened by hand.
    pub opened: BTreeSet<usize>,
    /// Gates that wait for that.
    pub waits: BTreeSet<usize>,
    /// How its last run ended.
    pub exit: u64,
    /// What each stream had of it, and which sinks were put in place.
    lines: Vec<Vec<String>>,
    placed: BTreeSet<usize>,
    beside: BTreeSet<usize>,
}

impl Batch {
    /// A batch of which nothing was done yet.
    pub fn new(run: u64, given: BTreeMap<usize, Vec<Value>>) -> Batch {
        let (decided, said, letters) = (BTreeMap::new(), Said::default(), vec![]);
        let (lines, placed, beside) = (vec![], BTreeSet::new(), BTreeSet::new());
        let (opened, waits) = (BTreeSet::new(), BTreeSet::new());
        Batch { runs: vec![run], given, decided, said, letters, opened, waits, exit: 0, lines, placed, beside }
    }

    /// Reduces behind a step, or the step itself, that have said their results.
    pub fn said_behind(&self, shape: &Shape, step: usize) -> bool {
        shape.all_behind(step).iter().any(|s| self.said.results.contains_key(s))
    }
}

fn lines(shape: &Shape, gave: &Gave) -> Vec<Vec<String>> {
    let of = |s: usize| gave.streams[s].items.iter().map(Value::to_string).collect();
    (0..shape.streams.len()).map(of).collect()
}

/// The lines that are new.
fn added(was: &[String], is: &[String]) -> Vec<String> {
    let mut left: BTreeMap<&String, usize> = BTreeMap::new();
    was.iter().for_each(|l| *left.entry(l).or_default() += 1);
    let is_new = |l: &&String| match left.get_mut(*l) {
        Some(n) if *n > 0 => {
            *n -= 1;
            false
        }
        _ => true,
    };
    is.iter().filter(is_new).cloned().collect()
}

fn letter_lines(shape: &Shape, letters: &[(usize, Value)]) -> Vec<String> {
    letters.iter().map(|(s, item)| format!("{} {item}", shape.steps[*s].name)).collect()
}

impl State {
    fn put(&mut self, what: String, lines: Vec<String>) {
        self.holds.entry(what).or_default().extend(lines);
    }

    /// What sinks and public streams hold when the first run of a batch has closed.
    pub(super) fn keep(&mut self, shape: &Shape, mut batch: Batch, gave: Gave) {
        batch.lines = lines(shape, &gave);
        for (s, of) in shape.streams.iter().enumerate().filter(|(_, of)| of.source == Source::Step) {
            let lines = batch.lines[s].clone();
            match of.home {
                Home::Internal => {}
                Home::Public => self.put(format!("stream:{}", of.name), lines),
                Home::Sink if of.moves => self.put(format!("{}.jsonl", of.name), lines),
                Home::Sink if gave.streams[s].blocked || gave.end.exit == 1 => {} // the file of the batch before stays
                Home::Sink => {
                    batch.placed.extend((!lines.is_empty()).then_some(s));
                    self.holds.insert(format!("{}.jsonl", of.name), lines);
                }
            }
        }
        if !gave.letters.is_empty() {
            self.put("dead".into(), letter_lines(shape, &gave.letters));
        }
        (batch.letters, batch.said, batch.exit) = (gave.letters, gave.said, gave.end.exit);
        batch.waits = gave.waits;
        self.batches.push(batch);
    }

    /// Works for a batch again: these of its letters were chosen, and what was decided on them is in its decisions.
    pub fn repair(&mut self, shape: &Shape, no: usize, chosen: &[(usize, Value)]) -> End {
        let mut batch = self.batches[no].clone();
        self.runs += 1;
        let later = self.runs - 1 - batch.runs[0] >= batch.runs.len() as u64;
        let gave = model::compute(shape, &mut BTreeMap::new(), &batch);
        let now = lines(shape, &gave);
        let behind = chosen.iter().flat_map(|(s, _)| shape.all_behind(*s));
        let reached: BTreeSet<usize> = behind.flat_map(|s| shape.outputs(s)).collect();
        for (s, of) in shape.streams.iter().enumerate().filter(|(_, of)| of.source == Source::Step) {
            let (new, name) = (added(&batch.lines[s], &now[s]), format!("{}.jsonl", of.name));
            match of.home {
                Home::Internal => {}
                Home::Public => self.put(format!("stream:{}", of.name), new),
                Home::Sink if of.moves => self.put(name, new),
                Home::Sink if gave.streams[s].blocked || gave.end.exit == 1 => {} // nothing is put in place
                Home::Sink => {
                    let aside = format!("{name}.batch-{}", batch.runs[0]);
                    let goes_on = !later && !batch.beside.contains(&s);
                    match batch.placed.contains(&s) {
                        false if later => self.put(aside, now[s].clone()),
                        false => drop(self.holds.insert(name, now[s].clone())),
                        true if goes_on && reached.contains(&s) => drop(self.holds.insert(name, now[s].clone())),
                        true => self.put(aside, new.clone()),
                    }
                    if (later || batch.placed.contains(&s) && !(goes_on && reached.contains(&s))) && !new.is_empty() {
                        batch.beside.insert(s);
                    }
                    batch.placed.extend((!now[s].is_empty()).then_some(s));
                }
            }
        }
        let chosen = letter_lines(shape, chosen);
        let stay = added(&chosen, &letter_lines(shape, &batch.letters));
        self.put("dead".into(), added(&stay, &letter_lines(shape, &gave.letters)));
        batch.runs.push(self.runs);
        (batch.lines, batch.letters, batch.said, batch.exit) = (now, gave.letters, gave.said, gave.end.exit);
        batch.waits = gave.waits;
        self.batches[no] = batch;
        gave.end
    }
}

/// Whether a batch of such a flow can be repaired: pairs have moved on.
pub fn is_mendable(shape: &Shape) -> bool {
    shape.steps.iter().all(|s| !matches!(s.verb, Verb::Pair { .. }))
}

/// Whether a reduce may hold what a file gave: a repair reads the file again.
pub fn reads_files_again(shape: &Shape) -> bool {
    let strict = shape.steps.iter().any(|s| matches!(s.verb, Verb::Reduce { strict: true, .. }));
    strict && shape.streams.iter().any(|s| s.source == Source::File)
}
