//! The report of a run: made from the accounts alone, and it must balance.

mod books;
mod gate;
mod lines;

pub use gate::Gate;

use crate::context::sinks::FileOf;
use crate::ledger::Standing;
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::marks::Mark;
use anabranch_engine::Phase;
use anabranch_flow::model::{Kind, Step};
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Node, name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the report's JSON.
pub const SCHEMA: &str = "anabranch.report/1";

/// What became of everything in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The flow.
    pub flow: String,
    /// Number of the run.
    pub run: u64,
    /// Number of the batch that it works for: its own, unless it repairs one.
    #[serde(default)]
    pub batch: u64,
    /// When it began, `2026-11-23T02:15:01Z`.
    #[serde(default)]
    pub started: String,
    /// How it ended, or that it has not.
    pub status: Status,
    /// Exit status of the command that ended it.
    pub exit: u8,
    /// Whether the books balance.
    pub balanced: bool,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Each step, and each source and sink where something failed.
    pub steps: Vec<StepLine>,
    /// Each sink.
    pub sinks: Vec<SinkLine>,
    /// Failed items by step and error.
    pub dead: Vec<DeadLine>,
    /// The books over the whole flow.
    pub books: Books,
    /// Every edge or step whose books do not balance.
    pub imbalance: Vec<String>,
    /// What else is good to know.
    pub notes: Vec<String>,
    /// Hash of the flow.
    #[serde(default)]
    pub hash: String,
    /// A hash for each part of the flow, by its path; none where that is too much.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// The same for what may change at any time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub free: BTreeMap<String, String>,
    /// Where in the stream of logs its own begin, partition by partition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<i64>,
    /// The programs that steps called, as they were when the run ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, Program>,
}

impl Report {
    /// Number of the batch that it works for.
    pub fn of_batch(&self) -> u64 {
        if self.batch == 0 { self.run } else { self.batch }
    }

    /// Whether it works for a batch of an earlier run.
    pub fn is_repair(&self) -> bool {
        self.of_batch() != self.run
    }

    /// Items that failed, at all steps.
    pub fn dead_letters(&self) -> u64 {
        self.steps.iter().map(|s| s.dead).sum()
    }
}

/// A program that a step calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its path or name, as the flow has it.
    pub program: String,
    /// Hash of its file.
    pub hash: String,
}

/// How a run ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It goes on, or was stopped and goes on when it is run again.
    Open,
    /// Everything is done.
    Done,
    /// Everything is done, but for items that failed and are kept.
    DoneWithDeadLetters,
    /// A gate is shut: its batch waits for somebody to decide about what failed.
    Held,
    /// It has failed.
    Failed,
    /// It was abandoned for a new one.
    Abandoned,
}

/// What a line of the report is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Role {
    Copy,
    Filter,
    Split,
    Shard,
    Merge,
    Join,
    Reduce,
    #[default]
    Work,
    /// The source of a stream.
    Source,
    /// The sink of a stream.
    Sink,
    /// The copy of what a join let through into its public stream.
    Publish,
    /// Results of a reduce that could not be written.
    Final,
}

impl Role {
    /// What a step is.
    pub fn of(step: &Step) -> Role {
        match step.kind {
            Kind::Copy(_) => Role::Copy,
            Kind::Filter(_) => Role::Filter,
            Kind::Split(_) => Role::Split,
            Kind::Shard(_) => Role::Shard,
            Kind::Merge(_) => Role::Merge,
            Kind::Barrier(_) => Role::Join,
            Kind::Reduce(..) | Kind::Pair(_) => Role::Reduce,
            Kind::Work(_) | Kind::Act(_) => Role::Work,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Role::Copy => "copy",
            Role::Filter => "filter",
            Role::Split => "split",
            Role::Shard => "shard",
            Role::Merge => "merge",
            Role::Join => "join",
            Role::Reduce => "reduce",
            Role::Work => "work",
            Role::Source => "source",
            Role::Sink => "sink",
            Role::Publish => "publish",
            Role::Final => "final",
        }
    }
}

/// A step in the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StepLine {
    pub step: String,
    pub verb: Role,
    pub taken: u64,
    pub passed: u64,
    pub filtered: u64,
    pub folded: u64,
    pub skipped: u64,
    pub dead: u64,
    pub waiting: u64,
    pub made: BTreeMap<String, u64>,
    /// What its gate says, if it has one and its input has ended.
    pub gate: Option<Gate>,
    /// Failed items that its results lack, by the step at which they failed.
    pub lacks: BTreeMap<String, u64>,
    /// It could not begin, since a gate before it stays shut.
    pub blocked: bool,
    /// When it took its first items, milliseconds since 1970-01-01 UTC, as the process saw it that ended the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<i64>,
    /// When it took its last ones, or its gate was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
}

/// A sink in the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SinkLine {
    pub stream: String,
    pub path: String,
    pub items: u64,
    pub bytes: u64,
}

/// Failed items of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DeadLine {
    pub step: String,
    pub error: String,
    pub count: u64,
}

/// `read + added = stored + ended + filtered + folded + skipped + dead + waiting`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Books {
    pub read: u64,
    pub added: i64,
    pub stored: u64,
    pub ended: u64,
    pub filtered: u64,
    pub folded: u64,
    pub skipped: u64,
    pub dead: u64,
    pub waiting: u64,
}

