//! What arrives at a gate, and what failed on the way: from the accounts and the record alone.

use crate::ledger::Standing;
use crate::ledger::facts::Facts;
use crate::ledger::marks;
use anabranch_engine::Account;
use anabranch_engine::account::Reader;
use anabranch_flow::model::{Kind, Writer};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_flow::plan::{Node, Reach, Root, name};
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Standing<'a> {
    /// Items of this run's batch in a stream of the log that the flow writes.
    pub fn items(self, stream: StreamNo) -> u64 {
        let at = &self.context.flow.streams[stream].at;
        (0..self.context.partitions[stream]).map(|p| self.items_at(&(at.clone(), p))).sum()
    }

    /// The same, in one partition.
    pub fn items_at(self, spot: &crate::context::Spot) -> u64 {
        let before: u64 = self.record.extents.get(spot).into_iter().flatten().map(|e| e.items).sum();
        before + self.accounts.iter().filter_map(|a| a.ends.get(spot)).map(|e| e.items).sum::<u64>()
    }

    /// Items that came to a join in this run. What waits at a gate before it has not come.
    pub fn arrived(self, facts: &Facts, join: StepNo) -> u64 {
        self.context.plan.view(join).iter().map(|reach| self.through(facts, join, reach)).sum()
    }

    /// Items that came to a join through one of its inputs.
    pub fn arrived_by(self, facts: &Facts, join: StepNo, input: usize) -> u64 {
        let reach = self.context.plan.view(join).iter().filter(|reach| reach.input == input);
        reach.map(|reach| self.through(facts, join, reach)).sum()
    }

    fn through(self, facts: &Facts, join: StepNo, reach: &Reach) -> u64 {
        if reach.gates.iter().any(|g| facts.gates[*g] != Some(Verdict::Open)) {
            return 0;
        }
        if self.context.flow.streams[reach.from].writer != Writer::Outside {
            return self.items(reach.from);
        }
        let viewers = (0..self.context.partitions[reach.from]).map(|p| self.context.viewer(join, reach, p));
        viewers.map(|reader| self.counted(&reader).unwrap_or_else(|| self.offsets(&reader))).sum()
    }

    /// What a gate judges of what arrived, in a stream from outside by offsets: nobody has read it then, and a verdict is for good.
    pub fn judged_by(self, join: StepNo) -> u64 {
        let own = |reach: &Reach| self.items(reach.from);
        let outside = |reach: &Reach| {
            (0..self.context.partitions[reach.from]).map(|p| self.offsets(&self.context.viewer(join, reach, p))).sum()
        };
        let is_own = |reach: &Reach| self.context.flow.streams[reach.from].writer != Writer::Outside;
        self.context.plan.view(join).iter().map(|reach| if is_own(reach) { own(reach) } else { outside(reach) }).sum()
    }

    /// Items of a stream from outside that lie between where a reader began and the seal, as somebody counted who has read
    /// just these; `None` before that.
    pub fn counted(self, reader: &Reader) -> Option<u64> {
        let seal = self.record.seals.get(&(reader.stream.clone(), reader.partition)).copied()?;
        let from = self.start(reader);
        if seal <= from {
            return Some(0);
        }
        let same = |r: &Reader| r.stream == reader.stream && r.partition == reader.partition;
        let read = self.accounts.iter().flat_map(|a| &a.read).filter(|(r, _)| same(r) && r.step != reader.step);
        let counted = read.filter(|(r, next)| next.next == seal && self.start(r) == from);
        counted.map(|(_, next)| next.items).max()
    }

    /// The same by offsets, of which some are no items where others write in transactions.
    fn offsets(self, reader: &Reader) -> u64 {
        let seal = self.record.seals.get(&(reader.stream.clone(), reader.partition)).copied().unwrap_or(0);
        (seal - self.start(reader)).max(0) as u64
    }

    /// Items that a pair has no partner for in one of its inputs. Behind a shut gate they wait there, not here.
    pub fn waiting(self, facts: &Facts, root: &Root) -> u64 {
        if facts.gates_before(root) != Some(true) {
            return 0;
        }
        (0..self.context.partitions[root.from]).map(|p| self.waiting_at(root, p)).sum()
    }

    /// The same, in one partition. In a stream of the flow's own items are counted, in one from outside offsets.
    pub fn waiting_at(self, root: &Root, p: u32) -> u64 {
        let reader = self.context.reader(root, p);
        let spot = (reader.stream.clone(), p);
        if self.context.flow.streams[root.from].writer == Writer::Outside {
            let end = self.written(&spot);
            let next = self.next(&reader);
            let gaps = self.record.gaps.get(&reader).into_iter().flatten();
            let not_for_it: i64 = gaps.map(|gap| (gap.end - gap.start.max(next)).max(0)).sum();
            return (end - next - not_for_it).max(0) as u64;
        }
        let there = self.record.waited.get(&reader).copied().unwrap_or(0) + self.items_at(&spot);
        there.saturating_sub(self.items_taken(&reader))
    }

    /// Failed items at the steps above a gate, down from the nearest gates before it.
    pub fn failed_above(self, gate: StepNo) -> u64 {
        self.failed_by_step(gate).values().sum()
    }

    /// The same, by step.
    pub fn failed_by_step(self, gate: StepNo) -> BTreeMap<String, u64> {
        let dead = |n: &String| self.tally(n, |t| t.dead);
        let names = self.judged(gate).into_iter();
        names.map(|n| (n.clone(), dead(&n))).filter(|(_, dead)| *dead > 0).collect()
    }

    /// Items that were skipped at the steps that a gate judges.
    pub fn skipped_above(self, gate: StepNo) -> u64 {
        let names = self.judged(gate);
        let skipped = |a: &Account| names.iter().filter_map(|n| a.tally.get(n)).map(|t| t.skipped).sum::<u64>();
        self.accounts.iter().map(skipped).sum()
    }

    /// The steps whose failures a gate judges.
    fn judged(self, gate: StepNo) -> BTreeSet<String> {
        let flow = &self.context.flow;
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut todo: Vec<StreamNo> = flow.steps[gate].inputs.clone();
        if let Kind::Reduce(..) = flow.steps[gate].kind {
            names.insert(flow.steps[gate].name.clone()); // an item that it could not fold is lacking as one that never came
        }
        while let Some(stream) = todo.pop() {
            match flow.streams[stream].writer {
                Writer::Source => {
                    names.insert(name(flow, Node::Source(stream)));
                }
                Writer::Step(w, _) if matches!(flow.steps[w].kind, Kind::Reduce(..)) => {
                    names.insert(marks::finals(&flow.steps[w].name));
                }
                Writer::Step(w, _) if flow.steps[w].gate().is_none() && names.insert(flow.steps[w].name.clone()) => {
                    todo.extend(&flow.steps[w].inputs);
                }
                _ => {}
            }
        }
        names
    }
}
