//! What people see of a run at work: plain data, from the accounts alone.

use super::Shared;
use super::facts::{Facts, Progress};
use super::{arrivals, positions};
use crate::model::Kind;
use crate::plan::{How, Node};
use anabranch_engine::{Account, RunRecord};
use std::collections::BTreeMap;
use std::time::Duration;

/// A run at work.
#[derive(Debug, Clone, Default)]
pub struct RunView {
    /// The flow.
    pub flow: String,
    /// Number of the run.
    pub run: u64,
    /// Since the process began to work on it.
    pub elapsed: Duration,
    /// Each step.
    pub steps: Vec<StepView>,
    /// Dead letters so far.
    pub dead: u64,
}

/// A step at work.
#[derive(Debug, Clone, Default)]
pub struct StepView {
    /// Its name.
    pub step: String,
    /// Items that it took.
    pub taken: u64,
    /// How far it is, from 0 to 1, where that can be told.
    pub share: Option<f64>,
    /// Items that its actions work on now.
    pub under_way: usize,
    /// It is a gate, and waits.
    pub waits: bool,
    /// It has finished.
    pub finished: bool,
}

impl RunView {
    /// The view of a run.
    pub fn of(
        shared: &Shared,
        accounts: &[Account],
        record: &RunRecord,
        facts: &Facts,
        elapsed: Duration,
        windows: &BTreeMap<usize, usize>,
    ) -> RunView {
        let steps = shared.flow.steps.iter().enumerate().map(|(s, step)| {
            let taken = match step.kind {
                Kind::Join(_) => arrivals::arrived(shared, accounts, record, facts, s),
                _ => accounts.iter().filter_map(|a| a.tally.get(&step.name)).map(|t| t.taken()).sum(),
            };
            let unit = shared.plan.unit_of(Node::Step(s));
            StepView {
                step: step.name.clone(),
                taken,
                share: unit.and_then(|u| share(shared, accounts, record, u)),
                under_way: unit.and_then(|u| windows.get(&u).copied()).unwrap_or(0),
                waits: step.gate().is_some() && facts.gates[s].is_none(),
                finished: unit.is_some_and(|u| facts.units[u] != Progress::Working),
            }
        });
        let dead = accounts.iter().flat_map(|a| a.tally.values()).map(|t| t.dead).sum();
        RunView { flow: shared.flow.name.to_string(), run: record.number, elapsed, steps: steps.collect(), dead }
    }
}

/// How far a unit has read what is there for it now.
fn share(shared: &Shared, accounts: &[Account], record: &RunRecord, unit: usize) -> Option<f64> {
    let (mut read, mut all) = (0, 0);
    for root in &shared.plan.units[unit].roots {
        if root.how == How::Stdin {
            return None;
        }
        for p in 0..shared.partitions[root.from] {
            let reader = shared.reader(root, p);
            let start = positions::start(record, &reader);
            read += positions::next(accounts, record, &reader) - start;
            all += positions::written(accounts, record, &(reader.stream, reader.partition)) - start;
        }
    }
    (all > 0).then(|| read as f64 / all as f64)
}
