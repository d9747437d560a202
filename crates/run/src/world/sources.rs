//! What a run reads from outside.

use anabranch_engine::Result;
use serde::{Deserialize, Serialize};

/// What standard input has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Nothing: it is a terminal or the null device.
    Nothing,
    /// It is a pipe or a file of which nothing can be read now.
    Silent,
    /// It is a pipe or a file with something in it.
    Something,
}

/// A path that a flow writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The path in pieces; `None` where an expression stands.
    pub pieces: Vec<Option<String>>,
    /// The file that is there is added to.
    pub adds: bool,
}

/// The files of a source when a run opened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The stream that they fill.
    pub stream: String,
    /// The files, in order.
    pub files: Vec<Listed>,
    /// What the pattern matches and is left out, and why.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.length).sum()
    }
}

/// A file as it was when a run opened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listed {
    /// Its path, relative to the flow. Bytes that are not UTF-8 are shown.
    pub path: String,
    /// The bytes of its path, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Vec<u8>>,
    /// Its device and inode.
    pub id: (u64, u64),
    /// Its length in bytes.
    pub length: u64,
    /// When it was last written, nanoseconds since 1970.
    pub modified: i128,
    /// Hash of its first 4 KiB and, if it has more, its last 4 KiB.
    pub hash: u64,
}

/// A line of a file.
#[derive(Debug)]
pub struct Line<'l> {
    /// Which file of the manifest.
    pub file: usize,
    /// Its first byte in the file.
    pub byte: u64,
    /// Its first byte in all files together.
    pub at: u64,
    /// Its bytes without the line end; of a line that is too long the first ones.
    pub text: &'l [u8],
    /// It is longer than an item can be.
    pub too_long: bool,
    /// Of a last line without an end: whether its file has grown since the run opened, so that it may go on there.
    pub grown: Option<bool>,
}

/// Reads lines of files by position, from many threads at once.
pub trait LineReader: Send + Sync {
    /// All lines that begin at `from` or behind and before `to`, in order.
    ///
    /// # Errors
    ///
    /// A file cannot be read or was changed; or what `each` gives.
    fn read(&self, from: u64, to: u64, each: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<()>;
    /// The number in its file, from 1, of the line that begins at `at`.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    fn number(&self, at: u64) -> Result<u64>;
    /// Fails if a file is not what it was when the run opened.
    ///
    /// # Errors
    ///
    /// A file was changed, or is gone.
    fn verify(&self) -> Result<()>;
}
