//! Handing out work: pieces to the pool, items to the actions, as far as the bounds allow.

use crate::piece::outcome::Outcome;
use crate::piece::{Piece, Task, parts};
use crate::worker::pool::Pool;
use crate::worker::reader::{Sent, Track};
use crate::worker::{Worker, pair};
use anabranch_engine::{At, Limit, Result, limits};
use anabranch_flow::plan::How;
use std::time::Instant;

impl Worker<'_> {
    /// Where a track may be read to now.
    pub(crate) fn readable(&self, track: &Track) -> Option<i64> {
        let root = &self.context.plan.units[track.unit].roots[track.root];
        (self.facts.gates_before(root) == Some(true)).then(|| {
            let spot = self.context.spot(root.how, root.from, track.partition);
            let end = self.standing().written(&spot);
            self.standing().stretch(&spot, track.sent, end).1
        })
    }

    /// Hands pieces to the pool, and items to the actions, as far as the bounds allow.
    pub(crate) fn give_work(&mut self, pool: &Pool) -> Result<()> {
        let now = Instant::now();
        for window in self.windows.values_mut() {
            window.retry(now);
        }
        // one piece of each track in turn, so that a commit has something for many partitions; the last units first,
        // so that what is begun gets done
        let mut given = true;
        while given {
            given = false;
            let tracks: Vec<usize> = self.tracks.keys().rev().copied().collect();
            for t in tracks {
                given |= self.give_one(pool, t)?;
            }
        }
        pair::work(self)
    }

    /// Hands out the next piece or items of a track; false if there is nothing, or no room for it.
    fn give_one(&mut self, pool: &Pool, t: usize) -> Result<bool> {
        let Some(track) = self.tracks.get(&t) else { return Ok(false) };
        let unit = track.unit;
        if self.context.plan.units[unit].pairs.is_some() || !self.takes_more(track) {
            return Ok(false);
        }
        let Some(end) = self.readable(track).filter(|end| track.sent < *end) else { return Ok(false) };
        if !self.passed_over(t)? {
            return Ok(false);
        }
        if self.tracks.get(&t).is_none_or(|track| track.sent >= end) {
            return Ok(true);
        }
        if self.windows.contains_key(&unit) {
            return self.start_actions(t, end);
        }
        let most = self.workers * limits::CHUNKS_PER_WORKER;
        let room = self.pieces_under_way < most
            && self.bytes_under_way < limits::BYTES_UNDER_WAY
            && self.lanes.values().map(|b| b.bytes()).sum::<usize>() < limits::BYTES_UNDER_WAY;
        if room { self.give_piece(pool, t, end) } else { Ok(false) }
    }

    /// Passes over what lies between the stretches of a batch; false if something before it is still under way.
    fn passed_over(&mut self, t: usize) -> Result<bool> {
        if self.record.extents.is_empty() {
            return Ok(true); // a batch of one run has no gaps
        }
        let standing = self.ledger.standing(&self.context, &self.record);
        let Some(track) = self.tracks.get_mut(&t) else { return Ok(false) };
        let root = &self.context.plan.units[track.unit].roots[track.root];
        let spot = self.context.spot(root.how, root.from, track.partition);
        let (from, _) = standing.stretch(&spot, track.sent, i64::MAX);
        if from <= track.sent {
            return Ok(true);
        }
        let free = track.queue.is_empty();
        if free {
            track.sent = from;
            let behind_others = self.windows.get_mut(&track.unit).is_some_and(|w| w.pass(t, from));
            if !behind_others && from > track.replay_to {
                self.advance(t, from, 0, Outcome::default())?;
            }
        }
        Ok(free)
    }

    /// Starts actions for items of a track; false if the window is full or nothing was found.
    fn start_actions(&mut self, t: usize, end: i64) -> Result<bool> {
        let Some(track) = self.tracks.get(&t) else { return Ok(false) };
        let (unit, sent) = (track.unit, track.sent);
        let context = self.context.clone();
        let root = &context.plan.units[unit].roots[track.root];
        let Some(window) = self.windows.get_mut(&unit).filter(|w| w.has_room()) else { return Ok(false) };
        let at = At { stream: context.flow.streams[root.from].at.clone(), partition: track.partition, offset: sent };
        let chunk = context.read(&at, end, Limit { bytes: limits::BATCH_TARGET_BYTES })?;
        let mut behind = sent;
        for handle in &chunk.batches {
            if !window.has_room() {
                break;
            }
            for (to, part) in parts(&context, root, handle, behind, end)? {
                if window.has_room() {
                    behind = window.start(&context, t, root.input, root.of, &part, to)?;
                }
            }
        }
        let to = chunk.next.min(end);
        if to > behind && window.has_room() {
            behind = to; // no more items here, but the end of a commit, or letters that are not tried again
            if !window.pass(t, to) {
                self.advance(t, to, 0, Outcome::default())?;
            }
        }
        if let Some(track) = self.tracks.get_mut(&t) {
            track.sent = behind;
        }
        Ok(behind > sent)
    }

    /// Hands out the next piece of a track; false if nothing can be read of it now.
    fn give_piece(&mut self, pool: &Pool, t: usize, end: i64) -> Result<bool> {
        let Some(track) = self.tracks.get_mut(&t) else { return Ok(false) };
        let root = &self.context.plan.units[track.unit].roots[track.root];
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
                    stream: self.context.flow.streams[root.from].at.clone(),
                    partition: track.partition,
                    offset: from,
                };
                let most = if self.context.looks[track.unit] { limits::CHUNK_BYTES } else { limits::BYTES_UNDER_WAY };
                let chunk = self.context.read(&at, end, Limit { bytes: most })?;
                let to = chunk.next.min(end);
                if to <= from {
                    return Ok(false);
                }
                let looks = self.context.looks[track.unit];
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
}
