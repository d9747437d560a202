//! Where readers are, where they began, and how far there is something to read: from the accounts and the record alone.

use crate::context::{RunContext, Spot};
use anabranch_engine::account::Reader;
use anabranch_engine::{Account, RunRecord};
use anabranch_flow::plan::Root;

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
pub fn batch(context: &RunContext, record: &RunRecord, root: &Root, p: u32) -> i64 {
    let spot = (context.flow.streams[root.from].at.clone(), p);
    let of_gate = |g: &usize| {
        let reach = context.plan.view(*g).iter().filter(|reach| reach.from == root.from);
        reach.filter_map(|reach| record.from.get(&context.viewer(*g, reach, p)).copied()).max()
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

/// Where a position lies in the stretches of its batch, and how far it may be read there: what other batches put between
/// them is passed over.
pub fn stretch(record: &RunRecord, spot: &Spot, at: i64, end: i64) -> (i64, i64) {
    let Some(extents) = record.extents.get(spot) else { return (at, end) };
    if let Some(extent) = extents.iter().find(|e| at < e.to) {
        return (at.max(extent.from), end.min(extent.to));
    }
    (at.max(record.starts.get(spot).copied().unwrap_or(at)), end)
}
