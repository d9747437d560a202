//! How far a unit has read one partition of one of its roots.

use crate::piece::outcome::Outcome;
use anabranch_engine::Result;
use std::collections::VecDeque;

/// A partition that a unit reads.
pub struct Track {
    /// The lane that it belongs to.
    pub lane: u32,
    /// The unit.
    pub unit: usize,
    /// Its root, by number.
    pub root: usize,
    /// The partition.
    pub partition: u32,
    /// Handed out to be worked on, up to here.
    pub sent: i64,
    /// What lies before this is committed already and only folded again.
    pub replay_to: i64,
    /// Pieces under way, in order.
    pub queue: VecDeque<Sent>,
}

/// A piece under way.
pub struct Sent {
    /// Its number.
    pub id: u64,
    /// Position behind it.
    pub next: i64,
    /// Its bytes.
    pub bytes: usize,
    /// What came of it: items read, and their outcome.
    pub done: Option<Result<(u64, Outcome)>>,
}

impl Track {
    /// A track that reads from `from`; what lies before `replay_to` is committed.
    pub fn new(lane: u32, unit: usize, root: usize, partition: u32, from: i64, replay_to: i64) -> Track {
        Track { lane, unit, root, partition, sent: from, replay_to, queue: VecDeque::new() }
    }
}
