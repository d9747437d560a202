//! Reading ahead: while the last piece of a partition is worked on, the next one is on its way.

use crate::cluster::Cluster;
use crate::log::fetch;
use anabranch_engine::{At, Chunk, Error, Limit, Offset, Result, limits};
use kafka_protocol::messages::fetch_response::PartitionData;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Threads that fetch.
const THREADS: usize = 2;
/// A piece that nobody took for so long is let go: who read there reads no more.
const KEPT: Duration = Duration::from_secs(2);

type Piece = Result<PartitionData>;

struct Coming {
    at: At,
    since: Instant,
    piece: Receiver<Piece>,
}

/// What is on its way.
pub struct Ahead {
    coming: Mutex<Vec<Coming>>,
    wanted: Sender<(At, Limit, SyncSender<Piece>)>,
}

impl Ahead {
    /// Threads that fetch from this cluster, until this is dropped.
    pub fn new(cluster: &Arc<Cluster>) -> Result<Ahead> {
        let (wanted, queue) = channel::<(At, Limit, SyncSender<Piece>)>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let (cluster, queue) = (cluster.clone(), queue.clone());
            let work = move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((at, max, to)) = next else { return };
                    let _ = to.send(fetch::piece(&cluster, &at, max));
                }
            };
            let thread = std::thread::Builder::new().name("fetch".into()).spawn(work);
            thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
        }
        Ok(Ahead { coming: Mutex::default(), wanted })
    }

    /// Committed batches from `at` on; what follows is asked for. None may come: the end of a transaction can land later than
    /// its answer.
    pub fn read(&self, cluster: &Cluster, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
        let chunk = match self.take(at).filter(|_| at.offset < end) {
            Some(Ok(data)) => fetch::slice(at, end, &data)?,
            _ => fetch::read(cluster, at, end, max)?,
        };
        if at.offset < chunk.next && chunk.next < end {
            self.want(At { offset: chunk.next, ..at.clone() }, max);
        }
        Ok(chunk)
    }

    /// What was fetched ahead from this place, if it was; waits for it where it is on its way.
    fn take(&self, at: &At) -> Option<Piece> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |c: &Coming| c.at.stream == at.stream && c.at.partition == at.partition;
        let found = coming.iter().position(same).map(|i| coming.swap_remove(i));
        drop(coming);
        found.filter(|c| c.at.offset == at.offset).and_then(|c| c.piece.recv().ok())
    }

    /// Asks for what follows.
    fn want(&self, at: At, max: Limit) {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        coming.retain(|c| c.since.elapsed() < KEPT);
        if coming.len() < limits::FETCHED_AHEAD {
            let (to, piece) = sync_channel(1);
            let since = Instant::now();
            if self.wanted.send((at.clone(), max, to)).is_ok() {
                coming.push(Coming { at, since, piece });
            }
        }
    }
}
