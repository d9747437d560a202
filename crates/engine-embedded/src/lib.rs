//! The embedded engine: a durable log in one directory, with no server.
//!
//! Batches go to append-only segment files; SQLite holds one index row for each
//! batch, the accounts, groups and reports. The SQLite commit is the only commit
//! point: what no row names does not exist, so there is no recovery pass.
//! `docs/FORMAT.md` tells every byte.
//!
//! Several processes share one directory: a flow that runs, `produce`,
//! `consume`, `report`. Cost: an append is one write and one sync of the own
//! segment plus one index commit; a copy by reference is one index row a batch.

mod admin;
mod bell;
mod commit;
mod directory;
mod disk;
mod index;
mod lane;
mod read;
mod segment;
mod streams;
mod trim;

pub use disk::{Disk, RealDisk, SegmentFile};
pub use index::FORMAT_VERSION;

use anabranch_engine::{
    Account, At, Chunk, Crew, Cursor, Engine, FlowId, Lane, LaneNo, Limit, Offset, Pace, Result, Shape, StreamName,
    StreamSpec, limits,
};
use bell::Bell;
use index::Index;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An open data directory. Cheap to clone; all clones share its connections.
#[derive(Clone)]
pub struct Embedded {
    dir: Arc<PathBuf>,
    index: Arc<Index>,
    files: Arc<read::Files>,
    disk: Arc<dyn Disk>,
    bell: Arc<Bell>,
}

impl Embedded {
    /// Opens the directory, or makes it. Refuses network file systems and newer formats.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, read or written, or is of another version.
    pub fn open(dir: &Path) -> Result<Embedded> {
        Embedded::open_on(dir, Arc::new(RealDisk))
    }

    /// The same with another disk under the segment files.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, read or written, or is of another version.
    pub fn open_on(dir: &Path, disk: Arc<dyn Disk>) -> Result<Embedded> {
        directory::prepare(dir)?;
        let index = Arc::new(Index::open(dir)?);
        let files = Arc::new(read::Files::new(dir, index.clone()));
        let bell = Arc::new(Bell::open(&dir.join("bell"))?);
        Ok(Embedded { dir: Arc::new(dir.to_path_buf()), index, files, disk, bell })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Engine for Embedded {
    fn ensure(&self, owner: Option<&FlowId>, want: &[StreamSpec]) -> Result<Vec<Shape>> {
        self.index.write(|tx| want.iter().map(|spec| streams::ensure(tx, owner, spec)).collect())
    }

    fn partitions(&self, stream: &StreamName) -> Result<Option<u32>> {
        self.index.read(|db| streams::partitions(db, stream))
    }

    fn span(&self, stream: &StreamName) -> Result<Vec<Range<Offset>>> {
        self.index.read(|db| streams::spans(db, stream))
    }

    fn read(&self, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
        read::read(&self.index, &self.files, at, end, max)
    }

    fn accounts(&self, flow: &FlowId, seen: &mut Cursor, wait: Duration) -> Result<Vec<Account>> {
        let until = Instant::now() + wait;
        loop {
            let (news, accounts) = self.index.read(|db| lane::accounts(db, flow))?;
            let left = until.saturating_duration_since(Instant::now());
            if news != *seen || left.is_zero() {
                *seen = news;
                return Ok(accounts);
            }
            self.bell.wait(left);
        }
    }

    fn crew(&self, _: &FlowId, _: u32) -> Result<Box<dyn Crew>> {
        Ok(Box::new(lane::Alone))
    }

    fn claim(&self, flow: &FlowId, lane: LaneNo) -> Result<Box<dyn Lane>> {
        Ok(Box::new(lane::claim(self, flow, lane)?))
    }

    fn largest(&self, _: &StreamName) -> Result<usize> {
        Ok(limits::BATCH_BYTES)
    }

    fn counts_by_offset(&self) -> bool {
        true
    }

    fn lanes_can_be_taken(&self) -> bool {
        false
    }

    fn pace(&self) -> Pace {
        Pace { bytes: limits::COMMIT_BYTES, every: std::time::Duration::from_millis(50) }
    }

    fn trim(&self, keep_from: &[At]) -> Result<()> {
        trim::trim(self, keep_from)
    }
}
