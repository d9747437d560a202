//! Where a run stores items outside.

use anabranch_engine::Result;
use std::path::PathBuf;

/// What the path of a sink leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A file: its whole path, without links, and its device and inode if it is there.
    File(PathBuf, Option<(u64, u64)>),
    /// A device or a pipe, or what this process has open: what is written goes through.
    Through(PathBuf),
}

/// A sink's file that is to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'o> {
    /// Its path.
    pub path: &'o str,
    /// It replaces the file that is there.
    pub replace: bool,
    /// The run.
    pub run: u64,
    /// So many bytes of it are committed; none = the run has not written it.
    pub resume: Option<u64>,
}

/// Says whether the lane is still held for which something is done outside the log.
pub type StillHeld<'h> = &'h mut dyn FnMut() -> Result<()>;

/// A sink's file, open.
pub trait SinkFile: Send {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// The bytes cannot be written.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Makes them durable; the length of the file then.
    ///
    /// # Errors
    ///
    /// What was written may not survive.
    fn sync(&mut self) -> Result<u64>;
}
