//! Reading committed batches, whole and still packed.

use crate::cluster::offsets::{self, Which};
use crate::cluster::{Cluster, topic};
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::{Trouble, check};
use crate::net::wire::Connection;
use anabranch_engine::Load;
use anabranch_engine::batch::Head;
use anabranch_engine::{
    At, Batch, Chunk, Dest, Error, Handle, Kind, Limit, Offset, Record, Result, StreamName, limits,
};
use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one answer, unless a batch is larger: what is fetched is in memory, whatever becomes of it.
const FETCH_BYTES: usize = 2 << 20;
/// How long a broker waits for items when there are none.
const WAIT: Duration = Duration::from_millis(100);

/// Committed batches from `at` on. None may come: the end of a transaction can land later than its answer.
pub fn read(cluster: &Cluster, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
    if at.offset >= end {
        return Ok(Chunk { batches: vec![], next: at.offset });
    }
    slice(at, end, &piece(cluster, at, max)?)
}

/// What the leader has from this place on.
pub fn piece(cluster: &Cluster, at: &At, max: Limit) -> Result<PartitionData> {
    let from = [(at.partition, at.offset)];
    let data = cluster.at_leader(&at.stream, at.partition, |c| {
        let mut all = fetch(c, &at.stream, &from, max.bytes, WAIT)?;
        all.pop()
            .ok_or_else(|| Trouble::again(format!("{} partition {}: nothing was answered", at.stream, at.partition)))
    });
    match data {
        Err(e) if e.kind == Kind::Lost => Err(lost(cluster, at)?),
        data => data,
    }
}

/// A reader stands where nothing is.
fn lost(cluster: &Cluster, at: &At) -> Result<Error> {
    let first = offsets::offset(cluster, &at.stream, at.partition, Which::First)?;
    let (stream, p, offset) = (&at.stream, at.partition, at.offset);
    let text = if first > offset {
        format!("{stream} partition {p}: offsets {offset} to {} were cut before they were read", first - 1)
    } else {
        format!("{stream} partition {p}: it ends before offset {offset}, so it was recreated")
    };
    Ok(Error::new(Kind::Lost, text))
}

