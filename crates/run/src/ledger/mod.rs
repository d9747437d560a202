//! Which lane has what, and the accounts of all of them.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod arrivals;
pub mod derive;
pub mod facts;
pub mod marks;
pub mod positions;
pub mod report;
pub mod view;

use crate::context::RunContext;
use anabranch_engine::account::Reader;
use anabranch_engine::{Account, Next, RunRecord};
use std::collections::BTreeMap;

/// How a run stands: what every part of it knows, the newest accounts of its lanes, and its record. What follows from
/// these three are its methods.
#[derive(Clone, Copy)]
pub struct Standing<'a> {
    /// What does not change.
    pub context: &'a RunContext,
    /// The newest accounts, as far as they are known.
    pub accounts: &'a [Account],
    /// The record of the run.
    pub record: &'a RunRecord,
}

/// The newest account of each lane in one run, as far as they are known.
#[derive(Debug, Default)]
pub struct Ledger {
    run: u64,
    superseded: bool,
    accounts: Vec<Account>,
}

impl Ledger {
    /// How the run stands with these accounts, and this record of it.
    pub fn standing<'a>(&'a self, context: &'a RunContext, record: &'a RunRecord) -> Standing<'a> {
        Standing { context, accounts: &self.accounts, record }
    }

    /// What is known of a run.
    pub fn new(run: u64, accounts: impl IntoIterator<Item = Account>) -> Ledger {
        let mut ledger = Ledger { run, superseded: false, accounts: vec![] };
        for account in accounts {
            ledger.learn(account);
        }
        ledger
    }

    /// Takes an account if it is news; accounts of other runs say nothing of this one.
    pub fn learn(&mut self, account: Account) -> bool {
        if account.run != self.run {
            self.superseded |= account.lane == 0 && account.run > self.run;
            return false;
        }
        match self.accounts.iter_mut().find(|a| a.lane == account.lane) {
            Some(known) if known.seq >= account.seq => return false,
            Some(known) => *known = account,
            None => self.accounts.push(account),
        }
        true
    }

    /// How far each reader is.
    pub fn positions(&self) -> BTreeMap<Reader, Next> {
        let mut all: BTreeMap<Reader, Next> = BTreeMap::new();
        for (reader, next) in self.accounts.iter().flat_map(|a| &a.read) {
            let furthest = all.entry(reader.clone()).or_insert(*next);
            if next.next > furthest.next {
                *furthest = *next;
            }
        }
        all
    }

    /// All of them.
    pub fn all(&self) -> &[Account] {
        &self.accounts
    }

    /// Whether the run is closed, or a later one is open.
    pub fn is_over(&self) -> bool {
        self.superseded || self.record().is_some_and(|r| r.phase.closed())
    }

    /// The record of the run, as far as it is known.
    pub fn record(&self) -> Option<&RunRecord> {
        self.accounts.iter().find_map(|a| a.record.as_ref())
    }
}
