//! Facts: pure functions of the newest accounts, the same in every process, never written.

use super::{Shared, Spot, marks};
use crate::model::{Kind, Writer};
use crate::patterns::join::Verdict;
use crate::plan::{How, Node, Root, name};
use anabranch_engine::{Account, RunRecord};
use std::collections::{BTreeMap, BTreeSet};

/// What follows from the accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// For each unit: how far it is.
    pub units: Vec<Progress>,
    /// For each step: what its gate says; `None` while its input is open, or if it has none.
    pub gates: Vec<Option<Verdict>>,
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
    let mut facts =
        Facts { units: vec![Progress::Working; shared.plan.units.len()], gates: vec![None; flow.steps.len()] };
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
        if root.gates.iter().any(|g| stuck(shared, facts, *g)) || blocked_upstream(shared, facts, root.from) {
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
fn stuck(shared: &Shared, facts: &Facts, gate: usize) -> bool {
    match facts.gates[gate] {
        Some(Verdict::Open) => false,
        Some(Verdict::Held | Verdict::Failed) => true,
        None => match shared.plan.views.get(&gate) {
            Some(view) => view.iter().any(|(stream, gates)| {
                blocked_upstream(shared, facts, *stream) || gates.iter().any(|g| stuck(shared, facts, *g))
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
        return matches!(facts.gates[w], Some(Verdict::Held | Verdict::Failed));
    }
    match shared.plan.writers[stream] {
        Some(u) => {
            facts.units[u] == Progress::Blocked
                || matches!(shared.flow.streams[stream].writer, Writer::Step(w, _) if held_fold(w))
        }
        None => false,
    }
}

/// A mark, over all lanes.
pub fn mark(accounts: &[Account], key: &str) -> u64 {
    accounts.iter().filter_map(|a| a.marks.get(key)).sum()
}

fn read_all_there_is(shared: &Shared, accounts: &[Account], record: &RunRecord, root: &Root) -> bool {
    let reader = name(&shared.flow, root.node);
    (0..shared.partitions[root.from]).map(|p| shared.spot(root.how, root.from, p)).all(|spot| {
        root.how == How::Stdin || next(accounts, record, &reader, &spot) >= written(accounts, record, &spot)
    })
}

fn read_to_the_end(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts, root: &Root) -> bool {
    if root.how == How::Stdin {
        return mark(accounts, &marks::done(&name(&shared.flow, root.node))) > 0;
    }
    let reader = name(&shared.flow, root.node);
    (0..shared.partitions[root.from]).all(|p| match end(shared, accounts, record, facts, root.how, root.from, p) {
        Some(end) => next(accounts, record, &reader, &shared.spot(root.how, root.from, p)) >= end,
        None => false,
    })
}

/// Where a reader is.
pub fn next(accounts: &[Account], record: &RunRecord, reader: &str, spot: &Spot) -> i64 {
    let key = (reader.to_string(), spot.0.clone(), spot.1);
    let read = accounts.iter().filter_map(|a| a.read.get(&key)).map(|n| n.next).max();
    read.unwrap_or_else(|| start(record, reader, spot))
}

/// Where a reader began in this run.
pub fn start(record: &RunRecord, reader: &str, spot: &Spot) -> i64 {
    let own = record.from.get(&(reader.to_string(), spot.0.clone(), spot.1)).copied();
    own.unwrap_or_else(|| begin(record, spot))
}

/// Where the batch begins in a partition.
pub fn begin(record: &RunRecord, spot: &Spot) -> i64 {
    let first = record.extents.get(spot).and_then(|e| e.first()).map(|e| e.from);
    first.or_else(|| record.starts.get(spot).copied()).unwrap_or(0)
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

/// Where the committed items of this run end in a partition.
pub fn written(accounts: &[Account], record: &RunRecord, at: &Spot) -> i64 {
    if let Some(seal) = record.seals.get(at) {
        return *seal;
    }
    let end = accounts.iter().filter_map(|a| a.ends.get(at)).map(|e| e.end).max();
    end.or_else(|| record.starts.get(at).copied()).unwrap_or(0)
}

/// Items of this run in a stream of the log. Where it is fed from outside nobody knows before they are read: until then
/// offsets count for items.
pub fn items(shared: &Shared, accounts: &[Account], record: &RunRecord, stream: usize) -> u64 {
    let s = &shared.flow.streams[stream];
    let count = |p: u32| {
        let at = (s.at.clone(), p);
        match record.seals.get(&at) {
            Some(seal) => sealed_items(accounts, record, &at, *seal),
            None => {
                let before: u64 = record.extents.get(&at).into_iter().flatten().map(|e| e.items).sum();
                before + accounts.iter().filter_map(|a| a.ends.get(&at)).map(|e| e.items).sum::<u64>()
            }
        }
    };
    (0..shared.partitions[stream]).map(count).sum()
}

fn sealed_items(accounts: &[Account], record: &RunRecord, at: &Spot, seal: i64) -> u64 {
    let here = |key: &(String, anabranch_engine::StreamName, u32)| key.1 == at.0 && key.2 == at.1;
    let read = accounts.iter().flat_map(|a| &a.read).filter(|(key, next)| here(key) && next.next >= seal);
    let from = record.from.iter().filter(|(key, _)| here(key)).map(|(_, from)| *from).min();
    let from = from.or_else(|| record.starts.get(at).copied()).unwrap_or(0);
    read.map(|(_, next)| next.items).max().unwrap_or((seal - from).max(0) as u64)
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
    for (stream, gates) in &shared.plan.views[&s] {
        let stream = *stream;
        let open = gates.iter().all(|g| facts.gates[*g] == Some(Verdict::Open));
        if !open
            || !(0..shared.partitions[stream])
                .all(|p| end(shared, accounts, record, facts, How::Log, stream, p).is_some())
        {
            return None;
        }
    }
    Some(gate.judge(failed_above(shared, accounts, s), arrived(shared, accounts, record, s)))
}

/// Items that came to a join in this run.
pub fn arrived(shared: &Shared, accounts: &[Account], record: &RunRecord, join: usize) -> u64 {
    let inputs = &shared.flow.steps[join].inputs;
    inputs.iter().map(|i| made_for(shared, accounts, record, *i)).sum()
}

/// Items that a stream got in this run: what its writer made for it, what a join let through, what was sealed.
fn made_for(shared: &Shared, accounts: &[Account], record: &RunRecord, stream: usize) -> u64 {
    let s = &shared.flow.streams[stream];
    match s.writer {
        Writer::Step(w, _) if matches!(shared.flow.steps[w].kind, Kind::Join(_)) => {
            arrived(shared, accounts, record, w)
        }
        Writer::Step(w, _) if !shared.plan.logged[stream] => {
            accounts.iter().filter_map(|a| a.tally.get(&shared.flow.steps[w].name)?.made.get(&s.name)).sum()
        }
        _ => items(shared, accounts, record, stream),
    }
}

/// Failed items at the steps above a gate, down from the nearest gates before it.
pub fn failed_above(shared: &Shared, accounts: &[Account], gate: usize) -> u64 {
    failed_by_step(shared, accounts, gate).values().sum()
}

/// The same, by step.
pub fn failed_by_step(shared: &Shared, accounts: &[Account], gate: usize) -> BTreeMap<String, u64> {
    let dead = |n: &String| accounts.iter().filter_map(|a| a.tally.get(n)).map(|t| t.dead).sum::<u64>();
    let names = judged(shared, gate).into_iter();
    names.map(|n| (n.clone(), dead(&n))).filter(|(_, dead)| *dead > 0).collect()
}

/// Items that were skipped at the steps that a gate judges.
pub fn skipped_above(shared: &Shared, accounts: &[Account], gate: usize) -> u64 {
    let names = judged(shared, gate);
    let skipped = |a: &Account| names.iter().filter_map(|n| a.tally.get(n)).map(|t| t.skipped).sum::<u64>();
    accounts.iter().map(skipped).sum()
}

/// The steps whose failures a gate judges.
fn judged(shared: &Shared, gate: usize) -> BTreeSet<String> {
    let flow = &shared.flow;
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut todo: Vec<usize> = flow.steps[gate].inputs.clone();
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
