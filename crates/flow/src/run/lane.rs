//! The loop of a lane: read ahead, apply in parallel, commit in order, settle behind.

use super::facts::{self, Facts, Progress};
use super::folds::Folds;
use super::io::{Reply, Seat};
use super::pair;
use super::pending::Pending;
use super::pool::{Answer, Piece, Pool, Task, part};
use super::sinks::Sinks;
use super::track::{Sent, Track};
use super::view::RunView;
use super::window::Window;
use super::{Options, Shared, finals, marks, stdin};
use crate::model::Kind;
use crate::plan::{How, name};
use anabranch_engine::{Account, At, Commit, Error, Lane, Limit, Next, Result, RunRecord, limits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What reaches the loop from other threads.
pub enum Event {
    /// A piece of input is worked on.
    Piece(Answer),
    /// A call of an action of that unit is answered.
    Reply(usize, Reply),
    /// Lines came through standard input; none = it has ended.
    Stdin(usize, Option<Vec<Vec<u8>>>),
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
}

/// One lane of a run at work.
pub struct LaneRun<'r> {
    pub(super) shared: Arc<Shared>,
    options: &'r mut Options,
    lane: &'r mut dyn Lane,
    /// The account with what is pending.
    pub(super) account: Account,
    pub(super) record: RunRecord,
    pub(super) facts: Facts,
    pub(super) tracks: Vec<Track>,
    pub(super) folds: Folds,
    windows: BTreeMap<usize, Window>,
    pub(super) pending: Pending,
    sinks: Sinks,
    pub(super) portions: BTreeMap<usize, Receiver<()>>,
    unsettled: usize,
    next_task: u64,
    bytes_under_way: usize,
    pieces_under_way: usize,
    pub(super) workers: usize,
    mirrored: Instant,
    shown: Instant,
    began: Instant,
}

