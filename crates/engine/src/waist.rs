//! The traits that an engine implements, and what passes through them.

use crate::account::Account;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::item::Item;
use crate::name::{FlowId, StreamName};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Place of an item in a partition.
pub type Offset = i64;
/// Number of a partition, from 0.
pub type Partition = u32;
/// Number of a lane, from 0.
pub type LaneNo = u32;

/// Where streams live. Knows streams and lanes; no pattern, no policy, no position of a reader.
pub trait Engine: Send + Sync {
    /// Creates each stream, or verifies that it has this shape; never resizes one.
    /// With an owner, the streams belong to that flow from now on: others may not write them.
    fn ensure(&self, owner: Option<&FlowId>, want: &[StreamSpec]) -> Result<Vec<Shape>>;
    /// Partitions of a stream; `None` if there is no such stream.
    fn partitions(&self, stream: &StreamName) -> Result<Option<u32>>;
    /// For each partition: the first kept offset .. the stable end.
    fn span(&self, stream: &StreamName) -> Result<Vec<Range<Offset>>>;
    /// Committed batches from `at` on, none that begins at or behind `end`. The first may begin before `at`.
    /// There may be none although the position moves on, and none at all for a moment: what ends a commit can land
    /// later than its answer.
    /// Below the first kept offset it is [`Kind::Lost`](crate::Kind::Lost).
    fn read(&self, at: &At, end: Offset, max: Limit) -> Result<Chunk>;
    /// The newest account of each lane; waits for news of any, at most `wait`.
    fn accounts(&self, flow: &FlowId, seen: &mut Cursor, wait: Duration) -> Result<Vec<Account>>;
    /// Joins those who work a flow. One that has no lanes yet gets `want` of them, or as many as this engine can.
    fn crew(&self, flow: &FlowId, want: u32) -> Result<Box<dyn Crew>>;
    /// Takes a lane, shuts out every earlier holder, and loads its account.
    fn claim(&self, flow: &FlowId, lane: LaneNo) -> Result<Box<dyn Lane>>;
    /// Bytes of the largest batch that a stream takes.
    fn largest(&self, stream: &StreamName) -> Result<usize>;
    /// Whether every offset of a stream is an item. Where it is not, nobody knows how many items lie in a stretch before
    /// somebody has read it.
    fn counts_by_offset(&self) -> bool;
    /// How large commits should be under load.
    fn pace(&self) -> Pace;
    /// Everything before these places may go.
    fn trim(&self, keep_from: &[At]) -> Result<()>;
}

/// When a commit is due, unless there is nothing else to do: then it is at once.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// So many bytes wait for it.
    pub bytes: usize,
    /// The oldest result waits so long.
    pub every: Duration,
}

/// Those who work a flow together, as one of them sees it. Dropped, it leaves them.
pub trait Crew: Send {
    /// Lanes of the flow; the number never changes.
    fn lanes(&self) -> u32;
    /// Says which lanes this process holds, and hears which ones it is advised to hold: a hint, no proof. Never waits.
    fn mine(&mut self, holding: &[LaneNo]) -> Result<Vec<LaneNo>>;
}

/// One lane, held. Commits through it are in order.
pub trait Lane: Send {
    /// The account as of the last settled commit on this lane by anyone.
    fn account(&self) -> &Account;
    /// Hands over a commit; at most [`COMMITS_UNDER_WAY`](crate::limits::COMMITS_UNDER_WAY) may be unsettled.
    /// `account.ends` is the engine's own running total: what the caller put there is ignored.
    fn submit(&mut self, commit: Commit) -> Result<(), LaneLost>;
    /// Waits until the oldest unsettled commit is durable.
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

/// What people's tools need beside it; runs and patterns never see this.
pub trait Admin: Engine {
    /// Waits for news of any stream, at most so long.
    fn wait(&self, longest: Duration);
    /// All streams.
    fn streams(&self) -> Result<Vec<StreamInfo>>;
    /// Deletes a stream and its items.
    fn delete(&self, stream: &StreamName) -> Result<()>;
    /// Appends items from outside any flow, as one commit.
    fn append(&self, stream: &StreamName, items: &[(Partition, Item)]) -> Result<()>;
    /// All groups and their offsets.
    fn groups(&self) -> Result<Vec<Group>>;
    /// The offsets of one group; none if it has none or is not there.
    fn group(&self, name: &str) -> Result<Group>;
    /// Sets offsets of a group.
    fn set_group(&self, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()>;
    /// Reports of a flow that are kept, oldest first: number of the run and JSON.
    fn reports(&self, flow: &FlowId) -> Result<Vec<(u64, String)>>;
    /// Keeps a report.
    fn keep_report(&self, flow: &FlowId, run: u64, json: &str) -> Result<()>;
    /// Flows that have an account here.
    fn flows(&self) -> Result<Vec<FlowId>>;
    /// The processes that work a flow now, as far as the engine knows of them.
    fn workers(&self, flow: &FlowId) -> Result<Vec<Worker>>;
}

/// A process that works a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Names it to people.
    pub name: String,
    /// The lanes that it works; none = it stands by.
    pub lanes: Vec<LaneNo>,
}

/// A stream that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: StreamName,
    /// Partitions; `None` = whatever it has, else 1.
    pub partitions: Option<u32>,
    /// Copies on Kafka; the embedded engine has one.
    pub replication_factor: Option<u16>,
    /// Settings as in Kafka's topic configuration.
    pub config: BTreeMap<String, String>,
}

