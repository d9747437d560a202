//! The record of a new run: which batch it works for.

use crate::context::{RunContext, Spot};
use crate::life::patience::Patience;
use crate::world::Manifest;
use anabranch_engine::{
    Account, Error, Group, Kind as ErrorKind, Phase, Result, RunKind, RunRecord, StreamName, limits,
};
use anabranch_flow::model::Writer;
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Node, ReadFrom, Root};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The record of a new run.
pub fn record(
    context: &RunContext,
    account: &Account,
    ids: BTreeMap<StreamName, String>,
    manifests: &BTreeMap<StreamNo, Manifest>,
) -> Result<RunRecord> {
    let last = account.record.as_ref();
    let mut record = blank(context, last, ids);
    for (s, manifest) in manifests {
        record.seals.insert(context.spot(ReadFrom::Lines, *s, 0), manifest.bytes() as i64);
    }
    own_stretches(context, last, &mut record)?;
    from_outside(context, &mut record)?;
    let mut begins = Begins::new(context, account);
    for root in context.plan.units.iter().flat_map(|unit| &unit.roots).filter(|root| context.is_carried(root)) {
        for p in 0..context.partitions[root.from] {
            let from = begins.of(root, p, &record)?;
            record.from.insert(context.reader(root, p), from);
        }
    }
    of_joins(context, account, last, &mut record);
    Ok(record)
}

/// A record of which nothing is said yet but the number of the run, and what the last one leaves to it.
pub fn blank(context: &RunContext, last: Option<&RunRecord>, ids: BTreeMap<StreamName, String>) -> RunRecord {
    let number = last.map_or(1, |r| r.number + 1);
    let started = context.world.clock.now();
    let zone = jiff::tz::TimeZone::get(&context.flow.timezone).unwrap_or(jiff::tz::TimeZone::UTC);
    let date = jiff::Timestamp::from_millisecond(started).unwrap_or_default().to_zoned(zone).date().to_string();
    RunRecord {
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
        held: last.map_or_else(Vec::new, |r| r.held.clone()),
        ends: BTreeMap::new(),
        extents: BTreeMap::new(),
        waited: last.map_or_else(BTreeMap::new, |r| r.waited.clone()),
        gaps: last.map_or_else(BTreeMap::new, |r| r.gaps.clone()),
        repair: None,
        books: last.map_or(0, |r| r.books),
        untold: last.map_or_else(Vec::new, |r| r.untold.clone()),
    }
}

/// Where readers begin.
pub struct Begins<'b> {
    context: &'b RunContext,
    account: &'b Account,
    last: Option<&'b RunRecord>,
    groups: BTreeMap<&'b String, Group>,
}

impl<'b> Begins<'b> {
    /// They begin where this account of the last run has them.
    pub fn new(context: &'b RunContext, account: &'b Account) -> Begins<'b> {
        Begins { context, account, last: account.record.as_ref(), groups: BTreeMap::new() }
    }

    /// Where a reader begins: where it had got to, or where its group says, or where a new reader does.
    pub fn of(&mut self, root: &Root, p: u32, record: &RunRecord) -> Result<i64> {
        let context = self.context;
        let at = (context.flow.streams[root.from].at.clone(), p);
        let key = context.reader(root, p);
        let committed = self.account.read.get(&key).map(|n| n.next);
        let group = if let Node::Step(s) = root.node { context.flow.steps[s].groups.get(root.input) } else { None };
        let of_group = match committed {
            Some(_) => None,
            None => group.map(|g| self.offset(g, &at)).transpose()?.flatten(),
        };
        let first = record.starts.get(&at).copied().unwrap_or(0);
        // what a gate keeps back belongs to batches that are held: a new reader behind one begins behind them
        let held = record.held.iter().flat_map(|h| &h.extents).filter(|_| !root.gates.is_empty());
        let kept = held.filter(|(stream, q, ..)| *stream == at.0 && *q == p).map(|(.., end)| *end).max();
        let from = committed.or(of_group).unwrap_or(first.max(kept.unwrap_or(0)));
        let end = record.seals.get(&at).or_else(|| record.starts.get(&at)).copied().unwrap_or(from);
        let outside = context.flow.streams[root.from].writer == Writer::Outside;
        let was_another = |last: &RunRecord| is_another(last, &record.ids, &at.0) && !last.meant.contains(&key);
        let recreated = from != first && self.last.is_some_and(was_another);
        if from > end || recreated || (outside && from < first) {
            return Err(Gap { reader: &key.step, group, at: &at, from, span: first..end, recreated }.into());
        }
        Ok(from)
    }

    /// Where a consumer group stands in a partition; each is asked for once.
    fn offset(&mut self, group: &'b String, at: &Spot) -> Result<Option<i64>> {
        if !self.groups.contains_key(group) {
            self.groups.insert(group, self.context.engine.group(group)?);
        }
        Ok(self.groups.get(group).and_then(|g| g.offsets.get(at).copied()))
    }
}

