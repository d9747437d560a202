//! The loop of a process: read ahead, apply in parallel, commit each lane in order, settle behind.

use crate::ledger::view::RunView;
use crate::options::Options;
use crate::show::table::seconds;
use crate::worker::crew::{Advice, Members};
use crate::worker::dispatch::Dispatch;
use crate::worker::event::Event;
use crate::worker::lane::LaneAtWork;
use crate::worker::stdin::{self, Pipe};
use crate::worker::{Worker, crew, finals, stall};
use crate::world::Moment;
use anabranch_engine::{Crew, Error, LaneNo, Pace, Result, limits};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// How a loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything is finished, or waits behind a gate that stays shut.
    Finished,
    /// It was told to stop.
    Stopped,
    /// The chair falls to this process, or the run was ended by another one: the accounts tell.
    Again,
}

/// The loop, and what it has beside the lanes.
struct Turn<'r> {
    worker: &'r mut Worker,
    options: &'r mut Options,
    members: Members<'r>,
    dispatch: Dispatch,
    pipe: Arc<Pipe>,
    events: Receiver<Event>,
    pace: Pace,
    began: Moment,
    /// When the next view is due.
    shown: Moment,
    mirrored: Moment,
    /// When it was said last that nothing comes on.
    stalled: Option<Moment>,
}

/// Works until everything is finished, or the run is told to stop.
pub fn work(worker: &mut Worker, options: &mut Options, crew: &mut dyn Crew, pipe: Arc<Pipe>) -> Result<Ended> {
    let (sender, events) = channel();
    let dispatch = Dispatch::start(worker, &sender)?;
    if let Some(note) = stdin::begin(worker, &pipe, &sender)? {
        options.note(note);
    }
    let alone = worker.context.lanes == 1 && worker.lanes.contains_key(&0);
    let news = (!alone).then(|| crew::listen(&worker.context, &sender)).transpose()?;
    let members = Members::new(crew, (!alone).then_some(sender));
    let (pace, now) = (worker.context.engine.pace(), worker.context.world.clock.moment());
    let (began, shown, mirrored) = (now, now, now);
    let stalled = None;
    let mut turn = Turn { worker, options, members, dispatch, pipe, events, pace, began, shown, mirrored, stalled };
    let mut ended = turn.turn();
    if let Ok(Ended::Finished) = ended {
        ended = turn.dispatch.finish().map(|()| Ended::Finished);
    }
    turn.dispatch.end(matches!(ended, Ok(Ended::Again)));
    drop(news);
    ended
}

