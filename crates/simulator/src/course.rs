//! One trial from its start to its end.

mod foretold;
mod mending;

use crate::compared::Compared;
use crate::drawn::Source;
use crate::drawn::model::{self, plain};
use crate::drawn::state::State;
use crate::setup::Setup;
use anabranch_engine::{
    Admin, At, Cursor, Desk, Engine, Error, FlowId, Item, Kind, Phase, Result as Done, RunRecord, StreamName,
    StreamSpec, items,
};
use anabranch_flow::check::check_text;
use anabranch_flow::model::Flow;
use anabranch_run::{DeadLetter, Options, Outcome, Repair, Report, Status, run as run_flow};
use anabranch_trial::log::MemoryLog;
use anabranch_trial::rng::Rng;
use anabranch_trial::scheduler::{Process, Scheduler};
use anabranch_trial::world::{Around, MemoryFiles, Mock, Mocked, Mocks};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A trial that takes more calls than this has no end.
const CALLS: u64 = 400_000;
/// A process is started so often in a batch, at most.
const LIVES: u64 = 12;

/// What was committed with faults is seen after so long.
const SEEN: Duration = Duration::from_secs(2);

/// How a trial went.
#[derive(Debug, Default)]
pub struct Course {
    /// Tells it from every other one.
    pub trace: u64,
    /// Runs that came to their end.
    pub runs: u64,
    /// Starts of a process.
    pub starts: u64,
    /// Items compared.
    pub items: u64,
    /// Calls of the log.
    pub calls: u64,
    /// Each call, where that was asked for.
    pub lines: Vec<String>,
}

/// What is not as it should be.
pub struct Wrong {
    pub why: String,
    pub lines: Vec<String>,
}

struct Trial<'s> {
    setup: &'s Setup,
    flow: Arc<Flow>,
    scheduler: Arc<Scheduler>,
    log: MemoryLog,
    files: Arc<MemoryFiles>,
    mocks: Arc<Mocks>,
    starts: Mutex<u64>,
    /// Errors that no run may end with.
    faults: Mutex<Vec<String>>,
}

pub fn run(setup: &Setup, told: bool) -> Result<Course, Wrong> {
    let scheduler = Scheduler::new(setup.seed, setup.faults, CALLS);
    if told {
        scheduler.write_down();
    }
    let went = trial(setup, &scheduler);
    let lines = scheduler.written();
    match went {
        Ok(course) => Ok(Course { lines, ..course }),
        Err(why) => Err(Wrong { why, lines }),
    }
}

fn trial(setup: &Setup, scheduler: &Arc<Scheduler>) -> Result<Course, String> {
    let checked = check_text(&setup.shape.yaml(), &|_| None);
    let flow = checked.flow.ok_or_else(|| format!("the flow is not valid: {:?}", checked.diagnostics))?;
    let first = scheduler.process();
    let log = MemoryLog::new(first.clone(), setup.manner);
    let files = MemoryFiles::new(first.clone());
    let echo: Mock = Arc::new(|call| Mocked { outcome: Ok(Some(call.value.clone())), after: Duration::ZERO });
    let pipes = setup.shape.steps.iter().map(|step| (step.name.clone(), echo.clone()));
    let mocks = Arc::new(Mocks(pipes.collect()));
    let (starts, faults) = (Mutex::default(), Mutex::default());
    let trial = Trial { setup, flow: Arc::new(flow), scheduler: scheduler.clone(), log, files, mocks, starts, faults };
    trial.batches(first)
}

