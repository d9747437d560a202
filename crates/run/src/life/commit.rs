//! Commits of a run that no piece of input asks for.

use crate::context::RunContext;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{Account, Commit, Lane, Put, Result, RunRecord};

/// Commits the account of a lane with a change.
pub fn commit(lane: &mut dyn Lane, change: impl FnOnce(&mut Account)) -> Result<()> {
    commit_with(lane, vec![], change)
}

/// The same, together with batches.
pub fn commit_with(lane: &mut dyn Lane, puts: Vec<Put>, change: impl FnOnce(&mut Account)) -> Result<()> {
    let mut account = lane.account().clone();
    change(&mut account);
    account.seq += 1;
    lane.submit(Commit { puts, account })?;
    lane.settle()?;
    Ok(())
}

/// Takes the other lanes, and tells them the number of the next run: nobody works them for this one any more. Their
/// accounts as they were.
pub fn fence(context: &RunContext, record: &RunRecord) -> Result<Vec<Account>> {
    let mut accounts = vec![];
    for other in 1..context.lanes {
        let mut other = context.engine.claim(&context.flow.name, other)?;
        accounts.push(other.account().clone());
        commit(&mut *other, |account| {
            let (lane, seq) = (account.lane, account.seq);
            *account = Account { version: ACCOUNT_VERSION, lane, seq, run: record.number + 1, ..Account::default() };
        })?;
    }
    Ok(accounts)
}
