//! Threads that work on pieces of input ahead of the commits.

use super::Shared;
use super::chunk::{Carrier, Outcome};
use super::convert;
use super::lines;
use super::repair;
use crate::patterns::{Body, Origin, Part};
use crate::plan::Root;
use anabranch_engine::{Error, Handle, Result, Rows};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A piece of input to work on.
pub struct Task {
    /// Names the piece in its answer.
    pub id: u64,
    /// The unit.
    pub unit: usize,
    /// Its root, by number.
    pub root: usize,
    /// What to read.
    pub piece: Piece,
}

/// What to read.
pub enum Piece {
    /// Batches; only offsets in `from..to` count.
    Batches {
        /// The batches.
        handles: Vec<Handle>,
        /// First offset.
        from: i64,
        /// Behind the last offset.
        to: i64,
    },
    /// Lines that begin in `from..to`.
    Lines {
        /// First byte.
        from: i64,
        /// Behind the last byte.
        to: i64,
    },
}

/// What came of a piece: items read, and their outcome.
pub type Answer = (u64, Result<(u64, Outcome)>);

/// The threads.
pub struct Pool {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `n` threads; answers go to `answers`.
    pub fn start(n: usize, shared: &Arc<Shared>, answers: &Sender<super::work::Event>) -> Result<Pool> {
        let (tasks, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = vec![];
        for i in 0..n {
            let (shared, queue, answers) = (shared.clone(), queue.clone(), answers.clone());
            let thread =
                std::thread::Builder::new().name(format!("worker {i}")).spawn(move || work(&shared, &queue, &answers));
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

fn work(shared: &Shared, queue: &Mutex<Receiver<Task>>, answers: &Sender<super::work::Event>) {
    loop {
        let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        let id = task.id;
        let run = std::panic::AssertUnwindSafe(|| carry(shared, &task));
        let outcome = std::panic::catch_unwind(run)
            .unwrap_or_else(|_| Err(Error::bug("a step panicked; the item is not committed")));
        if answers.send(super::work::Event::Piece((id, outcome))).is_err() {
            return;
        }
    }
}

fn carry(shared: &Shared, task: &Task) -> Result<(u64, Outcome)> {
    let root = &shared.plan.units[task.unit].roots[task.root];
    match &task.piece {
        Piece::Lines { from, to } => match shared.readings.get(&root.from) {
            Some(reading) => lines::read(shared, root, reading, *from as u64, *to as u64),
            None => Err(Error::bug("a source without files")),
        },
        Piece::Batches { handles, from, to } => {
            let mut carrier = Carrier::new(shared);
            let mut items = 0;
            for handle in handles {
                for (_, part) in parts(shared, root, handle, *from, *to)? {
                    items += part.count();
                    carrier.deliver(root.node, root.input, root.of, &part)?;
                }
            }
            Ok((items, carrier.out))
        }
    }
}

/// What a root takes of a batch, each with the position behind it.
pub fn parts(shared: &Shared, root: &Root, handle: &Handle, from: i64, to: i64) -> Result<Vec<(i64, Part)>> {
    match &shared.again {
        Some((dead, _)) if *dead == root.from => repair::letters(shared, root, handle, from..to),
        _ => {
            let parts = view(shared, root, handle, from, to)?;
            let firsts = parts.iter().skip(1).map(|next| next.above(0, 0).2);
            let ends: Vec<i64> = firsts.chain([handle.end.min(to)]).collect();
            Ok(ends.into_iter().zip(parts).collect())
        }
    }
}

/// A batch of the log, without the items outside `from..to`, in the format of the stream that the root takes.
pub fn view(shared: &Shared, root: &Root, handle: &Handle, from: i64, to: i64) -> Result<Vec<Part>> {
    let format = |s: usize| shared.flow.streams[s].format;
    convert::viewed(part(shared, root, handle, from, to)?, format(root.from), format(root.of))
}

/// A batch of the log, without the items outside `from..to`.
fn part(shared: &Shared, root: &Root, handle: &Handle, from: i64, to: i64) -> Result<Part> {
    let stream = shared.flow.streams[root.from].name.as_str().into();
    let body = Body::stored(handle.clone());
    let mut rows = None;
    if handle.at.offset < from || handle.end > to {
        let wanted = |delta: u32| (from..to).contains(&(handle.at.offset + i64::from(delta)));
        let records = body.records()?;
        let mut chosen = Rows::none(records.len());
        records.iter().filter(|r| wanted(r.delta())).for_each(|r| chosen.add(r.row()));
        rows = Some(chosen);
    }
    Ok(Part { body, rows, origin: Origin::Log { stream, handle: handle.clone() }, partition: handle.at.partition })
}
