//! The lane of a flow on Kafka: a transactional id, and a partition of the ledger.

use crate::cluster::Cluster;
use crate::cluster::offsets::Which;
use crate::log::ledger;
use crate::log::notes;
use crate::log::pack::pack;
use crate::log::produce::{self, Producer};
use crate::log::transaction;
use crate::net::trouble::Trouble;
use anabranch_engine::{
    Account, At, Batch, BatchRef, Builder, Codec, Commit, Dest, End, Error, FlowId, Item, Kind, LaneNo, Result, Rows,
    ThreadedLane, limits,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

/// What the thread owns.
struct Committer {
    cluster: Arc<Cluster>,
    flow: FlowId,
    ledger: Dest,
    producer: Producer,
    bumps: bool,
    last: Account,
    /// Commits since the ledger was cut.
    uncut: usize,
}

/// Commits after which what is old in the ledger goes.
const CUT_EVERY: usize = 1_000;

/// Shuts out every earlier holder and reads the account. A thread commits for the lane.
pub fn claim(cluster: &Arc<Cluster>, flow: &FlowId, lane: LaneNo) -> Result<ThreadedLane> {
    let ledger = Dest { stream: ledger::name(flow)?, partition: lane };
    let id = format!("anabranch.{flow}.{lane}");
    let bumps = cluster.patiently(|| transaction::bumps(cluster))?;
    let producer = transaction::claim(cluster, &id)?;
    let account = ledger::newest(cluster, &ledger, Which::Latest)?;
    let account = account.unwrap_or_else(|| Account { lane, ..Account::default() });
    let last = account.clone();
    let committer =
        Committer { cluster: cluster.clone(), flow: flow.clone(), ledger, producer, bumps, last, uncut: CUT_EVERY };
    let (submit, work) = sync_channel(limits::COMMITS_UNDER_WAY);
    let (done, settled) = channel();
    let thread = std::thread::Builder::new().name(format!("lane {lane}"));
    let thread = thread.spawn(move || committer.run(&work, &done));
    let thread = thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
    let closed = Error::new(Kind::Doubt, "the lane was lost before");
    Ok(ThreadedLane::new(account, submit, settled, vec![thread], closed))
}

impl Committer {
    /// Commits until the lane is dropped or a commit fails: then nothing more is accepted.
    fn run(mut self, work: &Receiver<Commit>, done: &Sender<Result<Account>>) {
        for commit in work.iter() {
            let outcome = self.commit(commit).map_err(|e| match e {
                Trouble::Fatal(e) if e.kind != Kind::Machine => e, // it would be the same again
                Trouble::Again(e) | Trouble::Fatal(e) => Error { kind: Kind::Doubt, ..e },
            });
            let failed = outcome.is_err();
            if done.send(outcome).is_err() || failed {
                return;
            }
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<Account, Trouble> {
        let mut account = commit.account;
        account.lane = self.ledger.partition;
        let puts = commit.puts.into_iter().map(|p| Ok((p.to, batch(p.batch)?)));
        let puts = puts.collect::<Result<Vec<(Dest, Batch)>>>().and_then(|puts| pack(&self.cluster, puts));
        let puts = puts.map_err(Trouble::Fatal)?;
        let report = commit.report.map(|report| notes::report(&self.cluster, &self.flow, report));
        let report = report.transpose().map_err(Trouble::Fatal)?;
        let mut to: Vec<Dest> = puts.iter().chain(&report).map(|(d, _)| d.clone()).collect();
        to.push(self.ledger.clone());
        to.sort();
        to.dedup();
        transaction::add(&self.cluster, &self.producer, &to)?;
        let ends = produce::send(&self.cluster, &mut self.producer, &puts)?;
        let before = if account.run == self.last.run { self.last.ends.clone() } else { BTreeMap::new() };
        account.ends = total(before, ends, &puts);
        let entry = (self.ledger.clone(), entry(&account)?);
        let closes = report.is_some();
        let last: Vec<(Dest, Batch)> = [entry].into_iter().chain(report).collect();
        let landed = produce::send(&self.cluster, &mut self.producer, &last)?;
        transaction::commit(&self.cluster, &mut self.producer, self.bumps)?;
        self.last = account.clone();
        if closes {
            let (cluster, flow) = (self.cluster.clone(), self.flow.clone());
            beside(move || drop(notes::cut_reports(&cluster, &flow)));
        }
        self.uncut += 1;
        if self.uncut > CUT_EVERY
            && let Some(behind) = landed.get(&self.ledger)
        {
            self.uncut = 0;
            self.cut(behind - 1);
        }
        Ok(account)
    }

    /// Lets go of the accounts before the newest, beside the commits. A cut that fails is made up for by the next one.
    ///
    /// Never further than to an account that is committed: an open transaction can be cut away.
    fn cut(&self, newest: i64) {
        let at = At { stream: self.ledger.stream.clone(), partition: self.ledger.partition, offset: newest };
        let cluster = self.cluster.clone();
        beside(move || drop(crate::cluster::streams::cut(&cluster, &at)));
    }
}

/// Cuts something beside the commits. What is not cut is cut the next time.
fn beside(cut: impl FnOnce() + Send + 'static) {
    let _ = std::thread::Builder::new().name("cut".into()).spawn(cut);
}

fn batch(of: BatchRef) -> Result<Batch> {
    let batch = match of {
        BatchRef::Fresh(batch) => return Ok(batch),
        BatchRef::Stored(handle) => handle.load()?,
    };
    // compaction leaves holes, and brokers take no batch that has some; an append time is in no record yet
    let holes = batch.count() as u64 != u64::from(batch.head().last_delta) + 1;
    if !holes && !batch.head().append_time {
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
