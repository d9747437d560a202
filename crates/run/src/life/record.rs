//! The record of a new run: which batch it works for.

use crate::context::{RunContext, Spot};
use crate::world::Manifest;
use anabranch_engine::{Error, Group, Kind as ErrorKind, Lane, Phase, Result, RunKind, RunRecord, StreamName, limits};
use anabranch_flow::model::Writer;
use anabranch_flow::plan::{How, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The record of a new run.
pub fn record(
    context: &RunContext,
    lane: &mut dyn Lane,
    ids: BTreeMap<StreamName, String>,
    manifests: &BTreeMap<usize, Manifest>,
) -> Result<RunRecord> {
    let last = lane.account().record.clone();
    let number = last.as_ref().map_or(1, |r| r.number + 1);
    let started = context.world.clock.now();
    let zone = jiff::tz::TimeZone::get(&context.flow.timezone).unwrap_or(jiff::tz::TimeZone::UTC);
    let date = jiff::Timestamp::from_millisecond(started).unwrap_or_default().to_zoned(zone).date().to_string();
    let mut record = RunRecord {
        number,
        batch: number,
        kind: RunKind::Bounded,
        lanes: context.lanes,
        started,
        date,
        starts: BTreeMap::new(),
        from: BTreeMap::new(),
        seals: BTreeMap::new(),
        ids,
        meant: BTreeSet::new(),
        manifest: None,
        phase: Phase::Open,
        held: last.as_ref().map_or_else(Vec::new, |r| r.held.clone()),
        ends: BTreeMap::new(),
        extents: BTreeMap::new(),
        waited: last.as_ref().map_or_else(BTreeMap::new, |r| r.waited.clone()),
        gaps: last.as_ref().map_or_else(BTreeMap::new, |r| r.gaps.clone()),
        repair: None,
    };
    stretches(context, last.as_ref(), &mut record, manifests)?;
    let mut groups: BTreeMap<&String, Group> = BTreeMap::new();
    for unit in &context.plan.units {
        for root in &unit.roots {
            if !context.is_carried(root) {
                continue;
            }
            let group = if let Node::Step(s) = root.node { context.flow.steps[s].groups.get(root.input) } else { None };
            for p in 0..context.partitions[root.from] {
                let at = (context.flow.streams[root.from].at.clone(), p);
                let key = context.reader(root, p);
                let committed = lane.account().read.get(&key).map(|n| n.next);
                if let Some(group) = group.filter(|g| committed.is_none() && !groups.contains_key(g)) {
                    groups.insert(group, context.engine.group(group)?);
                }
                let of_group = || group.and_then(|g| groups.get(g)).and_then(|g| g.offsets.get(&at).copied());
                let first = || record.starts.get(&at).copied().unwrap_or(0);
                // what a gate keeps back belongs to batches that are held: a new reader behind one begins behind them
                let held = || record.held.iter().flat_map(|h| &h.extents).filter(|_| !root.gates.is_empty());
                let kept = held().filter(|(stream, q, ..)| *stream == at.0 && *q == p).map(|(.., end)| *end).max();
                let new = || first().max(kept.unwrap_or(0));
                let from = committed.or_else(of_group).unwrap_or_else(new);
                let end = record.seals.get(&at).or_else(|| record.starts.get(&at)).copied().unwrap_or(from);
                let outside = context.flow.streams[root.from].writer == Writer::Outside;
                let was_another = |last: &RunRecord| is_anew(last, &record.ids, &at.0) && !last.meant.contains(&key);
                let anew = from != first() && last.as_ref().is_some_and(was_another);
                if from > end || anew || (outside && from < first()) {
                    return Err(gap(&key.step, group, &at, from, first()..end, anew));
                }
                record.from.insert(key, from);
            }
        }
    }
    of_joins(context, lane, last.as_ref(), &mut record);
    Ok(record)
}

/// Where the batch of each join begins in what it views from outside: behind its last one, or, for a new join, where the
/// first of those begins who read behind it.
fn of_joins(context: &RunContext, lane: &mut dyn Lane, last: Option<&RunRecord>, record: &mut RunRecord) {
    let mut begins = vec![];
    for (join, reach, viewer) in context.viewers() {
        let spot = (viewer.stream.clone(), viewer.partition);
        let roots = context.plan.units.iter().flat_map(|u| &u.roots);
        let behind = roots.filter(|r| r.from == reach.from && r.gates.contains(&join));
        let first = || behind.filter_map(|r| record.from.get(&context.reader(r, viewer.partition)).copied()).min();
        let anew = last.is_some_and(|last| is_anew(last, &record.ids, &viewer.stream));
        let committed = lane.account().read.get(&viewer).map(|n| n.next).filter(|_| !anew);
        let from = committed.or_else(first).or_else(|| record.starts.get(&spot).copied()).unwrap_or(0);
        let within =
            record.starts.get(&spot).zip(record.seals.get(&spot)).map(|(start, seal)| from.clamp(*start, *seal));
        begins.push((viewer, within.unwrap_or(from)));
    }
    record.from.extend(begins);
}

/// Whether a stream is another one than it was in an earlier run.
pub fn is_anew(was: &RunRecord, ids: &BTreeMap<StreamName, String>, stream: &StreamName) -> bool {
    was.ids.get(stream).zip(ids.get(stream)).is_some_and(|(was, is)| was != is)
}

/// Where the batch begins in the flow's own streams, and what it is of those from outside.
fn stretches(
    context: &RunContext,
    last: Option<&RunRecord>,
    record: &mut RunRecord,
    manifests: &BTreeMap<usize, Manifest>,
) -> Result<()> {
    for (p, span) in own_span(context, &context.dead, last, &record.ids)?.into_iter().enumerate() {
        record.starts.insert((context.dead.clone(), p as u32), span.end);
    }
    for (s, stream) in context.flow.streams.iter().enumerate() {
        if let Some(manifest) = manifests.get(&s) {
            record.seals.insert(context.spot(How::Lines, s, 0), manifest.bytes() as i64);
        }
        if !context.plan.logged[s] {
            continue;
        }
        let outside = stream.writer == Writer::Outside;
        let spans = match outside {
            true => context.engine.span(&stream.at)?,
            false => own_span(context, &stream.at, last, &record.ids)?,
        };
        for (p, span) in spans.into_iter().enumerate() {
            let at = (stream.at.clone(), p as u32);
            record.starts.insert(at.clone(), if outside { span.start } else { span.end });
            if outside {
                record.seals.insert(at, span.end);
            }
        }
    }
    Ok(())
}

/// The partitions of an own stream. The end of what an earlier run committed can be seen later than its owner was told
/// of it, seconds later where a broker died; this waits for it.
pub fn own_span(
    context: &RunContext,
    s: &StreamName,
    last: Option<&RunRecord>,
    ids: &BTreeMap<StreamName, String>,
) -> Result<Vec<Range<i64>>> {
    let last = last.filter(|last| !is_anew(last, ids, s));
    let until = std::time::Instant::now() + limits::MARKERS_WAIT;
    loop {
        let spans = context.engine.span(s)?;
        let of = |p: usize| (s.clone(), p as u32);
        let end = |p: usize| last.and_then(|r| r.ends.get(&of(p)));
        let behind = spans.iter().enumerate().any(|(p, span)| end(p).is_some_and(|end| span.end < *end));
        if !behind || context.lanes < 2 || std::time::Instant::now() > until {
            return Ok(spans);
        }
        context.engine.wait(limits::BELL_WAIT);
    }
}

/// A reader stands where its stream has nothing: that was cut before it was read, or the stream was made anew.
fn gap(reader: &str, group: Option<&String>, at: &Spot, from: i64, span: Range<i64>, anew: bool) -> Error {
    let (stream, p, start, end) = (&at.0, at.1, span.start, span.end);
    let text = match (anew, from > end) {
        (true, _) => {
            format!("{stream} is not the stream that {reader} has read to {from} in partition {p}: it was recreated")
        }
        (_, true) => {
            format!("{stream} partition {p} ends at {end}, but {reader} has read it to {from}: it was recreated")
        }
        _ => format!(
            "{stream} partition {p} begins at {start}, but {reader} has read it only to {from}: the rest was deleted"
        ),
    };
    let lost = Error::new(ErrorKind::Lost, text);
    match group {
        Some(group) => lost.help(format!(
            "to continue with what is there:  anabranch groups reset {group} --stream {} --to-earliest",
            at.0
        )),
        None => lost,
    }
}
