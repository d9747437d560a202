//! The loop of a process: read ahead, apply in parallel, commit each lane in order, settle behind.

pub mod actions;
pub mod crew;
mod dispatch;
pub mod event;
pub mod finals;
pub mod folds;
pub mod lane;
pub mod mirror;
pub mod pair;
mod pending;
pub mod pool;
pub mod reader;
pub mod sinks;
mod stall;
pub mod stdin;
mod trial;

use crate::context::RunContext;
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::view::RunView;
use crate::ledger::{Ledger, Standing, marks};
use crate::options::Options;
use crate::piece::outcome::Outcome;
use crate::worker::actions::Window;
use crate::worker::event::Event;
use crate::worker::folds::Folds;
use crate::worker::lane::{Advance, LaneAtWork};
use crate::worker::pool::Pool;
use crate::worker::reader::Track;
use crate::worker::sinks::Sinks;
use crate::world::Replies;
use anabranch_engine::account::Reader;
use anabranch_engine::{Crew, Error, Kind as ErrorKind, Lane, LaneNo, Pace, Result, RunRecord, limits};
use anabranch_flow::model::Kind;
use anabranch_flow::plan::How;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

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

/// The lanes of a run that this process works.
pub struct Worker<'r> {
    pub(crate) context: Arc<RunContext>,
    pub(crate) options: &'r mut Options,
    pub(crate) crew: &'r mut dyn Crew,
    pub(crate) lanes: BTreeMap<LaneNo, LaneAtWork>,
    /// Lanes that are being claimed.
    pub(crate) claiming: Vec<LaneNo>,
    pub(crate) events: Option<Sender<Event>>,
    /// The newest accounts of all lanes.
    pub(crate) ledger: Ledger,
    pub(crate) record: RunRecord,
    pub(crate) facts: Facts,
    pub(crate) tracks: BTreeMap<usize, Track>,
    pub(crate) folds: Folds,
    pub(crate) windows: BTreeMap<usize, Window>,
    pub(crate) sinks: Sinks,
    pub(crate) pipe: Arc<stdin::Pipe>,
    pace: Pace,
    pub(crate) next_task: u64,
    pub(crate) bytes_under_way: usize,
    pub(crate) pieces_under_way: usize,
    pub(crate) workers: usize,
    /// When something was committed last.
    committed: Option<Instant>,
    mirrored: Instant,
    pub(crate) left_alone: mirror::LeftAlone,
    shown: Instant,
    began: Instant,
}

