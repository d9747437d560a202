//! Facts: pure functions of the newest accounts, the same in every process, never written.

use super::arrivals::{failed_above, judged_by};
use super::positions::{mark, next, written};
use super::{Shared, marks};
use crate::model::{Kind, Writer};
use crate::patterns::join::Verdict;
use crate::plan::{How, Node, Root, name};
use anabranch_engine::{Account, RunRecord};

/// What follows from the accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// For each unit: how far it is.
    pub units: Vec<Progress>,
    /// For each step: what its gate says; `None` while its input is open, or if it has none.
    pub gates: Vec<Option<Verdict>>,
    /// For each step: whether its gate stays shut, or waits for what never comes.
    pub stuck: Vec<bool>,
}

/// How far a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is something to do, or there may be.
    Working,
    /// It has read everything and said everything.
    Finished,
    /// It waits behind a gate that stays shut.
    Blocked,
}

/// Derives the facts.
pub fn derive(shared: &Shared, accounts: &[Account], record: &RunRecord) -> Facts {
    let flow = &shared.flow;
    let mut facts = Facts {
        units: vec![Progress::Working; shared.plan.units.len()],
        gates: vec![None; flow.steps.len()],
        stuck: vec![false; flow.steps.len()],
    };
    loop {
        let before = facts.clone();
        for (u, unit) in shared.plan.units.iter().enumerate() {
            if facts.units[u] == Progress::Working {
                facts.units[u] = progress(shared, accounts, record, &facts, &unit.roots, u);
            }
        }
        for (s, step) in flow.steps.iter().enumerate() {
            if facts.gates[s].is_none() && step.gate().is_some() {
                facts.gates[s] = judge(shared, accounts, record, &facts, s);
            }
            facts.stuck[s] |= step.gate().is_some() && is_stuck(shared, &facts, s);
        }
        if facts == before {
            return facts;
        }
    }
}

impl Facts {
    /// Whether all gates before a root are open, and stay shut for good if one is.
    pub fn gates_before(&self, root: &Root) -> Option<bool> {
        let mut all_open = true;
        for gate in &root.gates {
            match self.gates[*gate] {
                Some(Verdict::Open) => {}
                Some(Verdict::Held | Verdict::Failed) => return Some(false),
                None => all_open = false,
            }
        }
        all_open.then_some(true)
    }
}

fn progress(
    shared: &Shared,
    accounts: &[Account],
    record: &RunRecord,
    facts: &Facts,
    roots: &[Root],
    u: usize,
) -> Progress {
    let unit = &shared.plan.units[u];
    let (mut all_read, mut blocked, mut settled) = (true, false, true);
    for root in roots {
        let open = facts.gates_before(root) == Some(true);
        if root.gates.iter().any(|g| facts.stuck[*g]) || blocked_upstream(shared, facts, root.from) {
            // what came before all the same is read: nothing is committed for a batch once it has closed
            settled &= !open || unit.pairs.is_some() || read_all_there_is(shared, accounts, record, root);
            blocked = true;
        } else {
            let read = open && read_to_the_end(shared, accounts, record, facts, root);
            settled &= read || unit.pairs.is_some();
            all_read &= read;
        }
    }
    if blocked {
        return if settled { Progress::Blocked } else { Progress::Working };
    }
    if unit.pairs.is_some() {
        let key = marks::done(&name(&shared.flow, unit.nodes[0]));
        all_read = mark(accounts, &key) >= shared.lanes_of(u) as u64;
    }
    let said = unit.folds.iter().all(|s| {
        let held = matches!(facts.gates[*s], Some(Verdict::Held | Verdict::Failed));
        held || mark(accounts, &marks::done(&shared.flow.steps[*s].name)) > 0
    });
    if all_read && said { Progress::Finished } else { Progress::Working }
}

