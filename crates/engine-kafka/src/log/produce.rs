//! Sending batches: one for each partition and request, at most five requests under way on a connection.

use crate::cluster::{Cluster, topic};
use crate::log::stamp::{Sender, advance, stamp};
use crate::net::calls::Call;
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::Trouble;
use crate::net::wire::Connection;
use anabranch_engine::{Batch, Dest, Offset, limits};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a request, unless one batch is larger.
const REQUEST_BYTES: usize = 1 << 20;
/// How long the broker waits for its followers.
const ACKS_MS: i32 = 10_000;

/// Who sends: a producer id, and the next sequence of each partition.
#[derive(Debug, Clone)]
pub struct Producer {
    /// Of a transaction; none = a producer without.
    pub transaction: Option<String>,
    /// Given by the broker.
    pub id: i64,
    /// Given by the broker.
    pub epoch: i16,
    /// The next sequence of each partition.
    pub sequences: BTreeMap<Dest, i32>,
}

/// Sends all batches, and gives for each partition the offset behind the last item.
///
/// Everything is tried once: after trouble nobody knows what was written.
pub fn send(cluster: &Cluster, by: &mut Producer, puts: &[(Dest, Batch)]) -> Result<BTreeMap<Dest, Offset>, Trouble> {
    let mut by_leader: BTreeMap<String, Vec<&(Dest, Batch)>> = BTreeMap::new();
    for put in puts {
        let leader = cluster.leader(&put.0.stream, put.0.partition)?;
        by_leader.entry(leader).or_default().push(put);
    }
    let mut ends = BTreeMap::new();
    for (leader, puts) in by_leader {
        let sent = cluster.over(&leader, |c| send_to(c, by, &puts, &mut ends));
        if let Err(e) = sent {
            puts.iter().for_each(|(to, _)| cluster.forget(&to.stream));
            return Err(e);
        }
    }
    Ok(ends)
}

fn send_to(
    c: &mut Connection,
    by: &mut Producer,
    puts: &[&(Dest, Batch)],
    ends: &mut BTreeMap<Dest, Offset>,
) -> Result<(), Trouble> {
    let mut under_way: VecDeque<(i32, BTreeMap<Dest, u32>)> = VecDeque::new();
    let mut rest: BTreeMap<&Dest, VecDeque<&Batch>> = BTreeMap::new();
    puts.iter().for_each(|(to, batch)| rest.entry(to).or_default().push_back(batch));
    while !rest.is_empty() {
        let (request, counts) = next_request(by, &mut rest);
        let id = c.send(&request, ProduceRequest::VERSION)?;
        under_way.push_back((id, counts));
        if under_way.len() >= limits::REQUESTS_UNDER_WAY {
            acknowledged(c, by, &mut under_way, ends)?;
        }
    }
    while !under_way.is_empty() {
        acknowledged(c, by, &mut under_way, ends)?;
    }
    Ok(())
}

/// As many next batches as fit one request, those of the partitions with most to send: a partition may be in it once.
fn next_request(
    by: &mut Producer,
    rest: &mut BTreeMap<&Dest, VecDeque<&Batch>>,
) -> (ProduceRequest, BTreeMap<Dest, u32>) {
    let mut counts: BTreeMap<Dest, u32> = BTreeMap::new();
    let mut topics: BTreeMap<&str, TopicProduceData> = BTreeMap::new();
    let mut size = 0;
    let mut partitions: Vec<&Dest> = rest.keys().copied().collect();
    partitions.sort_by_key(|to| std::cmp::Reverse(rest.get(to).map_or(0, VecDeque::len)));
    for to in partitions {
        let Some(batches) = rest.get_mut(to) else { continue };
        let next = batches.front().map_or(0, |b| b.bytes().len());
        if size > 0 && size + next > REQUEST_BYTES {
            break;
        }
        let Some(batch) = batches.pop_front() else { continue };
        if batches.is_empty() {
            rest.remove(to);
        }
        let sequence = by.sequences.entry(to.clone()).or_default();
        let sender =
            Sender { producer: by.id, epoch: by.epoch, sequence: *sequence, transactional: by.transaction.is_some() };
        *sequence = advance(*sequence, batch.count() as u32);
        let data = PartitionProduceData::default()
            .with_index(to.partition as i32)
            .with_records(Some(stamp(batch.bytes(), sender)));
        let of = topics
            .entry(to.stream.as_str())
            .or_insert_with(|| TopicProduceData::default().with_name(topic(&to.stream)));
        of.partition_data.push(data);
        counts.insert(to.clone(), batch.count() as u32);
        size += next;
    }
    let id = by.transaction.as_ref().map(|t| TransactionalId(StrBytes::from_string(t.clone())));
    let request = ProduceRequest::default()
        .with_transactional_id(id)
        .with_acks(-1)
        .with_timeout_ms(ACKS_MS)
        .with_topic_data(topics.into_values().collect());
    (request, counts)
}

fn acknowledged(
    c: &mut Connection,
    by: &Producer,
    under_way: &mut VecDeque<(i32, BTreeMap<Dest, u32>)>,
    ends: &mut BTreeMap<Dest, Offset>,
) -> Result<(), Trouble> {
    let Some((id, mut counts)) = under_way.pop_front() else { return Ok(()) };
    let answer = c.receive::<ProduceRequest>(id, ProduceRequest::VERSION)?;
    for of in &answer.responses {
        for p in &of.partition_responses {
            let what = format!("writing {} partition {}", of.name.as_str(), p.index);
            let transaction = Resource::Transaction(by.transaction.as_deref().unwrap_or_default());
            let needs = [Resource::Topic(of.name.as_str()), transaction].map(|on| Right(Operation::Write, on));
            c.check(p.error_code, &what, &needs)?;
            let to =
                counts.keys().find(|d| d.stream.as_str() == of.name.as_str() && d.partition as i32 == p.index).cloned();
            if let Some(to) = to {
                let count = counts.remove(&to).unwrap_or_default();
                ends.insert(to, p.base_offset + i64::from(count));
            }
        }
    }
    if counts.is_empty() { Ok(()) } else { Err(Trouble::again("an answer without some of the partitions")) }
}
