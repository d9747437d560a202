//! An engine in memory. What of the waist differs from engine to engine it can have either way: one lane or many, offsets
//! with or without gaps, what is committed seen at once or later.

mod crew;
mod desk;
mod lane;
mod store;

use crate::faults::Faults;
use crate::scheduler::{Process, Scheduler};
use anabranch_engine::{
    Account, At, Chunk, Crew, Cursor, Engine, Error, FlowId, Handle, Lane, LaneNo, Limit, Offset, Pace, Result, Shape,
    StreamName, StreamSpec, limits,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{InMemory, Store};

/// What a log in memory is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Lanes that a flow gets at most.
    pub lanes: u32,
    /// The end of a commit takes an offset in each partition that it writes, and can be seen later, as on Kafka.
    pub gaps: bool,
}

impl Manner {
    /// As the embedded engine is.
    pub fn embedded() -> Manner {
        Manner { lanes: 1, gaps: false }
    }
}

/// A log in memory, as one process sees it. All that come from one share it.
#[derive(Clone)]
pub struct MemoryLog {
    store: Arc<Mutex<Store>>,
    process: Process,
    manner: Manner,
}

/// How long somebody who waits for news sleeps before he looks again.
const LOOK: Duration = Duration::from_millis(20);

impl MemoryLog {
    /// An empty log.
    pub fn new(process: Process, manner: Manner) -> MemoryLog {
        MemoryLog { store: Arc::default(), process, manner }
    }

    /// An empty log that one process looks at.
    pub fn empty() -> MemoryLog {
        let process = Scheduler::new(0, Faults::none(), u64::MAX).process();
        process.begin_alone();
        MemoryLog::new(process, Manner::embedded())
    }

    /// The same log, seen by another process.
    pub fn seen_by(&self, process: &Process) -> MemoryLog {
        MemoryLog { process: process.clone(), ..self.clone() }
    }

    /// Whoever makes the commit of this number, counted from 1, is killed behind it.
    pub fn kill_behind(&self, commit: u64) {
        self.store().kill_behind = Some(commit);
    }

    /// Commits so far.
    pub fn commits(&self) -> u64 {
        self.store().commits
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MemoryLog {
    fn ensure(&self, owner: Option<&FlowId>, want: &[StreamSpec]) -> Result<Vec<Shape>> {
        self.process.call(format_args!("ensure {}", want.len()))?;
        let mut store = self.store();
        want.iter().map(|spec| store.ensure(owner, spec)).collect()
    }

    fn partitions(&self, stream: &StreamName) -> Result<Option<u32>> {
        self.process.call(format_args!("partitions {stream}"))?;
        Ok(self.store().streams.get(stream).map(|s| s.parts.len() as u32))
    }

    fn span(&self, stream: &StreamName) -> Result<Vec<Range<Offset>>> {
        self.process.call(format_args!("span {stream}"))?;
        let now = self.process.now();
        let store = self.store();
        Ok(store.stream(stream)?.parts.iter().map(|part| part.start..part.seen_to(now)).collect())
    }

    fn read(&self, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
        self.process.call(format_args!("read {} {} {}..{end}", at.stream, at.partition, at.offset))?;
        let blind = self.manner.gaps && self.process.comes(|f| f.blind);
        let (store, now) = (self.store(), self.process.now());
        let part = store.part(&at.stream, at.partition)?;
        if at.offset < part.start {
            let text = format!(
                "{} partition {}: offset {} was still to be read, but the stream begins at {}",
                at.stream, at.partition, at.offset, part.start
            );
            return Err(Error::new(anabranch_engine::Kind::Lost, text));
        }
        let mut chunk = Chunk { batches: vec![], next: at.offset };
        if blind {
            return Ok(chunk);
        }
        let mut bytes = 0;
        for stored in part.batches.iter().filter(|b| b.end() > at.offset && b.first < end) {
            let size = stored.batch.bytes().len();
            if !stored.is_seen(now) || (bytes > 0 && bytes + size > max.bytes) {
                return Ok(chunk);
            }
            bytes += size;
            let from = At { stream: at.stream.clone(), partition: at.partition, offset: stored.first };
            let load = Arc::new(InMemory(stored.batch.clone()));
            chunk.batches.push(Handle::new(from, stored.batch.count() as u32, stored.end(), size, load));
            chunk.next = stored.end();
        }
        if self.manner.gaps {
            chunk.next = chunk.next.max(part.seen_to(now).min(end));
        }
        Ok(chunk)
    }

    fn accounts(&self, flow: &FlowId, seen: &mut Cursor, wait: Duration) -> Result<Vec<Account>> {
        let until = self.process.now() + wait;
        loop {
            self.process.call(format_args!("accounts {flow}"))?;
            let now = self.process.now();
            let (news, accounts) = self.store().accounts(flow, now);
            if news != *seen || now >= until {
                *seen = news;
                return Ok(accounts);
            }
            self.process.sleep(LOOK.min(until - now));
        }
    }

    fn crew(&self, flow: &FlowId, want: u32) -> Result<Box<dyn Crew>> {
        self.process.call(format_args!("crew {flow} {want}"))?;
        Ok(Box::new(crew::Member::join(self, flow, want.min(self.manner.lanes).max(1))))
    }

    fn claim(&self, flow: &FlowId, lane: LaneNo) -> Result<Box<dyn Lane>> {
        self.process.call(format_args!("claim {flow} {lane}"))?;
        Ok(Box::new(lane::claim(self, flow, lane)?))
    }

    fn largest(&self, _: &StreamName) -> Result<usize> {
        Ok(limits::BATCH_BYTES)
    }

    fn counts_by_offset(&self) -> bool {
        !self.manner.gaps
    }

    fn lanes_can_be_taken(&self) -> bool {
        self.manner.gaps
    }

    fn pace(&self) -> Pace {
        Pace { bytes: limits::COMMIT_BYTES, every: Duration::from_millis(50) }
    }

    fn trim(&self, keep_from: &[At]) -> Result<()> {
        self.process.call(format_args!("trim {}", keep_from.len()))?;
        let mut store = self.store();
        for at in keep_from {
            self.process.note(format_args!("trim {} {} {}", at.stream, at.partition, at.offset));
            store.part_mut(&at.stream, at.partition)?.trim(at.offset);
        }
        Ok(())
    }
}
