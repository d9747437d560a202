//! Tests of a flow: it runs on a log in memory with what a test gives, its actions answer as the test says, and what comes of
//! it is compared. No file, no program, no server, no waiting.
//!
//! ```
//! use anabranch_flow::check::check_text;
//! use anabranch_flow::suite;
//! use anabranch_trial::testing::{How, run};
//!
//! let text = "
//! flow: big
//! streams: { sales: {} }
//! steps: { big: { filter: sales, where: item.amount > 10, to: out }, all: { merge: out } }
//! tests:
//!   only-big-ones: { given: { sales: [{ amount: 5 }, { amount: 20 }] }, expect: { out: [{ amount: 20 }] } }
//! ";
//! let flow = check_text(text, &|_| None).flow.expect("a flow");
//! let (tests, faults) = suite::of_text(text, &flow);
//! assert!(faults.is_empty(), "{faults:?}");
//! assert_eq!(run(&flow, &tests[0], How::default()).wrong, []);
//! ```

mod compare;
mod items;
mod mocks;

pub use compare::{Line, Mark, Wrong};

use crate::faults::Faults;
use crate::log::{Manner, MemoryLog};
use crate::scheduler::{Process, Scheduler};
use crate::world::{Around, MemoryFiles, Mocks};
use anabranch_engine::{Cursor, Engine, Error, Result, RunRecord};
use anabranch_flow::format::{FileFormat, Format};
use anabranch_flow::model::{Flow, SourceAt, Writer};
use anabranch_flow::number::StepNo;
use anabranch_flow::suite::{After, Answer, Deed, Test};
use anabranch_run::{
    ByHand, Letters, Like, Makes, Options, Outcome, Repair, Report, Way, edit, run as run_flow, saved_report,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A test that makes more calls than this has no end.
const CALLS: u64 = 20_000_000;
/// Starts of a run that is killed, at most.
const STARTS: usize = 5;

/// How a test is run.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Decides what comes first where the order is free.
    pub seed: u64,
    /// Lanes of the flow, at most; with more than one the log is as Kafka is.
    pub lanes: u32,
    /// The run is killed behind this commit, counted from 1, and goes on.
    pub killed_behind: Option<u64>,
}

impl Default for How {
    fn default() -> How {
        How { seed: 0, lanes: 1, killed_behind: None }
    }
}

/// How a test went.
#[derive(Debug, Clone, Default)]
pub struct Went {
    /// What is not as the test says.
    pub wrong: Vec<Wrong>,
    /// Commits of the run.
    pub commits: u64,
    /// What the streams had that the test expects something of, and the dead letters, by name, as JSON.
    pub found: Vec<(String, Vec<String>)>,
}

/// Runs a test once. The flow is the one that its text was checked to be, with the variables of the test.
pub fn run(flow: &Flow, test: &Test, how: How) -> Went {
    carried_out(flow, test, how).unwrap_or_else(|e| Went { wrong: vec![Wrong::of(e.to_string())], ..Went::default() })
}

/// Kills a test behind each of its commits ([`Went::commits`]), one after the other, lets it go on each time, and compares.
pub fn crash(flow: &Flow, test: &Test, commits: u64) -> Vec<(u64, Wrong)> {
    let each = (1..=commits).flat_map(|behind| {
        let how = How { killed_behind: Some(behind), ..How::default() };
        run(flow, test, how).wrong.into_iter().map(move |wrong| (behind, wrong))
    });
    each.collect()
}

/// Runs a test in `n` orders; those that went wrong, by seed.
pub fn shuffle(flow: &Flow, test: &Test, n: u64) -> Vec<(u64, Wrong)> {
    let each = (1..=n).flat_map(|seed| {
        let how = How { seed, lanes: 1 + (seed % 8) as u32, ..How::default() };
        run(flow, test, how).wrong.into_iter().map(move |wrong| (seed, wrong))
    });
    each.collect()
}

