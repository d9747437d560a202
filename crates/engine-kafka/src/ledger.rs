//! The ledger of a flow: a stream with a partition for each lane, in which the newest account is the truth.

use crate::cluster::Cluster;
use crate::offsets::{self, Which};
use crate::{fetch, streams};
use anabranch_engine::{Account, At, Dest, FlowId, Limit, Offset, Result, StreamName, StreamSpec, limits};

/// The name of a flow's ledger.
pub fn name(flow: &FlowId) -> Result<StreamName> {
    flow.own("ledger")
}

/// Makes the ledger with so many lanes, if there is none.
pub fn ensure(cluster: &Cluster, flow: &FlowId, lanes: u32) -> Result<()> {
    let mut spec = StreamSpec::new(name(flow)?, lanes);
    spec.config = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")]
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .into();
    streams::ensure(cluster, &spec).map(|_| ())
}

/// The newest account of each lane that can be read as committed.
pub fn all(cluster: &Cluster, flow: &FlowId) -> Result<Vec<Account>> {
    let stream = name(flow)?;
    let lanes = streams::partitions(cluster, &stream)?.unwrap_or(0);
    let mut all = vec![];
    for partition in 0..lanes {
        let lane = Dest { stream: stream.clone(), partition };
        all.extend(newest(cluster, &lane, Which::Committed)?.map(|(_, account)| account));
    }
    Ok(all)
}

/// The newest account of a lane, and where it stands. Its end is asked of the leader: what a fetch says of it may be old.
///
/// Right after a claim nothing is open, so the latest offset is that of the last marker, and everything below it
/// can be read sooner or later: an empty answer is never the end.
pub fn newest(cluster: &Cluster, lane: &Dest, which: Which) -> Result<Option<(Offset, Account)>> {
    let end = offsets::offset(cluster, &lane.stream, lane.partition, which)?;
    let start = offsets::offset(cluster, &lane.stream, lane.partition, Which::First)?;
    let mut at = At { stream: lane.stream.clone(), partition: lane.partition, offset: start };
    let mut newest = None;
    while at.offset < end {
        let chunk = fetch::read(cluster, &at, end, Limit { bytes: limits::COMMIT_BYTES })?;
        for handle in &chunk.batches {
            for record in handle.load()?.records()?.iter() {
                let offset = handle.at.offset + i64::from(record.delta());
                newest = Some((offset, Account::decode(record.value().unwrap_or_default())?));
            }
        }
        at.offset = chunk.next;
    }
    Ok(newest)
}
