//! The loop of a process: read ahead, apply in parallel, commit each lane in order, settle behind.

use super::berth::Berth;
use super::facts::{self, Facts, Progress};
use super::folds::Folds;
use super::io::{Replies, Reply};
use super::lanes::Ledger;
use super::pool::{Answer, Pool};
use super::report::Report;
use super::sinks::Sinks;
use super::track::Track;
use super::view::RunView;
use super::window::Window;
use super::{Options, Shared, close, crew, finals, groups, marks, positions, stall, stdin};
use crate::model::Kind;
use crate::plan::How;
use anabranch_engine::{Account, Crew, Error, Kind as ErrorKind, Lane, LaneNo, Next, Pace, Result, RunRecord, limits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What reaches the loop from other threads.
pub enum Event {
    /// A piece of input is worked on.
    Piece(Answer),
    /// Calls of an action of that unit are answered.
    Replies(usize, Vec<Reply>),
    /// Something came through standard input, for that stream.
    Stdin(usize),
    /// A lane was claimed, or could not be.
    Claimed(LaneNo, Result<Box<dyn Lane>>),
    /// Accounts that other processes committed.
    News(Vec<Account>),
    /// Something failed that no item can be blamed for.
    Fault(Error),
}

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
pub struct Work<'r> {
    pub(super) shared: Arc<Shared>,
    pub(super) options: &'r mut Options,
    pub(super) crew: &'r mut dyn Crew,
    pub(super) berths: BTreeMap<LaneNo, Berth>,
    /// Lanes that are being claimed.
    pub(super) claiming: Vec<LaneNo>,
    pub(super) events: Option<Sender<Event>>,
    /// The newest accounts of all lanes.
    pub(super) ledger: Ledger,
    pub(super) record: RunRecord,
    pub(super) facts: Facts,
    pub(super) tracks: BTreeMap<usize, Track>,
    pub(super) folds: Folds,
    pub(super) windows: BTreeMap<usize, Window>,
    sinks: Sinks,
    pub(super) pipe: Arc<stdin::Pipe>,
    pace: Pace,
    pub(super) next_task: u64,
    pub(super) bytes_under_way: usize,
    pub(super) pieces_under_way: usize,
    pub(super) workers: usize,
    /// When something was committed last.
    committed: Option<Instant>,
    mirrored: Instant,
    left_alone: groups::LeftAlone,
    shown: Instant,
    began: Instant,
}

