//! What a run needs from the world outside its engine: actions, sources, sinks.
//! Implemented in `connect`, called by the runner, never by a pattern.

use crate::model::{Act, Source};
use anabranch_engine::{Error, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The world outside.
pub trait World: Send + Sync {
    /// Lists the files of a source as they are now. A fixed path that is missing is an error. What the flow writes
    /// itself is no source.
    fn survey(&self, source: &Source, written: &[Written]) -> Result<Manifest>;
    /// Opens the files of a manifest; fails if one of them is not the same any more.
    fn lines(&self, manifest: &Manifest) -> Result<Arc<dyn LineReader>>;
    /// What standard input has to give.
    fn input(&self) -> Input;
    /// The files that standard input and standard output are, by device and inode, if they are files.
    fn redirected(&self) -> [Option<(u64, u64)>; 2];
    /// Standard input.
    fn stdin(&self) -> Result<Box<dyn std::io::Read + Send>>;
    /// Opens a sink's file for the run `run`, whose first `resume` bytes are committed; none = the run has not written it.
    fn sink(&self, path: &str, replace: bool, run: u64, resume: Option<u64>) -> Result<Box<dyn SinkFile>>;
    /// Standard output as a sink.
    fn stdout(&self) -> Result<Box<dyn SinkFile>>;
    /// Waits a random moment of 20 to 250 ms, so that two who want the same do not always meet.
    fn pause(&self);
    /// What the path of a sink leads to, however it is written; fails if nothing can be stored there.
    fn goal(&self, path: &str, replace: bool) -> Result<Goal>;
    /// Why a program that is given by its path cannot be started, or only read by an interpreter; `None` if it can.
    fn program(&self, path: &str, starts: bool) -> Option<String>;
    /// Puts the complete file of a sink, of this length, in its place; done twice it does nothing.
    fn publish(&self, path: &str, length: u64) -> Result<()>;
    /// Throws away the unfinished file of a replacing sink.
    fn discard(&self, path: &str) -> Result<()>;
    /// Puts the unfinished file of one path where that of another one is; done twice it does nothing.
    fn put_aside(&self, path: &str, to: &str) -> Result<()>;
    /// Whether a sink's file is there.
    fn exists(&self, path: &str) -> bool;
    /// Begins to take calls of an action; each is answered once through `replies`.
    fn action(&self, act: &Act, seat: Seat, replies: Replies) -> Result<Box<dyn Session>>;
    /// Milliseconds since 1970-01-01 UTC.
    fn now(&self) -> i64;
}

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

/// What the path of a sink leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A file: its whole path, without links, and its device and inode if it is there.
    File(PathBuf, Option<(u64, u64)>),
    /// A device or a pipe, or what this process has open: what is written goes through.
    Through(PathBuf),
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
    fn read(&self, from: u64, to: u64, each: &mut dyn FnMut(Line<'_>)) -> Result<()>;
    /// The number in its file, from 1, of the line that begins at `at`.
    fn number(&self, at: u64) -> Result<u64>;
    /// Fails if a file is not what it was when the run opened.
    fn verify(&self) -> Result<()>;
}

/// A sink's file, open.
pub trait SinkFile: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Makes them durable; the length of the file then.
    fn sync(&mut self) -> Result<u64>;
}

/// Who calls an action, and how its programs are called that are the same for all items.
#[derive(Debug, Clone, Default)]
pub struct Seat {
    /// The step.
    pub step: String,
    /// The program of a `pipe` and its arguments, filled in.
    pub args: Vec<String>,
    /// Its variables, filled in.
    pub env: Vec<(String, String)>,
}

/// One call of an action.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Names the call in its reply.
    pub slot: u64,
    /// The idempotency key: equal over attempts, restarts and retries.
    pub id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// The item's key.
    pub key: Option<Bytes>,
    /// The item's value.
    pub value: Bytes,
    /// The program and its arguments, filled in.
    pub args: Vec<String>,
    /// Variables, filled in.
    pub env: Vec<(String, String)>,
    /// Whether it is still wanted: asked once before the call is made.
    pub ticket: Ticket,
}

/// A call that waits is either begun or withdrawn, never both.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Arc<AtomicU8>);

const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    /// Begins the call; false if it was withdrawn. Another attempt begins it again.
    pub fn begin(&self) -> bool {
        let was = self.0.compare_exchange(0, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        was.is_ok() || was == Err(BEGUN)
    }

    /// Withdraws the call; false if it was begun.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(0, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Why a call gave nothing.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The item is to blame: the call is made again, or the item has failed.
    Item(String),
    /// No item is to blame: the run stops.
    Run(Error),
}

impl From<String> for Failure {
    fn from(error: String) -> Failure {
        Failure::Item(error)
    }
}

impl From<&str> for Failure {
    fn from(error: &str) -> Failure {
        Failure::Item(error.to_string())
    }
}

/// What a call gave; `None` = nothing, so the item goes on as it is.
pub type Outcome = std::result::Result<Option<Bytes>, Failure>;

/// The answer to one call.
#[derive(Debug)]
pub struct Reply {
    /// The call. Where the run has to stop it may be any.
    pub slot: u64,
    /// What it gave.
    pub outcome: Outcome,
}

/// Where replies go, from any thread.
#[derive(Clone)]
pub struct Replies(Arc<dyn Fn(Vec<Reply>) -> bool + Send + Sync>);

impl Replies {
    /// They go to whoever this tells; it says false if nobody wants them any more.
    pub fn new(to: impl Fn(Vec<Reply>) -> bool + Send + Sync + 'static) -> Replies {
        Replies(Arc::new(to))
    }

    /// Sends some; false if nobody wants them any more.
    pub fn send(&self, replies: Vec<Reply>) -> bool {
        (self.0)(replies)
    }

    /// Sends one.
    pub fn one(&self, slot: u64, outcome: Outcome) -> bool {
        self.send(vec![Reply { slot, outcome }])
    }
}

/// An action that takes calls. Dropping it ends its children.
pub trait Session: Send {
    /// Takes a call; never waits. The reply comes in its own time; a call that was withdrawn has none. A call that is
    /// made again goes before those that wait.
    fn start(&mut self, job: Job);

    /// All calls are answered, and no more will come: fails if what answered them turns out not to be trusted.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
