//! How far a unit has read one partition of one of its roots.

use crate::piece::outcome::Outcome;
use anabranch_engine::{LaneNo, Result};
use anabranch_flow::number::UnitNo;
use std::collections::VecDeque;

/// The number of a reader in the whole flow: the same in each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderNo(pub usize);

/// A partition that a unit reads.
pub struct ReaderAtWork {
    /// The lane that it belongs to.
    pub lane: LaneNo,
    /// The unit.
    pub unit: UnitNo,
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
