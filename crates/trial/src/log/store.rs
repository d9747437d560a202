//! What a log in memory holds.

use anabranch_engine::{
    Account, Batch, BatchRef, Commit, Cursor, End, Error, FlowId, KeptReport, LaneNo, Load, Offset, Result, Shape,
    StreamName, StreamSpec, limits,
};
use anabranch_run::world::Moment;
use std::collections::{BTreeMap, VecDeque};

/// Streams, lanes, groups, reports.
#[derive(Default)]
pub struct Store {
    pub streams: BTreeMap<StreamName, Stream>,
    /// Where streams that were deleted ended: offsets are never given twice.
    pub gone: BTreeMap<StreamName, Offset>,
    pub lanes: BTreeMap<(FlowId, LaneNo), LaneState>,
    pub crews: BTreeMap<FlowId, super::crew::Members>,
    pub groups: BTreeMap<String, BTreeMap<(StreamName, u32), Offset>>,
    pub reports: BTreeMap<FlowId, BTreeMap<u64, (Moment, String)>>,
    pub commits: u64,
    pub kill_behind: Option<u64>,
}

/// A stream.
pub struct Stream {
    pub owner: Option<FlowId>,
    pub config: BTreeMap<String, String>,
    pub parts: Vec<Part>,
}

/// A partition.
#[derive(Default)]
pub struct Part {
    pub start: Offset,
    pub next: Offset,
    pub batches: Vec<Stored>,
    /// Since when its end is seen.
    pub seen: Moment,
}

/// A batch where it stands.
pub struct Stored {
    pub first: Offset,
    pub batch: Batch,
    pub seen: Moment,
}

impl Stored {
    pub fn end(&self) -> Offset {
        self.first + self.batch.count() as i64
    }

    pub fn is_seen(&self, now: Moment) -> bool {
        self.seen <= now
    }
}

/// A lane of a flow.
#[derive(Default)]
pub struct LaneState {
    /// How often it was claimed.
    pub epoch: u64,
    pub account: Option<Account>,
    /// Commits that were handed over and are not made yet, by the holder of this epoch.
    pub queue: VecDeque<Commit>,
    /// Accounts, and since when others see them.
    pub seen: VecDeque<(Moment, u64, Account)>,
    pub commits: u64,
}

/// A batch that is in memory anyway.
pub struct InMemory(pub Batch);

impl Load for InMemory {
    fn load(&self) -> Result<Batch> {
        Ok(self.0.clone())
    }
}

impl Part {
    /// Behind the last offset that is seen.
    pub fn seen_to(&self, now: Moment) -> Offset {
        let hidden = self.batches.iter().find(|b| !b.is_seen(now));
        hidden.map_or(self.next, |b| b.first)
    }

    /// Lets go of whole batches before an offset.
    pub fn trim(&mut self, keep: Offset) {
        let keep = keep.min(self.next);
        self.batches.retain(|b| b.end() > keep);
        self.start = self.start.max(keep);
    }

    pub fn append(&mut self, batch: Batch, seen: Moment) -> End {
        let items = batch.count() as u64;
        self.seen = self.seen.max(seen);
        self.batches.push(Stored { first: self.next, batch, seen: self.seen });
        self.next += items as i64;
        End { end: self.next, items }
    }
}

impl Store {
    pub fn stream(&self, name: &StreamName) -> Result<&Stream> {
        self.streams.get(name).ok_or_else(|| missing(name))
    }

    pub fn part(&self, stream: &StreamName, p: u32) -> Result<&Part> {
        self.stream(stream)?.parts.get(p as usize).ok_or_else(|| no_partition(stream, p))
    }

    pub fn part_mut(&mut self, stream: &StreamName, p: u32) -> Result<&mut Part> {
        let found = self.streams.get_mut(stream).ok_or_else(|| missing(stream))?;
        found.parts.get_mut(p as usize).ok_or_else(|| no_partition(stream, p))
    }

