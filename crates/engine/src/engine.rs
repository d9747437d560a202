//! The trait that an engine implements: what a flow needs from the place where its streams live.

use crate::account::Account;
use crate::error::{Error, Result};
use crate::name::{FlowId, StreamName};
use crate::types::{At, Chunk, Commit, Cursor, LaneNo, Limit, Offset, Pace, Shape, StreamSpec};
use std::ops::Range;
use std::time::Duration;

/// Where streams live. Knows streams and lanes; no pattern, no policy, no position of a reader.
pub trait Engine: Send + Sync {
    /// Creates each stream, or verifies that it has this shape; never resizes one.
    /// With an owner, the streams belong to that flow from now on: others may not write them.
    ///
    /// # Errors
    ///
    /// A stream has another shape, belongs to another flow, or cannot be made. No stream is resized.
    fn ensure(&self, owner: Option<&FlowId>, want: &[StreamSpec]) -> Result<Vec<Shape>>;
    /// Partitions of a stream; `None` if there is no such stream.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn partitions(&self, stream: &StreamName) -> Result<Option<u32>>;
    /// For each partition: the first kept offset .. the stable end.
    ///
    /// # Errors
    ///
    /// There is no such stream, or it cannot be read.
    fn span(&self, stream: &StreamName) -> Result<Vec<Range<Offset>>>;
    /// Committed batches from `at` on, none that begins at or behind `end`. The first may begin before `at`.
    /// There may be none although the position moves on, and none at all for a moment: what ends a commit can land
    /// later than its answer.
    /// Below the first kept offset it is [`Kind::Lost`](crate::Kind::Lost).
    ///
    /// # Errors
    ///
    /// [`Kind::Lost`](crate::Kind::Lost) where the offset is not kept any more; or it cannot be read, or is corrupt.
    fn read(&self, at: &At, end: Offset, max: Limit) -> Result<Chunk>;
    /// The newest account of each lane; waits for news of any, at most `wait`.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn accounts(&self, flow: &FlowId, seen: &mut Cursor, wait: Duration) -> Result<Vec<Account>>;
    /// Joins those who work a flow. One that has no lanes yet gets `want` of them, or as many as this engine can.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached or written.
    fn crew(&self, flow: &FlowId, want: u32) -> Result<Box<dyn Crew>>;
    /// Takes a lane, shuts out every earlier holder, and loads its account.
    ///
    /// # Errors
    ///
    /// The lane is held and cannot be taken, or it cannot be read.
    fn claim(&self, flow: &FlowId, lane: LaneNo) -> Result<Box<dyn Lane>>;
    /// Bytes of the largest batch that a stream takes.
    ///
    /// # Errors
    ///
    /// There is no such stream, or it cannot be asked.
    fn largest(&self, stream: &StreamName) -> Result<usize>;
    /// Whether every offset of a stream is an item. Where it is not, nobody knows how many items lie in a stretch before
    /// somebody has read it.
    fn counts_by_offset(&self) -> bool;
    /// Whether a lane can be taken from a process that holds it. Where it can, who stood still for long may act on a run that
    /// goes on without him.
    fn lanes_can_be_taken(&self) -> bool;
    /// How large commits should be under load.
    fn pace(&self) -> Pace;
    /// Everything before these places may go.
    ///
    /// # Errors
    ///
    /// It cannot be written. Nothing is lost then: it may be tried again.
    fn trim(&self, keep_from: &[At]) -> Result<()>;
}

/// Those who work a flow together, as one of them sees it. Dropped, it leaves them.
pub trait Crew: Send {
    /// Lanes of the flow; the number never changes.
    fn lanes(&self) -> u32;
    /// Says which lanes this process holds, and hears which ones it is advised to hold: a hint, no proof. Never waits.
    ///
    /// # Errors
    ///
    /// The process is not in the crew any more, and cannot join it.
    fn mine(&mut self, holding: &[LaneNo]) -> Result<Vec<LaneNo>>;
}

/// One lane, held. Commits through it are in order.
pub trait Lane: Send {
    /// The account as of the last settled commit on this lane by anyone.
    fn account(&self) -> &Account;
    /// Hands over a commit; at most [`COMMITS_UNDER_WAY`](crate::limits::COMMITS_UNDER_WAY) may be unsettled.
    /// `account.ends` is the engine's own running total: what the caller put there is ignored.
    ///
    /// # Errors
    ///
    /// The lane is lost: whether earlier commits exist only its account tells, when it is claimed again.
    fn submit(&mut self, commit: Commit) -> Result<(), LaneLost>;
    /// Waits until the oldest unsettled commit is durable.
    ///
    /// # Errors
    ///
    /// The lane is lost: whether the commit exists only its account tells, when it is claimed again.
    fn settle(&mut self) -> Result<(), LaneLost>;
}

/// Fenced, failed or unknown: drop everything of the lane, claim it again, read the account, go on.
/// Commits under way may or may not exist; only the account that is read next tells.
#[derive(Debug, Clone)]
pub struct LaneLost(pub Error);

impl From<LaneLost> for Error {
    fn from(lost: LaneLost) -> Error {
        lost.0
    }
}
