//! The lane of a flow on Kafka: a transactional id, and a partition of the ledger.

use crate::cluster::Cluster;
use crate::produce::{self, Producer};
use crate::trouble::Trouble;
use crate::{ledger, transaction};
use anabranch_engine::{
    Account, Batch, BatchRef, Builder, Codec, Commit, Dest, End, Error, FlowId, Item, Kind, Lane, LaneLost, LaneNo,
    Result, Rows,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A held lane.
pub struct KafkaLane {
    cluster: Arc<Cluster>,
    ledger: Dest,
    producer: Producer,
    bumps: bool,
    account: Account,
    settled: VecDeque<Account>,
    lost: Option<Error>,
}

impl KafkaLane {
    /// Shuts out every earlier holder and reads the account.
    pub fn claim(cluster: &Arc<Cluster>, flow: &FlowId, lane: LaneNo) -> Result<KafkaLane> {
        let ledger = Dest { stream: ledger::name(flow)?, partition: lane };
        let id = format!("anabranch.{flow}.{lane}");
        let bumps = crate::trouble::patiently(|| transaction::bumps(cluster))?;
        let producer = transaction::claim(cluster, &id, &mut |_| ())?;
        let account = ledger::newest(cluster, &ledger, crate::offsets::Which::Latest)?;
        let account = account.unwrap_or_else(|| Account { lane, ..Account::default() });
        Ok(KafkaLane {
            cluster: cluster.clone(),
            ledger,
            producer,
            bumps,
            account,
            settled: VecDeque::new(),
            lost: None,
        })
    }

    fn last(&self) -> &Account {
        self.settled.back().unwrap_or(&self.account)
    }

    fn commit(&mut self, commit: Commit) -> Result<Account, Trouble> {
        let mut account = commit.account;
        account.lane = self.ledger.partition;
        let puts = commit.puts.into_iter().map(|p| Ok((p.to, batch(p.batch)?)));
        let puts = puts.collect::<Result<Vec<(Dest, Batch)>>>().map_err(Trouble::Fatal)?;
        let mut to: Vec<Dest> = puts.iter().map(|(d, _)| d.clone()).collect();
        to.push(self.ledger.clone());
        to.sort();
        to.dedup();
        transaction::add(&self.cluster, &self.producer, &to)?;
        let ends = produce::send(&self.cluster, &mut self.producer, &puts)?;
        let before = if account.run == self.last().run { self.last().ends.clone() } else { BTreeMap::new() };
        account.ends = total(before, ends, &puts);
        let entry = (self.ledger.clone(), entry(&account)?);
        produce::send(&self.cluster, &mut self.producer, &[entry])?;
        transaction::commit(&self.cluster, &mut self.producer, self.bumps)?;
        Ok(account)
    }
}

impl Lane for KafkaLane {
    fn account(&self) -> &Account {
        &self.account
    }

    fn submit(&mut self, commit: Commit) -> Result<(), LaneLost> {
        if let Some(e) = &self.lost {
            return Err(LaneLost(e.clone()));
        }
        match self.commit(commit) {
            Ok(account) => {
                self.settled.push_back(account);
                Ok(())
            }
            Err(e) => {
                let e = match e {
                    Trouble::Fatal(e) if e.kind != Kind::Machine => e, // it would be the same again
                    Trouble::Again(e) | Trouble::Fatal(e) => Error { kind: Kind::Doubt, ..e },
                };
                self.lost = Some(e.clone());
                Err(LaneLost(e))
            }
        }
    }

    fn settle(&mut self) -> Result<(), LaneLost> {
        match self.settled.pop_front() {
            Some(account) => {
                self.account = account;
                Ok(())
            }
            None => Err(LaneLost(self.lost.clone().unwrap_or_else(|| Error::bug("nothing was submitted")))),
        }
    }
}

fn batch(of: BatchRef) -> Result<Batch> {
    let batch = match of {
        BatchRef::Fresh(batch) => return Ok(batch),
        BatchRef::Stored(handle) => handle.load()?,
    };
    // compaction leaves holes, and brokers take no batch that has some
    if batch.count() as u64 == u64::from(batch.head().last_delta) + 1 {
        return Ok(batch);
    }
    let all = Rows::all(batch.count());
    batch.gather(&all)?.ok_or_else(|| Error::bug("a batch of the log without items"))
}

/// An account as the only item of a batch.
fn entry(account: &Account) -> Result<Batch, Trouble> {
    let mut b = Builder::new(Codec::None);
    b.push_item(&Item::of(account.encode(), account.record.as_ref().map_or(0, |r| r.started)));
    b.finish().ok_or_else(|| Trouble::Fatal(Error::bug("an account without bytes")))
}

fn total(
    mut all: BTreeMap<(anabranch_engine::StreamName, u32), End>,
    ends: BTreeMap<Dest, i64>,
    puts: &[(Dest, Batch)],
) -> BTreeMap<(anabranch_engine::StreamName, u32), End> {
    for (to, batch) in puts {
        let end = all.entry((to.stream.clone(), to.partition)).or_default();
        end.items += batch.count() as u64;
    }
    for (to, behind) in ends {
        all.entry((to.stream, to.partition)).or_default().end = behind;
    }
    all
}
