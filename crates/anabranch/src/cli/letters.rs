//! The dead letters of a flow, read one after the other: there may be millions.

use anabranch_engine::{Admin, At, Error, Phase, Result, StreamName, items};
use anabranch_flow::model::Flow;
use anabranch_run::show::text::plain;
use anabranch_run::{Batch, DeadLetter, Settled, batches};
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Write};
use std::ops::{ControlFlow, Range};

/// Whether to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is more to see.
    More,
    /// Nothing more is wanted.
    Enough,
}

/// The order of letters: run, number in it, lane.
type Place = (u64, u64, u64);

/// A dead letter, and where it stands.
pub struct Seen {
    /// Its partition and offset in the stream of dead letters.
    pub at: (u32, i64),
    /// The letter.
    pub letter: DeadLetter,
}

/// The batches whose letters can still be settled, by the runs that worked for them.
pub struct Batches {
    /// The batches.
    pub all: Vec<Batch>,
    of_run: HashMap<u64, usize>,
}

impl Batches {
    /// Those of a flow.
    pub fn of(engine: &dyn Admin, flow: &Flow) -> Result<Batches> {
        let all = batches(engine, &flow.name, None)?;
        let runs = all.iter().enumerate().flat_map(|(i, b)| b.books.mending().runs.iter().map(move |run| (*run, i)));
        Ok(Batches { of_run: runs.collect(), all })
    }

    /// The batch of a letter.
    pub fn batch(&self, letter: &DeadLetter) -> Option<&Batch> {
        self.of_run.get(&letter.run).map(|i| &self.all[*i])
    }

    /// How a letter was settled, if it was.
    pub fn settled(&self, seen: &Seen) -> Option<Settled> {
        self.batch(&seen.letter)?.settled(seen.at.0, seen.at.1)
    }

    /// Whether something can be done for a letter.
    pub fn is_open(&self, seen: &Seen) -> bool {
        let open = |batch: &Batch| batch.books.phase != Phase::Failed && batch.settled(seen.at.0, seen.at.1).is_none();
        self.batch(&seen.letter).is_some_and(open)
    }
}

/// Calls `f` for each letter that is wanted, oldest first in each partition; for the newest `most` only, if that is given.
/// True if older ones were left out.
pub fn each(
    engine: &dyn Admin,
    flow: &Flow,
    most: Option<usize>,
    wanted: impl Fn(&Seen) -> bool,
    mut f: impl FnMut(Seen) -> Result<Next>,
) -> Result<bool> {
    let stream = &flow.name.own("dead")?;
    let Ok(spans) = engine.span(stream) else { return Ok(false) };
    let (mut from, mut oldest, mut left_out) = (vec![None; spans.len()], None, false);
    let there = spans.iter().map(|span| span.end - span.start).sum::<i64>();
    let most = most.filter(|most| i64::try_from(*most).is_ok_and(|most| most < there));
    if let Some(most) = most {
        let mut places = vec![];
        for (p, span) in spans.iter().enumerate() {
            let (newest, all) = newest(engine, (stream, p as u32), span, most, &wanted)?;
            from[p] = newest.first().map(|(_, offset)| *offset);
            places.extend(newest.into_iter().map(|(place, _)| place));
            left_out |= !all;
        }
        places.sort_unstable();
        let first = places.len().saturating_sub(most);
        left_out |= first > 0;
        oldest = Some(places.get(first).copied().unwrap_or((u64::MAX, u64::MAX, u64::MAX)));
    }
    for (p, span) in spans.iter().enumerate() {
        let from = if most.is_some() { from[p].unwrap_or(span.end) } else { span.start };
        let next = read(engine, (stream, p as u32), from..span.end, |seen| {
            let is_wanted = wanted(&seen) && oldest.is_none_or(|oldest| place(&seen.letter) >= oldest);
            if is_wanted { f(seen) } else { Ok(Next::More) }
        })?;
        if next == Next::Enough {
            break;
        }
    }
    Ok(left_out)
}

/// The newest letters of a partition, oldest first, and whether these are all. It is read from its end, in stretches.
fn newest(
    engine: &dyn Admin,
    at: (&StreamName, u32),
    span: &Range<i64>,
    most: usize,
    wanted: impl Fn(&Seen) -> bool,
) -> Result<(Vec<(Place, i64)>, bool)> {
    let (mut found, mut to, mut stretch) = (VecDeque::new(), span.end, (most as i64).clamp(1, 10_000));
    let mut all = true;
    while to > span.start && found.len() < most {
        let from = span.start.max(to.saturating_sub(stretch));
        let mut here = VecDeque::new();
        read(engine, at, from..to, |seen| {
            if wanted(&seen) {
                here.push_back((place(&seen.letter), seen.at.1));
                if here.len() + found.len() > most {
                    here.pop_front();
                    all = false;
                }
            }
            Ok(Next::More)
        })?;
        here.append(&mut found);
        (found, to, stretch) = (here, from, stretch.saturating_mul(2));
    }
    Ok((found.into(), all && to <= span.start))
}

fn read(
    engine: &dyn Admin,
    (stream, partition): (&StreamName, u32),
    range: Range<i64>,
    mut f: impl FnMut(Seen) -> Result<Next>,
) -> Result<Next> {
    let at = At { stream: stream.clone(), partition, offset: range.start };
    let seen = |offset, item| Seen { at: (partition, offset), letter: DeadLetter::read(item) };
    let read = items(engine, at, range.end, |offset, item| match f(seen(offset, item))? {
        Next::More => Ok(ControlFlow::Continue(())),
        Next::Enough => Ok(ControlFlow::Break(())),
    })?;
    Ok(if read.is_break() { Next::Enough } else { Next::More })
}

/// Where a letter stands among all: its id is RUN-NUMBER or RUN-LANE.NUMBER.
fn place(letter: &DeadLetter) -> Place {
    place_of(&letter.id)
}

fn place_of(id: &str) -> Place {
    let number = |text: &str| text.parse().unwrap_or(0);
    let (run, rest) = id.split_once('-').unwrap_or((id, ""));
    let (lane, n) = rest.split_once('.').unwrap_or(("0", rest));
    (number(run), number(n), number(lane))
}

/// What is printed as it is read: pages of text, or a document piece by piece.
pub struct Out<W: Write> {
    to: W,
}

impl<W: Write> Out<W> {
    /// Writes there.
    pub fn new(to: W) -> Out<W> {
        Out { to }
    }

    /// Writes for programs. `Enough` if the reader has gone.
    pub fn raw(&mut self, text: &str) -> Result<Next> {
        match self.to.write_all(text.as_bytes()) {
            Ok(()) => Ok(Next::More),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Next::Enough),
            Err(e) => Err(Error::machine(format!("standard output cannot be written: {e}"))),
        }
    }

    /// Writes for people.
    pub fn plain(&mut self, text: &str) -> Result<Next> {
        self.raw(&plain(text))
    }

    /// Writes what is still kept back.
    pub fn finish(mut self) -> Result<()> {
        match self.to.flush() {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                Err(Error::machine(format!("standard output cannot be written: {e}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_in_the_order_of_runs_then_numbers() {
        let mut ids = ["2-0001", "10-0001", "1-10000", "1-9999", "1-3.9999"];
        ids.sort_by_key(|id| place_of(id));
        assert_eq!(ids, ["1-9999", "1-3.9999", "1-10000", "2-0001", "10-0001"]);
    }
}
