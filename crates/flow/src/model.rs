//! A flow that was checked: what `plan` and `run` work from.

pub use crate::call::{ActionFn, ActionResult};
use crate::diagnostic::Span;
use crate::ends::{OnEnd, Stall};
use crate::expr::{Compiled, Env, FieldType, Reads};
use crate::format::{FileFormat, Format};
use crate::number::{StepNo, StreamNo};
pub use crate::patterns::Kind;
pub use crate::patterns::action::{ActionSpec, Answers, Command, Logs};
pub use crate::patterns::work::Act;
use crate::patterns::{Pattern, barrier};
use crate::template::Template;
use anabranch_engine::{FlowId, StreamName};
use std::collections::{BTreeMap, BTreeSet};

/// A checked flow.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its name.
    pub name: FlowId,
    /// What it is for.
    pub doc: Option<String>,
    /// Its variables, resolved.
    pub env: Env,
    /// Time zone of `run.date`, an IANA name.
    pub timezone: String,
    /// Its streams.
    pub streams: Vec<Stream>,
    /// Its steps, as they are written.
    pub steps: Vec<Step>,
    /// Who is told when a run has ended.
    pub on_end: Option<OnEnd>,
    /// What a run means in which nothing comes on.
    pub stall: Stall,
    /// Hash of all that decides what a run does.
    pub hash: String,
    /// A hash for each part of that, by its path: `steps.checked.exec`.
    pub parts: BTreeMap<String, String>,
    /// The same for what may change at any time: `steps.checked.concurrency`.
    pub free: BTreeMap<String, String>,
}

/// A stream of a flow.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name in the flow.
    pub name: String,
    /// Its name in the engine.
    pub at: StreamName,
    /// Declared under `streams:`, so public.
    pub declared: bool,
    /// Where it is declared, or first named.
    pub span: Span,
    /// Who fills it.
    pub writer: Writer,
    /// Who reads it: step and input.
    pub readers: Vec<(StepNo, usize)>,
    /// A file or the like that fills it.
    pub source: Option<Source>,
    /// A file or the like that stores it.
    pub sink: Option<Sink>,
    /// How its items are read.
    pub format: Format,
    /// Also in the log, although a file has it.
    pub keep: bool,
    /// What is done to an item at the source.
    pub entry: Entry,
    /// Partitions, where they are said.
    pub partitions: Option<u32>,
    /// Copies on Kafka.
    pub replication_factor: Option<u16>,
    /// Settings as in Kafka's topic configuration.
    pub config: BTreeMap<String, String>,
}

/// What is done to an item at its source.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The key it gets.
    pub key: Option<Compiled>,
    /// The timestamp it gets.
    pub time: Option<Compiled>,
    /// Fields it must have.
    pub fields: Vec<Field>,
    /// What these read.
    pub reads: Reads,
}

impl Stream {
    /// Whether its items are data in motion: from outside, or through standard input.
    pub fn moves(&self) -> bool {
        match self.writer {
            Writer::Outside => true,
            Writer::Source => self.source.as_ref().is_some_and(|s| s.from == SourceAt::Stdin),
            Writer::Step(..) => false,
        }
    }

    /// Whether its items are kept for others: it is declared, and no file has them in its place.
    pub fn is_public(&self) -> bool {
        let home = self.source.is_some() || self.sink.is_some();
        self.declared && (self.keep || !home || self.writer == Writer::Outside)
    }
}

impl Entry {
    /// Whether nothing is done, so that the item need not be looked into.
    pub fn is_plain(&self) -> bool {
        self.key.is_none() && self.time.is_none() && self.fields.is_empty()
    }
}

/// A field that items must have.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its slot in the reads of the entry.
    pub slot: usize,
    /// Its type.
    pub of: FieldType,
    /// It may be null or missing.
    pub optional: bool,
}

/// Who fills a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Others: `produce`, another flow, a topic.
    Outside,
    /// Its source.
    Source,
    /// A step, by this output of it.
    Step(StepNo, usize),
}

/// What fills a stream.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where items come from.
    pub from: SourceAt,
    /// How its files hold items.
    pub holds: FileFormat,
}

/// Where items come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceAt {
    /// A file, or all files of a pattern, relative to the flow.
    Files(String),
    /// Standard input.
    Stdin,
    /// A list in the flow itself, as JSON.
    Items(Vec<String>),
}

/// What stores a stream.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Where to.
    pub to: SinkAt,
    /// How its file holds items.
    pub holds: FileFormat,
    /// What becomes of what is there.
    pub mode: Mode,
    /// Whether the flow says the mode itself.
    pub mode_said: bool,
    /// The whole item, not only its value.
    pub whole: bool,
}

/// Where a sink stores.
#[derive(Debug, Clone)]
pub enum SinkAt {
    /// A file, relative to the flow.
    File(Template),
    /// Standard output.
    Stdout,
}

/// What becomes of what a sink's file holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is replaced when the run is done.
    Replace,
    /// The run adds to it.
    Append,
    /// The run does not begin.
    Fail,
}

/// A step of a flow.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What it does.
    pub kind: Kind,
    /// Its inputs.
    pub inputs: Vec<StreamNo>,
    /// Its outputs. Those of a replicated step belong to its inputs one by one.
    pub outputs: Vec<StreamNo>,
    /// The shards of a replicated step, one for each input.
    pub shards: Option<Vec<String>>,
    /// What becomes of a failed item.
    pub on_error: OnError,
    /// Whether the flow says so itself.
    pub on_error_said: bool,
    /// Names of its consumer groups, one for each input.
    pub groups: Vec<String>,
    /// Where this step's outputs are declared to go, for drawing: `done:` of a join.
    pub done: Option<StreamNo>,
}

