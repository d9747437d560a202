//! What became of a piece of input.

use crate::context::sinks::FileOf;
use crate::piece::letter::Failed;
use crate::piece::log::ItemLog;
use crate::piece::packing::Gathering;
use anabranch_engine::{Error, Tally};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::patterns::Scratch;
use std::collections::BTreeMap;

/// What became of a piece of input.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What each node did.
    pub tally: BTreeMap<String, Tally>,
    /// Batches for the log, by stream and partition.
    pub puts: BTreeMap<(StreamNo, u32), Gathering>,
    /// Bytes for sinks.
    pub sinks: BTreeMap<FileOf, Vec<u8>>,
    /// Items that failed and are kept.
    pub dead: Vec<Failed>,
    /// What the calls for items wrote that did not fail.
    pub logs: Vec<ItemLog>,
    /// What is to be known when the run goes on.
    pub marks: BTreeMap<String, u64>,
    /// What the reduces folded.
    pub scratch: BTreeMap<StepNo, Scratch>,
    /// Something that must stop the run.
    pub stop: Option<Error>,
}

impl Outcome {
    /// The tally of a node.
    pub fn tally(&mut self, name: &str) -> &mut Tally {
        if !self.tally.contains_key(name) {
            self.tally.insert(name.to_string(), Tally::default());
        }
        self.tally.entry(name.to_string()).or_default()
    }

    /// Bytes that wait to be committed.
    pub fn bytes(&self) -> usize {
        let logs = self.logs.iter().chain(self.dead.iter().filter_map(|failed| failed.log.as_deref()));
        self.puts.values().map(Gathering::bytes).sum::<usize>()
            + self.sinks.values().map(Vec::len).sum::<usize>()
            + logs.map(ItemLog::bytes).sum::<usize>()
    }
}