/// Whether a gate stays shut, or waits for what never comes.
fn is_stuck(shared: &Shared, facts: &Facts, gate: usize) -> bool {
    match facts.gates[gate] {
        Some(Verdict::Open) => false,
        Some(Verdict::Held | Verdict::Failed) => true,
        None => match shared.plan.views.get(&gate) {
            Some(view) => view.iter().any(|reach| {
                blocked_upstream(shared, facts, reach.from) || reach.gates.iter().any(|g| facts.stuck[*g])
            }),
            None => shared.plan.unit_of(Node::Step(gate)).is_some_and(|u| facts.units[u] == Progress::Blocked),
        },
    }
}

fn blocked_upstream(shared: &Shared, facts: &Facts, stream: usize) -> bool {
    let held_fold = |s: usize| {
        matches!(shared.flow.steps[s].kind, Kind::Reduce(..))
            && matches!(facts.gates[s], Some(Verdict::Held | Verdict::Failed))
    };
    if let Writer::Step(w, _) = shared.flow.streams[stream].writer
        && shared.flow.steps[w].done == Some(stream)
    {
        return facts.stuck[w]; // it tells when its join opens
    }
    match shared.plan.writers[stream] {
        Some(u) => {
            facts.units[u] == Progress::Blocked
                || matches!(shared.flow.streams[stream].writer, Writer::Step(w, _) if held_fold(w))
        }
        None => false,
    }
}

fn read_all_there_is(shared: &Shared, accounts: &[Account], record: &RunRecord, root: &Root) -> bool {
    let spot = |p| shared.spot(root.how, root.from, p);
    (0..shared.partitions[root.from]).all(|p| {
        let read = || next(accounts, record, &shared.reader(root, p)) >= written(accounts, record, &spot(p));
        root.how == How::Stdin || read()
    })
}

fn read_to_the_end(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts, root: &Root) -> bool {
    if root.how == How::Stdin {
        return mark(accounts, &marks::done(&name(&shared.flow, root.node))) > 0;
    }
    (0..shared.partitions[root.from]).all(|p| match end(shared, accounts, record, facts, root.how, root.from, p) {
        Some(end) => next(accounts, record, &shared.reader(root, p)) >= end,
        None => false,
    })
}

/// Where the batch ends in a partition, once that is known: its writers are finished, or it was sealed.
pub fn end(
    shared: &Shared,
    accounts: &[Account],
    record: &RunRecord,
    facts: &Facts,
    how: How,
    stream: usize,
    p: u32,
) -> Option<i64> {
    let at = shared.spot(how, stream, p);
    if let Some(seal) = record.seals.get(&at) {
        return Some(*seal);
    }
    if let Writer::Step(w, _) = shared.flow.streams[stream].writer
        && shared.flow.steps[w].done == Some(stream)
    {
        return (mark(accounts, &marks::done(&shared.flow.steps[w].name)) > 0).then(|| written(accounts, record, &at));
    }
    let unit = shared.plan.writers[stream]?;
    (facts.units[unit] == Progress::Finished).then(|| written(accounts, record, &at))
}

/// The verdict of a gate, once its input has ended.
fn judge(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts, s: usize) -> Option<Verdict> {
    let step = &shared.flow.steps[s];
    let gate = step.gate()?;
    if let Kind::Reduce(..) = step.kind {
        let unit = shared.plan.unit_of(Node::Step(s)).map(|u| &shared.plan.units[u])?;
        let ended = unit
            .roots
            .iter()
            .all(|r| facts.gates_before(r) == Some(true) && read_to_the_end(shared, accounts, record, facts, r));
        let folded = accounts.iter().filter_map(|a| a.tally.get(&step.name)).map(|t| t.folded).sum();
        return ended.then(|| gate.judge(failed_above(shared, accounts, s), folded));
    }
    for reach in shared.plan.view(s) {
        let open = reach.gates.iter().all(|g| facts.gates[*g] == Some(Verdict::Open));
        let ends = |p| end(shared, accounts, record, facts, How::Log, reach.from, p).is_some();
        if !open || !(0..shared.partitions[reach.from]).all(ends) {
            return None;
        }
    }
    Some(gate.judge(failed_above(shared, accounts, s), judged_by(shared, accounts, record, s)))
}
