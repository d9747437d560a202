//! What people see of a run at work: plain data, from the accounts alone.

use crate::ledger::Standing;
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::report;
use crate::ledger::report::Report;
use anabranch_engine::Tally;
use anabranch_flow::model::{Kind, Stream, Writer};
use anabranch_flow::number::{StepNo, UnitNo};
use anabranch_flow::plan::{Node, ReadFrom, Root};
use std::collections::BTreeMap;
use std::time::Duration;

/// A run at work: what became of everything so far, and how far each step is. The last one's report is the report of the run.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Since the process began to work on it.
    pub elapsed: Duration,
    /// What became of everything so far: steps, gates, sinks.
    pub report: Report,
    /// Each step of the flow.
    pub steps: Vec<StepView>,
    /// Each stream of the flow.
    pub edges: Vec<EdgeView>,
    /// Dead letters so far.
    pub dead: u64,
}

/// A stream at work: who fills it, and who takes its items.
#[derive(Debug, Clone, Default)]
pub struct EdgeView {
    /// Its name.
    pub stream: String,
    /// The step that writes it, if one does.
    pub from: Option<String>,
    /// Items that the step made for it.
    pub made: u64,
    /// The steps that read it, and how many items each took of it.
    pub to: Vec<(String, u64)>,
}

/// A step at work.
#[derive(Debug, Clone, Default)]
pub struct StepView {
    /// Its name.
    pub step: String,
    /// Items that it took.
    pub taken: u64,
    /// How far it has read what is there for it now, from 0 to 1, where that can be told.
    pub share: Option<f64>,
    /// How far it is with all that comes in this batch, from 0 to 1, where the size of the batch is known.
    pub done: Option<f64>,
    /// Items that are there for it now, where they are counted.
    pub there: Option<u64>,
    /// Items that its actions work on now.
    pub under_way: usize,
    /// It is a gate, and waits.
    pub waits: bool,
    /// It has finished.
    pub finished: bool,
}

impl RunView {
    /// The view of a run at `now`, in milliseconds since 1970-01-01 UTC; `calls` are the items that are with the action of each unit.
    pub fn of(
        standing: Standing<'_>,
        facts: &Facts,
        now: i64,
        elapsed: Duration,
        calls: &BTreeMap<UnitNo, usize>,
    ) -> RunView {
        let Standing { context, accounts, .. } = standing;
        let done = standing.done(facts);
        let steps = context.flow.numbered_steps().map(|(s, step)| {
            let taken = match step.kind {
                Kind::Barrier(_) => standing.arrived(facts, s),
                _ => standing.tally(&step.name, Tally::taken),
            };
            let unit = context.plan.unit_of(Node::Step(s));
            StepView {
                step: step.name.clone(),
                taken,
                share: unit.and_then(|u| standing.share(u)),
                done: unit.and_then(|u| done[u]),
                there: unit.and_then(|u| standing.there(u, s)),
                under_way: unit.and_then(|u| calls.get(&u).copied()).unwrap_or(0),
                waits: step.gate().is_some() && facts.gates[s].is_none(),
                finished: unit.is_some_and(|u| facts.units[u] != Progress::Working),
            }
        });
        let dead = accounts.iter().flat_map(|a| a.tally.values()).map(|t| t.dead).sum();
        let report = report::report(standing, facts, now);
        RunView { elapsed, report, steps: steps.collect(), edges: standing.edges(), dead }
    }
}

impl Standing<'_> {
    /// What every stream was given, and what its readers took.
    fn edges(self) -> Vec<EdgeView> {
        let flow = &self.context.flow;
        let sum = |step: &str, of: &dyn Fn(&Tally) -> Option<u64>| -> u64 {
            self.accounts.iter().filter_map(|a| of(a.tally.get(step)?)).sum()
        };
        let edge = |stream: &Stream| {
            let from = if let Writer::Step(w, _) = stream.writer { Some(flow.steps[w].name.clone()) } else { None };
            let made = from.as_ref().map_or(0, |from| sum(from, &|t| t.made.get(&stream.name).copied()));
            let took = |s: StepNo| {
                let step = flow.steps[s].name.clone();
                let n = sum(&step, &|t| t.took.get(&stream.name).copied());
                (step, n)
            };
            EdgeView {
                stream: stream.name.clone(),
                from,
                made,
                to: stream.readers.iter().map(|(s, _)| took(*s)).collect(),
            }
        };
        flow.streams.iter().map(edge).collect()
    }

    /// How far a unit has read what is there for it now.
    fn share(self, unit: UnitNo) -> Option<f64> {
        let (mut read, mut all) = (0, 0);
        for root in &self.context.plan.units[unit].roots {
            let (r, a) = self.extent(root)?;
            (read, all) = (read + r, all + a);
        }
        (all > 0).then(|| read as f64 / all as f64)
    }

    /// What a unit has read of a root, and what is there: bytes of files, offsets of streams.
    fn extent(self, root: &Root) -> Option<(i64, i64)> {
        if root.how == ReadFrom::Stdin {
            return None;
        }
        let of = |p| {
            let reader = self.context.reader(root, p);
            let start = self.start(&reader);
            let end = self.written(&(reader.stream.clone(), reader.partition));
            (self.next(&reader) - start, end - start)
        };
        Some((0..self.context.partitions[root.from]).map(of).fold((0, 0), |(r, a), (read, all)| (r + read, a + all)))
    }

    /// How far each unit is with the whole batch. What it has not been given yet is taken to be as much as its writer is not
    /// through with.
    fn done(self, facts: &Facts) -> Vec<Option<f64>> {
        let mut done: Vec<Option<f64>> = vec![];
        for unit in &self.context.plan.units {
            let of = |root: &Root| {
                let (read, there) = self.extent(root)?;
                let writer = self.context.plan.writers[root.from].filter(|_| root.how == ReadFrom::Log);
                let given = match writer {
                    Some(w) if facts.units[w] == Progress::Working => *done.get(w.0)?,
                    _ => Some(1.0),
                };
                let open = facts.gates_before(root) == Some(true);
                given.filter(|given| *given > 0.0 && open).map(|given| (read as f64, there as f64 / given))
            };
            let all: Option<Vec<(f64, f64)>> = unit.roots.iter().map(of).collect();
            let (read, all) = all.unwrap_or_default().into_iter().fold((0.0, 0.0), |(r, a), (x, y)| (r + x, a + y));
            done.push((all > 0.0).then(|| (read / all).clamp(0.0, 1.0)));
        }
        done
    }

    /// Items of the flow's own streams that are there for a step which reads them from the log.
    fn there(self, unit: UnitNo, step: StepNo) -> Option<u64> {
        let roots = self.context.plan.units[unit].roots.iter().filter(|r| r.node == Node::Step(step));
        let of = |root: &Root| {
            let counted = root.how == ReadFrom::Log && self.context.flow.streams[root.from].writer != Writer::Outside;
            counted.then(|| {
                let all = (0..self.context.partitions[root.from]).map(|p| {
                    let reader = self.context.reader(root, p);
                    let waited = self.record.waited.get(&reader).copied().unwrap_or(0);
                    waited + self.items_at(&(reader.stream, reader.partition))
                });
                all.sum::<u64>()
            })
        };
        roots.map(of).sum::<Option<u64>>().filter(|all| *all > 0)
    }
}
