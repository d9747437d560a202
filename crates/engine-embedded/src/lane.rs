//! The lane of a flow on this engine: one seat, one thread that commits in order.

use crate::Embedded;
use crate::admin;
use crate::commit::{self, Row};
use crate::directory;
use crate::index::sql;
use crate::segment::{Durable, Writer};
use anabranch_engine::{
    Account, BatchRef, Commit, Crew, Cursor, Dest, End, Error, FlowId, Kind, LaneNo, Result, ThreadedLane, limits,
};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// On one machine one process works a flow: it has the only lane.
pub struct Alone;

impl Crew for Alone {
    fn lanes(&self) -> u32 {
        1
    }

    fn mine(&mut self, _: &[LaneNo]) -> Result<Vec<LaneNo>> {
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

/// A commit whose batches are durable, and where they landed; none = they go into the index.
type Written = (Commit, Option<Durable>);

/// What the thread owns that commits to the index.
struct Committer {
    engine: Embedded,
    flow: FlowId,
    lane: LaneNo,
    epoch: i64,
    last: Account,
    _seat: File,
}

/// Takes the seat of the flow, raises the epoch, loads the account. Two threads work for the lane: while one commits
/// to the index, the other one writes and syncs the batches of the next commit.
pub fn claim(engine: &Embedded, flow: &FlowId, lane: LaneNo) -> Result<ThreadedLane> {
    let seat = directory::take_seat(&directory::seat(&engine.dir, flow), flow.as_str())?;
    let (epoch, account) = engine.index.write(|tx| raise(tx, flow, lane))?;
    let mut writer = Writer::new(&engine.dir, engine.disk.clone(), engine.index.clone());
    let (flow, last) = (flow.clone(), account.clone());
    let committer = Committer { engine: engine.clone(), flow, lane, epoch, last, _seat: seat };
    let (submit, work) = sync_channel::<Commit>(limits::COMMITS_UNDER_WAY);
    let (written, durable) = sync_channel(0);
    let (done, settled) = channel();
    let write = move || write_ahead(&mut writer, &work, &written);
    let threads = vec![
        spawn(format!("lane {lane} data"), write)?,
        spawn(format!("lane {lane} index"), move || committer.run(&durable, &done))?,
    ];
    let closed = Error::machine("the log is closed after an earlier failure").help("run again");
    Ok(ThreadedLane::new(account, submit, settled, threads, closed))
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name).spawn(work);
    thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))
}

fn raise(db: &Connection, flow: &FlowId, lane: LaneNo) -> Result<(i64, Account)> {
    let up = "INSERT INTO account (flow, lane, epoch) VALUES (?, ?, 1)
              ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch, body";
    let read = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get::<_, Option<Vec<u8>>>(1)?));
    let (epoch, body) = db.query_row(up, params![flow.as_str(), lane], read).map_err(sql)?;
    let account = body.map(|b| Account::decode(&b)).transpose()?;
    Ok((epoch, account.unwrap_or_else(|| Account { lane, ..Account::default() })))
}

impl Committer {
    /// Commits until the lane is dropped or a commit fails: then nothing more is accepted.
    fn run(mut self, work: &Receiver<Result<Written>>, done: &Sender<Result<Account>>) {
        for written in work.iter() {
            let outcome = written.and_then(|(commit, durable)| self.commit(commit, durable.as_ref()));
            let failed = outcome.is_err();
            if done.send(outcome).is_err() || failed {
                return;
            }
        }
    }

    fn commit(&mut self, commit: Commit, durable: Option<&Durable>) -> Result<Account> {
        let mut account = commit.account;
        let before = if account.run == self.last.run { self.last.ends.clone() } else { BTreeMap::new() };
        let rows = rows(&commit.puts, durable);
        let account = self.engine.index.write(|tx| {
            let ends = commit::apply(tx, &rows)?;
            commit.report.iter().try_for_each(|report| admin::keep_report(tx, &self.flow, report))?;
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

/// Writes and syncs the batches of each commit, in order; the first failure is the last thing it hands on.
fn write_ahead(writer: &mut Writer, work: &Receiver<Commit>, written: &SyncSender<Result<Written>>) {
    for commit in work.iter() {
        let bytes: usize = commit.puts.iter().map(|p| p.batch.fresh_bytes()).sum();
        let durable = if bytes > limits::INLINE_BYTES {
            let parts = commit.puts.iter().filter_map(|p| fresh(&p.batch)).map(|b| b.bytes().as_ref());
            writer.append(&parts.collect::<Vec<&[u8]>>()).map(Some)
        } else {
            Ok(None)
        };
        let outcome = durable.map(|durable| (commit, durable));
        let failed = outcome.is_err();
        if written.send(outcome).is_err() || failed {
            return;
        }
    }
}

fn fresh(batch: &BatchRef) -> Option<&anabranch_engine::Batch> {
    match batch {
        BatchRef::Fresh(b) => Some(b),
        BatchRef::Stored(_) => None,
    }
}

fn rows<'c>(puts: &'c [anabranch_engine::Put], durable: Option<&'c Durable>) -> Vec<(&'c Dest, Row<'c>)> {
    let mut landed = durable.into_iter().flat_map(|d| &d.landed);
    puts.iter()
        .map(|put| {
            let at = fresh(&put.batch).and_then(|_| landed.next());
            let row = match (&put.batch, at) {
                (BatchRef::Stored(h), _) => Row::Again(&h.at),
                (BatchRef::Fresh(b), Some(at)) => Row::Written(b, *at),
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
