//! The ledger of a flow: a stream with a partition for each lane, in which the newest account is the truth.

use crate::cluster::Cluster;
use crate::cluster::offsets::{self, Which};
use crate::cluster::streams;
use crate::log::fetch;
use anabranch_engine::{Account, Cursor, Dest, FlowId, Kind, Offset, Result, StreamName, StreamSpec};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// What is known of the accounts of a flow, so that only news is read.
#[derive(Default)]
pub struct Watch {
    /// For each lane: where to read on, and the newest account.
    lanes: BTreeMap<u32, (Offset, Option<Account>)>,
    /// Changes with every news.
    version: u64,
}

impl Watch {
    /// The newest account of each lane that can be read as committed; waits for one that is not `seen` yet.
    pub fn accounts(
        &mut self,
        cluster: &Cluster,
        flow: &FlowId,
        seen: &mut Cursor,
        wait: Duration,
    ) -> Result<Vec<Account>> {
        let stream = name(flow)?;
        let until = Instant::now() + wait;
        if *seen == Cursor::default() || self.lanes.is_empty() {
            self.catch_up(cluster, &stream)?;
        }
        while *seen == Cursor(self.version) && Instant::now() < until {
            if self.lanes.is_empty() {
                std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
                self.catch_up(cluster, &stream)?;
                continue;
            }
            self.listen(cluster, &stream, until.saturating_duration_since(Instant::now()))?;
        }
        *seen = Cursor(self.version);
        Ok(self.lanes.values().filter_map(|(_, account)| account.clone()).collect())
    }

    /// Reads all that is committed now.
    fn catch_up(&mut self, cluster: &Cluster, stream: &StreamName) -> Result<()> {
        let lanes = streams::partitions(cluster, stream)?.unwrap_or(0);
        self.lanes.retain(|lane, _| *lane < lanes);
        for partition in 0..lanes {
            let of = Dest { stream: stream.clone(), partition };
            let end = offsets::offset(cluster, stream, partition, Which::Committed)?;
            let known = self.lanes.get(&partition).map(|(next, _)| *next).filter(|next| *next <= end);
            let mut newest = None;
            let next = fetch::each(cluster, &of, known, end, |_, record| {
                newest = Some(Account::decode(record.value().unwrap_or_default())?);
                Ok(())
            })?;
            self.learn(partition, next, newest);
        }
        self.version = self.version.max(1);
        Ok(())
    }

    /// Waits for news at the brokers.
    fn listen(&mut self, cluster: &Cluster, stream: &StreamName, wait: Duration) -> Result<()> {
        let from: Vec<(u32, Offset)> = self.lanes.iter().map(|(lane, (next, _))| (*lane, *next)).collect();
        let chunks = match fetch::listen(cluster, stream, &from, wait) {
            // the owner of a lane cut it meanwhile
            Err(e) if e.kind == Kind::Lost => {
                self.lanes.clear();
                return self.catch_up(cluster, stream);
            }
            chunks => chunks?,
        };
        for (lane, chunk) in chunks {
            let mut newest = None;
            for handle in &chunk.batches {
                for record in handle.load()?.records()?.iter() {
                    newest = Some(Account::decode(record.value().unwrap_or_default())?);
                }
            }
            self.learn(lane, chunk.next, newest);
        }
        Ok(())
    }

    fn learn(&mut self, lane: u32, next: Offset, newest: Option<Account>) {
        let known = self.lanes.entry(lane).or_default();
        known.0 = next;
        if newest.is_some() {
            known.1 = newest;
            self.version += 1;
        }
    }
}

/// The newest account of a lane. Right after a claim nothing is open, so the latest offset is that of the last marker.
pub fn newest(cluster: &Cluster, lane: &Dest, which: Which) -> Result<Option<Account>> {
    let mut newest = None;
    let end = offsets::offset(cluster, &lane.stream, lane.partition, which)?;
    fetch::each(cluster, lane, None, end, |_, record| {
        newest = Some(Account::decode(record.value().unwrap_or_default())?);
        Ok(())
    })?;
    Ok(newest)
}
