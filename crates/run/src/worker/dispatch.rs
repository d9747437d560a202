//! Handing out work, pieces to the pool and items to the actions, as far as the bounds allow; and taking what is done.

use crate::piece::outcome::Outcome;
use crate::piece::{Piece, parts};
use crate::show::table::seconds;
use crate::worker::actions::{Portion, Window};
use crate::worker::event::{Answer, Event};
use crate::worker::pool::Pool;
use crate::worker::reader::{ReaderAtWork, ReaderNo};
use crate::worker::{Worker, finals, pair};
use crate::world::{Moment, Replies, Reply};
use anabranch_engine::{At, Error, LaneNo, Limit, Result, limits};
use anabranch_flow::model::Kind;
use anabranch_flow::number::UnitNo;
use anabranch_flow::plan::{ReadFrom, name};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

/// What works for a process beside its loop: the pool, and the calls of actions.
pub struct Dispatch {
    pool: Pool,
    windows: BTreeMap<UnitNo, Window>,
}

impl Dispatch {
    /// Starts the pool and the actions of a run.
    pub fn start(worker: &Worker, events: &Sender<Event>) -> Result<Dispatch> {
        let context = &worker.context;
        let pool = Pool::start(worker.threads, context, events)?;
        let mut windows = BTreeMap::new();
        for (u, unit) in context.plan.numbered_units() {
            if let Some(step) = unit.acts
                && let Kind::Act(act) = &context.flow.steps[step].kind
            {
                let events = events.clone();
                let replies = Replies::new(move |some| events.send(Event::Replies(u, some)).is_ok());
                windows.insert(u, Window::open(context, step, act, replies)?);
            }
        }
        Ok(Dispatch { pool, windows })
    }

    /// All work is done: the actions are told to end well.
    pub fn finish(&mut self) -> Result<()> {
        self.windows.values_mut().try_for_each(Window::finish)
    }

    /// Ends the actions, and waits for the pieces under way if somebody wants what they will find.
    pub fn end(mut self, wanted: bool) {
        self.windows.clear();
        if !self.pool.is_idle() && !wanted {
            self.pool.leave();
        }
    }

    /// Whether no piece is under way.
    pub fn is_idle(&self) -> bool {
        self.pool.is_idle()
    }

    /// Whether no item is with an action.
    pub fn calls_nothing(&self) -> bool {
        self.windows.values().all(|w| w.len() == 0)
    }

    /// Items that are with the action of each unit.
    pub fn calls(&self) -> BTreeMap<UnitNo, usize> {
        self.windows.iter().map(|(u, w)| (*u, w.len())).collect()
    }

    /// What is under way, a line each: items that are with actions, and readers whose pieces are worked on.
    pub fn under_way(&self, worker: &Worker, now: Moment, most: usize) -> Vec<String> {
        let flow = &worker.context.flow;
        let mut lines = vec![];
        for (unit, window) in &self.windows {
            let step = worker.context.plan.units[*unit].acts.map_or("", |s| flow.steps[s].name.as_str());
            let told = |(place, attempt, since): (String, u32, Moment)| {
                let so_long = seconds(now.saturating_sub(since).as_secs_f64());
                format!("{step}: {place}, attempt {attempt}, for {so_long}")
            };
            lines.extend(window.under_way(most).into_iter().map(told));
        }
        for reader in worker.readers.values().filter(|r| !r.queue.is_empty()) {
            let unit = &worker.context.plan.units[reader.unit];
            let names: Vec<String> = unit.nodes.iter().map(|n| name(flow, *n)).collect();
            let stream = &flow.streams[unit.roots[reader.root].from].name;
            lines.push(format!("{}: reads {stream} partition {}", names.join(", "), reader.partition));
        }
        lines.truncate(most);
        lines
    }

    /// Makes the calls again whose pause is over; when the next one is due.
    pub fn retry(&mut self, now: Moment) -> Option<Moment> {
        self.windows.values_mut().filter_map(|w| w.retry(now)).min()
    }

    /// Takes the answer for a piece.
    pub fn answered(&mut self, worker: &mut Worker, answer: Answer) -> Result<()> {
        self.pool.answered(worker.readers.get_mut(&answer.reader), answer)
    }

