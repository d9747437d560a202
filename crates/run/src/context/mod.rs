//! What every part of a run needs to know. It does not change while the run works.

pub mod choices;
pub mod lanes;
mod readers;
pub mod sinks;

use crate::context::choices::Choices;
use crate::world::{Reading, World};
use anabranch_engine::{At, Chunk, Desk, Error, FlowId, Limit, Offset, Result, StreamName};
use anabranch_flow::model::{Flow, Kind, Step, Writer};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::patterns::Vars;
use anabranch_flow::plan::{Node, Plan, ReadFrom, Root};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A place where positions are kept: a partition of a stream.
pub type Spot = (StreamName, u32);

/// Where it is kept what the calls of a flow write.
///
/// # Errors
///
/// The name is too long.
pub fn logs_of(flow: &FlowId) -> Result<StreamName> {
    flow.own("logs")
}

/// What every part of a run needs to know. It does not change while the run works.
pub struct RunContext {
    /// The flow.
    pub flow: Arc<Flow>,
    /// How it is carried out.
    pub plan: Plan,
    /// Where its streams live.
    pub engine: Arc<dyn Desk>,
    /// What lies outside.
    pub world: World,
    /// The run and the variables, for expressions.
    pub vars: Vars,
    /// Number of the run.
    pub number: u64,
    /// Lanes of the flow.
    pub lanes: u32,
    /// Partitions of each stream.
    pub partitions: Vec<u32>,
    /// For each unit: whether it looks into items.
    pub looks: Vec<bool>,
    /// For each stream: whether its source sets headers.
    pub with_headers: Vec<bool>,
    /// Whether file sources also number their lines: they are counted only if somebody looks at headers.
    pub with_numbers: bool,
    /// The stream of dead letters.
    pub dead: StreamName,
    /// The stream of the lists of files.
    pub manifest: StreamName,
    /// What a run tries again that repairs a batch.
    pub again: Option<TriedAgain>,
    /// Sinks that write beside their place, with what their files have behind the name.
    pub beside: BTreeMap<StreamNo, String>,
    /// Sources that are files.
    pub readings: BTreeMap<StreamNo, Reading>,
}

/// Dead letters that are tried again.
pub struct TriedAgain {
    /// Their stream, as one of the flow's.
    pub stream: StreamNo,
    /// Which they are.
    pub choices: Choices,
    /// Which earlier runs of the batch tried again: they are folded again where no result was said of them.
    pub before: Choices,
    /// Steps whose results were said without them: what still comes there is skipped.
    pub late: BTreeSet<StepNo>,
}

impl RunContext {
    /// Where it is kept what calls write, if a step of the flow wants that.
    ///
    /// # Errors
    ///
    /// The name is too long.
    pub fn logs(&self) -> Result<Option<StreamName>> {
        self.flow.steps.iter().any(Step::logs).then(|| logs_of(&self.flow.name)).transpose()
    }

    /// Start of the run, milliseconds since 1970-01-01 UTC.
    pub fn started(&self) -> i64 {
        self.vars.run.started.as_millisecond()
    }

    /// Where positions in what a root reads are kept: its stream's partition, or, for the bytes of
    /// files, the place of the stream in the manifest. Bytes and offsets never share a place.
    pub fn spot(&self, how: ReadFrom, stream: StreamNo, p: u32) -> Spot {
        match how {
            ReadFrom::Lines => (self.manifest.clone(), stream.0 as u32),
            ReadFrom::Log | ReadFrom::Stdin => (self.flow.streams[stream].at.clone(), p),
        }
    }

    /// Whether a root goes on in the next run where it is in this one: it reads a stream from outside, or is a side of a
    /// pair whose stream goes on. Every other one begins where its run does.
    pub fn is_carried(&self, root: &Root) -> bool {
        if root.how != ReadFrom::Log {
            return false;
        }
        let pairs = matches!(root.node, Node::Step(s) if matches!(self.flow.steps[s].kind, Kind::Pair(_)));
        self.flow.streams[root.from].writer == Writer::Outside || (pairs && self.flow.goes_on(root.of))
    }

    /// Whether a stream is what a join lets through.
    pub fn is_view(&self, stream: StreamNo) -> bool {
        match self.flow.streams[stream].writer {
            Writer::Step(w, _) => {
                matches!(self.flow.steps[w].kind, Kind::Barrier(_)) && self.flow.steps[w].done != Some(stream)
            }
            _ => false,
        }
    }
}

impl RunContext {
    /// Reads what accounts say is there. Where the log shows at once what was committed, nothing can be missing.
    pub(crate) fn read(&self, at: &At, end: Offset, limit: Limit) -> Result<Chunk> {
        let chunk = self.engine.read(at, end, limit)?;
        if chunk.next <= at.offset && at.offset < end && self.engine.counts_by_offset() {
            let text = format!(
                "{} partition {} ends at {}, but the accounts of the flow know of items up to {end}",
                at.stream, at.partition, chunk.next
            );
            return Err(Error::corrupt(text).help("was the data directory changed, or restored in part?"));
        }
        Ok(chunk)
    }
}
