//! The lane of a flow on this engine: one seat, one thread that commits in order.

use crate::Embedded;
use crate::commit::{self, Row};
use crate::index::sql;
use crate::place;
use crate::segment::Writer;
use anabranch_engine::{
    Account, BatchRef, Commit, Crew, Cursor, Dest, End, Error, FlowId, Kind, Lane, LaneLost, LaneNo, Result, limits,
};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// On one machine one process works a flow: it has every lane.
pub struct Alone;

impl Crew for Alone {
    fn mine(&mut self, _: Duration) -> Result<Vec<LaneNo>> {
        Ok(vec![0])
    }
}

/// The newest account of each lane, and a number that changes with each commit.
pub fn accounts(db: &Connection, flow: &FlowId) -> Result<(Cursor, Vec<Account>)> {
    let mut find = db.prepare_cached("SELECT commits, body FROM account WHERE flow = ? ORDER BY lane").map_err(sql)?;
    let rows = find.query_map([flow.as_str()], |r| Ok((r.get::<_, u64>(0)?, r.get::<_, Option<Vec<u8>>>(1)?)));
    let mut news = 0;
    let mut accounts = vec![];
    for row in rows.map_err(sql)? {
        let (commits, body) = row.map_err(sql)?;
        news += commits;
        accounts.extend(body.map(|b| Account::decode(&b)).transpose()?);
    }
    Ok((Cursor(news), accounts))
}

/// A held lane.
pub struct EmbeddedLane {
    account: Account,
    submit: Option<SyncSender<Commit>>,
    settled: Mutex<Receiver<Result<Account>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the committing thread owns.
struct Committer {
    engine: Embedded,
    flow: FlowId,
    lane: LaneNo,
    epoch: i64,
    writer: Writer,
    last: Account,
    _seat: Arc<File>,
}

impl EmbeddedLane {
    /// Takes the seat of the flow, raises the epoch, loads the account.
    pub fn claim(engine: &Embedded, flow: &FlowId, lane: LaneNo) -> Result<EmbeddedLane> {
        let seat = place::take_seat(&engine.dir.join("flow").join(format!("{flow}.lock")), flow.as_str())?;
        let (epoch, account) = engine.index.write(|tx| raise(tx, flow, lane))?;
        let writer = Writer::new(&engine.dir, engine.disk.clone(), engine.index.clone());
        let last = account.clone();
        let seat = Arc::new(seat);
        let committer =
            Committer { engine: engine.clone(), flow: flow.clone(), lane, epoch, writer, last, _seat: seat };
        let (submit, work) = sync_channel(limits::COMMITS_UNDER_WAY);
        let (done, settled) = channel();
        let thread =
            std::thread::Builder::new().name(format!("lane {lane}")).spawn(move || committer.run(&work, &done));
        let thread = thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
        Ok(EmbeddedLane { account, submit: Some(submit), settled: Mutex::new(settled), thread: Some(thread) })
    }
}

fn raise(db: &Connection, flow: &FlowId, lane: LaneNo) -> Result<(i64, Account)> {
    let up = "INSERT INTO account (flow, lane, epoch) VALUES (?, ?, 1)
              ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch, body";
    let read = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get::<_, Option<Vec<u8>>>(1)?));
    let (epoch, body) = db.query_row(up, params![flow.as_str(), lane], read).map_err(sql)?;
    let account = body.map(|b| Account::decode(&b)).transpose()?;
    Ok((epoch, account.unwrap_or_else(|| Account { lane, ..Account::default() })))
}

impl Lane for EmbeddedLane {
    fn account(&self) -> &Account {
        &self.account
    }

    fn submit(&mut self, commit: Commit) -> Result<(), LaneLost> {
        if self.submit.as_ref().is_some_and(|s| s.send(commit).is_ok()) {
            return Ok(());
        }
        // the thread has ended: the commit that failed tells why
        let settled = self.settled.get_mut().unwrap_or_else(PoisonError::into_inner);
        let why = settled.try_iter().find_map(Result::err);
        Err(LaneLost(
            why.unwrap_or_else(|| Error::machine("the log is closed after an earlier failure").help("run again")),
        ))
    }

