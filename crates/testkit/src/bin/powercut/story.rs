//! The story that the workload tells: what each commit holds, known before it is made.

use crate::Fallible;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{Account, End, FlowId, StreamName, StreamSpec};
use anabranch_testkit::rng::Rng;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Commits that the workload makes.
pub const COMMITS: u64 = 60;
/// Commits that are made on an image to see that it goes on. At least one of them goes through a segment.
pub const MORE: u64 = 2;
/// The streams that the flow writes, and their partitions.
const STREAMS: [(&str, u32); 2] = [("made", 3), ("copies", 2)];
/// The stream that is written from outside the flow.
const OUTSIDE: &str = "outside";
/// Items of each append from outside.
pub const APPENDED: u64 = 4;
/// Appends from outside.
pub const APPENDS: u64 = 3;

/// A partition of a stream of the flow.
pub type Place = (StreamName, u32);

/// What is put somewhere.
pub enum What {
    /// New items.
    Fresh(Vec<Bytes>),
    /// The batch that begins there.
    Copy(Place, usize),
}

/// What a partition holds.
#[derive(Default)]
pub struct Line {
    /// The values of its items, by offset.
    pub values: Vec<Bytes>,
    ends: Vec<usize>,
}

impl Line {
    /// Where it ends after commit `k`.
    pub fn end(&self, k: u64) -> usize {
        self.ends.get(k as usize).copied().unwrap_or_default()
    }
}

/// All commits, and what the partitions hold after each.
pub struct Story {
    /// The flow.
    pub flow: FlowId,
    /// The stream outside the flow.
    pub outside: StreamName,
    /// Values of the items outside the flow, by offset.
    pub appended: Vec<Bytes>,
    /// The partitions of the flow's streams.
    pub lines: BTreeMap<Place, Line>,
    steps: Vec<Vec<(Place, What)>>,
}

impl Story {
    /// Tells it.
    pub fn tell() -> Fallible<Story> {
        let mut lines = BTreeMap::new();
        for (name, partitions) in STREAMS {
            let name = StreamName::new(name)?;
            lines.extend((0..partitions).map(|p| ((name.clone(), p), Line { values: vec![], ends: vec![0] })));
        }
        let size = |n: u64| if n.is_multiple_of(2) { 200 } else { 10_000 };
        let append = |n: u64| (0..APPENDED).map(move |i| value(&format!("append {n} item {i}"), size(n)));
        let appended = (1..=APPENDS).flat_map(append).collect();
        let (flow, outside) = (FlowId::new("meter")?, StreamName::new(OUTSIDE)?);
        let mut story = Story { flow, outside, appended, lines, steps: vec![vec![]] };
        for k in 1..=COMMITS + MORE {
            let step = story.step(k)?;
            for (place, what) in &step {
                let new = match what {
                    What::Fresh(items) => items.clone(),
                    What::Copy(from, at) => story.batch_at(from, *at),
                };
                story.lines.entry(place.clone()).or_default().values.extend(new);
            }
            story.lines.values_mut().for_each(|line| line.ends.push(line.values.len()));
            story.steps.push(step);
        }
        Ok(story)
    }

    /// What commit `k` puts where.
    pub fn puts(&self, k: u64) -> &[(Place, What)] {
        self.steps.get(k as usize).map_or(&[], Vec::as_slice)
    }

    /// The account after commit `k`, with the ends as the engine has to count them.
    pub fn account(&self, k: u64) -> Account {
        if k == 0 {
            return Account::default();
        }
        let mut account =
            Account { version: ACCOUNT_VERSION, flow_hash: "powercut".into(), run: 1, ..Account::default() };
        account.seq = k;
        // An account that swells and shrinks fills the write-ahead log, and little else.
        let marks = if k.is_multiple_of(4) { 6_400 } else { 20 };
        account.marks = (0..marks).map(|m| (format!("a mark that only takes room, number {m:05}"), k)).collect();
        let end = |line: &Line| End { end: line.end(k) as i64, items: line.end(k) as u64 };
        account.ends = self.lines.iter().filter(|(_, l)| l.end(k) > 0).map(|(p, l)| (p.clone(), end(l))).collect();
        account
    }

    /// The streams of the flow.
    pub fn streams() -> Fallible<Vec<StreamSpec>> {
        STREAMS.iter().map(|(name, partitions)| Ok(StreamSpec::new(StreamName::new(name)?, *partitions))).collect()
    }

    /// One commit is small and stands in the index, the next two are large and go through a segment.
    fn step(&self, k: u64) -> Fallible<Vec<(Place, What)>> {
        let mut rng = Rng::new(k);
        let [made, copies] = STREAMS;
        let small = k % 3 == 1;
        let (puts, items) = if small { (1 + k / 3 % 3, 1 + k % 4) } else { (2, 2) };
        let mut step = vec![];
        let only_copies = k % 10 == 5;
        for put in (0..puts).filter(|_| !only_copies) {
            let place = (StreamName::new(made.0)?, ((k + put) % u64::from(made.1)) as u32);
            let item = |i| {
                let name = format!("commit {k} put {put} {}/{} item {i}", place.0, place.1);
                value(&name, if small { 50 + rng.below(1_500) } else { 9_000 + rng.below(2_000) })
            };
            step.push((place.clone(), What::Fresh((0..items).map(item).collect())));
        }
        if k.is_multiple_of(5) {
            // Batches of the commit before the last four, small ones and large ones.
            let from: Vec<Place> = self.puts(k - 4).iter().map(|(p, _)| p.clone()).collect();
            for (n, from) in from.into_iter().enumerate() {
                let at = self.lines.get(&from).map_or(0, |l| l.end(k - 5));
                step.push(((StreamName::new(copies.0)?, (n as u32 + 1) % copies.1), What::Copy(from, at)));
            }
        }
        Ok(step)
    }

    /// The items of the batch that begins at `at`: no commit puts two new batches into one partition.
    fn batch_at(&self, from: &Place, at: usize) -> Vec<Bytes> {
        let Some(line) = self.lines.get(from) else { return vec![] };
        let end = line.ends.iter().copied().find(|end| *end > at).unwrap_or(line.values.len());
        line.values.get(at..end).unwrap_or_default().to_vec()
    }
}

/// A value that names itself, filled up with what does not pack.
fn value(name: &str, bytes: u64) -> Bytes {
    let seed = name.bytes().fold(7, |sum: u64, b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
    let mut value = format!("{name} ").into_bytes();
    value.extend(Rng::new(seed).bytes(bytes as usize));
    value.into()
}
