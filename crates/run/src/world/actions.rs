//! Actions: what reaches out of a flow for single items.

use anabranch_engine::{Error, Result};
use anabranch_flow::call::Call;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

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

/// Why a call gave nothing.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The item is to blame: the call is made again, or the item has failed.
    Item {
        /// Why.
        text: String,
        /// Whether the call is made again.
        again: Again,
    },
    /// No item is to blame: the run stops.
    Run(Error),
}

/// Whether a call that failed is made again, while attempts are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After the pause that the step's `retry` says.
    Policy,
    /// After so long, as whoever was called asked for.
    After(Duration),
    /// Not: it would fail in the same way.
    Never,
}

impl Failure {
    /// The item has failed, and to call again would change nothing.
    pub fn for_good(text: impl Into<String>) -> Failure {
        Failure::Item { text: text.into(), again: Again::Never }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Item { text, again: Again::Policy }
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Failure {
        Failure::from(text.to_string())
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
    /// What was seen of the call beside that, where something was.
    pub log: Option<CallLog>,
}

/// What was seen of a call beside what it gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallLog {
    /// When it began, milliseconds since 1970-01-01 UTC.
    pub began: i64,
    /// How long it took.
    pub took: Duration,
    /// How the program ended: `exit 1`.
    pub status: Option<String>,
    /// The end of what it wrote to standard error.
    pub stderr: Vec<u8>,
    /// The end of what it wrote to standard output, where that is no result.
    pub stdout: Vec<u8>,
}

impl CallLog {
    /// Bytes of what was written.
    pub fn bytes(&self) -> usize {
        self.stderr.len() + self.stdout.len()
    }
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
        self.send(vec![Reply { slot, outcome, log: None }])
    }
}

/// An action that takes calls. Dropping it ends its children.
pub trait Session: Send {
    /// Takes a call; never waits. The reply comes in its own time; a call that was withdrawn has none. A call that is
    /// made again goes before those that wait.
    fn start(&mut self, job: Call);

    /// All calls are answered, and no more will come: fails if what answered them turns out not to be trusted.
    ///
    /// # Errors
    ///
    /// What answered the calls is not to be trusted.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
