//! The account of a lane: the exact state of its part of a run, written whole with every commit.

use crate::name::StreamName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Format of the account that this version writes.
pub const ACCOUNT_VERSION: u32 = 3;

/// A reader: a step, what it takes, and the partition that it really reads for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(String, String, StreamName, u32)", into = "(String, String, StreamName, u32)")]
pub struct Reader {
    /// The step; or a join, which reads nothing itself and has a position all the same.
    pub step: String,
    /// The stream that it takes, then those that lead from there to the stream that is read: `all/a/in`. A step that
    /// reaches one partition in two ways has two positions in it.
    pub taken: String,
    /// The stream that is read.
    pub stream: StreamName,
    /// The partition.
    pub partition: u32,
}

impl From<(String, String, StreamName, u32)> for Reader {
    fn from((step, taken, stream, partition): (String, String, StreamName, u32)) -> Reader {
        Reader { step, taken, stream, partition }
    }
}

impl From<Reader> for (String, String, StreamName, u32) {
    fn from(r: Reader) -> Self {
        (r.step, r.taken, r.stream, r.partition)
    }
}

/// The whole cumulative account of one lane in one run. The newest wins; older ones are garbage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// [`ACCOUNT_VERSION`].
    pub version: u32,
    /// Hash of the checked flow and its environment.
    pub flow_hash: String,
    /// The lane.
    pub lane: u32,
    /// Number of the run; 0 before the first.
    pub run: u64,
    /// Commits of this lane, counted by the runner.
    pub seq: u64,
    /// How far each reader is. Positions live here, not in consumer groups.
    #[serde(with = "pairs")]
    pub read: BTreeMap<Reader, Next>,
    /// What this lane appended in this run, as the engine counted it.
    #[serde(with = "pairs")]
    pub ends: BTreeMap<(StreamName, u32), End>,
    /// What became of the items, by step.
    pub tally: BTreeMap<String, Tally>,
    /// Finals that are out, `done:` items written, bytes of sink files.
    pub marks: BTreeMap<String, u64>,
    /// Under which consumer group a step reads what it takes: by [`Reader::step`] and [`Reader::taken`].
    #[serde(with = "pairs")]
    pub groups: BTreeMap<(String, String), String>,
    /// The run record; lane 0 only.
    pub record: Option<RunRecord>,
}

/// How far a reader is in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Next {
    /// The next offset (or byte of a file) to read.
    pub next: i64,
    /// Items read in this run.
    pub items: u64,
}

/// How far a lane wrote a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct End {
    /// The offset behind the last item.
    pub end: i64,
    /// Items appended in this run, from batch headers.
    pub items: u64,
}

/// What became of the items that a step took: every item has exactly one disposition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Items taken, by the stream they were taken from.
    pub took: BTreeMap<String, u64>,
    /// Went on to an output, or ended here as meant.
    pub passed: u64,
    /// Not wanted, and not kept unless `otherwise` names a stream.
    pub filtered: u64,
    /// Kept as dead letters.
    pub dead: u64,
    /// Failed and skipped, as `on-error: skip` says.
    pub skipped: u64,
    /// Became part of a result.
    pub folded: u64,
    /// Items made, by the stream they were made for.
    pub made: BTreeMap<String, u64>,
}

impl Tally {
    /// Items taken from all inputs.
    pub fn taken(&self) -> u64 {
        self.took.values().sum()
    }

    /// Items made for all outputs.
    pub fn made(&self) -> u64 {
        self.made.values().sum()
    }

    /// Items that have a disposition.
    pub fn settled(&self) -> u64 {
        self.passed + self.filtered + self.dead + self.skipped + self.folded
    }

    /// Adds what another tally counted.
    pub fn add(&mut self, other: &Tally) {
        for (stream, n) in &other.took {
            *self.took.entry(stream.clone()).or_default() += n;
        }
        for (stream, n) in &other.made {
            *self.made.entry(stream.clone()).or_default() += n;
        }
        self.passed += other.passed;
        self.filtered += other.filtered;
        self.dead += other.dead;
        self.skipped += other.skipped;
        self.folded += other.folded;
    }
}

