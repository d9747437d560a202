//! Finals of a reduce, and the `done:` item of a join: said once, when the gate is open.

use crate::context::RunContext;
use crate::ledger::facts;
use crate::ledger::marks::Mark;
use crate::piece::carry::Carrier;
use crate::worker::Worker;
use crate::worker::lane::Advance;
use anabranch_engine::account::Reader;
use anabranch_engine::{Batch, Error, Item, Packer, Result, limits, partition};
use anabranch_flow::expr::Fault;
use anabranch_flow::model::Kind;
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_flow::patterns::{Body, Finals, Origin, Part, Pattern, Scratch};
use anabranch_flow::plan::{Node, Root};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A step whose finals, or `done:` item, can be emitted now.
fn ready(worker: &Worker) -> Option<StepNo> {
    let chair = worker.lanes.get(&0)?;
    worker.context.flow.step_nos().find(|s| {
        let step = &worker.context.flow.steps[*s];
        let open = worker.facts.gates[*s] == Some(Verdict::Open);
        let said = Mark::Done(&step.name).is_in(chair.account());
        let folded_again = || {
            worker
                .readers
                .values()
                .filter(|t| worker.context.plan.units[t.unit].folds.contains(s))
                .all(|t| t.queue.is_empty() && t.sent >= t.replay_to)
        };
        open && !said
            && match step.kind {
                Kind::Reduce(..) => folded_again(),
                Kind::Barrier(_) => step.done.is_some() && published(worker, *s),
                _ => false,
            }
    })
}

/// Whether what a join let through is in its public stream, where it has one, and is counted.
fn published(worker: &Worker, join: StepNo) -> bool {
    let context = &worker.context;
    let published = match context.flow.steps[join].outputs.first().and_then(|o| context.plan.unit_of(Node::Publish(*o)))
    {
        Some(unit) => worker.facts.units[unit] == facts::Progress::Finished,
        None => true,
    };
    published && (context.engine.counts_by_offset() || !is_being_counted(worker, join))
}

/// Whether somebody reads what a join let through of a stream from outside, and so will know how many items it has.
fn is_being_counted(worker: &Worker, join: StepNo) -> bool {
    let context = &worker.context;
    let unknown = |r: &Reader| worker.standing().counted(r).is_none();
    let mut viewers = context.viewers().filter(|(j, _, viewer)| *j == join && unknown(viewer));
    viewers.any(|(_, reach, viewer)| {
        let units = context.plan.units.iter().filter(|u| u.pairs.is_none());
        let of_join = |r: &&Root| r.from == reach.from && r.gates.contains(&join);
        let readers =
            units.flat_map(|u| &u.roots).filter(of_join).filter(|r| worker.facts.gates_before(r) == Some(true));
        let mut readers = readers.map(|r| context.reader(r, viewer.partition));
        readers.any(|r| worker.standing().start(&r) == worker.standing().start(&viewer))
    })
}

/// Whether a step has finals to emit.
pub fn due(worker: &Worker) -> bool {
    ready(worker).is_some()
}

/// Emits the next finals, at most one commit of them.
pub fn emit(worker: &mut Worker) -> Result<()> {
    let Some(s) = ready(worker) else { return Ok(()) };
    let context = worker.context.clone();
    let step = &context.flow.steps[s];
    let done = Mark::Done(&step.name);
    let mut finals = Finals::default();
    let mark = worker.lanes.get(&0).and_then(|c| Mark::Finals(&step.name).of(c.account())).unwrap_or(0);
    let all_said = match step.pattern() {
        Some(pattern) => {
            let workers = worker.threads;
            let scratch = worker.folds.of(&context, s)?;
            let next = next_finals(&context, pattern, scratch, mark as usize, workers);
            let (next, more) =
                next.map_err(|f| Error::bug(format!("the reduce {} cannot write its results: {f}", step.name)))?;
            finals = next;
            !more
        }
        None => {
            finals.items.push(done_item(worker, s));
            true
        }
    };
    let outputs: Vec<StreamNo> =
        if step.pattern().is_some() { step.outputs.clone() } else { step.done.into_iter().collect() };
    let mut carrier = Carrier::new(&context);
    for stream in outputs {
        for part in parts(&step.name, &finals.items, context.partitions[stream], mark) {
            carrier.emit(&step.name, stream, &part)?;
        }
    }
    let said = finals.items.len() + finals.failed.len();
    for (key, fault, item) in finals.failed {
        carrier.lost_final(step, &key, fault, item);
    }
    let mut advance = Advance::of(carrier.out).mark(Mark::Finals(&step.name), mark + said as u64);
    if all_said {
        worker.folds.remove(s);
        advance = advance.mark(done, 1);
    }
    worker.take(0, advance)
}

