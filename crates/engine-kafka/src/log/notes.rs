//! What is noted beside the flows' own streams: who writes which stream, and the reports of runs.

use crate::cluster::Cluster;
use crate::cluster::offsets::{self, Which};
use crate::cluster::streams;
use crate::log::fetch;
use crate::log::pack::pack;
use crate::log::produce;
use crate::log::transaction;
use anabranch_engine::{
    At, Batch, Dest, Error, FlowId, Item, KeptReport, Packer, Result, StreamName, StreamSpec, limits,
};
use std::collections::BTreeMap;

/// The stream that says which flow writes each stream.
pub fn owners_stream() -> Result<StreamName> {
    StreamName::new("anabranch.owners")
}

/// Batches of a partition that are sent before their answers are awaited: brokers know the last five again.
const AT_ONCE: usize = 5;

/// Appends batches from outside any flow, each exactly once: what is sent again has its old sequence.
pub fn append(cluster: &Cluster, puts: Vec<(Dest, Batch)>) -> Result<()> {
    let mut puts = pack(cluster, puts)?;
    let mut producer = cluster.patiently(|| transaction::plain(cluster))?;
    while !puts.is_empty() {
        let mut counts: BTreeMap<Dest, usize> = BTreeMap::new();
        let (now, later): (Vec<_>, Vec<_>) = puts.into_iter().partition(|(to, _): &(Dest, Batch)| {
            let n = counts.entry(to.clone()).or_default();
            *n += 1;
            *n <= AT_ONCE
        });
        let sequences = producer.sequences.clone();
        cluster.patiently(|| {
            producer.sequences.clone_from(&sequences);
            produce::send(cluster, &mut producer, &now)
        })?;
        puts = later;
    }
    Ok(())
}

/// All items of the only partition of a stream of notes; none if there is no such stream.
fn items(cluster: &Cluster, stream: &StreamName) -> Result<Vec<(i64, Item)>> {
    let mut out = vec![];
    if streams::partitions(cluster, stream)?.is_some() {
        let of = Dest { stream: stream.clone(), partition: 0 };
        let end = offsets::offset(cluster, stream, 0, Which::Committed)?;
        fetch::each(cluster, &of, None, end, |offset, record| {
            out.push((offset, record.to_item()));
            Ok(())
        })?;
    }
    Ok(out)
}

/// Adds a note, to a stream that is made with these settings if there is none.
fn note(
    cluster: &Cluster,
    stream: &StreamName,
    config: (&str, &str),
    key: String,
    value: Option<String>,
) -> Result<()> {
    let batches = note_of(cluster, stream, config, key, value)?;
    let to = Dest { stream: stream.clone(), partition: 0 };
    append(cluster, batches.into_iter().map(|b| (to.clone(), b)).collect())
}

/// The note as it is sent. Its stream is made with these settings if there is none.
fn note_of(
    cluster: &Cluster,
    stream: &StreamName,
    config: (&str, &str),
    key: String,
    value: Option<String>,
) -> Result<Vec<Batch>> {
    let mut spec = StreamSpec::new(stream.clone(), 1);
    spec.config = [(config.0.to_string(), config.1.to_string())].into();
    streams::ensure(cluster, &spec)?;
    let mut packer = Packer::default();
    packer.push_item(&Item { key: Some(key.into()), value: value.map(Into::into), headers: vec![], timestamp: -1 });
    Ok(packer.finish())
}

/// The flow that writes each stream, where one said so: the first to say so since it was last nobody's.
pub fn owners(cluster: &Cluster) -> Result<BTreeMap<String, FlowId>> {
    let text = |b: Option<bytes::Bytes>| String::from_utf8_lossy(&b.unwrap_or_default()).into_owned();
    let mut all = BTreeMap::new();
    for (_, item) in items(cluster, &owners_stream()?)? {
        match item.value {
            Some(flow) => drop(all.entry(text(item.key)).or_insert(FlowId::new(&text(Some(flow)))?)),
            None => drop(all.remove(&text(item.key))),
        }
    }
    Ok(all)
}

/// A stream that was deleted is nobody's.
pub fn disown(cluster: &Cluster, stream: &StreamName) -> Result<()> {
    if !owners(cluster)?.contains_key(stream.as_str()) {
        return Ok(());
    }
    note(cluster, &owners_stream()?, COMPACT, stream.to_string(), None)
}

/// The newest note of each stream is kept.
const COMPACT: (&str, &str) = ("cleanup.policy", "compact");

