//! The runner: opens a run or takes one up, works its lanes, closes it with a report.

mod arrivals;
mod berth;
mod call;
mod chunk;
mod close;
mod convert;
mod crew;
pub mod facts;
mod finals;
mod folds;
pub mod frame;
mod gather;
mod give;
mod groups;
pub mod io;

pub mod lanes;
mod lines;
pub mod look;
mod manifests;
mod marks;
mod open;
mod pair;
mod pending;
mod pool;
mod positions;
mod record;
mod render;
pub mod repair;
pub mod report;
mod sinks;
mod stall;
mod stdin;
mod track;
mod trial;
pub mod view;
mod window;
mod work;

pub use close::saved_reports;
pub use io::World;
pub use open::own_stream;
pub use repair::Repair;
pub use report::Report;
pub use view::RunView;

use crate::model::{Flow, Kind, Writer};
use crate::patterns::Vars;
use crate::plan::{How, Node, Plan, Root, plan};
use anabranch_engine::{
    Admin, Again, Crew, Cursor, Error, Kind as ErrorKind, Lane, Phase, Result, RunRecord, StreamName, limits,
};
use lanes::Ledger;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use work::{Ended, Work};

/// How a run is to be done.
#[derive(Default)]
pub struct Options {
    /// Set by others to stop the run: what is finished is committed, the rest is done when it is run again.
    pub stop: Arc<AtomicBool>,
    /// Abandon an open run first.
    pub fresh: bool,
    /// Work for a batch that is held, instead of a new one.
    pub repair: Option<Repair>,
    /// Worker threads; 0 = one for each core.
    pub workers: usize,
    /// Shown a few times in a second while the run works.
    pub progress: Option<Box<Show>>,
    /// Told once what the engine leaves out, and which run is taken up.
    pub note: Option<Box<Note>>,
}

/// Is shown how a run is.
pub type Show = dyn FnMut(&RunView) + Send;
/// Is told something once.
pub type Note = dyn FnMut(&str) + Send;

impl Options {
    fn note(&mut self, text: &str) {
        if let Some(note) = &mut self.note {
            note(text);
        }
    }
}

/// A place where positions are kept: a partition of a stream.
pub type Spot = (StreamName, u32);

/// What every part of a run needs to know. It does not change while the run works.
pub struct Shared {
    /// The flow.
    pub flow: Arc<Flow>,
    /// How it is carried out.
    pub plan: Plan,
    /// Where its streams live.
    pub engine: Arc<dyn Admin>,
    /// What lies outside.
    pub world: Arc<dyn World>,
    /// The run and the variables, for expressions.
    pub vars: Vars,
    /// Number of the run.
    pub number: u64,
    /// Lanes of the flow.
    pub lanes: u32,
    /// Partitions of each stream.
    pub partitions: Vec<u32>,
    /// For each unit: whether it looks into items.
    pub looks: Vec<bool>,
    /// For each stream: whether its source sets headers.
    pub with_headers: Vec<bool>,
    /// Whether file sources also number their lines: they are counted only if somebody looks at headers.
    pub with_numbers: bool,
    /// The stream of dead letters.
    pub dead: StreamName,
    /// The stream of the lists of files.
    pub manifest: StreamName,
    /// The stream of dead letters as one of the flow's, and those that are tried again.
    pub again: Option<(usize, Vec<Again>)>,
    /// Sinks that write beside their place, with what their files have behind the name.
    pub beside: BTreeMap<usize, String>,
    /// Sources that are files.
    readings: BTreeMap<usize, lines::Reading>,
}

impl Shared {
    /// Start of the run, milliseconds since 1970-01-01 UTC.
    pub fn started(&self) -> i64 {
        self.vars.run.started.as_millisecond()
    }

    /// Where positions in what a root reads are kept: its stream's partition, or, for the bytes of
    /// files, the place of the stream in the manifest. Bytes and offsets never share a place.
    pub fn spot(&self, how: How, stream: usize, p: u32) -> Spot {
        match how {
            How::Lines => (self.manifest.clone(), stream as u32),
            How::Log | How::Stdin => (self.flow.streams[stream].at.clone(), p),
        }
    }

    /// Whether a root goes on in the next run where it is in this one: it reads a stream from outside, or is a side of a
    /// pair whose stream goes on. Every other one begins where its run does.
    pub fn is_carried(&self, root: &Root) -> bool {
        if root.how != How::Log {
            return false;
        }
        let pairs = matches!(root.node, Node::Step(s) if matches!(self.flow.steps[s].kind, Kind::Pair(_)));
        self.flow.streams[root.from].writer == Writer::Outside || (pairs && self.flow.goes_on(root.of))
    }

    /// Whether a stream is what a join lets through.
    pub fn is_view(&self, stream: usize) -> bool {
        match self.flow.streams[stream].writer {
            Writer::Step(w, _) => {
                matches!(self.flow.steps[w].kind, Kind::Join(_)) && self.flow.steps[w].done != Some(stream)
            }
            _ => false,
        }
    }
}

