//! A reduce with `pair: lockstep`: the i-th item of partition p of each input, whole pairs only.

use crate::ledger::marks;
use crate::piece::carry::Carrier;
use crate::piece::letter::Whence;
use crate::piece::outcome::Outcome;
use crate::piece::view;
use crate::worker::Worker;
use crate::worker::finals::of_step;
use crate::worker::lane::Advance;
use crate::worker::reader::Track;
use anabranch_engine::{At, Item, LaneNo, Limit, Packer, Result, limits};
use anabranch_flow::expr::{Fault, Scope, Value, write};
use anabranch_flow::format::convert;
use anabranch_flow::model::Kind;
use anabranch_flow::patterns::reduce::Shape;
use anabranch_flow::patterns::{Format, View, bounded};
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
pub fn work(run: &mut Worker<'_>) -> Result<()> {
    let context = run.context.clone();
    for (u, unit) in context.plan.units.iter().enumerate() {
        let Some(step) = unit.pairs else { continue };
        for (lane, left, right) in sides(run, u) {
            while run.tracks.get(&left).is_some_and(|t| run.takes_more(t)) && pairs(run, step, left, right)? > 0 {
                if run.lanes.get(&lane).is_some_and(|b| b.bytes() >= limits::COMMIT_BYTES) {
                    run.commit(lane)?;
                }
            }
        }
        let done = marks::done(&context.flow.steps[step].name);
        let ended = used_up(run, u);
        for (lane, held) in &mut run.lanes {
            if ended.get(lane) == Some(&true) && !held.account().marks.contains_key(&done) {
                held.take(Advance::default().mark(done.clone(), 1))?;
            }
        }
    }
    Ok(())
}

/// Lane, left track and right track of each partition of a pair.
fn sides(run: &Worker<'_>, unit: usize) -> Vec<(LaneNo, usize, usize)> {
    let of_unit = || run.tracks.iter().filter(|(_, t)| t.unit == unit);
    let left = of_unit().filter(|(_, t)| t.root == 0);
    let sides = left.filter_map(|(left, l)| {
        let right = of_unit().find(|(_, r)| r.root == 1 && r.partition == l.partition);
        right.map(|(right, _)| (l.lane, *left, *right))
    });
    sides.collect()
}

/// For each lane whether in every partition one input has ended and is used up, and the other one has ended.
fn used_up(run: &Worker<'_>, unit: usize) -> BTreeMap<LaneNo, bool> {
    let end = |track: &Track| {
        let root = &run.context.plan.units[track.unit].roots[track.root];
        run.standing().end(&run.facts, root.how, root.from, track.partition)
    };
    let mut lanes = BTreeMap::new();
    for (lane, left, right) in sides(run, unit) {
        let (left, right) = (&run.tracks[&left], &run.tracks[&right]);
        let used = matches!((end(left), end(right)), (Some(a), Some(b)) if left.sent >= a || right.sent >= b);
        *lanes.entry(lane).or_insert(true) &= used;
    }
    lanes
}

/// Makes pairs of one partition, at most a window of them; how many.
fn pairs(run: &mut Worker<'_>, s: usize, left: usize, right: usize) -> Result<usize> {
    let context = run.context.clone();
    let step = &context.flow.steps[s];
    let Kind::Pair(shape) = &step.kind else { return Ok(0) };
    let (Some(a), Some(b)) = (side(run, left)?, side(run, right)?) else { return Ok(0) };
    let n = a.len().min(b.len());
    if n == 0 {
        return Ok(0);
    }
    let (next_a, next_b) = (a[n - 1].behind, b[n - 1].behind);
    let mut carrier = Carrier::new(&context);
    let mut made = Packer::default();
    let (p, first) = (run.tracks[&left].partition, run.tracks[&left].sent);
    for (a, b) in a.into_iter().zip(b).take(n) {
        let timestamp = a.item.timestamp.max(b.item.timestamp);
        match pair(&context, shape, a.value, b.value) {
            Ok(value) => {
                carrier.out.tally(&step.name).folded += 2;
                let headers = vec![("final".to_string(), Some(Bytes::from_static(b"true")))];
                made.push_item(&Item { key: a.item.key, value: Some(value.into()), headers, timestamp });
            }
            Err(fault) => {
                carrier.fail(step, Whence::at(a.place), fault.to_string(), 1, || a.item);
                carrier.fail(step, Whence::at(b.place), fault.to_string(), 1, || b.item);
            }
        }
    }
    let unit = &context.plan.units[run.tracks[&left].unit];
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
    let (lane, _) = run.reader(left)?;
    for (t, next) in [(left, next_a), (right, next_b)] {
        advance = advance.read(run.reader(t)?.1, next, n as u64);
        run.tracks.entry(t).and_modify(|t| t.sent = next);
    }
    run.take(lane, advance)?;
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
fn side(run: &mut Worker<'_>, t: usize) -> Result<Option<Vec<Side>>> {
    let context = run.context.clone();
    let Some(track) = run.tracks.get(&t) else { return Ok(None) };
    let Some(end) = run.readable(track) else { return Ok(None) };
    let root: &Root = &context.plan.units[track.unit].roots[track.root];
    let reader = context.reader(root, track.partition);
    let mut at = At { stream: reader.stream.clone(), partition: track.partition, offset: track.sent };
    let (chunk, end) = loop {
        let (behind, gap) = run.standing().past_gaps(&reader, at.offset);
        if behind > at.offset {
            at.offset = behind;
            run.tracks.entry(t).and_modify(|t| t.sent = at.offset);
            run.advance(t, at.offset, 0, Outcome::default())?;
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
        run.tracks.entry(t).and_modify(|t| t.sent = at.offset);
        run.advance(t, at.offset, 0, Outcome::default())?;
    };
    let mut out = vec![];
    for handle in &chunk.batches {
        for part in view(&context, root, handle, at.offset, end)? {
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