/// Every committed item of a partition below an end, with its offset; where to read on. Below an end that the leader told
/// everything can be read sooner or later, so an empty answer is never the end. It begins at the first item that is kept,
/// or where one has read to.
pub fn each(
    cluster: &Cluster,
    of: &Dest,
    from: Option<Offset>,
    end: Offset,
    mut f: impl FnMut(Offset, Record<'_>) -> Result<()>,
) -> Result<Offset> {
    let first = offsets::offset(cluster, &of.stream, of.partition, Which::First)?;
    let mut at =
        At { stream: of.stream.clone(), partition: of.partition, offset: from.map_or(first, |f| f.max(first)) };
    while at.offset < end {
        let chunk = match read(cluster, &at, end, Limit { bytes: limits::COMMIT_BYTES }) {
            Err(e) if e.kind == Kind::Lost => {
                // it was cut meanwhile, as its owner may: what counts in it lies behind the cut
                let first = offsets::offset(cluster, &of.stream, of.partition, Which::First)?;
                at.offset = Some(first).filter(|first| *first > at.offset).ok_or(e)?;
                continue;
            }
            chunk => chunk?,
        };
        for handle in &chunk.batches {
            for record in handle.load()?.records()?.iter() {
                f(handle.at.offset + i64::from(record.delta()), record)?;
            }
        }
        at.offset = chunk.next;
    }
    Ok(at.offset)
}

/// What is committed in some partitions of a stream; waits for it, at most so long.
pub fn listen(
    cluster: &Cluster,
    stream: &StreamName,
    from: &[(u32, Offset)],
    wait: Duration,
) -> Result<Vec<(u32, Chunk)>> {
    cluster.patiently(|| {
        let mut by_leader: BTreeMap<String, Vec<(u32, Offset)>> = BTreeMap::new();
        for (p, offset) in from {
            by_leader.entry(cluster.leader(stream, *p)?).or_default().push((*p, *offset));
        }
        let wait = (wait / by_leader.len().max(1) as u32).min(WAIT);
        let mut out = vec![];
        for (leader, from) in by_leader {
            let all = cluster.over(&leader, |c| fetch(c, stream, &from, FETCH_BYTES, wait));
            for data in all.inspect_err(|_| cluster.forget(stream))? {
                let found = from.iter().find(|(p, _)| *p as i32 == data.partition_index);
                let Some((partition, offset)) = found.copied() else { continue };
                let at = At { stream: stream.clone(), partition, offset };
                out.push((partition, slice(&at, Offset::MAX, &data).map_err(Trouble::Fatal)?));
            }
        }
        Ok(out)
    })
}

fn fetch(
    c: &mut Connection,
    stream: &StreamName,
    from: &[(u32, Offset)],
    max: usize,
    wait: Duration,
) -> Result<Vec<PartitionData>, Trouble> {
    let bytes = max.clamp(1, FETCH_BYTES) as i32;
    let partition = |(p, offset): &(u32, Offset)| {
        FetchPartition::default()
            .with_partition(*p as i32)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(*offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(bytes)
    };
    let of = FetchTopic::default().with_topic(topic(stream)).with_partitions(from.iter().map(partition).collect());
    let call = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(wait.as_millis() as i32)
        .with_min_bytes(1)
        .with_max_bytes(bytes)
        .with_isolation_level(1)
        .with_session_epoch(-1)
        .with_topics(vec![of]);
    let answer = c.call(&call)?;
    check(answer.error_code, &format!("reading {stream}"))?;
    let all: Vec<PartitionData> = answer.responses.into_iter().flat_map(|t| t.partitions).collect();
    for data in &all {
        let offset = from.iter().find(|(p, _)| *p as i32 == data.partition_index).map_or(-1, |(_, offset)| *offset);
        let what = format!("{stream} partition {} offset {offset}", data.partition_index);
        c.check(data.error_code, &what, &[Right(Operation::Read, Resource::Topic(stream.as_str()))])?;
    }
    Ok(all)
}

/// Cuts what was fetched into batches; markers, and what aborted transactions wrote, are left out.
pub fn slice(at: &At, end: Offset, data: &PartitionData) -> Result<Chunk> {
    let mut chunk = Chunk { batches: vec![], next: at.offset };
    let Some(mut rest) = data.records.clone() else { return Ok(chunk) };
    let mut aborted: Vec<(Offset, i64)> =
        data.aborted_transactions.iter().flatten().map(|a| (a.first_offset, a.producer_id.0)).collect();
    aborted.sort_unstable_by(|a, b| b.cmp(a));
    let mut aborting = BTreeSet::new();
    while rest.len() >= anabranch_engine::batch::HEAD_BYTES {
        let base = i64::from_be_bytes(rest[..8].try_into().unwrap_or_default());
        let head = Head::parse(&rest).map_err(|e| named(e, at, base))?;
        if base >= end {
            chunk.next = chunk.next.max(end); // whatever was before it is compacted away
            break;
        }
        if rest.len() < head.len {
            break; // the last one may be cut off
        }
        let bytes = rest.split_to(head.len);
        let behind = base + i64::from(head.last_delta) + 1;
        while let Some((_, producer)) = aborted.pop_if(|(first, _)| *first <= base) {
            aborting.insert(producer);
        }
        let dropped = head.transactional && aborting.contains(&head.producer);
        if head.control {
            if is_abort(&bytes) {
                aborting.remove(&head.producer);
            }
        } else if !dropped && behind > at.offset && head.count > 0 {
            let place = At { stream: at.stream.clone(), partition: at.partition, offset: base };
            let load = Arc::new(Fetched { bytes: bytes.clone(), at: place.clone() });
            chunk.batches.push(Handle::new(place, head.count, behind, head.len, load).in_memory());
        }
        chunk.next = chunk.next.max(behind);
    }
    Ok(chunk)
}

/// Whether a control batch says that its transaction was aborted: the key of its record is version and kind.
fn is_abort(bytes: &Bytes) -> bool {
    let Ok(batch) = Batch::parse(bytes.clone()) else { return false };
    let Ok(records) = batch.records() else { return false };
    records.iter().any(|r| r.key().is_some_and(|k| k.get(2..4) == Some(&[0, 0])))
}

fn named(e: Error, at: &At, base: Offset) -> Error {
    Error { text: format!("{} partition {} offset {base}: {}", at.stream, at.partition, e.text), ..e }
}

/// A batch that was fetched; its checksum is tested when somebody looks into it.
struct Fetched {
    bytes: Bytes,
    at: At,
}

impl Load for Fetched {
    fn load(&self) -> Result<Batch> {
        Batch::parse(self.bytes.clone()).map_err(|e| named(e, &self.at, self.at.offset))
    }
}
