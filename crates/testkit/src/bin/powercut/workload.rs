//! The workload: a program that commits, and notes what it was told is durable.
//! It runs as a process of its own, so that all it does to the disk can be traced.

use crate::Fallible;
use crate::note::{Note, Topic};
use crate::story::{APPENDED, COMMITS, Place, Story, What};
use anabranch_engine::{Admin, At, BatchRef, Builder, Codec, Commit, Dest, Engine, Item, Lane, Limit, Put, StreamSpec};
use anabranch_engine_embedded::Embedded;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The last commit before the directory is closed and opened again, in the middle of the story.
const FIRST_SESSION: u64 = 12;
/// After which commits something is appended from outside; the second time, a commit is under way.
const APPEND_AFTER: [u64; 3] = [4, 9, 24];
/// After which commit the outside stream is cut behind its second append; it is still under way then.
const TRIM_AFTER: u64 = 28;
/// The time that all items carry.
const TIME: i64 = 1_700_000_000_000;

/// Runs the workload in `dir`; notes go to `notes`.
pub fn run(dir: &Path, notes: &Path) -> Fallible<()> {
    let story = Story::tell()?;
    let mut notes = Notes(OpenOptions::new().create(true).write(true).truncate(true).open(notes)?);
    session(dir, &story, &mut notes, 1, FIRST_SESSION)?;
    session(dir, &story, &mut notes, FIRST_SESSION + 1, COMMITS)
}

struct Notes(File);

impl Notes {
    fn say(&mut self, done: bool, topic: Topic, n: u64) -> Fallible<()> {
        let note = format!("{}\n", Note { done, topic, n });
        Ok(self.0.write_all(note.as_bytes())?)
    }

    /// Notes that something is tried, does it, and notes that it is done.
    fn around(&mut self, topic: Topic, n: u64, work: impl FnOnce() -> Fallible<()>) -> Fallible<()> {
        self.say(false, topic, n)?;
        work()?;
        self.say(true, topic, n)
    }
}

fn session(dir: &Path, story: &Story, notes: &mut Notes, first: u64, last: u64) -> Fallible<()> {
    let engine = Embedded::open(dir)?;
    notes.around(Topic::Streams, 1, || make_streams(&engine, story).map(|_| ()))?;
    let mut lane = engine.claim(&story.flow, 0)?;
    let mut settled = first - 1;
    for k in first..=last {
        notes.say(false, Topic::Commit, k)?;
        lane.submit(commit(&engine, story, k)?).map_err(|lost| lost.0)?;
        let until = if k < last && left_under_way(k) { k - 1 } else { k };
        for n in settled + 1..=until {
            settle(&mut *lane, story, n)?;
            notes.say(true, Topic::Commit, n)?;
        }
        settled = until;
        outside(&engine, story, notes, k)?;
    }
    Ok(())
}

/// Half of the commits are settled before the next one is submitted, the others behind it, as a run does.
fn left_under_way(k: u64) -> bool {
    k % 10 >= 5
}

/// Makes the streams, as a program that starts does; tells whether all were there before.
pub fn make_streams(engine: &Embedded, story: &Story) -> Fallible<bool> {
    let shapes = engine.ensure(Some(&story.flow), &Story::streams()?)?;
    let outside = engine.ensure(None, &[StreamSpec::new(story.outside.clone(), 1)])?;
    Ok(!shapes.iter().chain(&outside).any(|s| s.created))
}

/// What others do beside the flow: they append, and they let go.
fn outside(engine: &Embedded, story: &Story, notes: &mut Notes, k: u64) -> Fallible<()> {
    if let Some(n) = APPEND_AFTER.iter().position(|after| *after == k) {
        let items = story.appended.iter().skip(n * APPENDED as usize).take(APPENDED as usize);
        let items: Vec<(u32, Item)> = items.map(|v| (0, Item::of(v.clone(), TIME))).collect();
        notes.around(Topic::Append, n as u64 + 1, || Ok(engine.append(&story.outside, &items)?))?;
    }
    if k == TRIM_AFTER {
        let keep = 2 * APPENDED;
        let at = At { stream: story.outside.clone(), partition: 0, offset: keep as i64 };
        notes.around(Topic::Trim, keep, || Ok(engine.trim(&[at])?))?;
    }
    Ok(())
}

/// Waits for commit `k` and looks at what the engine says of it.
pub fn settle(lane: &mut dyn Lane, story: &Story, k: u64) -> Fallible<()> {
    lane.settle().map_err(|lost| lost.0)?;
    if *lane.account() == story.account(k) {
        Ok(())
    } else {
        Err(format!("commit {k} settled with another account").into())
    }
}

/// Commit `k` as the story tells it.
pub fn commit(engine: &Embedded, story: &Story, k: u64) -> Fallible<Commit> {
    let mut account = story.account(k);
    account.ends.clear(); // the engine counts them
    let codec = [Codec::None, Codec::Lz4, Codec::Zstd][(k / 3 % 3) as usize];
    let mut puts = vec![];
    for ((stream, partition), what) in story.puts(k) {
        let batch = match what {
            What::Fresh(items) => {
                let mut builder = Builder::new(codec);
                items.iter().for_each(|v| builder.push(TIME + k as i64, None, Some(v), &[]));
                BatchRef::Fresh(builder.finish().ok_or("an empty batch")?)
            }
            What::Copy(from, at) => stored(engine, from, *at)?,
        };
        puts.push(Put { to: Dest { stream: stream.clone(), partition: *partition }, batch });
    }
    Ok(Commit { puts, account, report: None })
}

/// The batch that begins at `at`, by reference.
fn stored(engine: &Embedded, (stream, partition): &Place, at: usize) -> Fallible<BatchRef> {
    let from = At { stream: stream.clone(), partition: *partition, offset: at as i64 };
    let chunk = engine.read(&from, i64::MAX, Limit { bytes: 1 })?;
    let first = chunk.batches.into_iter().next().filter(|h| h.at == from);
    Ok(BatchRef::Stored(first.ok_or_else(|| format!("no batch of {stream}/{partition} begins at {at}"))?))
}