impl Trial<'_> {
    fn batches(&self, first: Process) -> Result<Course, String> {
        let mut dice = Rng::new(self.setup.seed ^ 0x5eed);
        let (mut state, mut id, mut runs, mut items) = (State::default(), 0, 0, 0);
        let mut abandoned = false;
        let mut mending = Rng::new(self.setup.seed ^ 0x3e4d);
        let mut main = first;
        for batch in 0..self.setup.batches {
            main.begin_alone();
            self.scheduler.set_faults(self.setup.faults.ceased());
            let log = self.log.seen_by(&main);
            let mut given = self.give(&log, batch, &mut dice, &mut id).map_err(|e| format!("giving items: {e}"))?;
            let told = self.setup.foretold.then(|| self.foretell(&main, &log)).transpose()?;
            self.scheduler.set_faults(self.setup.faults);
            self.work(&main, &mut dice, None);
            main = self.scheduler.process();
            main.begin_alone();
            self.scheduler.set_faults(self.setup.faults.ceased());
            let log = self.log.seen_by(&main);
            let record = self.close(&main, &log, runs)?;
            let newest = state.batches.len();
            let made = record.number - runs;
            let reports = reports(&log, &self.flow.name)?;
            for number in runs + 1..=record.number {
                let Some(report) = reports.iter().find(|r| r.run == number) else {
                    return Err(format!("run {number} has no report"));
                };
                if self.setup.fresh && report.status == Status::Abandoned {
                    abandoned = true; // what it had published stays, and its items are read again
                    continue;
                }
                let end = model::run(&self.setup.shape, &mut state, &given);
                given.retain(|s, _| self.setup.shape.streams[*s].source == Source::File);
                if !report.balanced || u64::from(report.exit) != end.exit {
                    return Err(format!("run {number} should end with {}, balanced: {}", end.exit, short(report)));
                }
            }
            runs += made;
            if let (Some(told), 1, Some(report)) = (&told, made, reports.iter().find(|r| r.run == runs)) {
                self.came_true(told, &log, report)?;
            }
            items += self.compare(&log, &state, runs, abandoned)?;
            state.runs = runs;
            while self.setup.repairs && mending.eighths(5) && self.mend(&mut main, &mut state, &mut mending, newest)? {
                runs = state.runs;
                items += self.compare(&self.log.seen_by(&main), &state, runs, false)?;
            }
            main.end();
            main = self.scheduler.process();
        }
        let wrong = [self.scheduler.broken(), self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()];
        if let Some(wrong) = wrong.concat().first() {
            return Err(wrong.clone());
        }
        let starts = *self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let (trace, calls) = (self.scheduler.trace(), self.scheduler.calls());
        Ok(Course { trace, runs, starts, items, calls, lines: vec![] })
    }

    /// Gives each source its items of a batch.
    fn give(&self, log: &MemoryLog, batch: u64, dice: &mut Rng, id: &mut u64) -> Done<BTreeMap<usize, Vec<Value>>> {
        let mut given = BTreeMap::new();
        for (s, of) in self.setup.shape.streams.iter().enumerate().filter(|(_, s)| s.source != Source::Step) {
            let n = if dice.eighths(1) { 0 } else { dice.below(self.setup.items) };
            let mut item = || {
                *id += 1;
                json!({ "id": *id, "g": dice.below(4), "v": dice.below(9) })
            };
            let items: Vec<Value> = (0..n).map(|_| item()).collect();
            match of.source {
                Source::Topic(partitions) => {
                    let stream = StreamName::new(&of.name)?;
                    if batch == 0 {
                        log.ensure(None, &[StreamSpec::new(stream.clone(), partitions)])?;
                    }
                    let half = items.len() / 2;
                    for part in [&items[..half], &items[half..]].iter().filter(|part| !part.is_empty()) {
                        let mut place = || dice.below(u64::from(partitions)) as u32;
                        let placed: Vec<(u32, Item)> =
                            part.iter().map(|i| (place(), Item::of(i.to_string(), 1))).collect();
                        log.append(&stream, &placed)?;
                    }
                }
                _ => {
                    let text: String = items.iter().map(|i| i.to_string() + "\n").collect();
                    self.files.give(&format!("{}.in.jsonl", of.name), text.into_bytes());
                }
            }
            given.insert(s, items);
        }
        Ok(given)
    }

    /// Processes work the flow, until one of them has closed a run.
    fn work(&self, main: &Process, dice: &mut Rng, repair: Option<&Repair>) {
        let over = Arc::new(AtomicBool::new(false));
        let processes: Vec<Process> = (0..self.setup.processes).map(|_| self.scheduler.process()).collect();
        let seeds: Vec<u64> = processes.iter().map(|_| dice.draw()).collect();
        std::thread::scope(|scope| {
            for (process, seed) in processes.into_iter().zip(seeds) {
                let over = over.clone();
                scope.spawn(move || {
                    process.begin();
                    self.live(process.clone(), &mut Rng::new(seed), &over, repair);
                    process.end();
                });
            }
            main.end();
        });
    }

    /// A process that is started again and again.
    fn live(&self, mut process: Process, dice: &mut Rng, over: &AtomicBool, repair: Option<&Repair>) {
        let mut once_more = dice.eighths(3);
        for _ in 0..LIVES {
            process.sleep(Duration::from_millis(dice.below(3_000)));
            if over.load(Ordering::Relaxed) && !std::mem::take(&mut once_more) {
                return;
            }
            let stop = Arc::new(AtomicBool::new(false));
            let seen = match dice.eighths(1) {
                true => process.with_alarm(Duration::from_millis(dice.below(500)), stop.clone()),
                false => process.clone(),
            };
            let fresh = self.setup.fresh && dice.eighths(2);
            let workers = 1 + dice.below(3) as usize;
            let options = Options { stop, fresh, workers, repair: repair.cloned(), ..Options::default() };
            match self.once(&seen, options) {
                Ok(Outcome::Closed(_)) => over.store(true, Ordering::Relaxed),
                Ok(Outcome::Stopped(_)) => {}
                // another process has done it
                Err(e) if repair.is_some() && e.kind == Kind::Usage && is_done(e.text.as_str()) => {
                    over.store(true, Ordering::Relaxed);
                }
                Err(e) => self.judge(&e),
            }
            if process.is_dead() {
                self.files.seen_by(&process).cut();
                process = process.again();
            }
        }
    }

    /// One call of the command, as it were.
    fn once(&self, process: &Process, options: Options) -> Done<Outcome> {
        *self.starts.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let around = Around::of(process, &self.files, &self.mocks);
        run_flow(self.flow.clone(), Arc::new(self.log.seen_by(process)), around.world.clone(), options)
    }

    /// Errors that a run may end with are those of a machine, and of one that is told to stop.
    fn judge(&self, e: &Error) {
        if !matches!(e.kind, Kind::Machine | Kind::Stopped | Kind::Busy | Kind::Doubt) {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{:?}: {e}", e.kind));
        }
    }

    /// Faults have ceased: a run that is open comes to its end, and there is one.
    fn close(&self, main: &Process, log: &MemoryLog, before: u64) -> Result<RunRecord, String> {
        for _ in 0..2 {
            main.sleep(SEEN); // all that was committed is seen
            let newest = log.accounts(&self.flow.name, &mut Cursor::default(), Duration::ZERO);
            let record = newest.map_err(|e| e.to_string())?.into_iter().find_map(|a| a.record);
            if let Some(record) =
                record.filter(|r| r.number > before && r.phase.closed() && r.phase != Phase::Abandoned)
            {
                return Ok(record);
            }
            let ended = self.once(main, Options { workers: 1, ..Options::default() });
            match ended {
                Ok(Outcome::Closed(_)) => {}
                Ok(Outcome::Stopped(_)) => return Err("a run stopped that nobody told to".into()),
                Err(e) => return Err(format!("faults have ceased, and a run ends with {:?}: {e}", e.kind)),
            }
        }
        Err("a run has closed, and is still open".into())
    }

    /// What is there beside what the model says.
    fn compare(&self, log: &MemoryLog, state: &State, runs: u64, abandoned: bool) -> Result<u64, String> {
        let mut compared = Compared::default();
        for (what, want) in &state.holds {
            let want: Vec<String> = want.iter().map(|l| plain(l)).collect();
            let got = self.read(log, what).map_err(|e| format!("reading {what}: {e}"))?;
            let got = if abandoned { once_too_often(&want, &got) } else { got };
            if let Some((n, line)) = compared.differs(&want, &got) {
                let sorted = |mut lines: Vec<&str>| {
                    lines.sort_unstable();
                    lines.join("\n  ")
                };
                let want = sorted(want.iter().map(String::as_str).collect());
                let got = sorted(got.lines().collect());
                let told = format!("after run {runs} {what} differs by {n:+} of {line}; it should hold\n  {want}");
                return Err(format!("{told}\nand holds\n  {got}"));
            }
        }
        Ok(compared.items)
    }

    fn read(&self, log: &MemoryLog, what: &str) -> Done<String> {
        if let Some(stream) = what.strip_prefix("stream:") {
            let mut out = String::new();
            each(log, &StreamName::new(stream)?, |item| {
                out += &(plain(&String::from_utf8_lossy(item.value.as_deref().unwrap_or_default())) + "\n");
            })?;
            return Ok(out);
        }
        if what == "dead" {
            let mut out = String::new();
            each(log, &self.flow.name.own("dead")?, |item| {
                let failed = DeadLetter::read(item).failed;
                let value = String::from_utf8_lossy(failed.item.value.as_deref().unwrap_or_default()).into_owned();
                out += &format!("{} {}\n", failed.step, plain(&value));
            })?;
            return Ok(out);
        }
        let bytes = match what.contains(".batch-") {
            true => self.files.found_all(what),
            false => self.files.found(what).unwrap_or_default(),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(text.lines().map(|l| plain(l) + "\n").collect())
    }
}