/// What exists once for each run. Only the owner of lane 0 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Number of the run, from 1.
    pub number: u64,
    /// Number of the batch it works for.
    pub batch: u64,
    /// Why it runs.
    pub kind: RunKind,
    /// Lanes of the flow.
    pub lanes: u32,
    /// Start, milliseconds since 1970-01-01 UTC; the clock of everything in the run.
    pub started: i64,
    /// The date of the start in the flow's time zone, `2026-11-23`.
    pub date: String,
    /// Where the batch begins in each stream.
    #[serde(with = "pairs")]
    pub starts: BTreeMap<(StreamName, u32), i64>,
    /// Where each reader of a source stream began.
    #[serde(with = "pairs")]
    pub from: BTreeMap<Reader, i64>,
    /// Items that waited for their partner when the last run closed, by the reader that left them.
    #[serde(with = "pairs", default)]
    pub waited: BTreeMap<Reader, u64>,
    /// What lies behind that and is not for the reader: batches that a gate before it did not let through.
    #[serde(with = "pairs", default)]
    pub gaps: BTreeMap<Reader, Vec<Range<i64>>>,
    /// Where the batch ends in each source stream.
    #[serde(with = "pairs")]
    pub seals: BTreeMap<(StreamName, u32), i64>,
    /// Which stream each of the streams was, where an engine gives offsets again once a stream is recreated.
    #[serde(default)]
    pub ids: BTreeMap<StreamName, String>,
    /// Readers that were put where they are since the run closed: whatever their stream was before, this is the one that is
    /// meant.
    #[serde(default)]
    pub meant: BTreeSet<Reader>,
    /// Where the list of files stands in the manifest stream.
    pub manifest: Option<(i64, i64)>,
    /// How far the run is.
    pub phase: Phase,
    /// Gates that stayed shut.
    pub held: Vec<Held>,
    /// Where the flow's own streams end, once it has closed: a commit can be seen later than its owner is told of it.
    #[serde(with = "pairs", default)]
    pub ends: BTreeMap<(StreamName, u32), i64>,
    /// What lies before `starts` and belongs to the batch all the same: earlier runs worked for it.
    #[serde(with = "pairs", default)]
    pub extents: BTreeMap<(StreamName, u32), Vec<Extent>>,
    /// What a run does that repairs a batch.
    #[serde(default)]
    pub repair: Option<RepairRecord>,
    /// Number of the newest books of a batch.
    #[serde(default)]
    pub books: u64,
    /// Runs that have closed and of whose end it was not told yet.
    #[serde(default)]
    pub untold: Vec<u64>,
}

/// A stretch of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Its first offset.
    pub from: i64,
    /// The offset behind it.
    pub to: i64,
    /// Its items.
    pub items: u64,
}

impl RunRecord {
    /// A run that repairs an older batch leaves what waits between batches as it found it.
    pub fn put_back_what_waits(&mut self) {
        if let Some(mending) = &self.repair {
            self.waited.clone_from(&mending.waited);
            self.gaps.clone_from(&mending.gaps);
        }
    }
}

/// What a run does that repairs a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RepairRecord {
    /// When this run began: [`RunRecord::started`] is that of the batch.
    pub opened: i64,
    /// How many dead letters are tried again.
    pub again: Vec<Again>,
    /// How many earlier runs of the batch tried again. What passed then belongs to results that are not said yet.
    pub before: Vec<Again>,
    /// How many items beside the books say what this run does with which letters.
    pub choices: u64,
    /// Steps whose results were said without the items that are tried again: what still comes to them is skipped.
    pub late: Vec<String>,
    /// The runs that worked for the batch before.
    pub runs: Vec<u64>,
    /// Where readers go on in the next run.
    #[serde(with = "pairs")]
    pub carry: BTreeMap<Reader, Next>,
    /// What waits there for its partner, and what lies behind that and is not for its reader.
    #[serde(with = "pairs")]
    pub waited: BTreeMap<Reader, u64>,
    /// See [`RunRecord::gaps`].
    #[serde(with = "pairs")]
    pub gaps: BTreeMap<Reader, Vec<Range<i64>>>,
    /// Sinks whose files are the work of another run: what is added to them goes beside them.
    pub beside: Vec<String>,
    /// Sinks whose files the batch had begun and not finished when it was held: they go on there.
    pub aside: Vec<String>,
    /// Sinks whose files the batch had put in place, and that are still as they were then: they go on there.
    pub extended: Vec<String>,
    /// Files that earlier runs of the batch have put in place.
    pub placed: Vec<Placed>,
    /// Gates that were opened by hand, in this run and those before.
    pub gates: Vec<OpenedGate>,
}

