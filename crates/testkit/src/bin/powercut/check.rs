//! Looks at what a power cut left: it must open, hold all that was acknowledged and
//! nothing that was not tried, each commit whole, and it must go on from there.

use crate::note::{Known, Topic};
use crate::story::{APPENDED, MORE, Place, Story};
use crate::workload::{commit, make_streams, settle};
use anabranch_engine::{At, Engine, Lane, Limit};
use anabranch_engine_embedded::Embedded;
use bytes::Bytes;
use std::path::Path;

/// Checks the data directory `dir`, of which these things are known. An error says what is wrong.
pub fn check(dir: &Path, story: &Story, known: &Known) -> Result<(), String> {
    let engine = Embedded::open(dir).map_err(|e| format!("it does not open: {e}"))?;
    let there = make_streams(&engine, story).map_err(|e| format!("the streams cannot be made: {e}"))?;
    if known.did(Topic::Streams) > 0 && !there {
        return Err("a stream is gone".into());
    }
    let mut lane = engine.claim(&story.flow, 0).map_err(|e| format!("the lane cannot be claimed: {e}"))?;
    let k = lane.account().seq;
    if !known.allows(Topic::Commit, k) {
        let (did, tried) = (known.did(Topic::Commit), known.tried(Topic::Commit));
        return Err(format!("the account is of commit {k}: {did} was acknowledged, {tried} tried"));
    }
    holds(&engine, &*lane, story, k, 0)?;
    outside(&engine, story, known)?;
    go_on(&engine, &mut *lane, story, k).map_err(|e| format!("it does not go on after commit {k}: {e}"))?;
    holds(&engine, &*lane, story, k + MORE, k).map_err(|e| format!("after it went on: {e}"))
}

/// The next commits, as the flow would make them when it is started again: all under way at once.
fn go_on(engine: &Embedded, lane: &mut dyn Lane, story: &Story, k: u64) -> Result<(), String> {
    for n in k + 1..=k + MORE {
        let commit = commit(engine, story, n).map_err(|e| e.to_string())?;
        lane.submit(commit).map_err(|lost| lost.0.to_string())?;
    }
    (k + 1..=k + MORE).try_for_each(|n| settle(lane, story, n).map_err(|e| e.to_string()))
}

/// Exactly the commits up to `k`: the account, the ends, and the items of those after `from`.
fn holds(engine: &Embedded, lane: &dyn Lane, story: &Story, k: u64, from: u64) -> Result<(), String> {
    if *lane.account() != story.account(k) {
        return Err(format!("the account is not the one of commit {k}"));
    }
    for ((stream, partition), line) in &story.lines {
        let (first, end) = (line.end(from), line.end(k));
        let place = (stream.clone(), *partition);
        let span = span(engine, &place)?;
        if span != (0, end as i64) {
            return Err(format!("{stream}/{partition} spans {}..{}, not 0..{end}", span.0, span.1));
        }
        let want = line.values.get(first..end).unwrap_or_default();
        items(engine, &place, first as i64, want)?;
    }
    Ok(())
}

/// The stream outside the flow: whole appends, in order, and cut where it may be cut.
fn outside(engine: &Embedded, story: &Story, known: &Known) -> Result<(), String> {
    let place: Place = (story.outside.clone(), 0);
    let (start, end) = span(engine, &place)?;
    let whole = end % APPENDED as i64 == 0 && start % APPENDED as i64 == 0;
    let appended = known.allows(Topic::Append, end as u64 / APPENDED);
    if !whole || !appended || !known.allows(Topic::Trim, start as u64) {
        return Err(format!("{} spans {start}..{end}, and {known:?} is known", place.0));
    }
    let want = story.appended.get(start as usize..end as usize).ok_or("more was appended than there is")?;
    items(engine, &place, start, want)
}

fn span(engine: &Embedded, (stream, partition): &Place) -> Result<(i64, i64), String> {
    let spans = engine.span(stream).map_err(|e| e.to_string())?;
    let span = spans.get(*partition as usize).ok_or_else(|| format!("{stream} has no partition {partition}"))?;
    Ok((span.start, span.end))
}

/// Reads from `first` on: batch behind batch with no gap, each loads, and the values are these and no more.
fn items(engine: &Embedded, (stream, partition): &Place, first: i64, want: &[Bytes]) -> Result<(), String> {
    let place = format!("{stream}/{partition}");
    let (mut at, mut want) = (first, want.iter());
    loop {
        let from = At { stream: stream.clone(), partition: *partition, offset: at };
        let chunk = engine.read(&from, i64::MAX, Limit { bytes: 1 << 20 }).map_err(|e| e.to_string())?;
        if chunk.batches.is_empty() {
            break;
        }
        for handle in chunk.batches {
            if handle.at.offset != at {
                return Err(format!("{place} goes on at {}, not at {at}", handle.at.offset));
            }
            let batch = handle.load().map_err(|e| e.to_string())?;
            for record in batch.records().map_err(|e| e.to_string())?.iter() {
                if record.value() != want.next().map(Bytes::as_ref) {
                    return Err(format!("{place} holds another item at {at}"));
                }
                at += 1;
            }
            if handle.end != at {
                return Err(format!("{place} ends a batch at {}, its items at {at}", handle.end));
            }
        }
    }
    if want.len() == 0 { Ok(()) } else { Err(format!("{place} ends at {at}, {} items are gone", want.len())) }
}
