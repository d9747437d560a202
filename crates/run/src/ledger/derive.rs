//! Facts are derived from the newest accounts: pure functions, the same in every process, never written.

use crate::context::RunContext;
use crate::ledger::arrivals::{failed_above, judged_by};
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::marks;
use crate::ledger::positions::{mark, next, written};
use anabranch_engine::{Account, RunRecord};
use anabranch_flow::model::{Kind, Writer};
use anabranch_flow::patterns::join::Verdict;
use anabranch_flow::plan::{How, Node, Root, name};

/// Derives the facts.
pub fn derive(context: &RunContext, accounts: &[Account], record: &RunRecord) -> Facts {
    let flow = &context.flow;
    let mut facts = Facts {
        units: vec![Progress::Working; context.plan.units.len()],
        gates: vec![None; flow.steps.len()],
        stuck: vec![false; flow.steps.len()],
    };
    loop {
        let before = facts.clone();
        for (u, unit) in context.plan.units.iter().enumerate() {
            if facts.units[u] == Progress::Working {
                facts.units[u] = progress(context, accounts, record, &facts, &unit.roots, u);
            }
        }
        for (s, step) in flow.steps.iter().enumerate() {
            if facts.gates[s].is_none() && step.gate().is_some() {
                facts.gates[s] = judge(context, accounts, record, &facts, s);
            }
            facts.stuck[s] |= step.gate().is_some() && is_stuck(context, &facts, s);
        }
        if facts == before {
            return facts;
        }
    }
}

fn progress(
    context: &RunContext,
    accounts: &[Account],
    record: &RunRecord,
    facts: &Facts,
    roots: &[Root],
    u: usize,
) -> Progress {
    let unit = &context.plan.units[u];
    let (mut all_read, mut blocked, mut settled) = (true, false, true);
    for root in roots {
        let open = facts.gates_before(root) == Some(true);
        if root.gates.iter().any(|g| facts.stuck[*g]) || blocked_upstream(context, facts, root.from) {
            // what came before all the same is read: nothing is committed for a batch once it has closed
            settled &= !open || unit.pairs.is_some() || read_all_there_is(context, accounts, record, root);
            blocked = true;
        } else {
            let read = open && read_to_the_end(context, accounts, record, facts, root);
            settled &= read || unit.pairs.is_some();
            all_read &= read;
        }
    }
    if blocked {
        return if settled { Progress::Blocked } else { Progress::Working };
    }
    if unit.pairs.is_some() {
        let key = marks::done(&name(&context.flow, unit.nodes[0]));
        all_read = mark(accounts, &key) >= context.lanes_of(u) as u64;
    }
    let said = unit.folds.iter().all(|s| {
        let held = matches!(facts.gates[*s], Some(Verdict::Held | Verdict::Failed));
        held || mark(accounts, &marks::done(&context.flow.steps[*s].name)) > 0
    });
    if all_read && said { Progress::Finished } else { Progress::Working }
}

/// Whether a gate stays shut, or waits for what never comes.
fn is_stuck(context: &RunContext, facts: &Facts, gate: usize) -> bool {
    match facts.gates[gate] {
        Some(Verdict::Open) => false,
        Some(Verdict::Held | Verdict::Failed) => true,
        None => match context.plan.views.get(&gate) {
            Some(view) => view.iter().any(|reach| {
                blocked_upstream(context, facts, reach.from) || reach.gates.iter().any(|g| facts.stuck[*g])
            }),
            None => context.plan.unit_of(Node::Step(gate)).is_some_and(|u| facts.units[u] == Progress::Blocked),
        },
    }
}

fn blocked_upstream(context: &RunContext, facts: &Facts, stream: usize) -> bool {
    let held_fold = |s: usize| {
        matches!(context.flow.steps[s].kind, Kind::Reduce(..))
            && matches!(facts.gates[s], Some(Verdict::Held | Verdict::Failed))
    };
    if let Writer::Step(w, _) = context.flow.streams[stream].writer
        && context.flow.steps[w].done == Some(stream)
    {
        return facts.stuck[w]; // it tells when its join opens
    }
    match context.plan.writers[stream] {
        Some(u) => {
            facts.units[u] == Progress::Blocked
                || matches!(context.flow.streams[stream].writer, Writer::Step(w, _) if held_fold(w))
        }
        None => false,
    }
}

fn read_all_there_is(context: &RunContext, accounts: &[Account], record: &RunRecord, root: &Root) -> bool {
    let spot = |p| context.spot(root.how, root.from, p);
    (0..context.partitions[root.from]).all(|p| {
        let read = || next(accounts, record, &context.reader(root, p)) >= written(accounts, record, &spot(p));
        root.how == How::Stdin || read()
    })
}

fn read_to_the_end(context: &RunContext, accounts: &[Account], record: &RunRecord, facts: &Facts, root: &Root) -> bool {
    if root.how == How::Stdin {
        return mark(accounts, &marks::done(&name(&context.flow, root.node))) > 0;
    }
    (0..context.partitions[root.from]).all(|p| match end(context, accounts, record, facts, root.how, root.from, p) {
        Some(end) => next(accounts, record, &context.reader(root, p)) >= end,
        None => false,
    })
}

/// Where the batch ends in a partition, once that is known: its writers are finished, or it was sealed.
pub fn end(
    context: &RunContext,
    accounts: &[Account],
    record: &RunRecord,
    facts: &Facts,
    how: How,
    stream: usize,
    p: u32,
) -> Option<i64> {
    let at = context.spot(how, stream, p);
    if let Some(seal) = record.seals.get(&at) {
        return Some(*seal);
    }
    if let Writer::Step(w, _) = context.flow.streams[stream].writer
        && context.flow.steps[w].done == Some(stream)
    {
        return (mark(accounts, &marks::done(&context.flow.steps[w].name)) > 0).then(|| written(accounts, record, &at));
    }
    let unit = context.plan.writers[stream]?;
    (facts.units[unit] == Progress::Finished).then(|| written(accounts, record, &at))
}

/// The verdict of a gate, once its input has ended.
fn judge(context: &RunContext, accounts: &[Account], record: &RunRecord, facts: &Facts, s: usize) -> Option<Verdict> {
    let step = &context.flow.steps[s];
    let gate = step.gate()?;
    if let Kind::Reduce(..) = step.kind {
        let unit = context.plan.unit_of(Node::Step(s)).map(|u| &context.plan.units[u])?;
        let ended = unit
            .roots
            .iter()
            .all(|r| facts.gates_before(r) == Some(true) && read_to_the_end(context, accounts, record, facts, r));
        let folded = accounts.iter().filter_map(|a| a.tally.get(&step.name)).map(|t| t.folded).sum();
        return ended.then(|| gate.judge(failed_above(context, accounts, s), folded));
    }
    for reach in context.plan.view(s) {
        let open = reach.gates.iter().all(|g| facts.gates[*g] == Some(Verdict::Open));
        let ends = |p| end(context, accounts, record, facts, How::Log, reach.from, p).is_some();
        if !open || !(0..context.partitions[reach.from]).all(ends) {
            return None;
        }
    }
    Some(gate.judge(failed_above(context, accounts, s), judged_by(context, accounts, record, s)))
}
