//! `pipe`: long-lived programs that answer line by line. A seat has one program and a thread that talks to it; both come
//! with the first call. The key of an item picks its seat, else its place.

use crate::bell::Bell;
use crate::by_id::ById;
use crate::desk::{Desk, Office};
use crate::in_order::InOrder;
use crate::notes::Keeper;
use crate::queue::{Queue, no_thread, unharmed};
use anabranch_engine::{Error, Result};
use anabranch_flow::call::Call;
use anabranch_flow::format::Format;
use anabranch_flow::model::{Act, Answers};
use anabranch_run::world::{Failure, Replies, Seat, Session};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The seats of a step.
pub struct Pipe {
    seats: Vec<Option<Taken>>,
    office: Office,
    replies: Replies,
}

/// A seat with a thread.
struct Taken {
    queue: Arc<Queue>,
    bell: Arc<Bell>,
    /// The calls are over, and what the program says more is a fault.
    finish: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Pipe {
    /// Begins to take calls.
    pub fn start(folder: &Path, keeper: Arc<Keeper>, act: &Act, seat: Seat, replies: &Replies) -> Pipe {
        let office = Office {
            folder: folder.to_path_buf(),
            keeper,
            args: seat.args,
            env: seat.env,
            timeout: act.timeout,
            answers: act.answers,
            text: act.work.format != Format::Json,
        };
        Pipe { seats: (0..act.concurrency).map(|_| None).collect(), office, replies: replies.clone() }
    }

    fn take(&self) -> std::io::Result<Taken> {
        let bell = Arc::new(Bell::new()?);
        let queue = Arc::new(match self.office.answers {
            Answers::InOrder => Queue::default(), // one line at a time: a new call has to wait
            Answers::ById => Queue::with(bell.clone()),
        });
        let finish = Arc::new(AtomicBool::new(false));
        let desk = Desk::new(self.office.clone(), queue.clone(), bell.clone(), self.replies.clone());
        let (last, replies) = (finish.clone(), self.replies.clone());
        let work = move || {
            let worked = unharmed(|| {
                let child = match desk.office.answers {
                    Answers::InOrder => InOrder::new(&desk).work(),
                    Answers::ById => ById::new(&desk).work(),
                };
                child?.filter(|_| last.load(Ordering::Relaxed)).map_or(Ok(()), |child| desk.farewell(child))
            });
            // nobody answers the calls of this seat any more
            let worked = worked.map_err(|failure| match failure {
                Failure::Run(e) => e,
                Failure::Item { text, .. } => Error::machine(text),
            });
            desk.flush();
            if let Err(e) = &worked {
                replies.one(0, Err(Failure::Run(e.clone())));
            }
            worked
        };
        let thread = std::thread::Builder::new().name("pipe".into()).spawn(work)?;
        Ok(Taken { queue, bell, finish, thread })
    }
}

impl Session for Pipe {
    fn start(&mut self, job: Call) {
        let by = job.key.as_deref().unwrap_or(job.id.as_bytes());
        let i = anabranch_engine::partition::of_key(by, self.seats.len() as u32) as usize;
        if self.seats[i].is_none() {
            match self.take() {
                Ok(taken) => self.seats[i] = Some(taken),
                Err(e) => {
                    self.replies.one(job.slot, Err(no_thread(&e)));
                }
            }
        }
        if let Some(taken) = &self.seats[i] {
            taken.queue.push(job);
        }
    }

    fn finish(&mut self) -> Result<()> {
        let seats: Vec<Taken> = self.seats.iter_mut().filter_map(Option::take).collect();
        for seat in &seats {
            seat.finish.store(true, Ordering::Relaxed);
            seat.queue.close();
        }
        let ended = seats.into_iter().map(|seat| seat.thread.join()).collect::<Vec<_>>();
        ended.into_iter().flatten().collect()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let seats: Vec<Taken> = self.seats.iter_mut().filter_map(Option::take).collect();
        seats.iter().for_each(|seat| seat.queue.close());
        for seat in seats {
            seat.bell.ring();
            let _ = seat.thread.join();
        }
    }
}
