//! What is noted beside the flows' own streams: who writes which stream, and the reports of runs.

use crate::cluster::Cluster;
use crate::offsets::{self, Which};
use crate::trouble::patiently;
use crate::{fetch, produce, streams, transaction};
use anabranch_engine::{At, Batch, Dest, Error, FlowId, Item, Limit, Packer, Result, StreamName, StreamSpec, limits};
use std::collections::BTreeMap;

/// Reports of a flow that are kept.
const REPORTS: usize = 100;

fn owners() -> Result<StreamName> {
    StreamName::new("anabranch.owners")
}

/// Batches of a partition that are sent before their answers are awaited: brokers know the last five again.
const AT_ONCE: usize = 5;

/// Appends batches from outside any flow, each exactly once: what is sent again has its old sequence.
pub fn append(cluster: &Cluster, mut puts: Vec<(Dest, Batch)>) -> Result<()> {
    let mut producer = patiently(|| transaction::plain(cluster))?;
    while !puts.is_empty() {
        let mut counts: BTreeMap<Dest, usize> = BTreeMap::new();
        let (now, later): (Vec<_>, Vec<_>) = puts.into_iter().partition(|(to, _): &(Dest, Batch)| {
            let n = counts.entry(to.clone()).or_default();
            *n += 1;
            *n <= AT_ONCE
        });
        let sequences = producer.sequences.clone();
        patiently(|| {
            producer.sequences.clone_from(&sequences);
            produce::send(cluster, &mut producer, &now)
        })?;
        puts = later;
    }
    Ok(())
}

/// All items of a partition.
pub fn items(cluster: &Cluster, stream: &StreamName, partition: u32) -> Result<Vec<(i64, Item)>> {
    let end = offsets::offset(cluster, stream, partition, Which::Committed)?;
    let start = offsets::offset(cluster, stream, partition, Which::First)?;
    let mut at = At { stream: stream.clone(), partition, offset: start };
    let mut out = vec![];
    while at.offset < end {
        let chunk = fetch::read(cluster, &at, end, Limit { bytes: limits::COMMIT_BYTES })?;
        for handle in &chunk.batches {
            let batch = handle.load()?;
            out.extend(batch.records()?.iter().map(|r| (handle.at.offset + i64::from(r.delta()), r.to_item())));
        }
        at.offset = chunk.next;
    }
    Ok(out)
}

fn one(item: &Item) -> Vec<Batch> {
    let mut packer = Packer::default();
    packer.push_item(item);
    packer.finish()
}

/// The flow that writes a stream, if one said so.
pub fn owner(cluster: &Cluster, stream: &StreamName) -> Result<Option<FlowId>> {
    let notes = owners()?;
    if streams::partitions(cluster, &notes)?.is_none() {
        return Ok(None);
    }
    let all = items(cluster, &notes, 0)?;
    let of = all.iter().rev().find(|(_, i)| i.key.as_deref() == Some(stream.as_str().as_bytes()));
    let name = of.and_then(|(_, i)| i.value.as_ref()).map(|v| String::from_utf8_lossy(v).into_owned());
    name.map(|n| FlowId::new(&n)).transpose()
}

/// Notes who writes a stream, or says who does so already.
pub fn own(cluster: &Cluster, stream: &StreamName, flow: &FlowId) -> Result<()> {
    match owner(cluster, stream)? {
        Some(owner) if owner == *flow => Ok(()),
        Some(owner) => Err(owned(stream, &owner)),
        None => {
            let notes = owners()?;
            let mut spec = StreamSpec::new(notes.clone(), 1);
            spec.config = [("cleanup.policy".to_string(), "compact".to_string())].into();
            streams::ensure(cluster, &spec)?;
            let item = Item {
                key: Some(stream.as_str().to_string().into()),
                value: Some(flow.as_str().to_string().into()),
                headers: vec![],
                timestamp: -1,
            };
            let to = Dest { stream: notes, partition: 0 };
            append(cluster, one(&item).into_iter().map(|b| (to.clone(), b)).collect())
        }
    }
}

/// The error of writing a stream that a flow owns.
pub fn owned(stream: &StreamName, owner: &FlowId) -> Error {
    Error::usage(format!("the stream {stream} is written by the flow {owner}"))
        .help("one writer for each stream: write to another one, and merge them in a flow")
}

/// The newest reports of a flow, oldest first.
pub fn reports(cluster: &Cluster, flow: &FlowId) -> Result<Vec<(u64, String)>> {
    let runs = flow.own("runs")?;
    if streams::partitions(cluster, &runs)?.is_none() {
        return Ok(vec![]);
    }
    let mut newest = BTreeMap::new();
    for (_, item) in items(cluster, &runs, 0)? {
        let run = item.key.as_deref().and_then(|k| std::str::from_utf8(k).ok()).and_then(|k| k.parse::<u64>().ok());
        if let (Some(run), Some(json)) = (run, item.value) {
            newest.insert(run, String::from_utf8_lossy(&json).into_owned());
        }
    }
    let over = newest.len().saturating_sub(REPORTS);
    Ok(newest.into_iter().skip(over).collect())
}

/// Keeps a report.
pub fn keep_report(cluster: &Cluster, flow: &FlowId, run: u64, json: &str) -> Result<()> {
    let runs = flow.own("runs")?;
    let mut spec = StreamSpec::new(runs.clone(), 1);
    spec.config = [("retention.ms".to_string(), "-1".to_string())].into();
    streams::ensure(cluster, &spec)?;
    let key = Some(run.to_string().into());
    let item = Item { key, value: Some(json.to_string().into()), headers: vec![], timestamp: -1 };
    let to = Dest { stream: runs.clone(), partition: 0 };
    append(cluster, one(&item).into_iter().map(|b| (to.clone(), b)).collect())?;
    let all = items(cluster, &runs, 0)?;
    if let Some((offset, _)) = all.len().checked_sub(2 * REPORTS).and_then(|_| all.get(all.len() - REPORTS)) {
        streams::cut(cluster, &At { stream: runs, partition: 0, offset: *offset })?;
    }
    Ok(())
}
