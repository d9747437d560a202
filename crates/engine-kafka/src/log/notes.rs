//! What is noted beside the flows' own streams: who writes which stream, and the reports of runs.

use crate::cluster::Cluster;
use crate::cluster::offsets::{self, Which};
use crate::cluster::streams;
use crate::log::fetch;
use crate::log::pack::pack;
use crate::log::produce;
use crate::log::transaction;
use anabranch_engine::{At, Batch, Dest, Error, FlowId, Item, KeptReport, Packer, Result, StreamName, StreamSpec};
use std::collections::BTreeMap;

/// Reports of a flow that are kept.
const REPORTS: usize = 100;

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
    let mut newest = BTreeMap::new();
    for (_, item) in items(cluster, &flow.own("runs")?)? {
        let run = item.key.as_deref().and_then(|k| std::str::from_utf8(k).ok()).and_then(|k| k.parse::<u64>().ok());
        if let (Some(run), Some(json)) = (run, item.value) {
            newest.insert(run, String::from_utf8_lossy(&json).into_owned());
        }
    }
    let over = newest.len().saturating_sub(REPORTS);
    Ok(newest.into_iter().skip(over).collect())
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
    let runs = flow.own("runs")?;
    let all = items(cluster, &runs)?;
    if let Some((offset, _)) = all.len().checked_sub(2 * REPORTS).and_then(|_| all.get(all.len() - REPORTS)) {
        streams::cut(cluster, &At { stream: runs, partition: 0, offset: *offset })?;
    }
    Ok(())
}
