//! The world around a run that is tried: files and actions in memory, a clock that the scheduler moves, tasks that are done
//! while their process waits.

mod actions;
mod files;
mod lines;
mod turns;

pub use actions::{Mock, Mocked, Mocks};
pub use files::MemoryFiles;
pub use turns::Turns;

use crate::scheduler::Process;
use anabranch_run::world::{Clock, Moment, World};
use std::sync::Arc;
use std::time::Duration;

/// The world of one run: files that all processes share, and this one's time and tasks.
pub struct Around {
    /// The world, for the run.
    pub world: World,
    turns: Arc<Turns>,
}

impl Around {
    /// The world as a process sees it.
    pub fn of(process: &Process, files: &Arc<MemoryFiles>, mocks: &Arc<Mocks>) -> Around {
        let turns = Arc::new(Turns::new(process.clone()));
        let seen = files.seen_by(process);
        let world = World {
            sources: seen.clone(),
            sinks: seen,
            actions: Arc::new(mocks.of(process, &turns)),
            clock: Arc::new(OfProcess(process.clone())),
            threads: turns.clone(),
        };
        Around { world, turns }
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        self.turns.end(); // tasks hold the run, and the run holds them
    }
}

/// The time of a process.
struct OfProcess(Process);

impl Clock for OfProcess {
    fn now(&self) -> i64 {
        self.0.clock()
    }

    fn moment(&self) -> Moment {
        self.0.now()
    }

    fn pause(&self) {
        self.0.sleep(Duration::from_millis(20 + self.0.below(230)));
    }
}