    /// Takes the answers to calls of an action.
    pub fn replied(&mut self, worker: &Worker, unit: UnitNo, replies: Vec<Reply>) -> Result<()> {
        let window =
            self.windows.get_mut(&unit).ok_or_else(|| Error::bug("an answer of an action that is not there"))?;
        let now = worker.context.world.clock.moment();
        replies.into_iter().try_for_each(|reply| window.reply(&worker.context, reply, now))
    }

    /// Begins nothing new in a lane, so that another process can have it soon.
    pub fn wind_down(&mut self, worker: &mut Worker, lane: LaneNo) {
        if worker.leave(lane) {
            for (no, _) in worker.readers.iter().filter(|(_, r)| r.lane == lane) {
                self.windows.values_mut().for_each(|w| w.withdraw(*no));
            }
        }
    }

    /// Whether nothing is under way in a lane.
    pub fn is_done_with(&self, worker: &Worker, lane: LaneNo) -> bool {
        let free = |no| self.windows.values().all(|w| w.is_free(no));
        worker.is_settled(lane)
            && worker.readers.iter().filter(|(_, r)| r.lane == lane).all(|(no, r)| r.queue.is_empty() && free(*no))
    }

    /// Whether another turn would find something to do without any event.
    pub fn can_go_on(&self, worker: &Worker) -> bool {
        let paired = |r: &ReaderAtWork| worker.context.plan.units[r.unit].pairs.is_some(); // moved as far as they can
        let has_room = |r: &ReaderAtWork| self.windows.get(&r.unit).is_none_or(Window::has_room);
        let free = |r: &ReaderAtWork| r.queue.is_empty() && has_room(r) && worker.takes_more(r);
        let mut readers = worker.readers.values();
        readers.any(|r| !paired(r) && free(r) && worker.readable(r).is_some_and(|end| r.sent < end))
            || finals::due(worker)
    }

    /// Hands pieces to the pool, and items to the actions, as far as the bounds allow.
    pub fn give(&mut self, worker: &mut Worker) -> Result<()> {
        self.retry(worker.context.world.clock.moment());
        // one piece of each reader in turn, so that a commit has something for many partitions; the last units first,
        // so that what is begun gets done
        let mut given = true;
        while given {
            given = false;
            let readers: Vec<ReaderNo> = worker.readers.keys().rev().copied().collect();
            for no in readers {
                given |= self.give_one(worker, no)?;
            }
        }
        pair::work(worker)
    }

    /// Hands out the next piece or items of a reader; false if there is nothing, or no room for it.
    fn give_one(&mut self, worker: &mut Worker, no: ReaderNo) -> Result<bool> {
        let reader = worker.at(no)?;
        let unit = reader.unit;
        if worker.context.plan.units[unit].pairs.is_some() || !worker.takes_more(reader) {
            return Ok(false);
        }
        let Some(end) = worker.readable(reader).filter(|end| reader.sent < *end) else { return Ok(false) };
        if !self.passed_over(worker, no)? {
            return Ok(false);
        }
        if worker.at(no)?.sent >= end {
            return Ok(true);
        }
        if self.windows.contains_key(&unit) {
            return self.start_actions(worker, no, end);
        }
        if self.pool.has_room(worker.pending()) { self.give_piece(worker, no, end) } else { Ok(false) }
    }

    /// Passes over what lies between the stretches of a batch; false if something before it is still under way.
    fn passed_over(&mut self, worker: &mut Worker, no: ReaderNo) -> Result<bool> {
        if worker.record.extents.is_empty() {
            return Ok(true); // a batch of one run has no gaps
        }
        let reader = worker.at(no)?;
        let root = &worker.context.plan.units[reader.unit].roots[reader.root];
        let spot = worker.context.spot(root.how, root.from, reader.partition);
        let (from, _) = worker.standing().stretch(&spot, reader.sent, i64::MAX);
        if from <= reader.sent {
            return Ok(true);
        }
        let (unit, free, replay_to) = (reader.unit, reader.queue.is_empty(), reader.replay_to);
        if free {
            worker.sent(no, from);
            let behind_others = self.windows.get_mut(&unit).is_some_and(|w| w.pass(no, from));
            if !behind_others && from > replay_to {
                worker.advance(no, from, 0, Outcome::default())?;
            }
        }
        Ok(free)
    }