/// The finals behind the first `mark`, at most a commit of them, and whether there are more. Each worker makes a stretch.
fn next_finals(
    context: &RunContext,
    pattern: &dyn Pattern,
    scratch: &mut Scratch,
    mark: usize,
    workers: usize,
) -> Result<(Finals, bool), Fault> {
    let n = pattern.order(&context.vars, scratch)?;
    let to = n.min(mark + limits::FINALS_PER_COMMIT);
    let stretch = (to - mark.min(to)).div_ceil(workers).max(FEW);
    let make = |from: usize| {
        let mut finals = Finals::default();
        pattern.finals(&context.vars, scratch, from..to.min(from + stretch), &mut finals).map(|()| finals)
    };
    let stretches = std::thread::scope(|scope| {
        let start = |from: usize| {
            let thread = std::thread::Builder::new().name("finals".into()).spawn_scoped(scope, move || make(from));
            (from, thread.ok())
        };
        let others: Vec<_> = (mark + stretch..to).step_by(stretch).map(start).collect();
        let mut all = vec![make(mark)];
        all.extend(others.into_iter().map(|(from, thread)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(Fault::new("a worker panicked"))),
            None => make(from),
        }));
        all
    });
    let mut all = Finals::default();
    for stretch in stretches {
        let Finals { items, failed } = stretch?;
        all.items.extend(items);
        all.failed.extend(failed);
    }
    Ok((all, to < n))
}

/// Finals below which another thread costs more than it brings.
const FEW: usize = 1_000;

/// Finals as batches: with a key by its hash, without one in partition 0.
pub fn parts(by: &str, items: &[Item], partitions: u32, mut number: u64) -> Vec<Part> {
    let mut open: BTreeMap<u32, Packer> = BTreeMap::new();
    for item in items {
        let p = item.key.as_ref().map_or(0, |k| partition::of_key(k, partitions));
        open.entry(p).or_default().push_item(item);
    }
    let batches = open.into_iter().flat_map(|(p, packer)| packer.finish().into_iter().map(move |batch| (p, batch)));
    batches.map(|(p, batch)| of_step(by, batch, p, &mut number)).collect()
}

/// A batch that a step made of many items, so that its items have no place above: they are numbered from `number`.
pub fn of_step(by: &str, batch: Batch, partition: u32, number: &mut u64) -> Part {
    let first = *number;
    *number += batch.count() as u64;
    let at = Arc::new((first..*number).map(|i| (i, i)).collect());
    let origin = Origin::File { stream: by.into(), path: by.into(), at };
    Part { body: Body::Ready(batch), rows: None, origin, partition }
}

fn done_item(worker: &Worker, join: StepNo) -> Item {
    let context = &worker.context;
    let value = serde_json::json!({
        "flow": context.flow.name.as_str(),
        "join": context.flow.steps[join].name,
        "run": worker.record.number,
        "batch": worker.record.batch,
        "count": worker.standing().arrived(&worker.facts, join),
        "failed": worker.standing().failed_above(join),
        "skipped": worker.standing().skipped_above(join),
        "opened": jiff::Timestamp::from_millisecond(context.world.clock.now()).unwrap_or_default().to_string(),
    });
    Item::of(value.to_string(), worker.record.started)
}
