//! Threads that work on pieces of input ahead of the commits.

use crate::context::RunContext;
use crate::piece;
use crate::piece::Task;
use anabranch_engine::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The threads.
pub struct Pool {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `n` threads; answers go to `answers`.
    pub fn start(n: usize, context: &Arc<RunContext>, answers: &Sender<crate::worker::event::Event>) -> Result<Pool> {
        let (tasks, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = vec![];
        for i in 0..n {
            let (context, queue, answers) = (context.clone(), queue.clone(), answers.clone());
            let thread =
                std::thread::Builder::new().name(format!("worker {i}")).spawn(move || work(&context, &queue, &answers));
            threads.push(thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?);
        }
        Ok(Pool { tasks: Some(tasks), threads })
    }

    /// Hands over a piece; the caller bounds how many are under way.
    pub fn give(&self, task: Task) -> Result<()> {
        let sent = self.tasks.as_ref().is_some_and(|t| t.send(task).is_ok());
        if sent { Ok(()) } else { Err(Error::bug("the workers are gone")) }
    }
}

impl Pool {
    /// Lets go of threads that are at work: nobody wants what they will find.
    pub fn leave(&mut self) {
        self.threads.clear();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(context: &RunContext, queue: &Mutex<Receiver<Task>>, answers: &Sender<crate::worker::event::Event>) {
    loop {
        let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        let id = task.id;
        let run = std::panic::AssertUnwindSafe(|| piece::carry(context, &task));
        let outcome = std::panic::catch_unwind(run)
            .unwrap_or_else(|_| Err(Error::bug("a step panicked; the item is not committed")));
        if answers.send(crate::worker::event::Event::Piece((id, outcome))).is_err() {
            return;
        }
    }
}
