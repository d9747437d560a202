//! Threads that work on pieces of input ahead of the commits.

use crate::context::RunContext;
use crate::piece;
use crate::piece::{Piece, Task};
use crate::worker::event::{Answer, Event};
use crate::worker::reader::{ReaderAtWork, ReaderNo, Sent};
use crate::world::{Begun, Step};
use anabranch_engine::{Error, Result, limits};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The threads, and what they have under way.
pub struct Pool {
    tasks: Option<Sender<(ReaderNo, u64, Task)>>,
    threads: Vec<Begun>,
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
            let own = context.world.threads.clone();
            let work = move |may_wait| work(&context, &queue, &answers, may_wait);
            threads.push(own.begin(format!("worker {i}"), Box::new(work))?);
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
        self.threads.drain(..).for_each(Begun::leave);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks = None;
        self.threads.drain(..).for_each(Begun::join);
    }
}

type Queue = Mutex<Receiver<(ReaderNo, u64, Task)>>;

fn work(context: &RunContext, queue: &Queue, answers: &Sender<Event>, may_wait: bool) -> Step {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let next = if may_wait { queue.recv().map_err(|_| TryRecvError::Disconnected) } else { queue.try_recv() };
    drop(queue);
    let (reader, id, task) = match next {
        Ok(task) => task,
        Err(TryRecvError::Empty) => return Step::Nothing,
        Err(TryRecvError::Disconnected) => return Step::Over,
    };
    let run = std::panic::AssertUnwindSafe(|| piece::carry(context, &task));
    let outcome =
        std::panic::catch_unwind(run).unwrap_or_else(|_| Err(Error::bug("a step panicked; the item is not committed")));
    match answers.send(Event::Piece(Answer { reader, id, outcome })) {
        Ok(()) => Step::Done,
        Err(_) => Step::Over,
    }
}
