//! Where partitions begin and end: always asked of the leader, never taken from what a fetch says beside its items.

use crate::cluster::{Cluster, topic};
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::Trouble;
use crate::net::wire::Connection;
use anabranch_engine::{Error, Offset, Result, StreamName};
use kafka_protocol::messages::{
    ListOffsetsRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};
use std::collections::BTreeMap;

/// Which offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The first that is kept.
    First,
    /// Behind the last one that is committed.
    Committed,
    /// Behind the last one, committed or not.
    Latest,
}

/// An offset of a partition, from its leader.
pub fn offset(cluster: &Cluster, stream: &StreamName, partition: u32, which: Which) -> Result<Offset> {
    let found = cluster.at_leader(stream, partition, |c| ask(c, stream, &[partition], which))?;
    found.first().map(|(_, offset)| *offset).ok_or_else(|| Error::machine(format!("{stream}: nothing was answered")))
}

/// An offset of each partition of a stream, each leader asked once.
pub fn all(cluster: &Cluster, stream: &StreamName, partitions: u32, which: Which) -> Result<Vec<Offset>> {
    cluster.patiently(|| {
        let mut by_leader: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for p in 0..partitions {
            by_leader.entry(cluster.leader(stream, p)?).or_default().push(p);
        }
        let mut all = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let found = cluster.over(&leader, |c| ask(c, stream, &partitions, which));
            all.extend(found.inspect_err(|_| cluster.forget(stream))?);
        }
        let missing = || Trouble::again(format!("{stream}: some partitions were not answered"));
        (0..partitions).map(|p| all.get(&p).copied().ok_or_else(missing)).collect()
    })
}

fn ask(
    c: &mut Connection,
    stream: &StreamName,
    partitions: &[u32],
    which: Which,
) -> Result<Vec<(u32, Offset)>, Trouble> {
    let asked = |p: &u32| {
        ListOffsetsPartition::default()
            .with_partition_index(*p as i32)
            .with_current_leader_epoch(-1)
            .with_timestamp(if which == Which::First { -2 } else { -1 })
    };
    let asked = partitions.iter().map(asked).collect();
    let call = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(which == Which::Committed))
        .with_topics(vec![ListOffsetsTopic::default().with_name(topic(stream)).with_partitions(asked)]);
    let answer = c.call(&call)?;
    let found = answer.topics.iter().flat_map(|t| &t.partitions).map(|p| {
        let what = format!("the offsets of {stream} partition {}", p.partition_index);
        c.check(p.error_code, &what, &[Right(Operation::Describe, Resource::Topic(stream.as_str()))])?;
        Ok((p.partition_index as u32, p.offset))
    });
    found.collect()
}
