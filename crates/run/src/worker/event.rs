//! What reaches the loop of a process from other threads.

use crate::piece::outcome::Outcome;
use crate::worker::reader::ReaderNo;
use crate::world::Reply;
use anabranch_engine::{Account, Error, Lane, LaneNo, Result};
use anabranch_flow::number::{StreamNo, UnitNo};

/// What reaches the loop from other threads.
pub enum Event {
    /// A piece of input is worked on.
    Piece(Answer),
    /// Calls of an action of that unit are answered.
    Replies(UnitNo, Vec<Reply>),
    /// Something came through standard input, for that stream.
    Stdin(StreamNo),
    /// A lane was claimed, or could not be.
    Claimed(LaneNo, Result<Box<dyn Lane>>),
    /// Accounts that other processes committed.
    News(Vec<Account>),
    /// Something failed that no item can be blamed for.
    Fault(Error),
}

/// What came of a piece.
pub struct Answer {
    /// Whose piece.
    pub reader: ReaderNo,
    /// Its number.
    pub id: u64,
    /// Items read, and their outcome.
    pub outcome: Result<(u64, Outcome)>,
}