/// How a call of [`run`] ended.
#[derive(Debug)]
pub enum Outcome {
    /// The run has closed; this is its report.
    Closed(Report),
    /// It was told to stop; it is open, and goes on when it is run again.
    Stopped(Report),
}

/// Runs a flow to its end: takes up its open run, or opens a new one. Other processes may work it at the same time.
pub fn run(flow: Arc<Flow>, engine: Arc<dyn Admin>, world: Arc<dyn World>, mut options: Options) -> Result<Outcome> {
    let apart = plan(&flow, true);
    let manifests = manifests::survey(&flow, &apart, &*world)?;
    for (stream, _) in manifests.iter().filter(|(_, m)| m.files.is_empty()) {
        if let Some(crate::model::From::Files(pattern)) = flow.streams[*stream].source.as_ref().map(|s| &s.from) {
            options.note(&format!("{pattern} matches no file: the stream {} is empty", flow.streams[*stream].name));
        }
    }
    manifests.values().flat_map(|m| &m.notes).for_each(|note| options.note(note));
    let first = open::prepare(flow.clone(), apart, engine.clone(), world.clone())?;
    let crew = engine.crew(&flow.name, lanes::wanted(&flow, &first.plan, &first.partitions))?;
    let plan = plan(&flow, crew.lanes() > 1);
    let mut job =
        Job { flow, plan, engine, world, options, manifests, crew, claim: Claim::default(), pipe: Arc::default() };
    loop {
        match job.attempt() {
            Err(e) if e.kind == ErrorKind::Doubt && !job.options.stop.load(Ordering::Relaxed) => {
                job.claim.in_vain += 1;
                if job.claim.in_vain > limits::CLAIMS_IN_VAIN {
                    return Err(Error { kind: ErrorKind::Machine, ..e });
                }
                job.options.note(&format!("a lane was lost ({}); claiming it again", e.text));
                job.world.pause();
            }
            Ok(None) => {}
            Ok(Some(outcome)) => return Ok(outcome),
            Err(e) if e.kind == ErrorKind::Doubt => return Err(Error { kind: ErrorKind::Stopped, ..e }),
            Err(e) => return Err(e),
        }
    }
}

/// What is known from one claim of the lanes to the next.
#[derive(Default)]
struct Claim {
    /// The run that is worked on.
    run: Option<u64>,
    /// Commits that were seen.
    seq: u64,
    /// Claims since then.
    in_vain: usize,
}

/// One call of [`run`].
struct Job {
    flow: Arc<Flow>,
    plan: Plan,
    engine: Arc<dyn Admin>,
    world: Arc<dyn World>,
    options: Options,
    manifests: BTreeMap<usize, io::Manifest>,
    crew: Box<dyn Crew>,
    claim: Claim,
    pipe: Arc<stdin::Pipe>,
}

impl Job {
    /// Works until the run has ended, or a lane is lost or the chair falls to this process: then only the accounts
    /// tell what is done, and `None` or an error asks for another attempt.
    fn attempt(&mut self) -> Result<Option<Outcome>> {
        let mut seen = Cursor::default();
        let mut wait = std::time::Duration::ZERO;
        loop {
            let accounts = self.engine.accounts(&self.flow.name, &mut seen, wait)?;
            let record = accounts.iter().find_map(|a| a.record.clone());
            if let Some(ended) = self.ended(record.as_ref())? {
                return Ok(Some(ended));
            }
            if self.crew.mine(&[])?.contains(&0) {
                return self.preside();
            }
            if let Some(record) = record.filter(|r| !r.phase.closed()) {
                repair::is_open(self.options.repair.as_ref(), &record)?;
                if self.options.fresh {
                    let text = format!("run {} of {} is at work in another process", record.number, self.flow.name);
                    return Err(Error::new(ErrorKind::Busy, text)
                        .help("stop that one first, then give the run up with  --fresh"));
                }
                let mut shared = self.prepare()?;
                open::take_part(&mut shared, &record, &accounts)?;
                return self.work(shared, Ledger::new(record.number, accounts), None);
            }
            if self.options.stop.load(Ordering::Relaxed) {
                let text = format!("no run of {} was open when it was told to stop", self.flow.name);
                return Err(Error::new(ErrorKind::Stopped, text));
            }
            wait = limits::BELL_WAIT;
        }
    }

    /// The run that this call works on was ended by another process.
    fn ended(&self, record: Option<&RunRecord>) -> Result<Option<Outcome>> {
        let Some(run) = self.claim.run else { return Ok(None) };
        match record {
            Some(r) if r.number == run && r.phase == Phase::Abandoned => {
                return Err(Error::machine(format!("run {run} was abandoned by another process with --fresh")));
            }
            Some(r) if r.number > run || (r.number == run && r.phase.closed()) => {}
            _ => return Ok(None), // it is open, or this is an old view: what is committed is seen a moment later
        }
        let ended = saved_reports(&*self.engine, &self.flow.name)?.into_iter().find(|r| r.run == run);
        let gone = || Error::machine(format!("run {run} was ended by another process, and its report is gone"));
        ended.map(|report| Some(Outcome::Closed(report))).ok_or_else(gone)
    }

