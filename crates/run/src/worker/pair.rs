//! A reduce with `pair: lockstep`: the i-th item of partition p of each input, whole pairs only.

use crate::ledger::marks::Mark;
use crate::piece::carry::Carrier;
use crate::piece::letter::Reason;
use crate::piece::outcome::Outcome;
use crate::piece::view;
use crate::worker::Worker;
use crate::worker::finals::of_step;
use crate::worker::lane::Advance;
use crate::worker::reader::{ReaderAtWork, ReaderNo};
use anabranch_engine::{At, Error, Item, LaneNo, Limit, Packer, Result, limits};
use anabranch_flow::expr::{Fault, Scope, Value, write};
use anabranch_flow::format::Format;
use anabranch_flow::format::convert;
use anabranch_flow::model::Kind;
use anabranch_flow::number::{StepNo, UnitNo};
use anabranch_flow::patterns::fold::Shape;
use anabranch_flow::patterns::{View, bounded};
use anabranch_flow::plan::Root;
use bytes::Bytes;
use std::collections::BTreeMap;

/// An item of one side, and the position behind it.
struct Side {
    value: Result<Value<'static>, Fault>,
    item: Item,
    place: String,
    behind: i64,
}

/// Makes all pairs that can be made now.
pub fn work(worker: &mut Worker) -> Result<()> {
    let context = worker.context.clone();
    for (u, unit) in context.plan.numbered_units() {
        let Some(step) = unit.pairs else { continue };
        for (lane, left, right) in sides(worker, u) {
            while worker.readers.get(&left).is_some_and(|t| worker.takes_more(t))
                && pairs(worker, step, left, right)? > 0
            {
                if worker.lanes.get(&lane).is_some_and(|b| b.bytes() >= limits::COMMIT_BYTES) {
                    worker.commit(lane)?;
                }
            }
        }
        let done = Mark::Done(&context.flow.steps[step].name);
        let ended = used_up(worker, u);
        for (lane, held) in &mut worker.lanes {
            if ended.get(lane) == Some(&true) && !done.is_in(held.account()) {
                held.take(Advance::default().mark(done, 1))?;
            }
        }
    }
    Ok(())
}

/// Lane, left reader and right reader of each partition of a pair.
fn sides(worker: &Worker, unit: UnitNo) -> Vec<(LaneNo, ReaderNo, ReaderNo)> {
    let of_unit = || worker.readers.iter().filter(|(_, r)| r.unit == unit);
    let left = of_unit().filter(|(_, t)| t.root == 0);
    let sides = left.filter_map(|(left, l)| {
        let right = of_unit().find(|(_, r)| r.root == 1 && r.partition == l.partition);
        right.map(|(right, _)| (l.lane, *left, *right))
    });
    sides.collect()
}

/// For each lane whether in every partition one input has ended and is used up, and the other one has ended.
fn used_up(worker: &Worker, unit: UnitNo) -> BTreeMap<LaneNo, bool> {
    let end = |track: &ReaderAtWork| {
        let root = &worker.context.plan.units[track.unit].roots[track.root];
        worker.standing().end(&worker.facts, root.how, root.from, track.partition)
    };
    let mut lanes = BTreeMap::new();
    for (lane, left, right) in sides(worker, unit) {
        let (left, right) = (&worker.readers[&left], &worker.readers[&right]);
        let used = matches!((end(left), end(right)), (Some(a), Some(b)) if left.sent >= a || right.sent >= b);
        *lanes.entry(lane).or_insert(true) &= used;
    }
    lanes
}

