//! Reading committed batches, whole and still packed.

use crate::cluster::{Cluster, topic};
use crate::offsets::{self, Which};
use crate::rights::{Operation, Resource, Right};
use crate::trouble::{Trouble, check};
use crate::wire::Connection;
use anabranch_engine::Load;
use anabranch_engine::batch::Head;
use anabranch_engine::{At, Batch, Chunk, Dest, Error, Handle, Limit, Offset, Record, Result, limits};
use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of one answer, unless a batch is larger: what is fetched is in memory, whatever becomes of it.
const FETCH_BYTES: usize = 2 << 20;
/// How long a broker waits for items when there are none.
const WAIT_MS: i32 = 100;

/// Committed batches from `at` on. None may come: the end of a transaction can land later than its answer.
pub fn read(cluster: &Cluster, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
    if at.offset >= end {
        return Ok(Chunk { batches: vec![], next: at.offset });
    }
    let data = cluster.at_leader(&at.stream, at.partition, |c| fetch(c, at, max))?;
    slice(at, end, &data)
}

/// Every committed item of a partition below its end, with its offset. The end is asked of the leader; below it everything
/// can be read sooner or later, so an empty answer is never the end.
pub fn each(
    cluster: &Cluster,
    of: &Dest,
    end: Which,
    mut f: impl FnMut(Offset, Record<'_>) -> Result<()>,
) -> Result<()> {
    let end = offsets::offset(cluster, &of.stream, of.partition, end)?;
    let start = offsets::offset(cluster, &of.stream, of.partition, Which::First)?;
    let mut at = At { stream: of.stream.clone(), partition: of.partition, offset: start };
    while at.offset < end {
        let chunk = read(cluster, &at, end, Limit { bytes: limits::COMMIT_BYTES })?;
        for handle in &chunk.batches {
            for record in handle.load()?.records()?.iter() {
                f(handle.at.offset + i64::from(record.delta()), record)?;
            }
        }
        at.offset = chunk.next;
    }
    Ok(())
}

fn fetch(c: &mut Connection, at: &At, max: Limit) -> Result<PartitionData, Trouble> {
    let bytes = max.bytes.clamp(1, FETCH_BYTES) as i32;
    let partition = FetchPartition::default()
        .with_partition(at.partition as i32)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(at.offset)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(bytes);
    let call = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(WAIT_MS)
        .with_min_bytes(1)
        .with_max_bytes(bytes)
        .with_isolation_level(1)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(topic(&at.stream)).with_partitions(vec![partition])]);
    let answer = c.call(&call)?;
    let what = format!("{} partition {} offset {}", at.stream, at.partition, at.offset);
    check(answer.error_code, &what)?;
    let data = answer.responses.into_iter().next().and_then(|t| t.partitions.into_iter().next());
    let data = data.ok_or_else(|| Trouble::again(format!("{what}: nothing was answered")))?;
    c.check(data.error_code, &what, &[Right(Operation::Read, Resource::Topic(at.stream.as_str()))])?;
    Ok(data)
}

/// Cuts what was fetched into batches; markers, and what aborted transactions wrote, are left out.
fn slice(at: &At, end: Offset, data: &PartitionData) -> Result<Chunk> {
    let mut chunk = Chunk { batches: vec![], next: at.offset };
    let Some(mut rest) = data.records.clone() else { return Ok(chunk) };
    let mut aborted: Vec<(Offset, i64)> =
        data.aborted_transactions.iter().flatten().map(|a| (a.first_offset, a.producer_id.0)).collect();
    aborted.sort_unstable_by(|a, b| b.cmp(a));
    let mut aborting = BTreeSet::new();
    while rest.len() >= anabranch_engine::batch::HEAD_BYTES {
        let base = i64::from_be_bytes(rest[..8].try_into().unwrap_or_default());
        let head = Head::parse(&rest).map_err(|e| named(e, at, base))?;
        if rest.len() < head.len || base >= end {
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
