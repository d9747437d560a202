//! Threads that work on pieces of input ahead of the commits.

use crate::context::RunContext;
use crate::piece;
use crate::piece::{Piece, Task};
use crate::worker::event::{Answer, Event};
use crate::worker::reader::{ReaderAtWork, ReaderNo, Sent};
use anabranch_engine::{Error, Result, limits};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The threads, and what they have under way.
pub struct Pool {
    tasks: Option<Sender<(ReaderNo, u64, Task)>>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
    pieces: usize,
    bytes: usize,
}

impl Pool {
    /// Starts `n` threads; answers go to `answers`.
    pub fn start(n: usize, context: &Arc<RunContext>, answers: &Sender<Event>) -> Result<Pool> {
        let (tasks, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = vec![];
        for i in 0..n {
            let (context, queue, answers) = (context.clone(), queue.clone(), answers.clone());
            let thread =
                std::thread::Builder::new().name(format!("worker {i}")).spawn(move || work(&context, &queue, &answers));
            threads.push(thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?);
        }
        Ok(Pool { tasks: Some(tasks), threads, next: 0, pieces: 0, bytes: 0 })
    }

    /// Whether another piece may be given, with so many bytes waiting for commits.
    pub fn has_room(&self, pending: usize) -> bool {
        let most = self.threads.len() * limits::CHUNKS_PER_WORKER;
        self.pieces < most && self.bytes < limits::BYTES_UNDER_WAY && pending < limits::BYTES_UNDER_WAY
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.pieces == 0
    }

    /// Hands over the next piece of a reader, which ends at `next`.
    pub fn give(
        &mut self,
        (no, reader): (ReaderNo, &mut ReaderAtWork),
        piece: Piece,
        next: i64,
        bytes: usize,
    ) -> Result<()> {
        let id = self.next;
        let task = Task { unit: reader.unit, root: reader.root, piece };
        let sent = self.tasks.as_ref().is_some_and(|t| t.send((no, id, task)).is_ok());
        if !sent {
            return Err(Error::bug("the workers are gone"));
        }
        reader.sent = next;
        reader.queue.push_back(Sent { id, next, bytes, done: None });
        self.next += 1;
        self.pieces += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes the answer for a piece of a reader.
    pub fn answered(&mut self, reader: Option<&mut ReaderAtWork>, answer: Answer) -> Result<()> {
        let sent = reader.and_then(|r| r.queue.iter_mut().find(|s| s.id == answer.id));
        let sent = sent.ok_or_else(|| Error::bug(format!("an answer for piece {}, which nobody gave", answer.id)))?;
        sent.done = Some(answer.outcome);
        self.pieces -= 1;
        self.bytes -= sent.bytes;
        Ok(())
    }

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

fn work(context: &RunContext, queue: &Mutex<Receiver<(ReaderNo, u64, Task)>>, answers: &Sender<Event>) {
    loop {
        let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((reader, id, task)) = task else { return };
        let run = std::panic::AssertUnwindSafe(|| piece::carry(context, &task));
        let outcome = std::panic::catch_unwind(run)
            .unwrap_or_else(|_| Err(Error::bug("a step panicked; the item is not committed")));
        if answers.send(Event::Piece(Answer { reader, id, outcome })).is_err() {
            return;
        }
    }
}
