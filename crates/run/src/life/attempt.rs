//! One call of `run`: attempts at a run, until one comes to the end.

use crate::context::{RunContext, lanes};
use crate::ledger::Ledger;
use crate::ledger::report::Report;
use crate::life::patience::Patience;
use crate::life::reports::saved_report;
use crate::life::{close, manifests, open, prepare, repair, reports, told};
use crate::options::Options;
use crate::worker::sinks::Sinks;
use crate::worker::turn::Ended;
use crate::worker::{Seen, Worker, stdin, turn};
use crate::world::{Manifest, Moment, World};
use anabranch_engine::{Crew, Cursor, Desk, Error, Kind as ErrorKind, Lane, Phase, Result, RunRecord, limits};
use anabranch_flow::model::Flow;
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Plan, plan};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a call of [`run`] ended.
#[derive(Debug)]
pub enum Outcome {
    /// The run has closed; this is its report.
    Closed(Report),
    /// It was told to stop; it is open, and goes on when it is run again.
    Stopped(Report),
}

/// Runs a flow to its end: takes up its open run, or opens a new one. Other processes may work it at the same time.
///
/// # Errors
///
/// The kind of the error says what to do; as a rule the run stays open, and to run it again continues it. A run that
/// is held or has failed by its own rules is no error: its report says so.
pub fn run(flow: Arc<Flow>, engine: Arc<dyn Desk>, world: impl Into<World>, mut options: Options) -> Result<Outcome> {
    let world = world.into();
    let apart = plan(&flow, true);
    let manifests = manifests::survey(&flow, &apart, &world)?;
    for (stream, _) in manifests.iter().filter(|(_, m)| m.files.is_empty()) {
        if let Some(anabranch_flow::model::SourceAt::Files(pattern)) =
            flow.streams[*stream].source.as_ref().map(|s| &s.from)
        {
            options.note(&format!("{pattern} matches no file: the stream {} is empty", flow.streams[*stream].name));
        }
    }
    manifests.values().flat_map(|m| &m.notes).for_each(|note| options.note(note));
    let first = prepare::prepare(flow.clone(), apart, engine.clone(), world.clone())?;
    let crew = engine.crew(&flow.name, lanes::wanted(&flow, &first.plan, &first.partitions))?;
    let plan = plan(&flow, crew.lanes() > 1);
    let claim = Claim { since: world.clock.moment(), ..Claim::default() };
    let mut attempt = Attempt { flow, plan, engine, world, options, manifests, crew, claim, pipe: Arc::default() };
    loop {
        match attempt.attempt() {
            Err(e) if e.kind == ErrorKind::Doubt && !attempt.options.stop.load(Ordering::Relaxed) => {
                attempt.claim.in_vain += 1;
                let waited = attempt.world.clock.moment() > attempt.claim.since + limits::CLAIMS_WAIT;
                if attempt.claim.in_vain > limits::CLAIMS_IN_VAIN && waited {
                    return Err(Error { kind: ErrorKind::Machine, ..e });
                }
                attempt.options.note(&format!("a lane was lost ({}); claiming it again", e.text));
                attempt.world.clock.pause();
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
pub struct Claim {
    /// The run that is worked on.
    run: Option<u64>,
    /// Commits that were seen.
    seq: u64,
    /// Claims since then.
    in_vain: usize,
    /// When they were seen.
    since: Moment,
}

/// One call of [`run`].
pub struct Attempt {
    flow: Arc<Flow>,
    plan: Plan,
    engine: Arc<dyn Desk>,
    world: World,
    options: Options,
    manifests: BTreeMap<StreamNo, Manifest>,
    crew: Box<dyn Crew>,
    claim: Claim,
    pipe: Arc<stdin::Pipe>,
}

impl Attempt {
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
                if self.options.fresh {
                    let text = format!("run {} of {} is at work in another process", record.number, self.flow.name);
                    return Err(Error::new(ErrorKind::Busy, text)
                        .help("stop that one first, then give the run up with  --fresh"));
                }
                let mut context = self.prepare()?;
                repair::is_open(&context, self.options.repair.as_ref(), &record)?;
                open::take_part(&mut context, &record, &accounts)?;
                return self.work(context, Ledger::new(record.number, accounts), None);
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
        let patience = Patience::new(&self.world, &*self.engine, limits::SEEN_WAIT, limits::SEEN_EVERY);
        let (ended, _) = patience.look(|| {
            let ended = saved_report(&*self.engine, &self.flow.name, run)?;
            let is_seen = ended.is_some();
            Ok((ended, is_seen))
        })?;
        let gone = || Error::machine(format!("run {run} was ended by another process, and its report is gone"));
        ended.map(|report| Some(Outcome::Closed(report))).ok_or_else(gone)
    }

    fn prepare(&self) -> Result<RunContext> {
        let (flow, plan) = (self.flow.clone(), self.plan.clone());
        let mut context = prepare::prepare(flow, plan, self.engine.clone(), self.world.clone())?;
        context.lanes = self.crew.lanes();
        Ok(context)
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
        let context = open::open(prepared, &mut *lane, &mut self.options, self.manifests.clone())?;
        self.options.fresh = false;
        let own = lane.account().clone();
        let ledger = Ledger::new(context.number, others.into_iter().filter(|a| a.lane != 0).chain([own]));
        self.work(context, ledger, Some(lane))
    }

    fn work(
        &mut self,
        context: RunContext,
        ledger: Ledger,
        mut lane: Option<Box<dyn Lane>>,
    ) -> Result<Option<Outcome>> {
        self.claim.run = Some(context.number);
        let seq = ledger.all().iter().map(|a| a.seq).sum();
        if self.claim.seq != seq {
            (self.claim.seq, self.claim.in_vain) = (seq, 0);
            self.claim.since = self.world.clock.moment();
        }
        let threads = match self.options.workers {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        };
        let context = Arc::new(context);
        if let (Some(lane), Some(Phase::Closing)) = (&mut lane, ledger.record().map(|r| r.phase)) {
            let seen = &mut Seen::default();
            let ledger = whole(&context, ledger)?;
            let closed = close::close(&context, &mut **lane, &ledger, &mut self.options, seen);
            return closed.map(|r| Some(Outcome::Closed(r)));
        }
        let mut worker = Worker::new(context.clone(), ledger, lane, threads)?;
        let ended = match turn::work(&mut worker, &mut self.options, &mut *self.crew, self.pipe.clone()) {
            Err(e) if e.kind == ErrorKind::Lost => {
                if !lost(worker, &e)? {
                    // whoever closes the run finds it too; or the run has closed meanwhile, and it was let go of
                    return Err(Error { kind: ErrorKind::Doubt, ..e });
                }
                let what = format!("run {} is closed as failed; the next run says where to continue", context.number);
                return Err(e.help(what));
            }
            ended => ended?,
        };
        match ended {
            Ended::Stopped => stopped(worker, &mut self.options).map(|r| Some(Outcome::Stopped(r))),
            Ended::Finished => finish(worker, &mut self.options).map(|r| Some(Outcome::Closed(r))),
            Ended::Again => Ok(None),
        }
    }
}

/// The accounts of a run that closes, of which this process saw nothing before: what others committed can be seen later than
/// that they did, but whoever claims a lane knows its account. They have nothing more to do in them.
fn whole(context: &RunContext, mut ledger: Ledger) -> Result<Ledger> {
    for other in 1..context.lanes {
        ledger.learn(context.engine.claim(&context.flow.name, other)?.account().clone());
    }
    Ok(ledger)
}

/// The report of a run that was told to stop.
fn stopped(mut worker: Worker, options: &mut Options) -> Result<Report> {
    let chairs = worker.lanes.contains_key(&0);
    if chairs {
        worker.mirror().iter().for_each(|note| options.note(note));
    }
    worker.lanes.clear();
    let report = reports::finished(worker.standing(), &worker.facts)?;
    if chairs {
        told::stopped(&worker.context, &report, options);
    }
    Ok(report)
}

/// Closes a run as failed: items that it still wanted are gone. Only the chair does so; false for others.
fn lost(mut worker: Worker, why: &Error) -> Result<bool> {
    let Some(mut chair) = worker.lanes.remove(&0) else { return Ok(false) };
    worker.lanes.clear();
    while chair.unsettled > 0 {
        chair.settle()?;
    }
    close::lost(&worker.context, chair.lane(), &worker.ledger, why).map(|()| true)
}

/// Closes a run whose work is over.
fn finish(mut worker: Worker, options: &mut Options) -> Result<Report> {
    worker.sinks = Sinks::new(); // files are put in place by whoever closes, and nobody else has them then
    let (context, ledger) = (worker.context.clone(), std::mem::take(&mut worker.ledger));
    let chair = worker.lanes.get_mut(&0).ok_or_else(|| Error::bug("only the chair closes a run"))?;
    close::close(&context, chair.lane(), &ledger, options, &mut worker.seen)
}