/// What was found, without what a run that was abandoned may have published before: lines that are wanted, more often.
fn once_too_often(want: &[String], got: &str) -> String {
    let mut left: BTreeMap<&str, u64> = BTreeMap::new();
    want.iter().for_each(|line| *left.entry(line).or_default() += 1);
    let mut out = String::new();
    for line in got.lines() {
        match left.get_mut(line) {
            Some(0) => {}
            Some(n) => {
                *n -= 1;
                out += &format!("{line}\n");
            }
            None => out += &format!("{line}\n"),
        }
    }
    out
}

/// All items of a stream.
fn each(log: &MemoryLog, stream: &StreamName, mut take: impl FnMut(Item)) -> Done<()> {
    (0..).zip(log.span(stream)?).try_for_each(|(p, span)| each_at(log, (stream, p, span), |_, item| take(item)))
}

/// What is said of a repair that another process has done.
fn is_done(text: &str) -> bool {
    ["is settled already", "is open for batch", "which worked for it last"].iter().any(|said| text.contains(said))
}

/// The items of a stretch of a stream.
fn each_at(
    log: &MemoryLog,
    (stream, partition, span): (&StreamName, u32, Range<i64>),
    mut take: impl FnMut(i64, Item),
) -> Done<()> {
    let at = At { stream: stream.clone(), partition, offset: span.start };
    let _ = items(log, at, span.end, |offset, item| {
        take(offset, item);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}

fn reports(log: &MemoryLog, flow: &FlowId) -> Result<Vec<Report>, String> {
    let kept = log.reports(flow).map_err(|e| e.to_string())?;
    kept.iter().map(|(_, json)| serde_json::from_str(json).map_err(|e| e.to_string())).collect()
}

fn short(report: &Report) -> String {
    format!("it ends with {}, balanced: {}, {:?}", report.exit, report.balanced, report.imbalance)
}