impl<'r> LaneRun<'r> {
    /// Takes up a run where its account says it is.
    pub fn new(
        shared: Arc<Shared>,
        options: &'r mut Options,
        lane: &'r mut dyn Lane,
        workers: usize,
    ) -> Result<LaneRun<'r>> {
        let account = lane.account().clone();
        let record = account.record.clone().ok_or_else(|| Error::bug("a lane without a run record"))?;
        let facts = facts::derive(&shared, std::slice::from_ref(&account), &record);
        let now = Instant::now();
        let mut run = LaneRun {
            sinks: Sinks::new(),
            portions: BTreeMap::new(),
            options,
            lane,
            account,
            record,
            facts,
            tracks: vec![],
            folds: Folds::default(),
            windows: BTreeMap::new(),
            pending: Pending::default(),
            unsettled: 0,
            next_task: 0,
            bytes_under_way: 0,
            pieces_under_way: 0,
            workers,
            mirrored: now,
            shown: now,
            began: now,
            shared,
        };
        run.tracks = run.all_tracks();
        Ok(run)
    }

    /// A track for each partition of each root. One that folds begins at the start of the run, to fold again what is committed.
    fn all_tracks(&self) -> Vec<Track> {
        let shared = &self.shared;
        let accounts = std::slice::from_ref(&self.account);
        let mut tracks = vec![];
        for (u, unit) in shared.plan.units.iter().enumerate() {
            let said = |s: &usize| facts::mark(accounts, &marks::done(&shared.flow.steps[*s].name)) > 0;
            let replay = !unit.folds.is_empty() && !unit.folds.iter().all(said);
            for (r, root) in unit.roots.iter().enumerate().filter(|(_, r)| r.how != How::Stdin) {
                for p in 0..shared.partitions[root.from] {
                    let reader = name(&shared.flow, root.node);
                    let spot = shared.spot(root.how, root.from, p);
                    let start = facts::start(&self.record, &reader, &spot);
                    let next = facts::next(accounts, &self.record, &reader, &spot);
                    tracks.push(Track::new(u, r, p, if replay { start } else { next }, next));
                }
            }
        }
        tracks
    }

    /// Works until everything is finished, or the run is told to stop.
    pub fn work(&mut self) -> Result<Ended> {
        let (sender, events) = channel();
        let shared = self.shared.clone();
        let pool = Pool::start(self.workers, &shared, &sender)?;
        for (u, unit) in shared.plan.units.iter().enumerate() {
            if let Some(step) = unit.acts
                && let Kind::Act(act) = &shared.flow.steps[step].kind
            {
                let (replies, inbox) = channel();
                forward(inbox, u, sender.clone())?;
                let shards = shared.flow.steps[step].shards.clone();
                let inputs = shared.flow.steps[step].inputs.len();
                let seat = |i: usize| Seat {
                    step: shared.flow.steps[step].name.clone(),
                    shard: shards.as_ref().and_then(|s| s.get(i).cloned()),
                };
                let sessions = (0..inputs).map(|i| shared.world.action(act, seat(i), replies.clone()));
                self.windows.insert(u, Window::new(step, sessions.collect::<Result<_>>()?));
            }
        }
        stdin::begin(self, &sender)?;
        drop(sender);
        let outcome = self.turn(&pool, &events);
        self.windows.clear();
        outcome
    }

    fn turn(&mut self, pool: &Pool, events: &Receiver<Event>) -> Result<Ended> {
        loop {
            let stop = self.options.stop.load(Ordering::Relaxed);
            if !stop {
                self.give_work(pool)?;
            }
            self.take_finished()?;
            self.say_finals()?;
            self.commit_if_due(stop)?;
            self.tick()?;
            let idle = self.pieces_under_way == 0 && self.pending.since.is_none();
            if idle && self.unsettled > 0 {
                self.settle()?;
                continue;
            }
            if idle && stop {
                return Ok(Ended::Stopped);
            }
            if idle && self.facts.units.iter().all(|u| *u != Progress::Working) {
                return Ok(Ended::Finished);
            }
            if idle && self.can_go_on() {
                continue;
            }
            self.wait(events)?;
        }
    }

    /// Whether another turn would find something to do without any event.
    fn can_go_on(&self) -> bool {
        let paired = |t: &&Track| self.shared.plan.units[t.unit].pairs.is_some(); // they moved as far as they can
        self.tracks
            .iter()
            .filter(|t| !paired(t))
            .any(|t| t.queue.is_empty() && self.readable(t).is_some_and(|end| t.sent < end) && self.has_room(t.unit))
            || finals::due(self)
    }

    fn has_room(&self, unit: usize) -> bool {
        self.windows.get(&unit).is_none_or(Window::has_room)
    }

    /// Where a track may be read to now.
    pub(super) fn readable(&self, track: &Track) -> Option<i64> {
        let root = &self.shared.plan.units[track.unit].roots[track.root];
        let open = self.facts.gates_before(root) == Some(true);
        let settled = std::slice::from_ref(self.lane.account());
        open.then(|| facts::written(settled, &self.record, &self.shared.spot(root.how, root.from, track.partition)))
    }

    /// Hands pieces to the pool, and items to the actions, as far as the bounds allow.
    fn give_work(&mut self, pool: &Pool) -> Result<()> {
        let now = Instant::now();
        for window in self.windows.values_mut() {
            window.retry(now);
        }
        // one piece of each track in turn, so that a commit has something for many partitions; the last units first,
        // so that what is begun gets done
        let mut given = true;
        while given {
            given = false;
            for t in (0..self.tracks.len()).rev() {
                given |= self.give_one(pool, t)?;
            }
        }
        pair::work(self)
    }

    /// Hands out the next piece or items of a track; false if there is nothing, or no room for it.
    fn give_one(&mut self, pool: &Pool, t: usize) -> Result<bool> {
        let unit = self.tracks[t].unit;
        if self.shared.plan.units[unit].pairs.is_some() {
            return Ok(false);
        }
        let Some(end) = self.readable(&self.tracks[t]).filter(|end| self.tracks[t].sent < *end) else {
            return Ok(false);
        };
        if self.windows.contains_key(&unit) {
            return self.start_actions(t, end);
        }
        let most = self.workers * limits::CHUNKS_PER_WORKER;
        let room = self.pieces_under_way < most
            && self.bytes_under_way < limits::BYTES_UNDER_WAY
            && self.pending.bytes < limits::BYTES_UNDER_WAY;
        if room { self.give_piece(pool, t, end) } else { Ok(false) }
    }

    /// Starts actions for items of a track; false if the window is full or nothing was found.
    fn start_actions(&mut self, t: usize, end: i64) -> Result<bool> {
        let track = &self.tracks[t];
        let (unit, sent) = (track.unit, track.sent);
        let shared = self.shared.clone();
        let root = &shared.plan.units[unit].roots[track.root];
        let Some(window) = self.windows.get_mut(&unit).filter(|w| w.has_room()) else { return Ok(false) };
        let at = At { stream: shared.flow.streams[root.from].at.clone(), partition: track.partition, offset: sent };
        let chunk = shared.engine.read(&at, end, Limit { bytes: limits::BATCH_TARGET_BYTES })?;
        let mut behind = sent;
        for handle in &chunk.batches {
            let part = part(&shared, root, handle, behind, end)?;
            let to = handle.end.min(end);
            behind = window.start(&shared, t, root.input, root.of, &part, to)?;
            if behind < to {
                break;
            }
        }
        if chunk.batches.is_empty() && chunk.next > sent && window.is_free(t) {
            behind = chunk.next.min(end); // no items here, but the end of a commit
            self.moved(t, behind, 0);
        }
        self.tracks[t].sent = behind;
        Ok(behind > sent)
    }

    /// Hands out the next piece of a track; false if nothing can be read of it now.
    fn give_piece(&mut self, pool: &Pool, t: usize, end: i64) -> Result<bool> {
        let track = &mut self.tracks[t];
        let root = &self.shared.plan.units[track.unit].roots[track.root];
        let from = track.sent;
        // what is folded again ends exactly where the commits had got to
        let end = if from < track.replay_to { end.min(track.replay_to) } else { end };
        let (piece, to, bytes) = match root.how {
            How::Lines => {
                let chunk = limits::CHUNK_BYTES as i64;
                let to = ((from / chunk + 1) * chunk).min(end);
                (Piece::Lines { from, to }, to, (to - from) as usize)
            }
            _ => {
                let at = At {
                    stream: self.shared.flow.streams[root.from].at.clone(),
                    partition: track.partition,
                    offset: from,
                };
                let most = if self.shared.looks[track.unit] { limits::CHUNK_BYTES } else { limits::BYTES_UNDER_WAY };
                let chunk = self.shared.engine.read(&at, end, Limit { bytes: most })?;
                let to = chunk.next.min(end);
                if to <= from {
                    return Ok(false);
                }
                let looks = self.shared.looks[track.unit];
                let bytes = chunk.batches.iter().map(|b| if looks { b.bytes } else { b.held + 1 }).sum();
                (Piece::Batches { handles: chunk.batches, from, to }, to, bytes)
            }
        };
        track.sent = to;
        track.queue.push_back(Sent { id: self.next_task, next: to, bytes, done: None });
        pool.give(Task { id: self.next_task, unit: track.unit, root: track.root, piece })?;
        self.next_task += 1;
        self.pieces_under_way += 1;
        self.bytes_under_way += bytes;
        Ok(true)
    }

    /// Takes the finished head of every track into what is pending.
    fn take_finished(&mut self) -> Result<()> {
        for t in 0..self.tracks.len() {
            while let Some(sent) = self.tracks[t].queue.pop_front_if(|s| s.done.is_some()) {
                let (items, mut outcome) =
                    sent.done.unwrap_or_else(|| Err(Error::bug("a piece without an outcome")))?;
                let track = &self.tracks[t];
                for (step, scratch) in std::mem::take(&mut outcome.scratch) {
                    self.folds.add(&self.shared, self.workers, step, scratch)?;
                }
                let replayed = sent.next <= track.replay_to;
                if !replayed {
                    let stop = outcome.stop.take();
                    if stop.is_some() {
                        return Err(stop.unwrap_or_else(|| Error::bug("stopped")));
                    }
                    self.moved(t, sent.next, items);
                    self.pending.add(&mut self.account, outcome)?;
                }
            }
        }
        let ids: Vec<usize> = self.windows.keys().copied().collect();
        for u in ids {
            for t in 0..self.tracks.len() {
                if self.tracks[t].unit != u {
                    continue;
                }
                let Some(window) = self.windows.get_mut(&u) else { continue };
                if let Some(mut finished) = window.finished(&self.shared, t)? {
                    if let Some(stop) = finished.outcome.stop.take() {
                        self.commit()?;
                        return Err(stop);
                    }
                    self.moved(t, finished.next, finished.items);
                    self.pending.add(&mut self.account, finished.outcome)?;
                }
            }
        }
        Ok(())
    }

    /// A reader moved on.
    pub(super) fn moved(&mut self, t: usize, next: i64, items: u64) {
        let track = &self.tracks[t];
        let root = &self.shared.plan.units[track.unit].roots[track.root];
        let spot = self.shared.spot(root.how, root.from, track.partition);
        let key = (name(&self.shared.flow, root.node), spot.0, spot.1);
        let read = self.account.read.entry(key).or_insert(Next { next, items: 0 });
        *read = Next { next, items: read.items + items };
        self.pending.since.get_or_insert_with(Instant::now);
    }

    fn say_finals(&mut self) -> Result<()> {
        while finals::due(self) {
            finals::say(self)?;
            self.commit()?;
        }
        Ok(())
    }

    fn commit_if_due(&mut self, stop: bool) -> Result<()> {
        let Some(since) = self.pending.since else { return Ok(()) };
        let due = self.pending.bytes >= limits::COMMIT_BYTES || since.elapsed() >= limits::COMMIT_EVERY;
        if stop || due || self.pieces_under_way == 0 {
            self.commit()?;
        }
        Ok(())
    }

    /// Commits everything that is pending. Sinks are written and synced before the commit tells of them.
    pub(super) fn commit(&mut self) -> Result<()> {
        if self.pending.since.is_none() {
            return Ok(());
        }
        self.sinks.write(&self.shared, &mut self.pending.sinks, &mut self.account)?;
        let puts = self.pending.puts(&self.shared, &mut self.account);
        self.account.seq += 1;
        let entries = self.account.read.len() + self.account.ends.len();
        if entries > limits::ACCOUNT_ENTRIES {
            let text = format!(
                "the flow has {entries} readers and written partitions, at most {} are possible",
                limits::ACCOUNT_ENTRIES
            );
            return Err(Error::usage(text).help("use fewer partitions or shards"));
        }
        self.lane.submit(Commit { puts, account: self.account.clone() })?;
        self.unsettled += 1;
        while self.unsettled >= limits::COMMITS_UNDER_WAY {
            self.settle()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.lane.settle()?;
        self.unsettled -= 1;
        self.account.ends.clone_from(&self.lane.account().ends);
        self.facts = facts::derive(&self.shared, std::slice::from_ref(self.lane.account()), &self.record);
        Ok(())
    }

    /// The account as committed.
    pub(super) fn settled(&self) -> &Account {
        self.lane.account()
    }

    /// What people see, and what their tools see, a few times in a second.
    fn tick(&mut self) -> Result<()> {
        if self.shown.elapsed() >= Duration::from_millis(100) {
            self.shown = Instant::now();
            if let Some(show) = &mut self.options.progress {
                let window: BTreeMap<usize, usize> = self.windows.iter().map(|(u, w)| (*u, w.len())).collect();
                show(&RunView::of(
                    &self.shared,
                    self.lane.account(),
                    &self.record,
                    &self.facts,
                    self.began.elapsed(),
                    &window,
                ));
            }
        }
        if self.mirrored.elapsed() >= limits::MIRROR_EVERY {
            self.mirrored = Instant::now();
            super::groups::mirror(&self.shared, self.lane.account(), &self.record)?;
        }
        Ok(())
    }

    fn wait(&mut self, events: &Receiver<Event>) -> Result<()> {
        let now = Instant::now();
        let mut until = now + Duration::from_millis(50);
        for window in self.windows.values_mut() {
            until = window.retry(now).map_or(until, |due| due.min(until));
        }
        if let Some(since) = self.pending.since {
            until = until.min(since + limits::COMMIT_EVERY);
        }
        match events.recv_timeout(until.saturating_duration_since(now)) {
            Ok(event) => self.take(event)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::bug("the workers are gone")),
        }
        while let Ok(event) = events.try_recv() {
            self.take(event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Piece((id, outcome)) => {
                let mut sent = self.tracks.iter_mut().flat_map(|t| t.queue.iter_mut());
                if let Some(sent) = sent.find(|s| s.id == id) {
                    self.pieces_under_way -= 1;
                    self.bytes_under_way -= sent.bytes;
                    sent.done = Some(outcome);
                }
            }
            Event::Reply(unit, reply) => {
                if let Some(window) = self.windows.get_mut(&unit) {
                    window.reply(&self.shared, reply, Instant::now());
                }
            }
            Event::Stdin(stream, lines) => stdin::take(self, stream, lines)?,
            Event::Fault(e) => return Err(e),
        }
        Ok(())
    }
}

/// Replies of a unit's actions become events of the loop.
fn forward(inbox: Receiver<Reply>, unit: usize, events: std::sync::mpsc::Sender<Event>) -> Result<()> {
    let pump = move || inbox.into_iter().try_for_each(|reply| events.send(Event::Reply(unit, reply)).map_err(drop));
    let thread = std::thread::Builder::new().name(format!("replies {unit}")).spawn(pump);
    thread.map(drop).map_err(|e| Error::machine(format!("cannot start a thread: {e}")))
}