impl<'r> Work<'r> {
    /// Takes up a run where its accounts say it is; with lane 0, if this process has the chair.
    pub fn new(
        shared: Arc<Shared>,
        options: &'r mut Options,
        crew: &'r mut dyn Crew,
        ledger: Ledger,
        lane: Option<Box<dyn Lane>>,
        workers: usize,
        pipe: Arc<stdin::Pipe>,
    ) -> Result<Work<'r>> {
        let record = ledger.record().cloned().ok_or_else(|| Error::bug("a run without a record"))?;
        let facts = facts::derive(&shared, ledger.all(), &record);
        let now = Instant::now();
        let mut work = Work {
            options,
            crew,
            berths: BTreeMap::new(),
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
            pace: shared.engine.pace(),
            next_task: 0,
            bytes_under_way: 0,
            pieces_under_way: 0,
            workers,
            committed: None,
            mirrored: now,
            left_alone: groups::LeftAlone::new(),
            shown: now,
            began: now,
            shared,
        };
        lane.map_or(Ok(()), |lane| work.adopt(lane))?;
        Ok(work)
    }

    /// Begins to work a lane.
    pub(super) fn adopt(&mut self, lane: Box<dyn Lane>) -> Result<()> {
        let berth = Berth::new(&self.shared, lane)?;
        let lane = berth.account.lane;
        self.ledger.learn(berth.settled().clone());
        self.facts = facts::derive(&self.shared, self.ledger.all(), &self.record);
        self.berths.insert(lane, berth);
        self.tracks.extend(self.tracks_of(lane));
        Ok(())
    }

    /// Begins nothing new in a lane, so that another process can have it soon.
    pub(super) fn wind_down(&mut self, lane: LaneNo) {
        let Some(berth) = self.berths.get_mut(&lane).filter(|b| !b.leaving) else { return };
        berth.leaving = true;
        for (t, _) in self.tracks.iter().filter(|(_, t)| t.lane == lane) {
            self.windows.values_mut().for_each(|w| w.withdraw(*t));
        }
    }

    /// Lets a lane go in which nothing is under way.
    pub(super) fn release(&mut self, lane: LaneNo) {
        self.berths.remove(&lane);
        self.tracks.retain(|_, t| t.lane != lane);
    }

    /// Whether nothing is under way in a lane.
    pub(super) fn is_done_with(&self, lane: LaneNo) -> bool {
        let free = |t: usize| self.windows.values().all(|w| w.is_free(t));
        self.berths.get(&lane).is_none_or(Berth::is_idle)
            && self.tracks.iter().filter(|(_, t)| t.lane == lane).all(|(id, t)| t.queue.is_empty() && free(*id))
    }

    /// A track for each partition of each root in a lane, under the number that it has in the whole flow. One that folds
    /// begins at the start of the run, to fold again what is committed.
    fn tracks_of(&self, lane: LaneNo) -> BTreeMap<usize, Track> {
        let shared = &self.shared;
        let mut tracks = BTreeMap::new();
        let mut id = 0;
        for (u, unit) in shared.plan.units.iter().enumerate() {
            let said = |s: &usize| positions::mark(self.ledger.all(), &marks::done(&shared.flow.steps[*s].name)) > 0;
            let replay = !unit.folds.is_empty() && !unit.folds.iter().all(said);
            for (r, root) in unit.roots.iter().enumerate().filter(|(_, r)| r.how != How::Stdin) {
                for p in 0..shared.partitions[root.from] {
                    id += 1;
                    if shared.lane_of(u, r, p) != lane {
                        continue;
                    }
                    let reader = shared.reader(root, p);
                    let start = positions::start(&self.record, &reader);
                    let next = positions::next(self.ledger.all(), &self.record, &reader);
                    tracks.insert(id, Track::new(lane, u, r, p, if replay { start } else { next }, next));
                }
            }
        }
        tracks
    }

    /// The report of a run that was told to stop.
    pub fn stopped(mut self) -> Result<Report> {
        if self.berths.contains_key(&0) {
            self.mirror();
        }
        self.berths.clear();
        close::finished(&self.shared, self.ledger.all(), &self.record, &self.facts)
    }

    /// Closes a run as failed: items that it still wanted are gone. Only the chair does so; false for others.
    pub fn lost(mut self, why: &Error) -> Result<bool> {
        let Some(mut chair) = self.berths.remove(&0) else { return Ok(false) };
        self.berths.clear();
        while chair.unsettled > 0 {
            chair.settle()?;
        }
        close::lost(&self.shared, chair.lane(), &self.ledger, why).map(|()| true)
    }

    /// Closes a run whose work is over.
    pub fn close(mut self) -> Result<Report> {
        self.sinks = Sinks::new(); // files are put in place by whoever closes, and nobody else has them then
        let (shared, ledger) = (self.shared.clone(), std::mem::take(&mut self.ledger));
        let chair = self.berths.get_mut(&0).ok_or_else(|| Error::bug("only the chair closes a run"))?;
        close::close(&shared, chair.lane(), &ledger, self.options, &mut self.left_alone)
    }

    /// Works until everything is finished, or the run is told to stop.
    pub fn work(&mut self) -> Result<Ended> {
        let (sender, events) = channel();
        let shared = self.shared.clone();
        let mut pool = Pool::start(self.workers, &shared, &sender)?;
        for (u, unit) in shared.plan.units.iter().enumerate() {
            if let Some(step) = unit.acts
                && let Kind::Act(act) = &shared.flow.steps[step].kind
            {
                let events = sender.clone();
                let replies = Replies::new(move |some| events.send(Event::Replies(u, some)).is_ok());
                self.windows.insert(u, Window::open(&shared, step, act, replies)?);
            }
        }
        stdin::begin(self, &sender)?;
        let alone = shared.lanes == 1 && self.berths.contains_key(&0);
        let news = (!alone).then(|| crew::listen(&shared, &sender)).transpose()?;
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
            let idle = self.pieces_under_way == 0 && self.berths.values().all(|b| b.pending.since.is_none());
            if idle && self.settle_one()? {
                continue;
            }
            stopped = stop.then(|| stopped.unwrap_or_else(Instant::now));
            // a piece that takes long, one item may, is worked on anew when the run goes on
            let long = stopped.is_some_and(|since| since.elapsed() > limits::STOP_WAIT);
            if stop && (idle || (long && self.berths.values().all(|b| b.pending.since.is_none()))) {
                return Ok(Ended::Stopped);
            }
            if idle && self.facts.units.iter().all(|u| *u != Progress::Working) && self.berths.contains_key(&0) {
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
        let paired = |t: &Track| self.shared.plan.units[t.unit].pairs.is_some(); // they moved as far as they can
        let free = |t: &Track| t.queue.is_empty() && self.has_room(t.unit) && self.takes_more(t);
        self.tracks.values().any(|t| !paired(t) && free(t) && self.readable(t).is_some_and(|end| t.sent < end))
            || finals::due(self)
    }

    /// Whether something new may be begun in a track's lane.
    pub(super) fn takes_more(&self, track: &Track) -> bool {
        self.berths.get(&track.lane).is_some_and(|b| !b.leaving)
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
                    self.folds.add(&self.shared, self.workers, step, scratch)?;
                }
                if self.tracks.get(&t).is_none_or(|track| sent.next <= track.replay_to) {
                    continue; // it was committed before, and is only folded again
                }
                if let Some(stop) = outcome.stop.take() {
                    return Err(stop);
                }
                self.moved(t, sent.next, items);
                self.add(t, outcome)?;
            }
            let Some(unit) = self.tracks.get(&t).map(|t| t.unit) else { continue };
            let Some(window) = self.windows.get_mut(&unit) else { continue };
            if let Some(mut finished) = window.finished(&self.shared, t)? {
                if let Some(stop) = finished.outcome.stop.take() {
                    self.commit_all()?;
                    return Err(stop);
                }
                self.moved(t, finished.next, finished.items);
                self.add(t, finished.outcome)?;
            }
        }
        Ok(())
    }

    /// A reader moved on.
    pub(super) fn moved(&mut self, t: usize, next: i64, items: u64) {
        let Some(track) = self.tracks.get(&t) else { return };
        let root = &self.shared.plan.units[track.unit].roots[track.root];
        let key = self.shared.reader(root, track.partition);
        if let Some(berth) = self.berths.get_mut(&track.lane) {
            let read = berth.account.read.entry(key).or_insert(Next { next, items: 0 });
            *read = Next { next, items: read.items + items };
            berth.pending.since.get_or_insert_with(Instant::now);
        }
    }

    /// What became of a piece of a track waits for the next commit of its lane.
    pub(super) fn add(&mut self, t: usize, outcome: super::chunk::Outcome) -> Result<()> {
        let berth = self.tracks.get(&t).and_then(|t| self.berths.get_mut(&t.lane));
        berth.map_or(Ok(()), |b| b.pending.add(&mut b.account, outcome))
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
        let share = limits::COMMITS_BYTES / (limits::COMMITS_UNDER_WAY * self.berths.len().max(1));
        let most = self.pace.bytes.min(share.max(limits::BATCH_TARGET_BYTES));
        let is_due = |b: &Berth| {
            let Some(since) = b.pending.since else { return false };
            stop || b.leaving || b.pending.bytes >= most || self.commit_at(since) <= now
        };
        let due: Vec<LaneNo> = self.berths.iter().filter(|(_, b)| is_due(b)).map(|(lane, _)| *lane).collect();
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
        let lanes: Vec<LaneNo> = self.berths.keys().copied().collect();
        lanes.into_iter().try_for_each(|lane| self.commit(lane))
    }

    /// Commits everything that is pending in a lane.
    pub(super) fn commit(&mut self, lane: LaneNo) -> Result<()> {
        let Some(berth) = self.berths.get_mut(&lane) else { return Ok(()) };
        self.committed = Some(Instant::now());
        berth.commit(&self.shared, &mut self.sinks)?;
        while self.berths.get(&lane).is_some_and(|b| b.unsettled >= limits::COMMITS_UNDER_WAY) {
            self.settle(lane)?;
        }
        Ok(())
    }

    fn settle(&mut self, lane: LaneNo) -> Result<()> {
        let Some(berth) = self.berths.get_mut(&lane) else { return Ok(()) };
        berth.settle()?;
        self.ledger.learn(berth.settled().clone());
        self.facts = facts::derive(&self.shared, self.ledger.all(), &self.record);
        Ok(())
    }

    /// Waits for a commit, if there is one.
    fn settle_one(&mut self) -> Result<bool> {
        let lane = self.berths.iter().find(|(_, b)| b.unsettled > 0).map(|(lane, _)| *lane);
        lane.map_or(Ok(false), |lane| self.settle(lane).map(|()| true))
    }

    /// What people see, and what their tools see, a few times in a second.
    fn tick(&mut self) {
        if self.shown.elapsed() >= Duration::from_millis(100) {
            self.shown = Instant::now();
            if let Some(show) = &mut self.options.progress {
                let window: BTreeMap<usize, usize> = self.windows.iter().map(|(u, w)| (*u, w.len())).collect();
                let (accounts, elapsed) = (self.ledger.all(), self.began.elapsed());
                show(&RunView::of(&self.shared, accounts, &self.record, &self.facts, elapsed, &window));
            }
        }
        if self.mirrored.elapsed() >= limits::MIRROR_EVERY && self.berths.contains_key(&0) {
            self.mirrored = Instant::now();
            self.mirror();
        }
    }

    fn mirror(&mut self) {
        let notes = groups::mirror(&self.shared, self.ledger.all(), &self.record, &mut self.left_alone);
        notes.iter().for_each(|note| self.options.note(note));
    }

    fn wait(&mut self, events: &Receiver<Event>) -> Result<()> {
        let now = Instant::now();
        let mut until = now + Duration::from_millis(50);
        for window in self.windows.values_mut() {
            until = window.retry(now).map_or(until, |due| due.min(until));
        }
        if let Some(since) = self.berths.values().filter_map(|b| b.pending.since).min() {
            until = until.min(self.commit_at(since));
        }
        match events.recv_timeout(until.saturating_duration_since(now)) {
            Ok(event) => self.take(event)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::bug("the workers are gone")),
        }
        self.take_all(events)
    }

    /// Takes what has come meanwhile.
    fn take_all(&mut self, events: &Receiver<Event>) -> Result<()> {
        while let Ok(event) = events.try_recv() {
            self.take(event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<()> {
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
                    replies.into_iter().for_each(|reply| window.reply(&self.shared, reply, now));
                }
            }
            Event::Stdin(stream) => stdin::take(self, stream)?,
            Event::Claimed(lane, claimed) => crew::claimed(self, lane, claimed)?,
            Event::News(accounts) => {
                let mut news = false;
                for account in accounts {
                    news |= match self.berths.get(&account.lane) {
                        Some(berth) if berth.is_behind(&account) => {
                            let text = format!("another process works lane {}", account.lane);
                            return Err(Error::new(ErrorKind::Doubt, text));
                        }
                        Some(_) => false,
                        None => self.ledger.learn(account),
                    }
                }
                if news {
                    self.facts = facts::derive(&self.shared, self.ledger.all(), &self.record);
                }
            }
            Event::Fault(e) => return Err(e),
        }
        Ok(())
    }
}
