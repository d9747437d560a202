//! Sinks at work: their files are written and synced before a commit tells of it.

use crate::context::RunContext;
use crate::context::sinks::FileOf;
use crate::ledger::marks::Mark;
use crate::world::{Opening, SinkFile, StillHeld};
use anabranch_engine::{Account, Result};
use anabranch_flow::model::Mode;
use std::collections::BTreeMap;

/// The open files of a run's sinks.
pub struct Sinks {
    open: BTreeMap<FileOf, Box<dyn SinkFile>>,
}

impl Sinks {
    /// No file open yet.
    pub fn new() -> Sinks {
        Sinks { open: BTreeMap::new() }
    }

    /// Writes what is pending, syncs, and marks the lengths.
    pub fn write(
        &mut self,
        context: &RunContext,
        pending: &mut BTreeMap<FileOf, Vec<u8>>,
        account: &mut Account,
        held: StillHeld<'_>,
    ) -> Result<()> {
        for (of, bytes) in std::mem::take(pending) {
            if bytes.is_empty() {
                continue;
            }
            let file = match self.open.entry(of.clone()) {
                std::collections::btree_map::Entry::Occupied(e) => e.into_mut(),
                std::collections::btree_map::Entry::Vacant(e) => e.insert(open(context, &of, account, held)?),
            };
            file.write(&bytes)?;
            let length = file.sync()?;
            account.marks.insert(Mark::length(context, &of).to_string(), length);
        }
        Ok(())
    }
}

/// Opens a sink's file at its committed length.
pub fn open(context: &RunContext, of: &FileOf, account: &Account, held: StillHeld<'_>) -> Result<Box<dyn SinkFile>> {
    let replace = context.flow.streams[of.sink].sink.as_ref().is_some_and(|s| s.mode != Mode::Append);
    match context.sink_path(of)? {
        None => context.world.sinks.stdout(),
        Some(path) => {
            let committed = Mark::length(context, of).of(account);
            let file = Opening { path: &path, replace, run: context.number, resume: committed };
            context.world.sinks.open(file, held)
        }
    }
}
