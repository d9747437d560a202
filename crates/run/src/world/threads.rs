//! What goes on beside the loop of a process.

use anabranch_engine::{Error, Result};
use std::thread::JoinHandle;
use std::time::Duration;

/// What came of one step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It did something, and there may be more.
    Done,
    /// There is nothing to do now.
    Nothing,
    /// There is nothing to do any more.
    Over,
}

/// Something that goes on beside the loop, one step after another. Told `true` it may wait until there is something to do;
/// told `false` it must not.
pub type Task = Box<dyn FnMut(bool) -> Step + Send>;

/// A task that was begun.
#[must_use]
pub struct Begun(Option<JoinHandle<()>>);

impl Begun {
    /// One that a thread carries out.
    pub fn in_thread(thread: JoinHandle<()>) -> Begun {
        Begun(Some(thread))
    }

    /// One that goes on while its loop waits.
    pub fn in_turn() -> Begun {
        Begun(None)
    }

    /// Waits until it is over.
    pub fn join(self) {
        let _ = self.0.map(JoinHandle::join); // a task that panicked has said so
    }

    /// Lets it end by itself.
    pub fn leave(self) {}
}

/// What goes on beside the loop of a process: threads, or whoever takes their place.
pub trait Threads: Send + Sync {
    /// Begins a task, under a name that people see.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    fn begin(&self, name: String, task: Task) -> Result<Begun>;
    /// Waits until `come` finds something, at most so long. `come` waits itself for as long as it is told.
    fn wait(&self, longest: Duration, come: &mut dyn FnMut(Duration) -> bool);
}

/// A thread for each task.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfSystem;

impl Threads for OfSystem {
    fn begin(&self, name: String, mut task: Task) -> Result<Begun> {
        let thread = std::thread::Builder::new().name(name).spawn(move || while task(true) != Step::Over {});
        thread.map(Begun::in_thread).map_err(|e| Error::machine(format!("cannot start a thread: {e}")))
    }

    fn wait(&self, longest: Duration, come: &mut dyn FnMut(Duration) -> bool) {
        come(longest);
    }
}