/// What becomes of a failed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It is kept with its error.
    DeadLetter,
    /// It is counted.
    Skip,
    /// The run stops.
    Fail,
}

impl Step {
    /// Whether it is kept what its calls write, of all items or of those that fail.
    pub fn logs(&self) -> bool {
        matches!(&self.kind, Kind::Act(act) if act.logs != Logs::None)
    }

    /// The verb in the language.
    pub fn verb(&self) -> &'static str {
        self.kind.verb().spec.name
    }

    /// Its pattern; a join, a pair and an action have none that is applied to batches.
    pub fn pattern(&self) -> Option<&dyn Pattern> {
        match &self.kind {
            Kind::Copy(p) => Some(p),
            Kind::Filter(p) => Some(&**p),
            Kind::Split(p) => Some(&**p),
            Kind::Shard(p) => Some(&**p),
            Kind::Merge(p) => Some(p),
            Kind::Reduce(p, _) => Some(&**p),
            Kind::Work(p) => Some(&**p),
            Kind::Barrier(_) | Kind::Pair(_) | Kind::Act(_) => None,
        }
    }

    /// Whether it only decides where items go: they are passed on as they are.
    pub fn routes(&self) -> bool {
        matches!(self.kind, Kind::Copy(_) | Kind::Filter(_) | Kind::Split(_) | Kind::Shard(_) | Kind::Merge(_))
    }

    /// The gate, if the step waits for the end of its batch.
    pub fn gate(&self) -> Option<&barrier::Gate> {
        match &self.kind {
            Kind::Barrier(gate) | Kind::Reduce(_, gate) => Some(gate),
            _ => None,
        }
    }

    /// The output that belongs to an input and a port of the pattern.
    pub fn output(&self, input: usize, port: usize) -> Option<StreamNo> {
        let i = if self.shards.is_some() { input } else { port };
        self.outputs.get(i).copied()
    }
}

impl Flow {
    /// The numbers of its streams.
    pub fn stream_nos(&self) -> impl DoubleEndedIterator<Item = StreamNo> + ExactSizeIterator + Clone + use<> {
        StreamNo::first(self.streams.len())
    }

    /// The numbers of its steps.
    pub fn step_nos(&self) -> impl DoubleEndedIterator<Item = StepNo> + ExactSizeIterator + Clone + use<> {
        StepNo::first(self.steps.len())
    }

    /// Its streams with their numbers.
    pub fn numbered_streams(&self) -> impl Iterator<Item = (StreamNo, &Stream)> + Clone {
        self.stream_nos().zip(&self.streams)
    }

    /// Its steps with their numbers.
    pub fn numbered_steps(&self) -> impl Iterator<Item = (StepNo, &Step)> + Clone {
        self.step_nos().zip(&self.steps)
    }

    /// The number of the stream of that name.
    pub fn stream_no(&self, name: &str) -> Option<StreamNo> {
        self.streams.iter().position(|s| s.name == name).map(StreamNo)
    }

    /// The number of the step of that name.
    pub fn step_no(&self, name: &str) -> Option<StepNo> {
        self.steps.iter().position(|s| s.name == name).map(StepNo)
    }

    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.name == name)
    }

    /// Whether a stream goes on from run to run: something above it comes from outside or through standard input, or it is
    /// kept. What is above every other one is read again in each run.
    pub fn goes_on(&self, stream: StreamNo) -> bool {
        self.above(stream).into_iter().any(|s| self.streams[s].keep || self.streams[s].moves())
    }

    /// A stream and all that lead to it, each once.
    pub fn above(&self, stream: StreamNo) -> Vec<StreamNo> {
        let mut found = vec![stream];
        // a replicated step is above each of its many outputs, and has as many inputs: it is looked at once
        let (mut streams, mut steps) = (vec![false; self.streams.len()], vec![false; self.steps.len()]);
        if let Some(seen) = streams.get_mut(stream.0) {
            *seen = true;
        }
        let mut at = 0;
        while let Some(s) = found.get(at).copied() {
            at += 1;
            if let Some(Writer::Step(w, _)) = self.streams.get(s.0).map(|s| s.writer)
                && let (Some(step), Some(seen)) = (self.steps.get(w.0), steps.get_mut(w.0))
                && !std::mem::replace(seen, true)
            {
                let new = |i: &StreamNo| streams.get_mut(i.0).is_none_or(|seen| !std::mem::replace(seen, true));
                found.extend(step.inputs.iter().copied().filter(new));
            }
        }
        found
    }

    /// The streams to which items can come from these steps.
    pub fn below(&self, steps: impl IntoIterator<Item = StepNo>) -> BTreeSet<StreamNo> {
        let (mut found, mut todo): (BTreeSet<StreamNo>, Vec<StepNo>) = (BTreeSet::new(), steps.into_iter().collect());
        while let Some(step) = todo.pop().and_then(|s| self.steps.get(s.0)) {
            for stream in step.outputs.iter().chain(&step.done) {
                if found.insert(*stream) {
                    todo.extend(self.streams.get(stream.0).iter().flat_map(|s| &s.readers).map(|(reader, _)| *reader));
                }
            }
        }
        found
    }

    /// The stream of that name.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|s| s.name == name)
    }
}
