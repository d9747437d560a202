//! Where partitions begin and end: always asked of the leader, never taken from what a fetch says beside its items.

use crate::cluster::{Cluster, topic};
use crate::rights::{Operation, Resource, Right};
use crate::trouble::Trouble;
use crate::wire::Connection;
use anabranch_engine::{Offset, Result, StreamName};
use kafka_protocol::messages::{
    ListOffsetsRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};

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
    cluster.at_leader(stream, partition, |c| ask(c, stream, partition, which))
}

fn ask(c: &mut Connection, stream: &StreamName, partition: u32, which: Which) -> Result<Offset, Trouble> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition as i32)
        .with_current_leader_epoch(-1)
        .with_timestamp(if which == Which::First { -2 } else { -1 });
    let of = ListOffsetsTopic::default().with_name(topic(stream)).with_partitions(vec![asked]);
    let call = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(which == Which::Committed))
        .with_topics(vec![of]);
    let answer = c.call(&call)?;
    let what = format!("the offsets of {stream} partition {partition}");
    let found = answer.topics.first().and_then(|t| t.partitions.first());
    let found = found.ok_or_else(|| Trouble::again(format!("{what}: nothing was answered")))?;
    c.check(found.error_code, &what, &[Right(Operation::Describe, Resource::Topic(stream.as_str()))])?;
    Ok(found.offset)
}
