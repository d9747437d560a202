//! Where readers are, where they began, and how far there is something to read: from the accounts and the record alone.

use crate::context::Spot;
use crate::ledger::Standing;
use crate::ledger::marks::Mark;
use anabranch_engine::Tally;
use anabranch_engine::account::Reader;
use anabranch_flow::number::StepNo;
use anabranch_flow::plan::Root;

impl<'a> Standing<'a> {
    /// A mark, over all lanes.
    pub fn mark(self, mark: Mark) -> u64 {
        self.accounts.iter().filter_map(|a| mark.of(a)).sum()
    }

    /// Where a reader is.
    pub fn next(self, reader: &Reader) -> i64 {
        let read = self.accounts.iter().filter_map(|a| a.read.get(reader)).map(|n| n.next).max();
        read.unwrap_or_else(|| self.start(reader))
    }

    /// Items that a reader took in this run.
    pub fn items_taken(self, reader: &Reader) -> u64 {
        self.accounts.iter().filter_map(|a| a.read.get(reader)).map(|n| n.items).sum()
    }

    /// Where a reader began in this run.
    pub fn start(self, reader: &Reader) -> i64 {
        let own = self.record.from.get(reader).copied();
        own.unwrap_or_else(|| self.begin(&(reader.stream.clone(), reader.partition)))
    }

    /// Where the batch begins that comes to a root through its gates.
    pub fn batch(self, root: &Root, p: u32) -> i64 {
        let spot = (self.context.flow.streams[root.from].at.clone(), p);
        let of_gate = |g: &StepNo| {
            let reach = self.context.plan.view(*g).iter().filter(|reach| reach.from == root.from);
            reach.filter_map(|reach| self.record.from.get(&self.context.viewer(*g, reach, p)).copied()).max()
        };
        root.gates.iter().filter_map(of_gate).max().unwrap_or_else(|| self.begin(&spot))
    }

    /// Where a reader goes on that is here: behind what is not for it.
    pub fn past_gaps(self, reader: &Reader, at: i64) -> (i64, i64) {
        let gaps = self.record.gaps.get(reader).map_or(&[][..], Vec::as_slice);
        let at = gaps.iter().fold(at, |at, gap| if gap.contains(&at) { gap.end } else { at });
        (at, gaps.iter().map(|gap| gap.start).find(|start| *start > at).unwrap_or(i64::MAX))
    }

    /// Where the batch begins in a partition.
    pub fn begin(self, spot: &Spot) -> i64 {
        let first = self.record.extents.get(spot).and_then(|e| e.first()).map(|e| e.from);
        first.or_else(|| self.record.starts.get(spot).copied()).unwrap_or(0)
    }

    /// Where the committed items of this run end in a partition.
    pub fn written(self, at: &Spot) -> i64 {
        if let Some(seal) = self.record.seals.get(at) {
            return *seal;
        }
        let end = self.accounts.iter().filter_map(|a| a.ends.get(at)).map(|e| e.end).max();
        end.or_else(|| self.record.starts.get(at).copied()).unwrap_or(0)
    }

    /// Where a position lies in the stretches of its batch, and how far it may be read there: what other batches put between
    /// them is passed over.
    pub fn stretch(self, spot: &Spot, at: i64, end: i64) -> (i64, i64) {
        let Some(extents) = self.record.extents.get(spot) else { return (at, end) };
        if let Some(extent) = extents.iter().find(|e| at < e.to) {
            return (at.max(extent.from), end.min(extent.to));
        }
        (at.max(self.record.starts.get(spot).copied().unwrap_or(at)), end)
    }

    /// What all lanes counted of a node.
    pub fn tally(self, node: &str, of: impl Fn(&Tally) -> u64) -> u64 {
        self.accounts.iter().filter_map(|a| a.tally.get(node)).map(of).sum()
    }
}