/// Where the batch of each join begins in what it views from outside: behind its last one, or, for a new join, where the
/// first of those begins who read behind it.
fn of_joins(context: &RunContext, account: &Account, last: Option<&RunRecord>, record: &mut RunRecord) {
    let mut begins = vec![];
    for (join, reach, viewer) in context.viewers() {
        let spot = (viewer.stream.clone(), viewer.partition);
        let roots = context.plan.units.iter().flat_map(|u| &u.roots);
        let behind = roots.filter(|r| r.from == reach.from && r.gates.contains(&join));
        let first = || behind.filter_map(|r| record.from.get(&context.reader(r, viewer.partition)).copied()).min();
        let recreated = last.is_some_and(|last| is_another(last, &record.ids, &viewer.stream));
        let committed = account.read.get(&viewer).map(|n| n.next).filter(|_| !recreated);
        let from = committed.or_else(first).or_else(|| record.starts.get(&spot).copied()).unwrap_or(0);
        let within =
            record.starts.get(&spot).zip(record.seals.get(&spot)).map(|(start, seal)| from.clamp(*start, *seal));
        begins.push((viewer, within.unwrap_or(from)));
    }
    record.from.extend(begins);
}

/// Whether a stream is another one than it was in an earlier run.
pub fn is_another(was: &RunRecord, ids: &BTreeMap<StreamName, String>, stream: &StreamName) -> bool {
    was.ids.get(stream).zip(ids.get(stream)).is_some_and(|(was, is)| was != is)
}

/// Where the batch begins in the flow's own streams.
pub fn own_stretches(context: &RunContext, last: Option<&RunRecord>, record: &mut RunRecord) -> Result<()> {
    let own = context.flow.numbered_streams().filter(|(s, of)| context.plan.logged[*s] && of.writer != Writer::Outside);
    let logs = context.logs()?;
    for at in own.map(|(_, of)| &of.at).chain([&context.dead]).chain(&logs) {
        for (p, span) in own_span(context, at, last, &record.ids)?.into_iter().enumerate() {
            record.starts.insert((at.clone(), p as u32), span.end);
        }
    }
    Ok(())
}

/// What the batch is of the streams from outside.
fn from_outside(context: &RunContext, record: &mut RunRecord) -> Result<()> {
    let all = context.flow.numbered_streams().filter(|(s, of)| context.plan.logged[*s] && of.writer == Writer::Outside);
    for (_, of) in all {
        seal(record, &of.at, context.engine.span(&of.at)?);
    }
    Ok(())
}

/// The batch has of a stream from outside what is there now.
pub fn seal(record: &mut RunRecord, stream: &StreamName, spans: Vec<Range<i64>>) {
    for (p, span) in spans.into_iter().enumerate() {
        let at = (stream.clone(), p as u32);
        record.starts.insert(at.clone(), span.start);
        record.seals.insert(at, span.end);
    }
}

/// The partitions of an own stream. The end of what an earlier run committed can be seen later than its owner was told
/// of it, seconds later where a broker died; this waits for it.
pub fn own_span(
    context: &RunContext,
    s: &StreamName,
    last: Option<&RunRecord>,
    ids: &BTreeMap<StreamName, String>,
) -> Result<Vec<Range<i64>>> {
    let last = last.filter(|last| !is_another(last, ids, s));
    let end = |p: usize| last.and_then(|r| r.ends.get(&(s.clone(), p as u32)));
    let (spans, _) = Patience::of(context, limits::MARKERS_WAIT, limits::BELL_WAIT).look(|| {
        let spans = context.engine.span(s)?;
        let behind = spans.iter().enumerate().any(|(p, span)| end(p).is_some_and(|end| span.end < *end));
        Ok((spans, !behind))
    })?;
    Ok(spans)
}

/// A reader stands where its stream has nothing: that was cut before it was read, or the stream was recreated.
struct Gap<'g> {
    reader: &'g str,
    group: Option<&'g String>,
    at: &'g Spot,
    from: i64,
    span: Range<i64>,
    recreated: bool,
}

impl From<Gap<'_>> for Error {
    fn from(gap: Gap<'_>) -> Error {
        let Gap { reader, group, at: (stream, p), from, span: Range { start, end }, recreated } = gap;
        let text = match (recreated, from > end) {
            (true, _) => {
                format!(
                    "{stream} is not the stream that {reader} has read to {from} in partition {p}: it was recreated"
                )
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
                "to continue with what is there:  anabranch groups reset {group} --stream {stream} --to-earliest"
            )),
            None => lost,
        }
    }
}
