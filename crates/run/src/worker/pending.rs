//! What waits for the next commit of a lane.

use crate::context::sinks::FileOf;
use crate::context::{RunContext, logs_of};
use crate::ledger::marks::Mark;
use crate::piece::letter::{DeadLetter, Failed};
use crate::piece::log::ItemLog;
use crate::piece::outcome::Outcome;
use crate::piece::packing::Gathering;
use crate::world::{Clock, Moment};
use anabranch_engine::{Account, BatchRef, Codec, Dest, Packer, Put, Result};
use anabranch_flow::number::StreamNo;
use std::collections::BTreeMap;

/// Batches and bytes that are done and not committed.
#[derive(Default)]
pub struct Pending {
    /// Batches, by stream and partition, in order.
    puts: BTreeMap<(StreamNo, u32), Gathering>,
    /// Bytes for sinks.
    pub sinks: BTreeMap<FileOf, Vec<u8>>,
    /// Failed items.
    pub dead: Vec<Failed>,
    /// What the calls for other items wrote.
    logs: Vec<ItemLog>,
    /// Bytes of it all.
    pub bytes: usize,
    /// Since when the oldest waits.
    pub since: Option<Moment>,
}

impl Pending {
    /// Takes what became of a piece of input; the tallies go into the account.
    pub fn add(&mut self, account: &mut Account, outcome: Outcome, clock: &dyn Clock) -> Result<()> {
        self.since.get_or_insert_with(|| clock.moment());
        self.bytes += outcome.bytes();
        for (name, tally) in &outcome.tally {
            account.tally.entry(name.clone()).or_default().add(tally);
        }
        for ((stream, p), gathering) in outcome.puts {
            let mine = self.puts.entry((stream, p)).or_default();
            gathering.finish().into_iter().try_for_each(|batch| mine.add_batch(batch))?;
        }
        for (file, mut bytes) in outcome.sinks {
            self.sinks.entry(file).or_default().append(&mut bytes);
        }
        self.dead.extend(outcome.dead);
        self.logs.extend(outcome.logs);
        account.marks.extend(outcome.marks);
        Ok(())
    }

    /// Everything for the log, as puts. Dead letters get their numbers here, in the order of the commits.
    pub fn puts(&mut self, context: &RunContext, account: &mut Account) -> Result<Vec<Put>> {
        let mut puts = vec![];
        for ((stream, partition), gathering) in std::mem::take(&mut self.puts) {
            let to = Dest { stream: context.flow.streams[stream].at.clone(), partition };
            puts.extend(gathering.finish().into_iter().map(|batch| Put { to: to.clone(), batch }));
        }
        if !self.dead.is_empty() {
            let count = account.marks.entry(Mark::Dead.to_string()).or_default();
            let mut letters = Packer::default();
            for mut failed in std::mem::take(&mut self.dead) {
                *count += 1;
                let log = failed.log.take();
                let letter = DeadLetter::new(context.number, account.lane, *count, failed);
                self.logs.extend(log.map(|log| ItemLog { letter: Some(letter.id.clone()), ..*log }));
                letters.push_item(&letter.to_item(&context.dead, || context.engine.largest(&context.dead))?);
            }
            let to = Dest { stream: context.dead.clone(), partition: account.lane };
            puts.extend(letters.finish().into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }));
        }
        if !self.logs.is_empty() {
            let mut logs = Packer::new(Codec::Zstd);
            for log in std::mem::take(&mut self.logs) {
                logs.push_item(&log.to_item(context.started())?);
            }
            let to = Dest { stream: logs_of(&context.flow.name)?, partition: account.lane };
            puts.extend(logs.finish().into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }));
        }
        self.bytes = 0;
        self.since = None;
        Ok(puts)
    }
}