    pub fn ensure(&mut self, owner: Option<&FlowId>, want: &StreamSpec) -> Result<Shape> {
        let name = &want.name;
        if let Some(found) = self.streams.get_mut(name) {
            let has = found.parts.len() as u32;
            if let Some(n) = want.partitions.filter(|n| *n != has) {
                return Err(Error::usage(format!("the stream {name} has {has} partitions, and {n} are wanted")));
            }
            match (&found.owner, owner) {
                (Some(is), Some(wants)) if is != wants => return Err(owned(name, is)),
                (None, Some(wants)) => found.owner = Some(wants.clone()),
                _ => {}
            }
            return Ok(Shape { partitions: has, id: String::new(), created: false, note: None });
        }
        let partitions = want.partitions.unwrap_or(1);
        if partitions == 0 || partitions > limits::PARTITIONS {
            return Err(Error::usage(format!("a stream cannot have {partitions} partitions")));
        }
        let first = self.gone.get(name).copied().unwrap_or(0);
        let part = |_| Part { start: first, next: first, ..Part::default() };
        let stream =
            Stream { owner: owner.cloned(), config: want.config.clone(), parts: (0..partitions).map(part).collect() };
        self.streams.insert(name.clone(), stream);
        Ok(Shape { partitions, id: String::new(), created: true, note: None })
    }

    /// The accounts of a flow that are seen now, and a number that changes with them.
    pub fn accounts(&self, flow: &FlowId, now: Moment) -> (Cursor, Vec<Account>) {
        let lanes = self.lanes.range((flow.clone(), 0)..=(flow.clone(), LaneNo::MAX));
        let newest = lanes.filter_map(|(_, lane)| lane.seen.iter().rev().find(|(since, ..)| *since <= now));
        let (mut news, mut accounts) = (0, vec![]);
        for (_, commits, account) in newest {
            news += commits;
            accounts.push(account.clone());
        }
        (Cursor(news), accounts)
    }

    /// Makes a commit: all of it, or nothing.
    pub fn apply(&mut self, flow: &FlowId, lane: LaneNo, commit: Commit, seen: Moment, gaps: bool) -> Result<Account> {
        let mut batches = vec![];
        for put in &commit.puts {
            self.part(&put.to.stream, put.to.partition)?;
            let batch = match &put.batch {
                BatchRef::Stored(handle) => handle.load()?,
                BatchRef::Fresh(batch) => batch.clone(),
            };
            batches.push((&put.to, batch));
        }
        let mut ends: BTreeMap<(StreamName, u32), End> = BTreeMap::new();
        for (to, batch) in batches {
            let end = self.part_mut(&to.stream, to.partition)?.append(batch, seen);
            let sum = ends.entry((to.stream.clone(), to.partition)).or_default();
            *sum = End { end: end.end, items: sum.items + end.items };
        }
        for (stream, p) in ends.keys().filter(|_| gaps) {
            self.part_mut(stream, *p)?.next += 1;
        }
        let state = self.lanes.entry((flow.clone(), lane)).or_default();
        let last = state.account.as_ref().filter(|last| last.run == commit.account.run);
        let mut total = last.map_or_else(BTreeMap::new, |last| last.ends.clone());
        for (spot, end) in ends {
            let sum = total.entry(spot).or_default();
            *sum = End { end: end.end, items: sum.items + end.items };
        }
        let account = Account { ends: total, ..commit.account };
        if let Some(KeptReport { run, json }) = commit.report {
            let kept = self.reports.entry(flow.clone()).or_default();
            kept.insert(run, (seen, json));
            kept.retain(|old, _| *old + limits::REPORTS_KEPT as u64 > run);
        }
        state.commits += 1;
        state.account = Some(account.clone());
        let since = state.seen.back().map_or(seen, |(since, ..)| seen.max(*since));
        state.seen.push_back((since, state.commits, account.clone()));
        while state.seen.len() > KEPT {
            state.seen.pop_front();
        }
        self.commits += 1;
        Ok(account)
    }
}

/// Accounts of a lane that are kept for those who see the last ones later.
const KEPT: usize = 64;

fn missing(name: &StreamName) -> Error {
    Error::usage(format!("there is no stream {name} here"))
}

fn no_partition(stream: &StreamName, p: u32) -> Error {
    Error::usage(format!("the stream {stream} has no partition {p}"))
}

/// The error of writing a stream that a flow owns.
pub fn owned(stream: &StreamName, owner: &FlowId) -> Error {
    Error::usage(format!("the stream {stream} is written by the flow {owner}"))
}
