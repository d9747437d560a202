//! A lane that this process holds: its account with what is pending, and its commits.

use crate::context::RunContext;
use crate::worker::pending::Pending;
use crate::worker::sinks::Sinks;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{Account, Commit, Error, Kind, Lane, Result, limits};

/// A lane at work.
pub struct LaneAtWork {
    lane: Box<dyn Lane>,
    /// The account with what is pending.
    pub account: Account,
    /// What is done and not committed.
    pub pending: Pending,
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
        Ok(LaneAtWork { lane, account, pending: Pending::default(), unsettled: 0, leaving: false })
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
        sinks.write(context, &mut self.pending.sinks, &mut self.account)?;
        let puts = self.pending.puts(context, &mut self.account)?;
        self.account.seq += 1;
        let entries = self.account.read.len() + self.account.ends.len();
        if entries > limits::ACCOUNT_ENTRIES {
            let most = limits::ACCOUNT_ENTRIES;
            let text = format!("the flow has {entries} readers and written partitions, at most {most} are possible");
            return Err(Error::usage(text).help("use fewer partitions or shards"));
        }
        self.lane.submit(Commit { puts, account: self.account.clone() })?;
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