impl Turn<'_> {
    fn turn(&mut self) -> Result<Ended> {
        let mut stopped: Option<Moment> = None;
        loop {
            let stop = self.options.stop.load(Ordering::Relaxed);
            if !stop {
                self.dispatch.give(self.worker)?;
            }
            self.dispatch.take_finished(self.worker)?;
            while finals::due(self.worker) {
                finals::emit(self.worker)?;
                self.worker.commit(0)?;
            }
            self.commit_if_due(stop)?;
            self.tick();
            self.watch_for_a_stall()?;
            if self.follow_advice()? {
                return Ok(Ended::Again);
            }
            let idle = self.dispatch.is_idle() && self.worker.has_nothing_pending();
            if idle && self.worker.settle_one()? {
                continue;
            }
            stopped = stop.then(|| stopped.unwrap_or_else(|| self.now()));
            // a piece that takes long, one item may, is worked on again when the run goes on
            let long = stopped.is_some_and(|since| self.now() > since + limits::STOP_WAIT);
            if stop && (idle || (long && self.worker.has_nothing_pending())) {
                return Ok(Ended::Stopped);
            }
            if idle && self.worker.is_finished() {
                return Ok(Ended::Finished);
            }
            if idle && self.dispatch.can_go_on(self.worker) {
                self.take_all()?;
            } else if let Some(stall) = (idle && !stop).then(|| self.stall()).flatten() {
                return Err(stall);
            } else {
                self.wait()?;
            }
        }
    }

    /// Claims and leaves lanes as the crew suggests; true if this attempt is over.
    fn follow_advice(&mut self) -> Result<bool> {
        let Advice::Hold { leave } = self.members.advice(self.worker)? else { return Ok(true) };
        leave.into_iter().for_each(|lane| self.dispatch.wind_down(self.worker, lane));
        let leaving: Vec<LaneNo> =
            self.worker.leaving().filter(|lane| self.dispatch.is_done_with(self.worker, *lane)).collect();
        leaving.into_iter().for_each(|lane| self.worker.release(lane));
        Ok(false)
    }

    /// Why the run cannot go on, if nothing that is under way or that others do can change that.
    fn stall(&self) -> Option<Error> {
        let waits = self.members.are_alone() && self.dispatch.calls_nothing();
        waits.then(|| stall::found(self.worker)).flatten()
    }

    fn now(&self) -> Moment {
        self.worker.context.world.clock.moment()
    }

    fn commit_if_due(&mut self, stop: bool) -> Result<()> {
        let now = self.now();
        let share = limits::COMMITS_BYTES / (limits::COMMITS_UNDER_WAY * self.worker.lanes.len().max(1));
        let most = self.pace.bytes.min(share.max(limits::BATCH_TARGET_BYTES));
        let is_due = |lane: &LaneAtWork| {
            let Some(since) = lane.since() else { return false };
            stop || lane.leaving || lane.bytes() >= most || self.commit_at(since) <= now
        };
        let due: Vec<LaneNo> = self.worker.lanes.iter().filter(|(_, l)| is_due(l)).map(|(no, _)| *no).collect();
        due.into_iter().try_for_each(|lane| self.worker.commit(lane))
    }

    /// When what waits since a moment is due to be committed: at once where nothing else is under way; where calls are,
    /// not many times in a row.
    fn commit_at(&self, since: Moment) -> Moment {
        match (self.dispatch.is_idle(), self.dispatch.calls_nothing()) {
            (true, true) => since,
            (true, false) => self.worker.committed.map_or(since, |last| since.max(last + limits::COMMIT_CALLS_EVERY)),
            _ => since + self.pace.every,
        }
    }

    /// What people see, and what their tools see, a few times in a second.
    fn tick(&mut self) {
        let now = self.now();
        if let Some(watch) = self.options.watch.as_ref().filter(|_| now >= self.shown) {
            let (standing, facts) = (self.worker.standing(), &self.worker.facts);
            watch.publish(RunView::of(
                standing,
                facts,
                standing.context.world.clock.now(),
                now.saturating_sub(self.began),
                &self.dispatch.calls(),
            ));
            // of a flow with thousands of streams a view takes its time: a small part of the run's
            self.shown = now + limits::SHOWN_EVERY.max(self.now().saturating_sub(now) * limits::SHOWN_SHARE);
        }
        if now >= self.mirrored + limits::MIRROR_EVERY && self.worker.lanes.contains_key(&0) {
            self.mirrored = now;
            self.worker.mirror().iter().for_each(|note| self.options.note(note));
        }
    }

    /// Where nothing was committed for long, it is said once what is under way; a flow may want to be stopped then.
    fn watch_for_a_stall(&mut self) -> Result<()> {
        let (now, since) = (self.now(), self.worker.committed.unwrap_or(self.began));
        let stall = self.worker.context.flow.stall;
        if self.stalled == Some(since) || now.saturating_sub(since) < stall.after {
            return Ok(());
        }
        let mut under_way = self.dispatch.under_way(self.worker, now, limits::STALLED_LISTED);
        under_way.extend(stall::listens(self.worker).then(|| "waiting for standard input".to_string()));
        if under_way.is_empty() {
            return Ok(()); // it is another process's turn
        }
        self.stalled = Some(since);
        let so_long = seconds(now.saturating_sub(since).as_secs_f64());
        let text = format!("nothing was committed for {so_long}; under way are: {}", under_way.join("; "));
        if stall.fails {
            return Err(Error::machine(text).help("`stall: { then: fail }` stops the run there; `run` continues it"));
        }
        self.options.note(&text);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let now = self.now();
        let mut until = now + limits::TURN_WAIT;
        until = self.dispatch.retry(now).map_or(until, |due| due.min(until));
        if let Some(since) = self.worker.lanes.values().filter_map(LaneAtWork::since).min() {
            until = until.min(self.commit_at(since));
        }
        let mut came = Err(RecvTimeoutError::Timeout);
        let events = &self.events;
        let mut come = |longest| {
            came = events.recv_timeout(longest);
            !matches!(came, Err(RecvTimeoutError::Timeout))
        };
        self.worker.context.world.threads.wait(until.saturating_sub(now), &mut come);
        match came {
            Ok(event) => self.handle(event)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::bug("the workers are gone")),
        }
        self.take_all()
    }

    /// Takes what has come.
    fn take_all(&mut self) -> Result<()> {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Piece(answer) => self.dispatch.answered(self.worker, answer),
            Event::Replies(unit, replies) => self.dispatch.replied(self.worker, unit, replies),
            Event::Stdin(stream) => stdin::take(self.worker, &self.pipe, stream),
            Event::Claimed(lane, claimed) => {
                self.members.claimed(lane);
                self.worker.adopt(claimed?)
            }
            Event::News(accounts) => self.worker.learn(accounts),
            Event::Fault(e) => Err(e),
        }
    }
}