    /// Starts actions for items of a reader; false if the window is full or nothing was found.
    fn start_actions(&mut self, worker: &mut Worker, no: ReaderNo, end: i64) -> Result<bool> {
        let reader = worker.at(no)?;
        let sent = reader.sent;
        let context = worker.context.clone();
        let root = &context.plan.units[reader.unit].roots[reader.root];
        let Some(window) = self.windows.get_mut(&reader.unit).filter(|w| w.has_room()) else { return Ok(false) };
        let at = At { stream: context.flow.streams[root.from].at.clone(), partition: reader.partition, offset: sent };
        let chunk = context.read(&at, end, Limit { bytes: limits::BATCH_TARGET_BYTES })?;
        let mut behind = sent;
        for handle in &chunk.batches {
            if !window.has_room() {
                break;
            }
            for (to, part) in parts(&context, root, handle, behind..end)? {
                if window.has_room() {
                    behind = window.start(&context, Portion { reader: no, root, part: &part, end: to })?;
                }
            }
        }
        let to = chunk.next.min(end);
        if to > behind && window.has_room() {
            behind = to; // no more items here, but the end of a commit, or letters that are not tried again
            if !window.pass(no, to) {
                worker.advance(no, to, 0, Outcome::default())?;
            }
        }
        worker.sent(no, behind);
        Ok(behind > sent)
    }

    /// Hands out the next piece of a reader; false if nothing can be read of it now.
    fn give_piece(&mut self, worker: &mut Worker, no: ReaderNo, end: i64) -> Result<bool> {
        let context = worker.context.clone();
        let reader = worker.at_mut(no)?;
        let root = &context.plan.units[reader.unit].roots[reader.root];
        let from = reader.sent;
        // what is folded again ends exactly where the commits had got to
        let end = if from < reader.replay_to { end.min(reader.replay_to) } else { end };
        let (piece, to, bytes) = match root.how {
            ReadFrom::Lines => {
                let source = context.flow.streams[root.from].source.as_ref();
                let to = source.map_or(end, |source| source.holds.cut(from)).min(end);
                (Piece::Lines { from, to }, to, (to - from) as usize)
            }
            _ => {
                let stream = context.flow.streams[root.from].at.clone();
                let at = At { stream, partition: reader.partition, offset: from };
                let looks = context.looks[reader.unit];
                let most = if looks { limits::CHUNK_BYTES } else { limits::BYTES_UNDER_WAY };
                let chunk = context.read(&at, end, Limit { bytes: most })?;
                let to = chunk.next.min(end);
                if to <= from {
                    return Ok(false);
                }
                let bytes = chunk.batches.iter().map(|b| if looks { b.bytes } else { b.held + 1 }).sum();
                (Piece::Batches { handles: chunk.batches, from, to }, to, bytes)
            }
        };
        self.pool.give((no, reader), piece, to, bytes)?;
        Ok(true)
    }

    /// Takes what is finished at the head of every reader into what is pending in its lane.
    pub fn take_finished(&mut self, worker: &mut Worker) -> Result<()> {
        let readers: Vec<ReaderNo> = worker.readers.keys().copied().collect();
        for no in readers {
            while let Some(sent) = worker.at_mut(no)?.queue.pop_front_if(|s| s.done.is_some()) {
                let (items, mut outcome) =
                    sent.done.unwrap_or_else(|| Err(Error::bug("a piece without an outcome")))?;
                worker.fold(&mut outcome)?;
                if sent.next > worker.at(no)?.replay_to {
                    // else it was committed before, and is only folded again
                    worker.advance(no, sent.next, items, outcome)?;
                }
            }
            let Some(window) = self.windows.get_mut(&worker.at(no)?.unit) else { continue };
            if let Some(finished) = window.finished(&worker.context, no)? {
                worker.advance(no, finished.next, finished.items, finished.outcome)?;
            }
        }
        Ok(())
    }
}