impl Books {
    /// Items that have ended somewhere.
    pub fn settled(&self) -> u64 {
        self.stored + self.ended + self.filtered + self.folded + self.skipped + self.dead + self.waiting
    }
}

/// Makes the report of a run from its accounts. Its cost grows with streams times units.
pub fn report(standing: Standing<'_>, facts: &Facts, now: i64) -> Report {
    let Standing { context, record, .. } = standing;
    let mut auditor = Auditor { now: standing, facts, books: Books::default(), imbalance: vec![] };
    let steps = auditor.steps();
    auditor.edges();
    let finished = facts.units.iter().all(|u| *u != Progress::Working);
    if finished {
        auditor.tried_again();
    }
    let (books, mut imbalance) = (auditor.books, auditor.imbalance);
    if finished && books.read as i64 + books.added != books.settled() as i64 {
        imbalance.push(format!(
            "the flow: {} read and {} added, but {} settled",
            books.read,
            books.added,
            books.settled()
        ));
    }
    let (status, exit) = ended(record.phase, !imbalance.is_empty(), standing);
    let opened = record.repair.as_ref().map_or(record.started, |mending| mending.opened);
    let started = jiff::Timestamp::from_second(opened.div_euclid(1000)).unwrap_or_default();
    Report {
        schema: SCHEMA.into(),
        flow: context.flow.name.to_string(),
        run: record.number,
        batch: record.batch,
        started: started.to_string(),
        status,
        exit,
        balanced: imbalance.is_empty(),
        seconds: ((now - opened).max(0) as f64) / 1000.0,
        sinks: sinks(standing),
        notes: notes(standing, &steps),
        steps,
        dead: vec![],
        books,
        imbalance,
        hash: context.flow.hash.clone(),
        parts: context.flow.parts.clone(),
        free: context.flow.free.clone(),
        logs: logs(standing),
        programs: BTreeMap::new(),
    }
}

fn ended(phase: Phase, unbalanced: bool, standing: Standing<'_>) -> (Status, u8) {
    let cut = standing.mark(Mark::StdinCut) > 0;
    match phase {
        Phase::Done | Phase::Dead if unbalanced => (Status::Failed, 1),
        Phase::Done if cut => (Status::Done, 1),
        Phase::Done => (Status::Done, 0),
        Phase::Dead => (Status::DoneWithDeadLetters, if cut { 1 } else { 3 }),
        Phase::Held => (Status::Held, 4),
        Phase::Failed => (Status::Failed, 1),
        Phase::Abandoned => (Status::Abandoned, 1),
        Phase::Open | Phase::Closing => (Status::Open, 1),
    }
}

fn notes(standing: Standing<'_>, steps: &[StepLine]) -> Vec<String> {
    let cut = standing.mark(Mark::StdinCut) > 0;
    let text = "standard input was cut: the process that read it was killed, and what it had not yet committed is gone";
    let opened = |line: &StepLine| Some(format!("{} was opened {}", line.step, line.gate.as_ref()?.opened.as_ref()?));
    let told_to = standing.context.flow.on_end.iter();
    let untold = told_to.flat_map(|_| &standing.record.untold).filter(|run| **run != standing.record.number);
    let untold = untold.map(|run| format!("it was not told yet how run {run} ended: on-end failed"));
    cut.then(|| text.into()).into_iter().chain(steps.iter().filter_map(opened)).chain(untold).collect()
}

/// Where the logs of a run begin.
fn logs(standing: Standing<'_>) -> Vec<i64> {
    let Ok(Some(stream)) = standing.context.logs() else { return vec![] };
    let of = standing.record.starts.range((stream.clone(), 0)..=(stream, u32::MAX));
    of.map(|(_, offset)| *offset).collect()
}

/// The files of a batch, those first that its earlier runs have put in place.
fn sinks(standing: Standing<'_>) -> Vec<SinkLine> {
    let Standing { context, record, .. } = standing;
    let placed = record.repair.as_ref().map_or_else(Vec::new, |mending| mending.put_there());
    let mut lines = vec![];
    for (i, s) in context.flow.numbered_streams().filter(|(_, s)| s.sink.is_some()) {
        let line = |path: String, items, bytes| SinkLine { stream: s.name.clone(), path, items, bytes };
        let before = lines.len();
        lines.extend(placed.iter().filter(|p| p.sink == s.name).map(|p| line(p.path.clone(), p.items, p.bytes)));
        let items = lines[before..].iter().map(|l| l.items).sum();
        let items = stored(standing, i).saturating_sub(items);
        if items > 0 || lines.len() == before {
            let file = FileOf::only(i);
            let path = context.sink_path(&file).ok().flatten().unwrap_or_else(|| "stdout".into());
            lines.push(line(path, items, standing.mark(Mark::length(context, &file))));
        }
    }
    lines
}

/// Items that a sink has stored.
pub(crate) fn stored(standing: Standing<'_>, stream: StreamNo) -> u64 {
    let Standing { context, .. } = standing;
    standing.tally(&name(&context.flow, Node::Sink(stream)), |t| t.passed)
}

struct Auditor<'a> {
    now: Standing<'a>,
    facts: &'a Facts,
    books: Books,
    imbalance: Vec<String>,
}