/// Makes pairs of one partition, at most a window of them; how many.
fn pairs(worker: &mut Worker, s: StepNo, left: ReaderNo, right: ReaderNo) -> Result<usize> {
    let context = worker.context.clone();
    let step = &context.flow.steps[s];
    let Kind::Pair(shape) = &step.kind else {
        return Err(Error::bug(format!("pairs for {}, which makes none", step.name)));
    };
    let (Some(a), Some(b)) = (side(worker, left)?, side(worker, right)?) else { return Ok(0) };
    let n = a.len().min(b.len());
    if n == 0 {
        return Ok(0);
    }
    let (next_a, next_b) = (a[n - 1].behind, b[n - 1].behind);
    let mut carrier = Carrier::new(&context);
    let mut made = Packer::default();
    let (p, first) = (worker.readers[&left].partition, worker.readers[&left].sent);
    for (a, b) in a.into_iter().zip(b).take(n) {
        let timestamp = a.item.timestamp.max(b.item.timestamp);
        match pair(&context, shape, a.value, b.value) {
            Ok(value) => {
                carrier.out.tally(&step.name).folded += 2;
                let headers = vec![("final".to_string(), Some(Bytes::from_static(b"true")))];
                made.push_item(&Item { key: a.item.key, value: Some(value.into()), headers, timestamp });
            }
            Err(fault) => {
                carrier.fail(step, Reason::at(a.place, fault.to_string()), || a.item);
                carrier.fail(step, Reason::at(b.place, fault.to_string()), || b.item);
            }
        }
    }
    let unit = &context.plan.units[worker.readers[&left].unit];
    for root in &unit.roots {
        *carrier.out.tally(&step.name).took.entry(context.flow.streams[root.of].name.clone()).or_default() += n as u64;
    }
    if let Some(stream) = step.output(0, 0) {
        let mut number = first as u64;
        let format = context.flow.streams[stream].format;
        for batch in made.finish() {
            let part = of_step(&step.name, batch, p, &mut number);
            let parts = match convert::is_needed(Format::Json, format) {
                true => convert::converted(&part, Format::Json)?,
                false => vec![part],
            };
            parts.iter().try_for_each(|part| carrier.emit(&step.name, stream, part))?;
        }
    }
    let mut advance = Advance::of(carrier.out);
    let (lane, _) = worker.reader(left)?;
    for (t, next) in [(left, next_a), (right, next_b)] {
        advance = advance.read(worker.reader(t)?.1, next, n as u64);
        worker.sent(t, next);
    }
    worker.take(lane, advance)?;
    Ok(n)
}

fn pair(
    context: &crate::context::RunContext,
    shape: &Shape,
    a: Result<Value<'static>, Fault>,
    b: Result<Value<'static>, Fault>,
) -> Result<Vec<u8>, Fault> {
    let extra = [a?, b?];
    let mut scope = Scope::of_run(&context.vars.run, &context.vars.env);
    scope.extra = &extra;
    let mut out = vec![];
    write::json(&mut out, &shape.eval(&scope)?)?;
    bounded(out)
}

/// The next items of one side; `None` while it may not be read.
fn side(worker: &mut Worker, t: ReaderNo) -> Result<Option<Vec<Side>>> {
    let context = worker.context.clone();
    let track = worker.at(t)?;
    let Some(end) = worker.readable(track) else { return Ok(None) };
    let root: &Root = &context.plan.units[track.unit].roots[track.root];
    let reader = context.reader(root, track.partition);
    let mut at = At { stream: reader.stream.clone(), partition: track.partition, offset: track.sent };
    let (chunk, end) = loop {
        let (behind, gap) = worker.standing().past_gaps(&reader, at.offset);
        if behind > at.offset {
            at.offset = behind;
            worker.sent(t, at.offset);
            worker.advance(t, at.offset, 0, Outcome::default())?;
        }
        let end = end.min(gap);
        if at.offset >= end {
            return Ok(Some(vec![]));
        }
        let chunk = context.read(&at, end, Limit { bytes: limits::BATCH_TARGET_BYTES })?;
        if !chunk.batches.is_empty() || chunk.next <= at.offset {
            break (chunk, end);
        }
        at.offset = chunk.next.min(end); // no items here, but the end of a commit
        worker.sent(t, at.offset);
        worker.advance(t, at.offset, 0, Outcome::default())?;
    };
    let mut out = vec![];
    for handle in &chunk.batches {
        for part in view(&context, root, handle, at.offset..end)? {
            let view: View<'_> =
                crate::piece::carry::view(&context, &part, context.flow.streams[root.of].format, None)?;
            for record in view.items() {
                let value = view.value(&record);
                let behind = part.above(record.row(), record.delta()).2 + 1;
                let place = part.place(record.row(), record.delta());
                out.push(Side { value, item: record.to_item(), place, behind });
                if out.len() == limits::WINDOW_ITEMS {
                    return Ok(Some(out));
                }
            }
        }
    }
    Ok(Some(out))
}
