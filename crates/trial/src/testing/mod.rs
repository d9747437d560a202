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
use anabranch_engine::{Cursor, Desk, Engine, Error, Result};
use anabranch_flow::format::{FileFormat, Format};
use anabranch_flow::model::{Flow, SourceAt, Writer};
use anabranch_flow::suite::Test;
use anabranch_run::{Options, Outcome, Report, run as run_flow};
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
    let (report, process) = to_the_end(&flow, test, &log, process)?;
    let log = log.seen_by(&process);
    let (mut wrong, found) = compare::all(&log, &flow, test, &report)?;
    wrong.splice(0..0, compare::report(&flow, test, &report));
    Ok(Went { wrong, commits: log.commits(), found })
}

/// Runs the flow until it has closed; a run that is killed is started again, by another process.
fn to_the_end(flow: &Arc<Flow>, test: &Test, log: &MemoryLog, mut process: Process) -> Result<(Report, Process)> {
    let files = MemoryFiles::new(process.clone());
    let mocks = Arc::new(Mocks(mocks::of(flow, test)));
    for _ in 0..STARTS {
        let around = Around::of(&process, &files, &mocks);
        let seen = log.seen_by(&process);
        let options = Options { workers: 2, ..Options::default() };
        match run_flow(flow.clone(), Arc::new(seen), around.world.clone(), options) {
            Ok(Outcome::Closed(report)) => return Ok((report, process)),
            Ok(Outcome::Stopped(_)) => return Err(Error::bug("the test was told to stop")),
            Err(e) if !process.is_dead() => return Err(e),
            Err(_) => {}
        }
        drop(around);
        files.cut();
        process = process.again();
        if let Some(report) = closed(flow, &log.seen_by(&process))? {
            return Ok((report, process));
        }
    }
    Err(Error::bug("a run that was killed once does not come to its end"))
}

/// The report of the run, if the process was killed when that had closed.
fn closed(flow: &Flow, log: &MemoryLog) -> Result<Option<Report>> {
    let accounts = log.accounts(&flow.name, &mut Cursor::default(), Duration::ZERO)?;
    if !accounts.iter().filter_map(|a| a.record.as_ref()).any(|r| r.phase.closed()) {
        return Ok(None);
    }
    let kept = log.reports(&flow.name)?;
    let read = kept.last().map(|(_, json)| serde_json::from_str(json));
    read.transpose().map_err(|e| Error::bug(format!("a report cannot be read: {e}")))
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
