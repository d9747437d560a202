//! A Rust function of the user as an action.

use anabranch_engine::{Error, Result};
use anabranch_flow::model::{Act, ActionFn};
use anabranch_flow::run::io::{Job, Reply, Session};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Threads that call the function.
pub struct Code {
    jobs: Sender<Job>,
}

impl Code {
    /// Starts the threads. They end when this is dropped and the calls under way have returned.
    pub fn start(act: &Act, code: &ActionFn, replies: &Sender<Reply>) -> Result<Code> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for i in 0..act.concurrency {
            let (queue, replies, code) = (queue.clone(), replies.clone(), code.clone());
            let work = move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    if !job.ticket.begin() {
                        continue;
                    }
                    let call = std::panic::AssertUnwindSafe(|| (code.0)(&job));
                    let outcome =
                        std::panic::catch_unwind(call).unwrap_or_else(|_| Err("the function panicked".into()));
                    let outcome = outcome.map(|value| Some(value.to_string().into()));
                    if replies.send(Reply { slot: job.slot, outcome }).is_err() {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("code {i}")).spawn(work);
            thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
        }
        Ok(Code { jobs })
    }
}

impl Session for Code {
    fn start(&mut self, job: Job) {
        let _ = self.jobs.send(job);
    }
}
