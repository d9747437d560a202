//! How a run is to be done.

use crate::ledger::view::RunView;
use anabranch_engine::RunRecord;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a run is to be done.
#[derive(Default)]
pub struct Options {
    /// Set by others to stop the run: what is finished is committed, the rest is done when it is run again.
    pub stop: Arc<AtomicBool>,
    /// Abandon an open run first.
    pub fresh: bool,
    /// Work for a batch that is held, instead of a new one.
    pub repair: Option<Repair>,
    /// Worker threads; 0 = one for each core.
    pub workers: usize,
    /// Shown a few times in a second while the run works.
    pub progress: Option<Box<Show>>,
    /// Told once what the engine leaves out, and which run is taken up.
    pub note: Option<Box<Note>>,
}

/// Is shown how a run is.
pub type Show = dyn FnMut(&RunView) + Send;

/// Is told something once.
pub type Note = dyn FnMut(&str) + Send;

impl Options {
    pub(crate) fn note(&mut self, text: &str) {
        if let Some(note) = &mut self.note {
            note(text);
        }
    }
}

/// What is to be done with a batch that is held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// The batch.
    pub batch: u64,
    /// Ids of dead letters that are tried again, each at the step where it failed.
    pub retry: Vec<String>,
    /// Ids of dead letters that are given up: they do not hold the batch any more.
    pub skip: Vec<String>,
}

impl Repair {
    /// Whether a run is this very repair.
    pub fn is_done_by(&self, record: &RunRecord) -> bool {
        let Some(mending) = record.repair.as_ref().filter(|_| record.batch == self.batch) else { return false };
        let again: BTreeSet<&String> = mending.again.iter().map(|a| &a.id).collect();
        again == self.retry.iter().collect() && self.skip.iter().all(|id| mending.settled.contains(id))
    }
}
