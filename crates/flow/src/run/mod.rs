//! The runner: opens a run or takes one up, works its lanes, closes it with a report.

mod chunk;
mod close;
pub mod facts;
mod finals;
mod folds;
mod gather;
mod groups;
pub mod io;
mod lane;
mod lines;
mod marks;
mod open;
mod pair;
mod pending;
mod pool;
mod render;
pub mod report;
mod sinks;
mod stdin;
mod track;
pub mod view;
mod window;

pub use close::saved_reports;
pub use io::World;
pub use lane::Ended;
pub use open::own_stream;
pub use report::Report;
pub use view::RunView;

use crate::model::{Flow, Kind, Writer};
use crate::patterns::Vars;
use crate::plan::{How, Plan, plan};
use anabranch_engine::{Admin, Error, Kind as ErrorKind, Lane, Result, StreamName, limits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a run is to be done.
#[derive(Default)]
pub struct Options {
    /// Set by others to stop the run: what is finished is committed, the rest is done when it is run again.
    pub stop: Arc<AtomicBool>,
    /// Abandon an open run first.
    pub fresh: bool,
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

/// Runs a flow to its end: takes up its open run, or opens a new one.
pub fn run(flow: Arc<Flow>, engine: Arc<dyn Admin>, world: Arc<dyn World>, mut options: Options) -> Result<Outcome> {
    let plan = plan(&flow);
    let manifests = open::survey(&flow, &plan, &*world)?;
    for (stream, _) in manifests.iter().filter(|(_, m)| m.files.is_empty()) {
        if let Some(crate::model::From::Files(pattern)) = flow.streams[*stream].source.as_ref().map(|s| &s.from) {
            options.note(&format!("{pattern} matches no file: the stream {} is empty", flow.streams[*stream].name));
        }
    }
    let mut claim = Claim::default();
    loop {
        let attempt = attempt(&flow, &plan, &engine, &world, &mut options, &manifests, &mut claim);
        match attempt {
            Err(e) if e.kind == ErrorKind::Doubt && !options.stop.load(Ordering::Relaxed) => {
                claim.in_vain += 1;
                if claim.in_vain > limits::CLAIMS_IN_VAIN {
                    return Err(Error { kind: ErrorKind::Machine, ..e });
                }
                options.note(&format!("the lane was lost ({}); it is claimed again", e.text));
                world.pause();
            }
            other => return other,
        }
    }
}

/// What is known from one claim of the lane to the next.
#[derive(Default)]
struct Claim {
    /// The run that is worked on.
    run: Option<u64>,
    /// The last commit that was seen.
    seq: u64,
    /// Claims since then.
    in_vain: usize,
}

/// Claims the lane and works until the run has ended, or the lane is lost: then only its account tells what is done.
fn attempt(
    flow: &Arc<Flow>,
    plan: &Plan,
    engine: &Arc<dyn Admin>,
    world: &Arc<dyn World>,
    options: &mut Options,
    manifests: &BTreeMap<usize, io::Manifest>,
    claim: &mut Claim,
) -> Result<Outcome> {
    let mut lane = engine.claim(&flow.name, 0)?;
    if claim.seq != lane.account().seq {
        (claim.seq, claim.in_vain) = (lane.account().seq, 0);
    }
    if let Some(run) = claim.run
        && lane.account().record.as_ref().is_none_or(|r| r.number != run || r.phase.closed())
    {
        let ended = saved_reports(&**engine, &flow.name)?.into_iter().find(|r| r.run == run);
        let gone = || Error::machine(format!("run {run} was ended by another process, and its report is gone"));
        return ended.map(Outcome::Closed).ok_or_else(gone);
    }
    let shared =
        open::open(flow.clone(), plan.clone(), engine.clone(), world.clone(), &mut *lane, options, manifests.clone())?;
    options.fresh = false;
    claim.run = Some(shared.number);
    work(&Arc::new(shared), &mut *lane, options)
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
    let mut shared = open::prepare(flow.clone(), plan(&flow), engine, world)?;
    let mut seen = anabranch_engine::Cursor::default();
    let accounts = shared.engine.accounts(&flow.name, &mut seen, std::time::Duration::ZERO)?;
    let Some(record) = accounts.iter().find_map(|a| a.record.clone()) else { return Ok(None) };
    open::name_run(&mut shared, &record);
    let facts = facts::derive(&shared, &accounts, &record);
    let report = report::report(&shared, &accounts, &record, &facts, shared.world.now());
    let node = |i: usize| shared.plan.unit_of(crate::plan::Node::Step(i)).map(|u| facts.units[u]);
    let progress = flow.steps.iter().enumerate().filter_map(|(i, s)| Some((s.name.clone(), node(i)?))).collect();
    Ok(Some(Inspection { phase: record.phase, report, progress }))
}

fn work(shared: &Arc<Shared>, lane: &mut dyn Lane, options: &mut Options) -> Result<Outcome> {
    let workers = match options.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        n => n,
    };
    let phase = lane.account().record.as_ref().map(|r| r.phase);
    if phase == Some(anabranch_engine::Phase::Open) {
        let mut run = lane::LaneRun::new(shared.clone(), options, lane, workers)?;
        if run.work()? == Ended::Stopped {
            return close::stopped(shared, lane).map(Outcome::Stopped);
        }
    }
    let record = lane.account().record.clone().ok_or_else(|| Error::bug("a run without a record"))?;
    close::close(shared, lane, record).map(Outcome::Closed)
}
