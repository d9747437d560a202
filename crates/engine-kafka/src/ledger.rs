//! The ledger of a flow: a stream with a partition for each lane, in which the newest account is the truth.

use crate::cluster::Cluster;
use crate::offsets::Which;
use crate::{fetch, streams};
use anabranch_engine::{Account, Dest, FlowId, Result, StreamName, StreamSpec};

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
        all.extend(newest(cluster, &lane, Which::Committed)?);
    }
    Ok(all)
}

/// The newest account of a lane. Right after a claim nothing is open, so the latest offset is that of the last marker.
pub fn newest(cluster: &Cluster, lane: &Dest, which: Which) -> Result<Option<Account>> {
    let mut newest = None;
    fetch::each(cluster, lane, which, |_, record| {
        newest = Some(Account::decode(record.value().unwrap_or_default())?);
        Ok(())
    })?;
    Ok(newest)
}
