//! How many items can come to a step, by what its patterns promise.

use super::{Calls, Reads};
use crate::life::look;
use anabranch_flow::model::{Flow, Kind, Step, Writer};
use anabranch_flow::number::{StepNo, StreamNo};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What the steps call, and for how many items at most, over sources with so many items.
pub fn calls(flow: &Flow, sources: &[Reads]) -> Vec<Calls> {
    let bounds = Bounds { flow, sources, known: RefCell::default() };
    let of = |(s, step): (StepNo, &Step)| {
        let Kind::Act(act) = &step.kind else { return None };
        let program = look::program(step).map(|(program, _)| program.to_string());
        Some(Calls { step: step.name.clone(), program, items: bounds.taken(s), attempts: act.attempts })
    };
    flow.numbered_steps().filter_map(of).collect()
}

/// Items at most; none where nobody can know.
type Bound = Option<u64>;

struct Bounds<'f> {
    flow: &'f Flow,
    sources: &'f [Reads],
    known: RefCell<BTreeMap<StreamNo, Bound>>,
}

impl Bounds<'_> {
    /// Items that come to a step.
    fn taken(&self, s: StepNo) -> Bound {
        let mut by_writer: BTreeMap<Option<StepNo>, Bound> = BTreeMap::new();
        let inputs: BTreeSet<StreamNo> = self.flow.steps[s].inputs.iter().copied().collect();
        for input in inputs {
            let writer = match self.flow.streams[input].writer {
                Writer::Step(w, _) => Some(w),
                _ => None,
            };
            let of = self.made(input);
            let sum = by_writer.entry(writer).or_insert(Some(0));
            *sum = sum.zip(of).map(|(a, b)| a.saturating_add(b));
        }
        by_writer.into_iter().map(|(w, sum)| self.routed(w, sum)).sum()
    }

    /// Outputs of a step that puts each item into one of them have together no more than came to it.
    fn routed(&self, writer: Option<StepNo>, sum: Bound) -> Bound {
        let Some(w) = writer else { return sum };
        let several = match &self.flow.steps[w].kind {
            Kind::Copy(_) => true,
            Kind::Split(split) => split.all,
            Kind::Reduce(..) | Kind::Barrier(_) => self.flow.steps[w].outputs.len() > 1,
            _ => false,
        };
        match self.taken(w) {
            Some(taken) if !several => sum.map(|sum| sum.min(taken.max(1))),
            _ => sum,
        }
    }

    /// Items of a stream.
    fn made(&self, stream: StreamNo) -> Bound {
        let known = self.known.borrow().get(&stream).copied();
        known.unwrap_or_else(|| {
            let bound = self.found(stream);
            self.known.borrow_mut().insert(stream, bound);
            bound
        })
    }

    fn found(&self, stream: StreamNo) -> Bound {
        let of = &self.flow.streams[stream];
        let Writer::Step(w, _) = of.writer else {
            let all = self.sources.iter().filter(|r| r.stream == of.name);
            return all.map(|r| r.items).max().unwrap_or(Some(0));
        };
        let step = &self.flow.steps[w];
        match &step.kind {
            Kind::Barrier(_) if step.done == Some(stream) => Some(1),
            Kind::Reduce(reduce, _) if reduce.by.is_empty() => Some(1),
            Kind::Work(work) if work.many() => None,
            Kind::Act(act) if act.work.many() => None,
            Kind::Pair(_) => None, // it depends on what waits there
            _ => self.taken(w),
        }
    }
}
