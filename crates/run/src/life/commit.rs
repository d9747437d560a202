//! Commits of a run that no piece of input asks for.

use crate::context::RunContext;
use crate::ledger::report::Report;
use crate::life::reports::kept;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{Account, Commit, Error, KeptReport, Kind, Lane, Put, Result, RunRecord};

/// Commits the account of a lane with a change.
pub fn commit(lane: &mut dyn Lane, change: impl FnOnce(&mut Account)) -> Result<()> {
    commit_all(lane, Commit::default(), change)
}

/// Commits the account of a lane with a change, batches, and a report.
pub fn commit_with(
    lane: &mut dyn Lane,
    puts: Vec<Put>,
    report: KeptReport,
    change: impl FnOnce(&mut Account),
) -> Result<()> {
    commit_all(lane, Commit { puts, report: Some(report), ..Commit::default() }, change)
}

/// Commits the account with a change that closes the run, its report, and batches.
pub fn commit_closed(
    lane: &mut dyn Lane,
    puts: Vec<Put>,
    report: &Report,
    change: impl FnOnce(&mut Account),
) -> Result<()> {
    commit_with(lane, puts, KeptReport { run: report.run, json: kept(report) }, change)
}

fn commit_all(lane: &mut dyn Lane, commit: Commit, change: impl FnOnce(&mut Account)) -> Result<()> {
    let mut account = lane.account().clone();
    change(&mut account);
    account.seq += 1;
    lane.submit(Commit { account, ..commit })?;
    lane.settle()?;
    Ok(())
}

/// Takes the other lanes, and tells them the number of the next run: nobody works them for this one any more. Their
/// accounts as they were. A lane in which a later run has done something shows that the chair was lost.
pub fn fence(context: &RunContext, record: &RunRecord) -> Result<Vec<Account>> {
    let mut accounts = vec![];
    for other in 1..context.lanes {
        let mut other = context.engine.claim(&context.flow.name, other)?;
        let found = other.account().clone();
        let idle = found.read.is_empty() && found.ends.is_empty() && found.tally.is_empty() && found.marks.is_empty();
        if found.run > record.number + u64::from(idle) {
            let text = format!("lane {} is in run {} already", found.lane, found.run);
            return Err(Error::new(Kind::Doubt, text));
        }
        accounts.push(found);
        commit(&mut *other, |account| {
            let (lane, seq) = (account.lane, account.seq);
            *account = Account { version: ACCOUNT_VERSION, lane, seq, run: record.number + 1, ..Account::default() };
        })?;
    }
    Ok(accounts)
}