impl StreamSpec {
    /// A stream of that many partitions and nothing else said.
    pub fn new(name: StreamName, partitions: u32) -> StreamSpec {
        StreamSpec { name, partitions: Some(partitions), replication_factor: None, config: BTreeMap::new() }
    }
}

/// What [`Engine::ensure`] found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Partitions it has.
    pub partitions: u32,
    /// Which stream of this name it is: one that is recreated has another id. Empty where offsets are never given twice.
    pub id: String,
    /// Whether it was made now.
    pub created: bool,
    /// Said once when it was made: what of the wish this engine cannot do.
    pub note: Option<String>,
}

/// A stream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// For each partition: the first kept offset .. the stable end.
    pub spans: Vec<Range<Offset>>,
    /// Bytes at rest, where the engine knows them.
    pub bytes: Option<u64>,
    /// The flow that writes it.
    pub owner: Option<FlowId>,
    /// Settings.
    pub config: BTreeMap<String, String>,
}

/// A consumer group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its offsets.
    pub offsets: BTreeMap<(StreamName, Partition), Offset>,
}

/// A place in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The stream.
    pub stream: StreamName,
    /// The partition.
    pub partition: Partition,
    /// The offset.
    pub offset: Offset,
}

/// Where a batch goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dest {
    /// The stream.
    pub stream: StreamName,
    /// The partition.
    pub partition: Partition,
}

/// How much to read at most.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Bytes at rest; at least one batch is read.
    pub bytes: usize,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// Batches in order.
    pub batches: Vec<Handle>,
    /// Where to read on.
    pub next: Offset,
}

/// A committed batch: what the index says of it, and its bytes when asked for.
#[derive(Clone)]
pub struct Handle {
    /// Where its first item stands.
    pub at: At,
    /// Its items.
    pub count: u32,
    /// The offset behind its last item.
    pub end: Offset,
    /// Bytes at rest.
    pub bytes: usize,
    /// Bytes of it that are in memory, and that a commit which passes it on has to write.
    pub held: usize,
    load: Arc<dyn Load>,
}

/// Fetches the bytes of a batch.
pub trait Load: Send + Sync {
    /// The batch, verified.
    fn load(&self) -> Result<Batch>;
}

impl Handle {
    /// A batch that `load` can fetch.
    pub fn new(at: At, count: u32, end: Offset, bytes: usize, load: Arc<dyn Load>) -> Handle {
        Handle { at, count, end, bytes, held: 0, load }
    }

    /// The same, of a batch that is in memory already.
    pub fn in_memory(self) -> Handle {
        Handle { held: self.bytes, ..self }
    }

    /// The batch itself.
    pub fn load(&self) -> Result<Batch> {
        self.load.load()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} partition {} offsets {}..{}", self.at.stream, self.at.partition, self.at.offset, self.end)
    }
}

/// Committed batches from `at` up to `end`, a chunk at a time; it stops early where nothing more is there.
pub fn chunks<E: Engine + ?Sized>(engine: &E, mut at: At, end: Offset) -> impl Iterator<Item = Result<Chunk>> + '_ {
    std::iter::from_fn(move || {
        if at.offset >= end {
            return None;
        }
        let chunk = engine.read(&at, end, Limit { bytes: crate::limits::COMMIT_BYTES });
        let stays = chunk.as_ref().map_or(true, |c| c.next <= at.offset);
        at.offset = chunk.as_ref().map_or(end, |c| if stays { end } else { c.next });
        match chunk {
            Ok(_) if stays => None,
            chunk => Some(chunk),
        }
    })
}

/// Calls `f` for each committed item from `at` up to `end`, with its offset, until it breaks.
///
/// # Errors
///
/// What reading gives, and what `f` gives.
pub fn items<E: Engine + ?Sized>(
    engine: &E,
    at: At,
    end: Offset,
    mut f: impl FnMut(Offset, Item) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let span = at.offset..end;
    for chunk in chunks(engine, at, end) {
        for handle in &chunk?.batches {
            for record in handle.load()?.records()?.iter() {
                let offset = handle.at.offset + i64::from(record.delta());
                if span.contains(&offset) && f(offset, record.to_item())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Remembers which news was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// What becomes durable together: batches, and the account that tells of them.
#[derive(Debug, Default)]
pub struct Commit {
    /// Batches and where they go, in order.
    pub puts: Vec<Put>,
    /// The whole account of the lane after this commit.
    pub account: Account,
}

/// One batch on its way into a stream.
#[derive(Debug, Clone)]
pub struct Put {
    /// Where it goes.
    pub to: Dest,
    /// What goes there.
    pub batch: BatchRef,
}

/// A batch by value or by reference.
#[derive(Debug, Clone)]
pub enum BatchRef {
    /// One that is committed already: no bytes are moved where the engine can refer to it.
    Stored(Handle),
    /// A new one.
    Fresh(Batch),
}

impl BatchRef {
    /// Its items, from its header.
    pub fn count(&self) -> u64 {
        match self {
            BatchRef::Stored(h) => u64::from(h.count),
            BatchRef::Fresh(b) => b.count() as u64,
        }
    }

    /// Bytes that a commit has to write for it.
    pub fn fresh_bytes(&self) -> usize {
        match self {
            BatchRef::Stored(h) => h.held,
            BatchRef::Fresh(b) => b.bytes().len(),
        }
    }
}
