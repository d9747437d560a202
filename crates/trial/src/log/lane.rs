//! A lane of a log in memory. A commit is made when it is handed over, or when it is waited for; one that ends in doubt is
//! made or not.

use super::MemoryLog;
use anabranch_engine::{Account, Commit, Error, FlowId, Kind, Lane, LaneLost, LaneNo, Result, limits};
use std::collections::VecDeque;

/// Half of the commits are made when they are handed over.
const AT_ONCE: u64 = 2;

/// A lane, held.
pub struct Held {
    log: MemoryLog,
    flow: FlowId,
    no: LaneNo,
    epoch: u64,
    /// As of the last settled commit.
    account: Account,
    /// Accounts of commits that are made and not settled.
    made: VecDeque<Account>,
    under_way: usize,
    lost: bool,
}

/// Takes a lane. What its last holder had handed over is made as far as the dice say.
pub fn claim(log: &MemoryLog, flow: &FlowId, no: LaneNo) -> Result<Held> {
    if log.process.comes(|f| f.refuse) {
        return Err(Error::new(Kind::Doubt, format!("lane {no} of {flow} cannot be taken just now")));
    }
    let queued = log.store().lanes.entry((flow.clone(), no)).or_default().queue.len();
    for _ in 0..log.process.below(queued as u64 + 1) {
        make_next(log, flow, no)?;
    }
    let mut store = log.store();
    let lane = store.lanes.entry((flow.clone(), no)).or_default();
    lane.queue.clear();
    lane.epoch += 1;
    let epoch = lane.epoch;
    let account = lane.account.clone().unwrap_or_else(|| Account { lane: no, ..Account::default() });
    drop(store);
    log.process.note(format_args!("claimed {flow} {no} run {} seq {}", account.run, account.seq));
    let log = log.clone();
    Ok(Held { log, flow: flow.clone(), no, epoch, account, made: VecDeque::new(), under_way: 0, lost: false })
}

/// Makes the oldest commit that was handed over; its account.
fn make_next(log: &MemoryLog, flow: &FlowId, no: LaneNo) -> Result<Option<Account>> {
    let seen = log.process.now() + if log.manner.gaps { log.process.late() } else { std::time::Duration::ZERO };
    let mut store = log.store();
    let Some(commit) = store.lanes.entry((flow.clone(), no)).or_default().queue.pop_front() else { return Ok(None) };
    for put in &commit.puts {
        log.process.note(format_args!("put {} {} {}", put.to.stream, put.to.partition, put.batch.count()));
    }
    let account = store.apply(flow, no, commit, seen, log.manner.gaps)?;
    log.process.note(format_args!("commit {} {}", store.commits, String::from_utf8_lossy(&account.encode())));
    if store.kill_behind == Some(store.commits) {
        store.kill_behind = None;
        log.process.kill();
    }
    Ok(Some(account))
}

impl Held {
    fn lose(&mut self, why: impl Into<String>) -> LaneLost {
        self.lost = true;
        LaneLost(Error::new(Kind::Doubt, why))
    }

    /// Whether this is still the newest claim.
    fn is_ours(&self) -> bool {
        let store = self.log.store();
        store.lanes.get(&(self.flow.clone(), self.no)).is_some_and(|lane| lane.epoch == self.epoch)
    }

    fn check(&mut self, what: &str) -> Result<(), LaneLost> {
        if self.lost {
            self.log.process.broke(format!("{what} on lane {}, which was lost", self.no));
        }
        self.log.process.call(format_args!("{what} {} {}", self.flow, self.no)).map_err(LaneLost)?;
        if !self.is_ours() {
            return Err(self.lose(format!("another process took lane {} of {}", self.no, self.flow)));
        }
        Ok(())
    }

    fn make(&mut self) -> Result<(), LaneLost> {
        match make_next(&self.log, &self.flow, self.no) {
            Ok(account) => self.made.extend(account),
            Err(e) => {
                self.lost = true;
                return Err(LaneLost(e));
            }
        }
        Ok(())
    }
}

impl Drop for Held {
    /// What was handed over is made by who ends well; by one that was killed as far as the dice say.
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        let queued = self.under_way - self.made.len().min(self.under_way);
        let made = if self.log.process.is_dead() { self.log.process.below(queued as u64 + 1) as usize } else { queued };
        for _ in 0..made {
            let _ = make_next(&self.log, &self.flow, self.no); // one that fails is not made
        }
        self.log.store().lanes.entry((self.flow.clone(), self.no)).or_default().queue.clear();
    }
}

impl Lane for Held {
    fn account(&self) -> &Account {
        &self.account
    }

    fn submit(&mut self, commit: Commit) -> Result<(), LaneLost> {
        self.check("submit")?;
        if self.under_way >= limits::COMMITS_UNDER_WAY {
            self.log.process.broke(format!("more than {} commits under way", limits::COMMITS_UNDER_WAY));
        }
        let mut store = self.log.store();
        store.lanes.entry((self.flow.clone(), self.no)).or_default().queue.push_back(commit);
        drop(store);
        self.under_way += 1;
        if self.made.len() + 1 == self.under_way && self.log.process.below(AT_ONCE) == 0 {
            self.make()?;
        }
        match self.log.process.comes(|f| f.doubt) {
            true => Err(self.lose("nobody answered: the commit is made or not")),
            false => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<(), LaneLost> {
        self.check("settle")?;
        if self.made.is_empty() {
            self.make()?;
        }
        if self.log.process.is_dead() {
            return Err(LaneLost(Error::machine("the process was killed")));
        }
        if self.log.process.comes(|f| f.doubt) {
            return Err(self.lose("nobody answered: the commit is made"));
        }
        let made = self.made.pop_front();
        self.account = made.ok_or_else(|| LaneLost(Error::bug("a commit is waited for that nobody handed over")))?;
        self.under_way -= 1;
        Ok(())
    }
}
