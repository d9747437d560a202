//! Lanes come and go while a run works, as the crew suggests.

use crate::context::RunContext;
use crate::worker::Worker;
use crate::worker::event::Event;
use crate::world::{Begun, Step};
use anabranch_engine::{Crew, Cursor, Error, Kind, LaneNo, Result, limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What the crew wants of this process.
pub enum Advice {
    /// This attempt is over: the run was ended by another process, or this one is to take the chair.
    Restart,
    /// To go on, without these lanes.
    Hold {
        /// Lanes that another process is to have.
        leave: Vec<LaneNo>,
    },
}

/// The crew, and the lanes that are being claimed.
pub struct Members<'r> {
    crew: &'r mut dyn Crew,
    claiming: Vec<LaneNo>,
    events: Option<Sender<Event>>,
}

impl<'r> Members<'r> {
    /// A crew; without `events` this process is alone, and has the whole flow.
    pub fn new(crew: &'r mut dyn Crew, events: Option<Sender<Event>>) -> Members<'r> {
        Members { crew, claiming: vec![], events }
    }

    /// Whether this process has the whole flow.
    pub fn are_alone(&self) -> bool {
        self.events.is_none()
    }

    /// Hears what the crew suggests, and begins to claim what it gives.
    pub fn advice(&mut self, worker: &Worker) -> Result<Advice> {
        let mut holding: Vec<LaneNo> = worker.lanes.keys().chain(&self.claiming).copied().collect();
        holding.sort_unstable();
        let mine = self.crew.mine(&holding)?;
        let chairs = worker.lanes.contains_key(&0);
        if chairs && !mine.contains(&0) {
            return Err(Error::new(
                Kind::Doubt,
                "this process was silent for too long, so others could take its lanes",
            ));
        }
        if worker.ledger.is_over() || (!chairs && mine.contains(&0)) {
            return Ok(Advice::Restart);
        }
        for lane in mine.iter().filter(|lane| !holding.contains(lane)) {
            self.claim(&worker.context, *lane)?;
        }
        Ok(Advice::Hold { leave: holding.into_iter().filter(|lane| !mine.contains(lane)).collect() })
    }

    /// Claims a lane beside the work: it can take as long as a broker is gone.
    fn claim(&mut self, context: &RunContext, lane: LaneNo) -> Result<()> {
        let events = self.events.clone().ok_or_else(|| Error::bug("a lane to claim, where there is no crew"))?;
        self.claiming.push(lane);
        let (engine, flow) = (context.engine.clone(), context.flow.name.clone());
        let claim = move |_| {
            let _ = events.send(Event::Claimed(lane, engine.claim(&flow, lane))); // a loop that has ended needs no lane
            Step::Over
        };
        context.world.threads.begin(format!("claim {lane}"), Box::new(claim)).map(Begun::leave)
    }

    /// A claim has come to its end.
    pub fn claimed(&mut self, lane: LaneNo) {
        self.claiming.retain(|l| *l != lane);
    }
}

/// Ends the thread that listens.
pub struct Listening(Arc<AtomicBool>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Listens to what other processes commit.
pub fn listen(context: &Arc<RunContext>, events: &Sender<Event>) -> Result<Listening> {
    let over = Arc::new(AtomicBool::new(false));
    let (context, events, done) = (context.clone(), events.clone(), over.clone());
    let threads = context.world.threads.clone();
    let mut seen = Cursor::default();
    let listen = move |may_wait| {
        if done.load(Ordering::Relaxed) {
            return Step::Over;
        }
        let before = seen.clone();
        let longest = if may_wait { limits::BELL_WAIT } else { Duration::ZERO };
        let event = match context.engine.accounts(&context.flow.name, &mut seen, longest) {
            Ok(_) if seen == before => return Step::Nothing,
            Ok(accounts) => Event::News(accounts),
            Err(e) => Event::Fault(Error { kind: Kind::Doubt, ..e }),
        };
        if events.send(event).is_err() { Step::Over } else { Step::Done }
    };
    threads.begin("news".into(), Box::new(listen))?.leave();
    Ok(Listening(over))
}
