//! Lanes come and go while a run works, as the crew suggests.

use crate::context::RunContext;
use crate::worker::Worker;
use crate::worker::event::Event;
use anabranch_engine::{Cursor, Error, Kind, Lane, LaneNo, Result, limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

/// Hears what the crew suggests, and acts on it; true if this attempt is over: the run was ended by another process,
/// or this one is to take the chair.
pub fn look(work: &mut Worker<'_>) -> Result<bool> {
    let mut holding: Vec<LaneNo> = work.lanes.keys().chain(&work.claiming).copied().collect();
    holding.sort_unstable();
    let mine = work.crew.mine(&holding)?;
    let chairs = work.lanes.contains_key(&0);
    if chairs && !mine.contains(&0) {
        return Err(Error::new(Kind::Doubt, "this process was silent for too long, so others could take its lanes"));
    }
    if work.ledger.is_over() || (!chairs && mine.contains(&0)) {
        return Ok(true);
    }
    for lane in mine.iter().filter(|lane| !holding.contains(lane)) {
        claim(work, *lane)?;
    }
    holding.into_iter().filter(|lane| !mine.contains(lane)).for_each(|lane| work.wind_down(lane));
    let leaving = work.lanes.iter().filter(|(_, b)| b.leaving).map(|(lane, _)| *lane);
    let leaving: Vec<LaneNo> = leaving.filter(|lane| work.is_done_with(*lane)).collect();
    leaving.into_iter().for_each(|lane| work.release(lane));
    Ok(false)
}

/// Claims a lane beside the work: it can take as long as a broker is gone.
fn claim(work: &mut Worker<'_>, lane: LaneNo) -> Result<()> {
    let Some(events) = work.events.clone() else { return Ok(()) };
    work.claiming.push(lane);
    let (engine, flow) = (work.context.engine.clone(), work.context.flow.name.clone());
    let claim = move || drop(events.send(Event::Claimed(lane, engine.claim(&flow, lane))));
    let thread = std::thread::Builder::new().name(format!("claim {lane}")).spawn(claim);
    thread.map(drop).map_err(|e| Error::machine(format!("cannot start a thread: {e}")))
}

/// A claim has come to its end.
pub fn claimed(work: &mut Worker<'_>, lane: LaneNo, claimed: Result<Box<dyn Lane>>) -> Result<()> {
    work.claiming.retain(|l| *l != lane);
    work.adopt(claimed?)
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
    let listen = move || {
        let mut seen = Cursor::default();
        while !done.load(Ordering::Relaxed) {
            let before = seen.clone();
            let event = match context.engine.accounts(&context.flow.name, &mut seen, limits::BELL_WAIT) {
                Ok(_) if seen == before => continue,
                Ok(accounts) => Event::News(accounts),
                Err(e) => Event::Fault(Error { kind: Kind::Doubt, ..e }),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("news".into()).spawn(listen);
    thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
    Ok(Listening(over))
}