impl RepairRecord {
    /// The files that earlier runs of the batch have put in place, and that this one does not go on with.
    pub fn put_there(&self) -> Vec<Placed> {
        self.placed.iter().filter(|p| !self.extended.contains(&p.sink)).cloned().collect()
    }
}

/// A file that a run has put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The sink.
    pub sink: String,
    /// Where it is.
    pub path: String,
    /// Its items.
    pub items: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// A gate that somebody opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedGate {
    /// The join.
    pub step: String,
    /// The run that was opened for it.
    pub run: u64,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at: i64,
    /// Who.
    pub by: String,
    /// Why, if that was said.
    pub reason: Option<String>,
}

/// Dead letters that are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// The step at which they failed.
    pub step: String,
    /// The stream from which the step took them.
    pub of: String,
    /// How many.
    pub letters: u64,
}

/// Why a run runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// Process what is there, then end.
    Bounded,
    /// Work on a batch that was held.
    Repair,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// At work.
    Open,
    /// All is finished; files are being put in place.
    Closing,
    /// Closed: everything came through.
    Done,
    /// Closed: everything came through or is a dead letter.
    Dead,
    /// Closed: a gate stays shut.
    Held,
    /// Closed: it did not hold what it promises.
    Failed,
    /// Closed by hand before its end.
    Abandoned,
}

impl Phase {
    /// Whether a new run may open.
    pub fn closed(self) -> bool {
        !matches!(self, Phase::Open | Phase::Closing)
    }
}

/// A gate that stayed shut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The batch that waits.
    pub batch: u64,
    /// The step that holds it.
    pub step: String,
    /// Where the batch lies.
    pub extents: Vec<(StreamName, u32, i64, i64)>,
    /// Failed items that hold it.
    pub dead: u64,
}

/// Maps with structured keys, written as lists of pairs: JSON has only text keys.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(map: &BTreeMap<K, V>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(d: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(d)?.into_iter().collect())
    }
}

impl Account {
    /// The account as bytes at rest.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an account; one of a newer version is an error that says so.
    ///
    /// # Errors
    ///
    /// The bytes are no account of this version.
    pub fn decode(bytes: &[u8]) -> crate::Result<Account> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let broken = |e: serde_json::Error| crate::Error::corrupt(format!("an account cannot be read: {e}"));
        let version: Version = serde_json::from_slice(bytes).map_err(broken)?;
        if (1..ACCOUNT_VERSION).contains(&version.version) {
            let text = format!("an account has version {}, this program reads {ACCOUNT_VERSION}", version.version);
            return Err(crate::Error::usage(text).help("a version before the first release wrote it: start again"));
        }
        if version.version > ACCOUNT_VERSION {
            return Err(crate::Error::usage(format!(
                "an account has version {}, this program reads {ACCOUNT_VERSION}",
                version.version
            ))
            .help("a newer version of this program wrote it: use that one"));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_comes_back() {
        let mut a = Account { version: ACCOUNT_VERSION, run: 3, ..Account::default() };
        let stream = StreamName::new("photos").expect("a name");
        let taken = "copy/photos".into();
        let reader = Reader { step: "copier".into(), taken, stream: stream.clone(), partition: 2 };
        a.read.insert(reader, Next { next: 7, items: 5 });
        a.ends.insert((stream, 2), End { end: 9, items: 4 });
        a.tally.entry("copier".into()).or_default().took.insert("photos".into(), 5);
        assert_eq!(Account::decode(&a.encode()).expect("reads"), a);
    }

    #[test]
    fn a_newer_account_is_refused_with_words() {
        let a = Account { version: ACCOUNT_VERSION + 1, ..Account::default() };
        let e = Account::decode(&a.encode()).expect_err("newer");
        assert_eq!(e.kind, crate::Kind::Usage);
        assert!(e.to_string().contains("newer version"), "{e}");
    }
}
