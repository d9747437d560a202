//! Calls that wait, and the threads that take them. Threads come when they are needed, never more than a step may have
//! calls at once.

use crate::bell::Bell;
use anabranch_engine::{Error, Result};
use anabranch_flow::call::Call;
use anabranch_run::world::{CallLog, Failure, Outcome, Replies, Reply, Session};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Calls that wait for a thread.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    ready: Condvar,
    /// Rung at a new call for a thread that listens to something else, too.
    bell: Option<Arc<Bell>>,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Call>,
    waiting: usize,
    closed: bool,
}

impl Queue {
    /// A queue that rings a bell.
    pub fn with(bell: Arc<Bell>) -> Queue {
        Queue { bell: Some(bell), ..Queue::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call: one that is made again goes before those that are new. True if no thread waits for it.
    pub fn push(&self, job: Call) -> bool {
        let mut inner = self.inner();
        let again = |j: &Call| j.attempt > 1;
        let at = if again(&job) { inner.jobs.iter().take_while(|j| again(j)).count() } else { inner.jobs.len() };
        inner.jobs.insert(at, job);
        let wanted = inner.jobs.len() > inner.waiting;
        drop(inner);
        self.ready.notify_one();
        self.bell.iter().for_each(|bell| bell.ring());
        wanted
    }

    /// Puts a call back in front of all others.
    pub fn put_back(&self, job: Call) {
        self.inner().jobs.push_front(job);
    }

    /// The next call that is still wanted, as soon as there is one; none if the queue is closed.
    pub fn pop(&self) -> Option<Call> {
        let mut inner = self.inner();
        loop {
            if inner.closed {
                return None;
            }
            if let Some(job) = inner.jobs.pop_front() {
                if job.ticket.begin() {
                    return Some(job);
                }
                continue;
            }
            inner.waiting += 1;
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.waiting -= 1;
        }
    }

    /// The next call, if there is one now.
    pub fn try_pop(&self) -> Option<Call> {
        let mut inner = self.inner();
        while !inner.closed
            && let Some(job) = inner.jobs.pop_front()
        {
            if job.ticket.begin() {
                return Some(job);
            }
        }
        None
    }

    /// Nothing more is taken.
    pub fn close(&self) {
        self.inner().closed = true;
        self.ready.notify_all();
        self.bell.iter().for_each(|bell| bell.ring());
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.inner().closed
    }
}

/// What a thread does with a call; it is told which thread it is, and says what it sees beside the outcome.
pub type Make = dyn Fn(usize, &Call, &mut CallLog) -> Outcome + Send + Sync;

/// Threads that each make one call after the other.
pub struct Hands {
    queue: Arc<Queue>,
    call: Arc<Make>,
    replies: Replies,
    most: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Hands {
    /// At most so many threads; none is there yet.
    pub fn new(most: usize, replies: &Replies, call: Arc<Make>) -> Hands {
        Hands { queue: Arc::default(), call, replies: replies.clone(), most, threads: vec![] }
    }

    /// Takes no more calls; those under way go on.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Waits for the calls under way.
    pub fn join(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    fn hire(&mut self) -> std::io::Result<()> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (queue, call, replies) = (self.queue.clone(), self.call.clone(), self.replies.clone());
        let me = NEXT.fetch_add(1, Ordering::Relaxed);
        let work = move || {
            while let Some(job) = queue.pop() {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let (began, clock) = (since.as_millis() as i64, Instant::now());
                let mut log = CallLog { began, ..CallLog::default() };
                let outcome = unharmed(|| call(me, &job, &mut log));
                log.took = clock.elapsed();
                if !replies.send(vec![Reply { slot: job.slot, outcome, log: Some(log) }]) {
                    return;
                }
            }
        };
        self.threads.push(std::thread::Builder::new().name("call".into()).spawn(work)?);
        Ok(())
    }
}

impl Session for Hands {
    fn start(&mut self, job: Call) {
        let slot = job.slot;
        if self.queue.push(job)
            && self.threads.len() < self.most
            && let Err(e) = self.hire()
            && self.threads.is_empty()
        {
            self.replies.one(slot, Err(no_thread(&e)));
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.close();
    }
}

/// No thread is to be had.
pub fn no_thread(e: &std::io::Error) -> Failure {
    Failure::Run(Error::machine(format!("cannot start a thread: {e}")).help("run again to continue"))
}

/// A panic in a call is a bug of ours: it must end the run, not leave it waiting for an answer.
pub fn unharmed<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let panicked =
        |_| Err(Failure::Run(Error::bug("a thread that makes calls panicked; what it did is not committed")));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn replies() -> (Replies, Receiver<Vec<Reply>>) {
        let (sender, inbox) = channel();
        (Replies::new(move |some| sender.send(some).is_ok()), inbox)
    }

    fn job(slot: u64, attempt: u32) -> Call {
        Call { slot, attempt, ..Call::default() }
    }

    #[test]
    fn a_call_that_is_made_again_goes_first() {
        let queue = Queue::default();
        for (slot, attempt) in [(1, 1), (2, 1), (3, 2), (4, 1), (5, 3)] {
            queue.push(job(slot, attempt));
        }
        let order: Vec<u64> = std::iter::from_fn(|| queue.try_pop()).map(|j| j.slot).collect();
        assert_eq!(order, [3, 5, 1, 2, 4]);
    }

    #[test]
    fn a_panic_in_a_thread_ends_the_run() {
        let (replies, inbox) = replies();
        let mut hands = Hands::new(1, &replies, Arc::new(|_, _: &Call, _: &mut CallLog| panic!("on purpose")));
        hands.start(job(7, 1));
        let reply = inbox.recv().expect("an answer").remove(0);
        assert_eq!(reply.slot, 7);
        assert!(matches!(reply.outcome, Err(Failure::Run(e)) if e.text.contains("panicked")));
        hands.start(job(8, 1));
        assert_eq!(inbox.recv().expect("the thread goes on")[0].slot, 8);
    }

    #[test]
    fn threads_come_when_they_are_needed() {
        let (replies, inbox) = replies();
        let mut hands = Hands::new(50, &replies, Arc::new(|_, _: &Call, _: &mut CallLog| Ok(None)));
        hands.start(job(1, 1));
        inbox.recv().expect("an answer");
        assert_eq!(hands.threads.len(), 1);
    }
}