impl<'r> Worker<'r> {
    /// Takes up a run where its accounts say it is; with lane 0, if this process has the chair.
    pub fn new(
        context: Arc<RunContext>,
        options: &'r mut Options,
        crew: &'r mut dyn Crew,
        ledger: Ledger,
        lane: Option<Box<dyn Lane>>,
        workers: usize,
        pipe: Arc<stdin::Pipe>,
    ) -> Result<Worker<'r>> {
        let record = ledger.record().cloned().ok_or_else(|| Error::bug("a run without a record"))?;
        let facts = ledger.standing(&context, &record).derive();
        let now = Instant::now();
        let mut work = Worker {
            options,
            crew,
            lanes: BTreeMap::new(),
            claiming: vec![],
            events: None,
            ledger,
            record,
            facts,
            tracks: BTreeMap::new(),
            folds: Folds::default(),
            windows: BTreeMap::new(),
            sinks: Sinks::new(),
            pipe,
            pace: context.engine.pace(),
            next_task: 0,
            bytes_under_way: 0,
            pieces_under_way: 0,
            workers,
            committed: None,
            mirrored: now,
            left_alone: mirror::LeftAlone::new(),
            shown: now,
            began: now,
            context,
        };
        lane.map_or(Ok(()), |lane| work.adopt(lane))?;
        Ok(work)
    }

    /// How the run stands, as far as this process knows.
    pub fn standing(&self) -> Standing<'_> {
        self.ledger.standing(&self.context, &self.record)
    }

    /// Begins to work a lane.
    pub(crate) fn adopt(&mut self, lane: Box<dyn Lane>) -> Result<()> {
        let held = LaneAtWork::new(&self.context, lane)?;
        let lane = held.account().lane;
        self.ledger.learn(held.settled().clone());
        self.facts = self.standing().derive();
        self.lanes.insert(lane, held);
        self.tracks.extend(self.tracks_of(lane));
        Ok(())
    }

    /// Begins nothing new in a lane, so that another process can have it soon.
    pub(crate) fn wind_down(&mut self, lane: LaneNo) {
        let Some(held) = self.lanes.get_mut(&lane).filter(|b| !b.leaving) else { return };
        held.leaving = true;
        for (t, _) in self.tracks.iter().filter(|(_, t)| t.lane == lane) {
            self.windows.values_mut().for_each(|w| w.withdraw(*t));
        }
    }

    /// Lets a lane go in which nothing is under way.
    pub(crate) fn release(&mut self, lane: LaneNo) {
        self.lanes.remove(&lane);
        self.tracks.retain(|_, t| t.lane != lane);
    }

    /// Whether nothing is under way in a lane.
    pub(crate) fn is_done_with(&self, lane: LaneNo) -> bool {
        let free = |t: usize| self.windows.values().all(|w| w.is_free(t));
        self.lanes.get(&lane).is_none_or(LaneAtWork::is_idle)
            && self.tracks.iter().filter(|(_, t)| t.lane == lane).all(|(id, t)| t.queue.is_empty() && free(*id))
    }

    /// A track for each partition of each root in a lane, under the number that it has in the whole flow. One that folds
    /// begins at the start of the run, to fold again what is committed.
    fn tracks_of(&self, lane: LaneNo) -> BTreeMap<usize, Track> {
        let context = &self.context;
        let mut tracks = BTreeMap::new();
        let mut id = 0;
        for (u, unit) in context.plan.units.iter().enumerate() {
            let said = |s: &usize| self.standing().mark(&marks::done(&context.flow.steps[*s].name)) > 0;
            let replay = !unit.folds.is_empty() && !unit.folds.iter().all(said);
            for (r, root) in unit.roots.iter().enumerate().filter(|(_, r)| r.how != How::Stdin) {
                for p in 0..context.partitions[root.from] {
                    id += 1;
                    if context.lane_of(u, r, p) != lane {
                        continue;
                    }
                    let reader = context.reader(root, p);
                    let start = self.standing().start(&reader);
                    let next = self.standing().next(&reader);
                    tracks.insert(id, Track::new(lane, u, r, p, if replay { start } else { next }, next));
                }
            }
        }
        tracks
    }

    /// Works until everything is finished, or the run is told to stop.
    pub fn work(&mut self) -> Result<Ended> {
        let (sender, events) = channel();
        let context = self.context.clone();
        let mut pool = Pool::start(self.workers, &context, &sender)?;
        for (u, unit) in context.plan.units.iter().enumerate() {
            if let Some(step) = unit.acts
                && let Kind::Act(act) = &context.flow.steps[step].kind
            {
                let events = sender.clone();
                let replies = Replies::new(move |some| events.send(Event::Replies(u, some)).is_ok());
                self.windows.insert(u, Window::open(&context, step, act, replies)?);
            }
        }
        stdin::begin(self, &sender)?;
        let alone = context.lanes == 1 && self.lanes.contains_key(&0);
        let news = (!alone).then(|| crew::listen(&context, &sender)).transpose()?;
        self.events = (!alone).then_some(sender);
        let mut outcome = self.turn(&pool, &events);
        if let Ok(Ended::Finished) = outcome {
            let finish = self.windows.values_mut().try_for_each(Window::finish);
            outcome = finish.map(|()| Ended::Finished);
        }
        self.windows.clear();
        if self.pieces_under_way > 0 && !matches!(outcome, Ok(Ended::Again)) {
            pool.leave();
        }
        drop(news);
        outcome
    }

    fn turn(&mut self, pool: &Pool, events: &Receiver<Event>) -> Result<Ended> {
        let mut stopped: Option<Instant> = None;
        loop {
            let stop = self.options.stop.load(Ordering::Relaxed);
            if !stop {
                self.give_work(pool)?;
            }
            self.take_finished()?;
            self.say_finals()?;
            self.commit_if_due(stop)?;
            self.tick();
            if crew::look(self)? {
                return Ok(Ended::Again);
            }
            let idle = self.pieces_under_way == 0 && self.lanes.values().all(|b| b.since().is_none());
            if idle && self.settle_one()? {
                continue;
            }
            stopped = stop.then(|| stopped.unwrap_or_else(Instant::now));
            // a piece that takes long, one item may, is worked on anew when the run goes on
            let long = stopped.is_some_and(|since| since.elapsed() > limits::STOP_WAIT);
            if stop && (idle || (long && self.lanes.values().all(|b| b.since().is_none()))) {
                return Ok(Ended::Stopped);
            }
            if idle && self.facts.units.iter().all(|u| *u != Progress::Working) && self.lanes.contains_key(&0) {
                return Ok(Ended::Finished);
            }
            if idle && self.can_go_on() {
                self.take_all(events)?;
            } else if let Some(stall) = (idle && !stop).then(|| stall::found(self)).flatten() {
                return Err(stall);
            } else {
                self.wait(events)?;
            }
        }
    }

    /// Whether another turn would find something to do without any event.
    fn can_go_on(&self) -> bool {
        let paired = |t: &Track| self.context.plan.units[t.unit].pairs.is_some(); // they moved as far as they can
        let free = |t: &Track| t.queue.is_empty() && self.has_room(t.unit) && self.takes_more(t);
        self.tracks.values().any(|t| !paired(t) && free(t) && self.readable(t).is_some_and(|end| t.sent < end))
            || finals::due(self)
    }

    /// Whether something new may be begun in a track's lane.
    pub(crate) fn takes_more(&self, track: &Track) -> bool {
        self.lanes.get(&track.lane).is_some_and(|b| !b.leaving)
    }

    fn has_room(&self, unit: usize) -> bool {
        self.windows.get(&unit).is_none_or(Window::has_room)
    }

    /// Takes the finished head of every track into what is pending in its lane.
    fn take_finished(&mut self) -> Result<()> {
        let ids: Vec<usize> = self.tracks.keys().copied().collect();
        for t in ids {
            while let Some(sent) = self.tracks.get_mut(&t).and_then(|t| t.queue.pop_front_if(|s| s.done.is_some())) {
                let (items, mut outcome) =
                    sent.done.unwrap_or_else(|| Err(Error::bug("a piece without an outcome")))?;
                for (step, scratch) in std::mem::take(&mut outcome.scratch) {
                    self.folds.add(&self.context, self.workers, step, scratch)?;
                }
                if self.tracks.get(&t).is_none_or(|track| sent.next <= track.replay_to) {
                    continue; // it was committed before, and is only folded again
                }
                self.advance(t, sent.next, items, outcome)?;
            }
            let Some(unit) = self.tracks.get(&t).map(|t| t.unit) else { continue };
            let Some(window) = self.windows.get_mut(&unit) else { continue };
            if let Some(finished) = window.finished(&self.context, t)? {
                self.advance(t, finished.next, finished.items, finished.outcome)?;
            }
        }
        Ok(())
    }

    /// A track got to `next`, and this came of it.
    pub(crate) fn advance(&mut self, t: usize, next: i64, items: u64, outcome: Outcome) -> Result<()> {
        let (lane, reader) = self.reader(t)?;
        self.take(lane, Advance::of(outcome).read(reader, next, items))
    }

    /// The lane of a track, and its name in accounts.
    pub(crate) fn reader(&self, t: usize) -> Result<(LaneNo, Reader)> {
        let track = self.tracks.get(&t).ok_or_else(|| Error::bug("something was read through a track that is gone"))?;
        let root = &self.context.plan.units[track.unit].roots[track.root];
        Ok((track.lane, self.context.reader(root, track.partition)))
    }

    /// What a lane's next commit will say. Where it stops the run, what is finished elsewhere is committed before.
    pub(crate) fn take(&mut self, lane: LaneNo, advance: Advance) -> Result<()> {
        if advance.stops() {
            self.commit_all()?;
        }
        let held = self.lanes.get_mut(&lane);
        held.ok_or_else(|| Error::bug(format!("something was done in lane {lane}, which is not held")))?.take(advance)
    }

    fn say_finals(&mut self) -> Result<()> {
        while finals::due(self) {
            finals::say(self)?;
            self.commit(0)?;
        }
        Ok(())
    }

    fn commit_if_due(&mut self, stop: bool) -> Result<()> {
        let now = Instant::now();
        let share = limits::COMMITS_BYTES / (limits::COMMITS_UNDER_WAY * self.lanes.len().max(1));
        let most = self.pace.bytes.min(share.max(limits::BATCH_TARGET_BYTES));
        let is_due = |b: &LaneAtWork| {
            let Some(since) = b.since() else { return false };
            stop || b.leaving || b.bytes() >= most || self.commit_at(since) <= now
        };
        let due: Vec<LaneNo> = self.lanes.iter().filter(|(_, b)| is_due(b)).map(|(lane, _)| *lane).collect();
        due.into_iter().try_for_each(|lane| self.commit(lane))
    }

    /// When what waits since a moment is due to be committed: at once where nothing else is under way; where calls are,
    /// not many times in a row.
    fn commit_at(&self, since: Instant) -> Instant {
        match (self.pieces_under_way, self.windows.values().all(|w| w.len() == 0)) {
            (0, true) => since,
            (0, false) => self.committed.map_or(since, |last| since.max(last + limits::COMMIT_CALLS_EVERY)),
            _ => since + self.pace.every,
        }
    }

    fn commit_all(&mut self) -> Result<()> {
        let lanes: Vec<LaneNo> = self.lanes.keys().copied().collect();
        lanes.into_iter().try_for_each(|lane| self.commit(lane))
    }

    /// Commits everything that is pending in a lane.
    pub(crate) fn commit(&mut self, lane: LaneNo) -> Result<()> {
        let Some(held) = self.lanes.get_mut(&lane) else { return Ok(()) };
        self.committed = Some(Instant::now());
        held.commit(&self.context, &mut self.sinks)?;
        while self.lanes.get(&lane).is_some_and(|b| b.unsettled >= limits::COMMITS_UNDER_WAY) {
            self.settle(lane)?;
        }
        Ok(())
    }

    fn settle(&mut self, lane: LaneNo) -> Result<()> {
        let Some(held) = self.lanes.get_mut(&lane) else { return Ok(()) };
        held.settle()?;
        self.ledger.learn(held.settled().clone());
        self.facts = self.standing().derive();
        Ok(())
    }

    /// Waits for a commit, if there is one.
    fn settle_one(&mut self) -> Result<bool> {
        let lane = self.lanes.iter().find(|(_, b)| b.unsettled > 0).map(|(lane, _)| *lane);
        lane.map_or(Ok(false), |lane| self.settle(lane).map(|()| true))
    }

    /// What people see, and what their tools see, a few times in a second.
    fn tick(&mut self) {
        if self.shown.elapsed() >= Duration::from_millis(100) {
            self.shown = Instant::now();
            if let Some(show) = &mut self.options.progress {
                let window: BTreeMap<usize, usize> = self.windows.iter().map(|(u, w)| (*u, w.len())).collect();
                let (standing, elapsed) = (self.ledger.standing(&self.context, &self.record), self.began.elapsed());
                show(&RunView::of(standing, &self.facts, elapsed, &window));
            }
        }
        if self.mirrored.elapsed() >= limits::MIRROR_EVERY && self.lanes.contains_key(&0) {
            self.mirrored = Instant::now();
            self.mirror();
        }
    }

    pub(crate) fn mirror(&mut self) {
        let notes = mirror::mirror(self.ledger.standing(&self.context, &self.record), &mut self.left_alone);
        notes.iter().for_each(|note| self.options.note(note));
    }

    fn wait(&mut self, events: &Receiver<Event>) -> Result<()> {
        let now = Instant::now();
        let mut until = now + Duration::from_millis(50);
        for window in self.windows.values_mut() {
            until = window.retry(now).map_or(until, |due| due.min(until));
        }
        if let Some(since) = self.lanes.values().filter_map(LaneAtWork::since).min() {
            until = until.min(self.commit_at(since));
        }
        match events.recv_timeout(until.saturating_duration_since(now)) {
            Ok(event) => self.hear(event)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::bug("the workers are gone")),
        }
        self.take_all(events)
    }

    /// Takes what has come meanwhile.
    fn take_all(&mut self, events: &Receiver<Event>) -> Result<()> {
        while let Ok(event) = events.try_recv() {
            self.hear(event)?;
        }
        Ok(())
    }

    fn hear(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Piece((id, outcome)) => {
                let mut sent = self.tracks.values_mut().flat_map(|t| t.queue.iter_mut());
                if let Some(sent) = sent.find(|s| s.id == id) {
                    self.pieces_under_way -= 1;
                    self.bytes_under_way -= sent.bytes;
                    sent.done = Some(outcome);
                }
            }
            Event::Replies(unit, replies) => {
                if let Some(window) = self.windows.get_mut(&unit) {
                    let now = Instant::now();
                    replies.into_iter().for_each(|reply| window.reply(&self.context, reply, now));
                }
            }
            Event::Stdin(stream) => stdin::take(self, stream)?,
            Event::Claimed(lane, claimed) => crew::claimed(self, lane, claimed)?,
            Event::News(accounts) => {
                let mut news = false;
                for account in accounts {
                    news |= match self.lanes.get(&account.lane) {
                        Some(held) if held.is_behind(&account) => {
                            let text = format!("another process works lane {}", account.lane);
                            return Err(Error::new(ErrorKind::Doubt, text));
                        }
                        Some(_) => false,
                        None => self.ledger.learn(account),
                    }
                }
                if news {
                    self.facts = self.standing().derive();
                }
            }
            Event::Fault(e) => return Err(e),
        }
        Ok(())
    }
}
