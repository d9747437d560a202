//! Where readers are, where they began, and how far there is something to read: from the accounts and the record alone.

use super::{Shared, Spot};
use crate::plan::Root;
use anabranch_engine::account::Reader;
use anabranch_engine::{Account, RunRecord};

impl Shared {
    /// The reader of a partition of a root.
    pub fn reader(&self, root: &Root, p: u32) -> Reader {
        let (stream, partition) = self.spot(root.how, root.from, p);
        Reader { step: crate::plan::name(&self.flow, root.node), taken: root.taken.clone(), stream, partition }
    }
}

/// A mark, over all lanes.
pub fn mark(accounts: &[Account], key: &str) -> u64 {
    accounts.iter().filter_map(|a| a.marks.get(key)).sum()
}

/// Where a reader is.
pub fn next(accounts: &[Account], record: &RunRecord, reader: &Reader) -> i64 {
    let read = accounts.iter().filter_map(|a| a.read.get(reader)).map(|n| n.next).max();
    read.unwrap_or_else(|| start(record, reader))
}

/// Items that a reader took in this run.
pub fn items_taken(accounts: &[Account], reader: &Reader) -> u64 {
    accounts.iter().filter_map(|a| a.read.get(reader)).map(|n| n.items).sum()
}

/// Where a reader began in this run.
pub fn start(record: &RunRecord, reader: &Reader) -> i64 {
    let own = record.from.get(reader).copied();
    own.unwrap_or_else(|| begin(record, &(reader.stream.clone(), reader.partition)))
}

/// Where the batch begins that comes to a root through its gates.
pub fn batch(shared: &Shared, record: &RunRecord, root: &Root, p: u32) -> i64 {
    let spot = (shared.flow.streams[root.from].at.clone(), p);
    let of_gate = |g: &usize| {
        let reach = shared.plan.view(*g).iter().filter(|reach| reach.from == root.from);
        reach.filter_map(|reach| record.from.get(&shared.viewer(*g, reach, p)).copied()).max()
    };
    root.gates.iter().filter_map(of_gate).max().unwrap_or_else(|| begin(record, &spot))
}

/// Where a reader goes on that is here: behind what is not for it.
pub fn past_gaps(record: &RunRecord, reader: &Reader, at: i64) -> (i64, i64) {
    let gaps = record.gaps.get(reader).map_or(&[][..], Vec::as_slice);
    let at = gaps.iter().find(|gap| gap.contains(&at)).map_or(at, |gap| gap.end);
    (at, gaps.iter().map(|gap| gap.start).find(|start| *start > at).unwrap_or(i64::MAX))
}

/// Where the batch begins in a partition.
pub fn begin(record: &RunRecord, spot: &Spot) -> i64 {
    let first = record.extents.get(spot).and_then(|e| e.first()).map(|e| e.from);
    first.or_else(|| record.starts.get(spot).copied()).unwrap_or(0)
}

/// Where the committed items of this run end in a partition.
pub fn written(accounts: &[Account], record: &RunRecord, at: &Spot) -> i64 {
    if let Some(seal) = record.seals.get(at) {
        return *seal;
    }
    let end = accounts.iter().filter_map(|a| a.ends.get(at)).map(|e| e.end).max();
    end.or_else(|| record.starts.get(at).copied()).unwrap_or(0)
}
