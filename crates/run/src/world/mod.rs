//! What a run needs from the world outside its engine: sources, sinks, actions, the clock, threads. Implemented in `connect`
//! and, for tests of flows, in `trial`; never called by a pattern.

mod actions;
mod listing;
mod sinks;
mod sources;
mod threads;

pub use actions::{Again, CallLog, Failure, Outcome, Replies, Reply, Seat, Session};
pub use listing::{Listing, Reading};
pub use sinks::{Goal, Opening, SinkFile, StillHeld};
pub use sources::{Input, Line, LineReader, Listed, Manifest, Written};
pub use threads::{Begun, OfSystem, Step, Task, Threads};

use anabranch_engine::Result;
use anabranch_flow::call::Call;
use anabranch_flow::model::{Act, Source};
use std::sync::Arc;
use std::time::Duration;

/// Where items come from.
pub trait Sources: Send + Sync {
    /// Lists the files of a source as they are now. A fixed path that is missing is an error. What the flow writes
    /// itself is no source.
    ///
    /// # Errors
    ///
    /// A file that is named is missing, or cannot be read.
    fn survey(&self, source: &Source, written: &[Written]) -> Result<Manifest>;
    /// Opens the files of a manifest; fails if one of them is not the same any more.
    ///
    /// # Errors
    ///
    /// A file is not what the manifest says.
    fn lines(&self, manifest: &Manifest) -> Result<Arc<dyn LineReader>>;
    /// What standard input has to give.
    fn input(&self) -> Input;
    /// The file that standard input is, by device and inode, if it is one.
    fn redirected(&self) -> Option<(u64, u64)>;
    /// Standard input.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    fn stdin(&self) -> Result<Box<dyn std::io::Read + Send>>;
}

/// Where items are stored.
pub trait Sinks: Send + Sync {
    /// Opens a sink's file, and cuts what is behind the bytes that are committed: once nobody else can write it any more,
    /// and `held` says that the lane is still held. A process that stood still for long changes nothing that others wrote.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or is not as long as what is committed of it; or what `held` says.
    fn open(&self, file: Opening<'_>, held: StillHeld<'_>) -> Result<Box<dyn SinkFile>>;
    /// Standard output as a sink.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    fn stdout(&self) -> Result<Box<dyn SinkFile>>;
    /// The file that standard output is, by device and inode, if it is one.
    fn redirected(&self) -> Option<(u64, u64)>;
    /// What the path of a sink leads to, however it is written; fails if nothing can be stored there.
    ///
    /// # Errors
    ///
    /// Nothing can be stored there.
    fn goal(&self, path: &str, replace: bool) -> Result<Goal>;
    /// Puts the complete file of a sink, of this length, in its place; done twice it does nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be renamed, or is not what it should be.
    fn publish(&self, path: &str, length: u64) -> Result<()>;
    /// Throws away the unfinished file of a replacing sink.
    ///
    /// # Errors
    ///
    /// The file cannot be deleted.
    fn discard(&self, path: &str) -> Result<()>;
    /// Puts the unfinished file of one path where that of another one is; done twice it does nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be renamed.
    fn put_aside(&self, path: &str, to: &str) -> Result<()>;
    /// Whether a sink's file is there.
    fn exists(&self, path: &str) -> bool;
    /// The length of a file that was put in place; `None` if there is none.
    fn length(&self, path: &str) -> Option<u64>;
    /// Writes the first `length` bytes of a file that was put in place into another one.
    ///
    /// # Errors
    ///
    /// It is shorter, or cannot be read; or the other one cannot be written.
    fn copy(&self, path: &str, length: u64, to: &mut dyn SinkFile) -> Result<()>;
}

/// What is done for single items outside.
pub trait Actions: Send + Sync {
    /// Why a program that is given by its path cannot be started, or only read by an interpreter; `None` if it can.
    fn program(&self, path: &str, starts: bool) -> Option<String>;
    /// A hash of a program's file, found as it is when it is called; none if it cannot be read, or is very large.
    fn hash(&self, program: &str) -> Option<u64>;
    /// Calls a program once, and waits for it, at most so long.
    ///
    /// # Errors
    ///
    /// It cannot be started, fails, or takes longer.
    fn once(&self, call: &Call, timeout: Duration) -> Outcome;
    /// Begins to take calls of an action; each is answered once through `replies`.
    ///
    /// # Errors
    ///
    /// What makes the calls cannot be started.
    fn begin(&self, act: &Act, seat: Seat, replies: Replies) -> Result<Box<dyn Session>>;
}

/// A time that only goes on.
pub type Moment = Duration;

/// What time it is.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now(&self) -> i64;
    /// A time that only goes on, counted from any moment before.
    fn moment(&self) -> Moment;
    /// Waits a random moment of 20 to 250 ms, so that two who want the same do not always meet.
    fn pause(&self);
}

/// The world outside. Each part of it can be another one.
#[derive(Clone)]
pub struct World {
    /// Where items come from.
    pub sources: Arc<dyn Sources>,
    /// Where items are stored.
    pub sinks: Arc<dyn Sinks>,
    /// What is done for single items.
    pub actions: Arc<dyn Actions>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What goes on beside the loop.
    pub threads: Arc<dyn Threads>,
}

impl<W: Sources + Sinks + Actions + Clock + 'static> From<Arc<W>> for World {
    fn from(all: Arc<W>) -> World {
        World {
            sources: all.clone(),
            sinks: all.clone(),
            actions: all.clone(),
            clock: all,
            threads: Arc::new(OfSystem),
        }
    }
}
