//! Sinks at work: their files are written and synced before a commit tells of it.

use super::Shared;
use super::io::SinkFile;
use super::marks;
use crate::expr::Scope;
use crate::model::{Mode, To};
use anabranch_engine::{Account, Error, Result};
use std::collections::BTreeMap;

/// The open files of a run's sinks.
pub struct Sinks {
    open: BTreeMap<usize, Box<dyn SinkFile>>,
}

/// The path of a sink in this run; `None` for standard output.
pub fn path(shared: &Shared, stream: usize) -> Result<Option<String>> {
    let path = own_path(shared, stream)?;
    Ok(path.map(|path| path + shared.beside.get(&stream).map_or("", String::as_str)))
}

/// What stands behind the name of a file that only a batch wrote.
pub fn of_batch(batch: u64) -> String {
    format!(".batch-{batch}")
}

/// The path of this run, and where what it holds of a held batch waits for the repair of that.
pub fn aside(shared: &Shared, stream: usize, batch: u64) -> Result<Option<(String, String)>> {
    let own = own_path(shared, stream)?.map(|own| own + &of_batch(batch));
    Ok(path(shared, stream)?.zip(own))
}

fn own_path(shared: &Shared, stream: usize) -> Result<Option<String>> {
    let Some(sink) = &shared.flow.streams[stream].sink else { return Ok(None) };
    match &sink.to {
        To::Stdout => Ok(None),
        To::File(template) => {
            let path = template.render(&Scope::of_run(&shared.vars.run, &shared.vars.env));
            path.map(Some)
                .map_err(|f| Error::usage(format!("the path of the sink {}: {f}", shared.flow.streams[stream].name)))
        }
    }
}

impl Sinks {
    /// No file open yet.
    pub fn new() -> Sinks {
        Sinks { open: BTreeMap::new() }
    }

    /// Writes what is pending, syncs, and marks the lengths.
    pub fn write(
        &mut self,
        shared: &Shared,
        pending: &mut BTreeMap<usize, Vec<u8>>,
        account: &mut Account,
    ) -> Result<()> {
        for (stream, bytes) in std::mem::take(pending) {
            if bytes.is_empty() {
                continue;
            }
            let file = match self.open.entry(stream) {
                std::collections::btree_map::Entry::Occupied(e) => e.into_mut(),
                std::collections::btree_map::Entry::Vacant(e) => e.insert(open(shared, stream, account)?),
            };
            file.write(&bytes)?;
            let length = file.sync()?;
            account.marks.insert(marks::length(shared, stream), length);
        }
        Ok(())
    }
}

/// Opens a sink's file at its committed length.
pub fn open(shared: &Shared, stream: usize, account: &Account) -> Result<Box<dyn SinkFile>> {
    let replace = shared.flow.streams[stream].sink.as_ref().is_some_and(|s| s.mode != Mode::Append);
    match path(shared, stream)? {
        None => shared.world.stdout(),
        Some(path) => {
            let committed = account.marks.get(&marks::length(shared, stream)).copied();
            shared.world.sink(&path, replace, shared.number, committed)
        }
    }
}
