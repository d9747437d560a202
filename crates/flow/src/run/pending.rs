//! What waits for the next commit of a lane.

use super::Shared;
use super::chunk::{Dead, Outcome};
use crate::patterns::{Body, Part};
use anabranch_engine::{Account, BatchRef, Builder, Codec, Dest, Item, Put, Result, limits};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Instant;

/// Batches and bytes that are done and not committed.
#[derive(Default)]
pub struct Pending {
    /// Batches, by stream and partition, in order.
    puts: BTreeMap<(usize, u32), Gathering>,
    /// Bytes for sinks.
    pub sinks: BTreeMap<usize, Vec<u8>>,
    /// Failed items.
    pub dead: Vec<Dead>,
    /// Bytes of it all.
    pub bytes: usize,
    /// Since when the oldest waits.
    pub since: Option<Instant>,
}

/// Small batches for one partition become large ones.
#[derive(Default)]
struct Gathering {
    done: Vec<BatchRef>,
    open: Option<Builder>,
}

impl Gathering {
    fn close(&mut self) {
        self.done.extend(self.open.take().and_then(Builder::finish).map(BatchRef::Fresh));
    }

    fn add(&mut self, part: &Part) -> Result<()> {
        match (&part.rows, &part.body) {
            (None, Body::Stored(handle, _)) => {
                self.close();
                self.done.push(BatchRef::Stored(handle.clone()));
            }
            (None, Body::Ready(batch)) if batch.bytes().len() >= limits::BATCH_TARGET_BYTES / 4 => {
                self.close();
                self.done.push(BatchRef::Fresh(batch.clone()));
            }
            _ => {
                let open = self.open.get_or_insert_with(|| Builder::new(Codec::None));
                for record in part.body.records()?.iter() {
                    if part.rows.as_ref().is_none_or(|rows| rows.has(record.row())) {
                        open.push_record(&record);
                    }
                }
                if open.bytes() >= limits::BATCH_TARGET_BYTES {
                    self.close();
                }
            }
        }
        Ok(())
    }
}

impl Pending {
    /// Takes what became of a piece of input; the tallies go into the account.
    pub fn add(&mut self, account: &mut Account, outcome: Outcome) -> Result<()> {
        self.since.get_or_insert_with(Instant::now);
        self.bytes += outcome.bytes();
        for (name, tally) in &outcome.tally {
            account.tally.entry(name.clone()).or_default().add(tally);
        }
        for (stream, p, part) in outcome.puts {
            self.puts.entry((stream, p)).or_default().add(&part)?;
        }
        for (sink, mut bytes) in outcome.sinks {
            self.sinks.entry(sink).or_default().append(&mut bytes);
        }
        self.dead.extend(outcome.dead);
        Ok(())
    }

    /// Everything for the log, as puts. Dead letters get their numbers here, in the order of the commits.
    pub fn puts(&mut self, shared: &Shared, account: &mut Account) -> Vec<Put> {
        let mut puts = vec![];
        for ((stream, partition), mut gathering) in std::mem::take(&mut self.puts) {
            gathering.close();
            let to = Dest { stream: shared.flow.streams[stream].at.clone(), partition };
            puts.extend(gathering.done.into_iter().map(|batch| Put { to: to.clone(), batch }));
        }
        if !self.dead.is_empty() {
            let count = account.marks.entry("dead".into()).or_default();
            let mut batch = Builder::new(Codec::None);
            for dead in std::mem::take(&mut self.dead) {
                *count += 1;
                batch.push_item(&letter(shared, account.lane, *count, dead));
            }
            let to = Dest { stream: shared.dead.clone(), partition: account.lane };
            puts.extend(batch.finish().map(|b| Put { to, batch: BatchRef::Fresh(b) }));
        }
        self.bytes = 0;
        self.since = None;
        puts
    }
}

/// A failed item with the story of its failure in headers.
fn letter(shared: &Shared, lane: u32, number: u64, dead: Dead) -> Item {
    let id = if lane == 0 {
        format!("{}-{number:04}", shared.number)
    } else {
        format!("{}-{lane}.{number:04}", shared.number)
    };
    let mut item = dead.item;
    let mut header =
        |name: &str, text: String| item.headers.push((format!("anabranch.{name}"), Some(Bytes::from(text))));
    header("id", id);
    header("step", dead.step);
    header("error", dead.error);
    header("attempts", dead.attempts.to_string());
    header("place", dead.place);
    header("run", shared.number.to_string());
    item
}