fn carried_out(flow: &Flow, test: &Test, how: How) -> Result<Went> {
    let flow = Arc::new(staged(flow, test));
    let scheduler = Scheduler::new(how.seed, Faults::none(), CALLS);
    let process = scheduler.process();
    process.begin_alone();
    let manner = Manner { lanes: how.lanes, gaps: how.lanes > 1 };
    let log = MemoryLog::new(process.clone(), manner);
    items::give(&log, &flow, test)?;
    if let Some(commit) = how.killed_behind {
        log.kill_behind(commit);
    }
    let files = MemoryFiles::new(process.clone());
    let mut mocked = test.mock.clone();
    let (mut report, mut process) = to_the_end((&flow, &mocked), (&log, &files), process, (1, None))?;
    for (no, after) in (2..).zip(&test.after) {
        mocked.extend(after.mock.clone());
        let repair = Some(repair(&flow, after)?);
        (report, process) = to_the_end((&flow, &mocked), (&log, &files), process, (no, repair))?;
    }
    let log = log.seen_by(&process);
    let (mut wrong, found) = compare::all(&log, &flow, test, &report)?;
    wrong.splice(0..0, compare::report(&flow, test, &report));
    Ok(Went { wrong, commits: log.commits(), found })
}

/// What is done with the batch of a test.
fn repair(flow: &Arc<Flow>, after: &After) -> Result<Repair> {
    let mut repair = Repair { late: after.late, ..Repair::of(1) };
    if after.way == Deed::Open {
        let step = after.steps.first().map(|s| flow.steps[*s].name.clone()).unwrap_or_default();
        repair.open = Some(ByHand { step, by: "the test".into(), reason: None });
        return Ok(repair);
    }
    let way = match &after.way {
        Deed::Retry | Deed::Open => Way::Retry,
        Deed::Skip => Way::Skip,
        Deed::Edit { text, fields } => Way::Edit(edit(flow, text, if *fields { Makes::Fields } else { Makes::Value })?),
        Deed::Settle(result) => Way::Settle(result.clone().map(Into::into)),
    };
    let steps = after.steps.iter().map(|s| Some(flow.steps[*s].name.clone()));
    let steps: Vec<Option<String>> = if after.steps.is_empty() { vec![None] } else { steps.collect() };
    repair.choices =
        steps.into_iter().map(|step| (Letters::All(Like { step, ..Like::default() }), way.clone())).collect();
    Ok(repair)
}

/// Runs the flow until this run has closed; one that is killed is started again, by another process.
fn to_the_end(
    (flow, mocked): (&Arc<Flow>, &BTreeMap<StepNo, Vec<Answer>>),
    (log, files): (&MemoryLog, &Arc<MemoryFiles>),
    mut process: Process,
    (no, repair): (u64, Option<Repair>),
) -> Result<(Report, Process)> {
    let mocks = Arc::new(Mocks(mocks::of(flow, mocked)));
    for _ in 0..STARTS {
        let around = Around::of(&process, files, &mocks);
        let seen = log.seen_by(&process);
        let options = Options { workers: 2, repair: repair.clone(), ..Options::default() };
        match run_flow(flow.clone(), Arc::new(seen), around.world.clone(), options) {
            Ok(Outcome::Closed(report)) => return Ok((report, process)),
            Ok(Outcome::Stopped(_)) => return Err(Error::bug("the test was told to stop")),
            Err(e) if !process.is_dead() => return Err(e),
            Err(_) => {}
        }
        drop(around);
        files.seen_by(&process).cut();
        process = process.again();
        if let Some(report) = closed(flow, &log.seen_by(&process), no)? {
            return Ok((report, process));
        }
    }
    Err(Error::bug("a run that was killed once does not come to its end"))
}

/// The report of a run, if the process was killed when that had closed.
fn closed(flow: &Flow, log: &MemoryLog, no: u64) -> Result<Option<Report>> {
    let accounts = log.accounts(&flow.name, &mut Cursor::default(), Duration::ZERO)?;
    let has_closed = |r: &RunRecord| r.number == no && r.phase.closed();
    if !accounts.iter().filter_map(|a| a.record.as_ref()).any(has_closed) {
        return Ok(None);
    }
    saved_report(log, &flow.name, no)
}

/// The flow with what the test gives in the place of its sources, and all streams kept that the test looks at.
fn staged(flow: &Flow, test: &Test) -> Flow {
    let mut flow = flow.clone();
    for s in flow.stream_nos() {
        let stream = &mut flow.streams[s];
        if let Some(source) = stream.source.as_mut().filter(|_| stream.writer == Writer::Source) {
            let given = test.given.get(&s).into_iter().flatten();
            source.from = SourceAt::Items(given.map(|item| items::written(item, stream.format)).collect());
            source.holds = if stream.format == Format::Json { FileFormat::Jsonl } else { FileFormat::Lines };
        }
        if test.expect.contains_key(&s) {
            (stream.declared, stream.keep) = (true, true);
        }
    }
    flow
}
