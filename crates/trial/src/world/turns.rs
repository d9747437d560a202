//! Tasks that are done while their process waits: which one, the seed decides.

use crate::scheduler::Process;
use anabranch_engine::Result;
use anabranch_run::world::{Begun, Step, Task, Threads};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The tasks of a process.
pub struct Turns {
    process: Process,
    tasks: Mutex<Vec<(String, Task)>>,
}

/// A process that has nothing to do looks again after so long: another one may have done something.
const LOOK: Duration = Duration::from_millis(10);

impl Turns {
    /// No task yet.
    pub fn new(process: Process) -> Turns {
        Turns { process, tasks: Mutex::default() }
    }

    /// Drops all tasks.
    pub fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks());
        drop(tasks); // not while they are locked
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<(String, Task)>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of some task that has something to do; false if none has.
    fn step(&self) -> bool {
        let mut left = self.tasks().len();
        let first = if left > 1 { self.process.below(left as u64) as usize } else { 0 };
        let mut at = first;
        while left > 0 {
            left -= 1;
            let mut tasks = self.tasks();
            if tasks.is_empty() {
                return false;
            }
            at %= tasks.len();
            let (name, mut task) = tasks.remove(at);
            drop(tasks); // a task may begin another one
            let step = task(false);
            if step != Step::Over {
                let mut tasks = self.tasks();
                let back = at.min(tasks.len());
                tasks.insert(back, (name.clone(), task));
                at += 1;
            }
            if step != Step::Nothing {
                self.process.note(format_args!("{name} {step:?}"));
                return true;
            }
        }
        false
    }
}

impl Threads for Turns {
    fn begin(&self, name: String, task: Task) -> Result<Begun> {
        self.tasks().push((name, task));
        Ok(Begun::in_turn())
    }

    fn wait(&self, longest: Duration, come: &mut dyn FnMut(Duration) -> bool) {
        let until = self.process.now() + longest;
        while !come(Duration::ZERO) && !self.process.is_dead() {
            let now = self.process.now();
            if self.step() {
                continue;
            }
            if now >= until {
                return;
            }
            self.process.sleep(LOOK.min(until - now));
        }
    }
}