    fn prepare(&self) -> Result<Shared> {
        let (flow, plan) = (self.flow.clone(), self.plan.clone());
        let mut shared = open::prepare(flow, plan, self.engine.clone(), self.world.clone())?;
        shared.lanes = self.crew.lanes();
        Ok(shared)
    }

    /// Takes lane 0, and with it the chair: opens a run, or takes up the open one.
    fn preside(&mut self) -> Result<Option<Outcome>> {
        let mut lane = self.engine.claim(&self.flow.name, 0)?;
        if let Some(ended) = self.ended(lane.account().record.as_ref())? {
            return Ok(Some(ended));
        }
        let others = match self.crew.lanes() {
            1 => vec![],
            _ => self.engine.accounts(&self.flow.name, &mut Cursor::default(), std::time::Duration::ZERO)?,
        };
        let prepared = match open::give_up(self.prepare()?, &mut *lane, &others, &mut self.options)? {
            Some(prepared) => prepared,
            None => self.prepare()?,
        };
        let shared = open::open(prepared, &mut *lane, &mut self.options, self.manifests.clone())?;
        self.options.fresh = false;
        let own = lane.account().clone();
        let ledger = Ledger::new(shared.number, others.into_iter().filter(|a| a.lane != 0).chain([own]));
        self.work(shared, ledger, Some(lane))
    }

    fn work(&mut self, shared: Shared, ledger: Ledger, mut lane: Option<Box<dyn Lane>>) -> Result<Option<Outcome>> {
        self.claim.run = Some(shared.number);
        let seq = ledger.all().iter().map(|a| a.seq).sum();
        if self.claim.seq != seq {
            (self.claim.seq, self.claim.in_vain) = (seq, 0);
        }
        let workers = match self.options.workers {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        };
        let shared = Arc::new(shared);
        if let (Some(lane), Some(Phase::Closing)) = (&mut lane, ledger.record().map(|r| r.phase)) {
            let left_alone = &mut groups::LeftAlone::new();
            let closed = close::close(&shared, &mut **lane, &ledger, &mut self.options, left_alone);
            return closed.map(|r| Some(Outcome::Closed(r)));
        }
        let (options, crew, pipe) = (&mut self.options, &mut *self.crew, self.pipe.clone());
        let mut run = Work::new(shared.clone(), options, crew, ledger, lane, workers, pipe)?;
        let ended = match run.work() {
            Err(e) if e.kind == ErrorKind::Lost => {
                let what = match run.lost(&e)? {
                    true => format!("run {} is closed as failed; the next run says where to continue", shared.number),
                    false => {
                        format!("the process that closes run {} finds it too, and closes it as failed", shared.number)
                    }
                };
                return Err(e.help(what));
            }
            ended => ended?,
        };
        match ended {
            Ended::Stopped => run.stopped().map(|r| Some(Outcome::Stopped(r))),
            Ended::Finished => run.close().map(|r| Some(Outcome::Closed(r))),
            Ended::Again => Ok(None),
        }
    }
}

/// A run seen from beside it, as its accounts tell.
#[derive(Debug)]
pub struct Inspection {
    /// How far the run is.
    pub phase: anabranch_engine::Phase,
    /// What became of everything so far.
    pub report: Report,
    progress: BTreeMap<String, facts::Progress>,
}

impl Inspection {
    /// How far a step is; a join has no work of its own.
    pub fn progress(&self, step: &str) -> Option<facts::Progress> {
        self.progress.get(step).copied()
    }
}

/// Looks at the newest run of a flow without touching it; `None` if there was none.
pub fn inspect(flow: Arc<Flow>, engine: Arc<dyn Admin>, world: Arc<dyn World>) -> Result<Option<Inspection>> {
    let accounts = engine.accounts(&flow.name, &mut Cursor::default(), std::time::Duration::ZERO)?;
    let Some(record) = accounts.iter().find_map(|a| a.record.clone()) else { return Ok(None) };
    let mut shared = open::prepare(flow.clone(), plan(&flow, record.lanes > 1), engine, world)?;
    open::name_run(&mut shared, &record);
    let ledger = Ledger::new(record.number, accounts);
    let facts = facts::derive(&shared, ledger.all(), &record);
    let report = report::report(&shared, ledger.all(), &record, &facts, shared.world.now());
    let node = |i: usize| shared.plan.unit_of(Node::Step(i)).map(|u| facts.units[u]);
    let progress = flow.steps.iter().enumerate().filter_map(|(i, s)| Some((s.name.clone(), node(i)?))).collect();
    Ok(Some(Inspection { phase: record.phase, report, progress }))
}
