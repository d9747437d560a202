//! A lane that this process holds: its account with what is pending, and its commits.

use crate::context::RunContext;
use crate::ledger::marks::Mark;
use crate::piece::outcome::Outcome;
use crate::worker::pending::Pending;
use crate::worker::sinks::Sinks;
use crate::world::{Clock, Moment};
use anabranch_engine::account::{ACCOUNT_VERSION, Reader};
use anabranch_engine::{Account, Commit, Error, Kind, Lane, Next, Result, limits};
use std::sync::Arc;

/// What the next commit of a lane says more than the last one: where readers got to, and what came of what they read.
#[must_use]
#[derive(Default)]
pub struct Advance {
    readers: Vec<(Reader, Next)>,
    outcome: Outcome,
}

impl Advance {
    /// What came of something; its marks are those of the account from then on.
    pub fn of(outcome: Outcome) -> Advance {
        Advance { readers: vec![], outcome }
    }

    /// A reader got to `next`, and took so many items more.
    pub fn read(mut self, reader: Reader, next: i64, items: u64) -> Advance {
        self.readers.push((reader, Next { next, items }));
        self
    }

    /// Sets a mark.
    pub fn mark(mut self, mark: Mark, n: u64) -> Advance {
        self.outcome.marks.insert(mark.to_string(), n);
        self
    }

    /// Whether it says that the run must stop.
    pub fn stops(&self) -> bool {
        self.outcome.stop.is_some()
    }
}

/// A lane at work.
pub struct LaneAtWork {
    lane: Box<dyn Lane>,
    clock: Arc<dyn Clock>,
    /// The account with what is pending.
    account: Account,
    /// What is done and not committed.
    pending: Pending,
    /// Commits that are not settled.
    pub unsettled: usize,
    /// It is to be given to another process: nothing new is begun in it.
    pub leaving: bool,
}

impl LaneAtWork {
    /// A lane as it was claimed. What its account says of earlier runs counts no more.
    pub fn new(context: &RunContext, lane: Box<dyn Lane>) -> Result<LaneAtWork> {
        let found = lane.account();
        let account = match found.run.cmp(&context.number) {
            std::cmp::Ordering::Equal => found.clone(),
            std::cmp::Ordering::Less => Account {
                version: ACCOUNT_VERSION,
                flow_hash: context.flow.hash.clone(),
                lane: found.lane,
                run: context.number,
                seq: found.seq,
                ..Account::default()
            },
            std::cmp::Ordering::Greater => {
                let text = format!("lane {} is in run {} already", found.lane, found.run);
                return Err(Error::new(Kind::Doubt, text));
            }
        };
        let clock = context.world.clock.clone();
        Ok(LaneAtWork { lane, clock, account, pending: Pending::default(), unsettled: 0, leaving: false })
    }

    /// Takes what the next commit will say: the only way into a lane. Of something that must stop the run nothing is taken.
    pub fn take(&mut self, advance: Advance) -> Result<()> {
        let Advance { readers, mut outcome } = advance;
        if let Some(stop) = outcome.stop.take() {
            return Err(stop);
        }
        for (reader, Next { next, items }) in readers {
            let read = self.account.read.entry(reader).or_insert(Next { next, items: 0 });
            *read = Next { next, items: read.items + items };
        }
        self.pending.add(&mut self.account, outcome, &*self.clock)
    }

    /// The account with what is pending.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Bytes that wait for the next commit.
    pub fn bytes(&self) -> usize {
        self.pending.bytes
    }

    /// Since when the oldest waits for the next commit.
    pub fn since(&self) -> Option<Moment> {
        self.pending.since
    }

    /// The account as committed.
    pub fn settled(&self) -> &Account {
        self.lane.account()
    }

    /// Whether somebody else has committed in this lane meanwhile.
    pub fn is_behind(&self, news: &Account) -> bool {
        (news.run, news.seq) > (self.account.run, self.account.seq)
    }

    /// Whether nothing is pending or under way.
    pub fn is_idle(&self) -> bool {
        self.unsettled == 0 && self.pending.since.is_none()
    }

    /// Commits everything that is pending. Sinks are written and synced before the commit tells of them.
    pub fn commit(&mut self, context: &RunContext, sinks: &mut Sinks) -> Result<()> {
        if self.pending.since.is_none() {
            return Ok(());
        }
        let (lane, unsettled) = (&mut *self.lane, &mut self.unsettled);
        let held = &mut || still_held(context, lane, unsettled);
        sinks.write(context, &mut self.pending.sinks, &mut self.account, held)?;
        let puts = self.pending.puts(context, &mut self.account)?;
        self.account.seq += 1;
        let entries = self.account.read.len() + self.account.ends.len();
        if entries > limits::ACCOUNT_ENTRIES {
            let most = limits::ACCOUNT_ENTRIES;
            let text = format!("the flow has {entries} readers and written partitions, at most {most} are possible");
            return Err(Error::usage(text).help("use fewer partitions or shards"));
        }
        self.lane.submit(Commit { puts, account: self.account.clone(), report: None })?;
        self.unsettled += 1;
        Ok(())
    }

    /// Waits until the oldest commit is durable.
    pub fn settle(&mut self) -> Result<()> {
        self.lane.settle()?;
        self.unsettled -= 1;
        self.account.ends.clone_from(&self.lane.account().ends);
        Ok(())
    }

    /// The lane itself, to close the run with.
    pub fn lane(&mut self) -> &mut dyn Lane {
        &mut *self.lane
    }
}

/// Where a lane can be taken, commits the last account once more: nobody but its holder can. What is done behind that outside
/// the log is done for a run that goes on.
pub fn still_held(context: &RunContext, lane: &mut dyn Lane, unsettled: &mut usize) -> Result<()> {
    if !context.engine.lanes_can_be_taken() {
        return Ok(());
    }
    while *unsettled > 0 {
        lane.settle()?;
        *unsettled -= 1;
    }
    let account = lane.account().clone();
    lane.submit(Commit { account, ..Commit::default() })?;
    lane.settle()?;
    Ok(())
}
