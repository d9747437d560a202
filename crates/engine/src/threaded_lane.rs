//! A held lane whose commits are made by threads of its engine, in order, while its owner goes on working.

use crate::account::Account;
use crate::engine::{Lane, LaneLost};
use crate::error::{Error, Result};
use crate::types::Commit;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// The owner's end of a lane. Its threads take commits in order, and after a failed one they end.
pub struct ThreadedLane {
    account: Account,
    submit: Option<SyncSender<Commit>>,
    settled: Mutex<Receiver<Result<Account>>>,
    threads: Vec<JoinHandle<()>>,
    closed: Error,
}

impl ThreadedLane {
    /// A lane with this account, whose commits go to `submit` and come back as accounts from `settled`.
    /// Commits behind a failed one, whose error was taken already, fail with `closed`.
    pub fn new(
        account: Account,
        submit: SyncSender<Commit>,
        settled: Receiver<Result<Account>>,
        threads: Vec<JoinHandle<()>>,
        closed: Error,
    ) -> ThreadedLane {
        ThreadedLane { account, submit: Some(submit), settled: Mutex::new(settled), threads, closed }
    }
}

impl Lane for ThreadedLane {
    fn account(&self) -> &Account {
        &self.account
    }

    fn submit(&mut self, commit: Commit) -> Result<(), LaneLost> {
        if self.submit.as_ref().is_some_and(|s| s.send(commit).is_ok()) {
            return Ok(());
        }
        // the threads have ended: the commit that failed tells why
        let settled = self.settled.get_mut().unwrap_or_else(PoisonError::into_inner);
        let why = settled.try_iter().find_map(Result::err);
        Err(LaneLost(why.unwrap_or_else(|| self.closed.clone())))
    }

    fn settle(&mut self) -> Result<(), LaneLost> {
        let settled = self.settled.get_mut().unwrap_or_else(PoisonError::into_inner).recv();
        self.account = settled.map_err(|_| LaneLost(Error::bug("the committing thread is gone")))?.map_err(LaneLost)?;
        Ok(())
    }
}

impl Drop for ThreadedLane {
    fn drop(&mut self) {
        self.submit = None; // the threads end when they have worked off what was submitted
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