/// Notes who writes these streams, or says who does so already.
///
/// Two flows that begin at once both find a stream nobody's, and both note that it is theirs. The log has an order, so who
/// looks again behind its own note knows who was first; the other one notes the first one again, since the newest note of
/// a stream is the one that is kept.
pub fn own(cluster: &Cluster, streams: &[&StreamName], flow: &FlowId) -> Result<()> {
    let known = owners(cluster)?;
    if let Some((stream, owner)) = foreign(&known, streams, flow) {
        return Err(owned(stream, owner));
    }
    let new: Vec<&&StreamName> = streams.iter().filter(|s| !known.contains_key(s.as_str())).collect();
    let say = |stream: &StreamName, flow: &FlowId| {
        note(cluster, &owners_stream()?, COMPACT, stream.to_string(), Some(flow.to_string()))
    };
    new.iter().try_for_each(|stream| say(stream, flow))?;
    if new.is_empty() {
        return Ok(());
    }
    let known = owners(cluster)?;
    match foreign(&known, streams, flow) {
        Some((stream, owner)) => say(stream, owner).and(Err(owned(stream, owner))),
        None => Ok(()),
    }
}

/// One of these streams that another flow writes.
fn foreign<'o>(
    owners: &'o BTreeMap<String, FlowId>,
    streams: &[&'o StreamName],
    flow: &FlowId,
) -> Option<(&'o StreamName, &'o FlowId)> {
    let of = |stream: &&'o StreamName| owners.get(stream.as_str()).map(|owner| (*stream, owner));
    streams.iter().filter_map(of).find(|(_, owner)| *owner != flow)
}

/// The error of writing a stream that a flow owns.
pub fn owned(stream: &StreamName, owner: &FlowId) -> Error {
    Error::usage(format!("the stream {stream} is written by the flow {owner}"))
        .help("one writer for each stream: write to another one, and merge them in a flow")
}

/// The newest reports of a flow, oldest first.
pub fn reports(cluster: &Cluster, flow: &FlowId) -> Result<Vec<(u64, String)>> {
    let newest: BTreeMap<u64, String> = items(cluster, &flow.own("runs")?)?.into_iter().filter_map(told).collect();
    let over = newest.len().saturating_sub(limits::REPORTS_KEPT);
    Ok(newest.into_iter().skip(over).collect())
}

/// The report of one run. The stream is read from its end: mostly the newest one is wanted.
pub fn report_of(cluster: &Cluster, flow: &FlowId, run: u64) -> Result<Option<String>> {
    let stream = flow.own("runs")?;
    if streams::partitions(cluster, &stream)?.is_none() {
        return Ok(None);
    }
    let first = offsets::offset(cluster, &stream, 0, Which::First)?;
    let end = offsets::offset(cluster, &stream, 0, Which::Committed)?;
    let (of, mut stretch) = (Dest { stream, partition: 0 }, LAST);
    loop {
        let (from, mut found, mut oldest) = (first.max(end - stretch), None, u64::MAX);
        fetch::each(cluster, &of, Some(from), end, |offset, record| {
            if let Some((of, json)) = told((offset, record.to_item())) {
                oldest = oldest.min(of);
                if of == run {
                    found = Some(json); // of its two the last one
                }
            }
            Ok(())
        })?;
        if found.is_some() || oldest < run || from == first {
            return Ok(found);
        }
        stretch *= 8;
    }
}

/// Offsets in which the last reports are looked for first: each is followed by the end of its transaction.
const LAST: i64 = 16;

/// The run of a note, and its report.
fn told((_, item): (i64, Item)) -> Option<(u64, String)> {
    let run = std::str::from_utf8(item.key.as_deref()?).ok()?.parse().ok()?;
    Some((run, String::from_utf8_lossy(&item.value?).into_owned()))
}

/// The report of a run as a batch for the stream of reports, which is made if there is none.
pub fn report(cluster: &Cluster, flow: &FlowId, report: KeptReport) -> Result<(Dest, Batch)> {
    let runs = flow.own("runs")?;
    let (to, value) = (Dest { stream: runs.clone(), partition: 0 }, Some(report.json));
    note_of(cluster, &runs, ("retention.ms", "-1"), report.run.to_string(), value)?
        .pop()
        .map(|batch| (to, batch))
        .ok_or_else(|| Error::bug("a report without bytes"))
}

/// Lets go of old reports, some at a time.
pub fn cut_reports(cluster: &Cluster, flow: &FlowId) -> Result<()> {
    let (runs, kept) = (flow.own("runs")?, limits::REPORTS_KEPT);
    let first = offsets::offset(cluster, &runs, 0, Which::First)?;
    // a run says twice something, and each time its commit ends
    if offsets::offset(cluster, &runs, 0, Which::Committed)? - first < 8 * kept as i64 {
        return Ok(());
    }
    let mut last_of: BTreeMap<u64, i64> = BTreeMap::new();
    for (offset, item) in items(cluster, &runs)? {
        last_of.extend(told((offset, item)).map(|(run, _)| (run, offset)));
    }
    if let Some(offset) = last_of.into_values().rev().nth(kept - 1) {
        streams::cut(cluster, &At { stream: runs, partition: 0, offset })?;
    }
    Ok(())
}