    fn settle(&mut self) -> Result<(), LaneLost> {
        let settled = self.settled.get_mut().unwrap_or_else(PoisonError::into_inner).recv();
        self.account = settled.map_err(|_| LaneLost(Error::bug("the committing thread is gone")))?.map_err(LaneLost)?;
        Ok(())
    }
}

impl Drop for EmbeddedLane {
    fn drop(&mut self) {
        self.submit = None; // the thread ends when it has worked off what was submitted
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Committer {
    /// Commits until the lane is dropped or a commit fails: then nothing more is accepted.
    fn run(mut self, work: &Receiver<Commit>, done: &Sender<Result<Account>>) {
        for commit in work.iter() {
            let outcome = self.commit(commit);
            let failed = outcome.is_err();
            if done.send(outcome).is_err() || failed {
                return;
            }
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<Account> {
        let fresh: usize = commit.puts.iter().map(|p| p.batch.fresh_bytes()).sum();
        let landed = if fresh > limits::INLINE_BYTES { Some(write_fresh(&mut self.writer, &commit)?) } else { None };
        let mut account = commit.account;
        let before = if account.run == self.last.run { self.last.ends.clone() } else { BTreeMap::new() };
        let rows = rows(&commit.puts, landed);
        let account = self.engine.index.write(|tx| {
            let ends = commit::apply(tx, &rows)?;
            account.ends = total(before, ends);
            let body = account.encode();
            let put = "UPDATE account SET body = ?, commits = commits + 1 WHERE flow = ? AND lane = ? AND epoch = ?";
            let values = params![body, self.flow.as_str(), self.lane, self.epoch];
            match tx.prepare_cached(put).map_err(sql)?.execute(values).map_err(sql)? {
                1 => Ok(account),
                _ => Err(Error::new(Kind::Busy, format!("another process took over the flow {}", self.flow))),
            }
        })?;
        self.engine.bell.ring();
        self.last = account.clone();
        Ok(account)
    }
}

/// Writes the fresh batches and makes them durable, in the order of the puts.
fn write_fresh(writer: &mut Writer, commit: &Commit) -> Result<std::vec::IntoIter<crate::segment::Landed>> {
    let parts: Vec<&[u8]> = commit.puts.iter().filter_map(|p| fresh(&p.batch)).map(|b| b.bytes().as_ref()).collect();
    Ok(writer.append(&parts)?.into_iter())
}

fn fresh(batch: &BatchRef) -> Option<&anabranch_engine::Batch> {
    match batch {
        BatchRef::Fresh(b) => Some(b),
        BatchRef::Stored(_) => None,
    }
}

fn rows(
    puts: &[anabranch_engine::Put],
    mut landed: Option<std::vec::IntoIter<crate::segment::Landed>>,
) -> Vec<(&Dest, Row<'_>)> {
    let row = |put: &'_ anabranch_engine::Put| -> bool { matches!(put.batch, BatchRef::Fresh(_)) };
    puts.iter()
        .map(|put| {
            let at = if row(put) { landed.as_mut().and_then(Iterator::next) } else { None };
            let row = match (&put.batch, at) {
                (BatchRef::Stored(h), _) => Row::Again(&h.at),
                (BatchRef::Fresh(b), Some(at)) => Row::Written(b, at),
                (BatchRef::Fresh(b), None) => Row::Inline(b),
            };
            (&put.to, row)
        })
        .collect()
}

fn total(
    mut before: BTreeMap<(anabranch_engine::StreamName, u32), End>,
    new: BTreeMap<Dest, End>,
) -> BTreeMap<(anabranch_engine::StreamName, u32), End> {
    for (dest, end) in new {
        let sum = before.entry((dest.stream, dest.partition)).or_default();
        *sum = End { end: end.end, items: sum.items + end.items };
    }
    before
}
