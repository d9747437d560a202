//! What passes between a flow and an engine.

use crate::account::Account;
use crate::batch::Batch;
use crate::error::Result;
use crate::name::{FlowId, StreamName};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Place of an item in a partition.
pub type Offset = i64;
/// Number of a partition, from 0.
pub type Partition = u32;
/// Number of a lane, from 0.
pub type LaneNo = u32;

/// When a commit is due, unless there is nothing else to do: then it is at once.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// So many bytes wait for it.
    pub bytes: usize,
    /// The oldest result waits so long.
    pub every: Duration,
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
    ///
    /// # Errors
    ///
    /// The bytes cannot be read, or are corrupt.
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
    ///
    /// # Errors
    ///
    /// The bytes cannot be read, or are corrupt.
    pub fn load(&self) -> Result<Batch> {
        self.load.load()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} partition {} offsets {}..{}", self.at.stream, self.at.partition, self.at.offset, self.end)
    }
}

/// Remembers which news was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// The report of a run, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// The run.
    pub run: u64,
    /// JSON.
    pub json: String,
}

/// What becomes durable together: batches, the account that tells of them, and a report if the run closes.
#[derive(Debug, Default)]
pub struct Commit {
    /// Batches and where they go, in order.
    pub puts: Vec<Put>,
    /// The whole account of the lane after this commit.
    pub account: Account,
    /// The report of the run that it closes. The newest hundred of a flow are kept.
    pub report: Option<KeptReport>,
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
