//! The plan: which edges are fused, which streams are in the log, and the units
//! in which steps move together.
//!
//! An *edge* leads from a stream to one of its consumers. Steps joined by fused
//! edges are a [`Unit`]: it has one position for each partition that it reads,
//! writes nothing between its steps, and commits all its outputs together.

mod edges;
mod fuse;

pub use edges::plan;

use crate::model::Flow;
use crate::number::{StepNo, StreamNo, UnitNo};
use std::collections::BTreeMap;

/// Something that takes items of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The source of a stream: it takes lines, and gives items.
    Source(StreamNo),
    /// A step.
    Step(StepNo),
    /// The sink of a stream.
    Sink(StreamNo),
    /// Copies the view of a join into its public stream.
    Publish(StreamNo),
}

/// How the items of a stream reach a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// In memory, inside a unit.
    Fused,
    /// Read back from the log.
    Logged,
    /// Read from the log of the input of the copy that wrote it.
    Alias,
    /// Read from the logs of the inputs of the join that wrote it, when its gate is open.
    View,
}

/// Where a unit reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The node that takes the items.
    pub node: Node,
    /// Its input, by number.
    pub input: usize,
    /// The stream in the flow that the items belong to.
    pub of: StreamNo,
    /// The stream that is really read.
    pub from: StreamNo,
    /// The names of the streams from `of` to `from`: what tells this way to a partition from any other one.
    pub taken: String,
    /// How.
    pub how: ReadFrom,
    /// Joins that must be open.
    pub gates: Vec<StepNo>,
}

/// How a unit reads a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Batches of the log.
    Log,
    /// Lines of files, or items of a list.
    Lines,
    /// Lines of standard input.
    Stdin,
}

/// A stream of the log that an input reaches: itself, or through copies and joins that write nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The input, by number.
    pub input: usize,
    /// The stream that is really read.
    pub from: StreamNo,
    /// The names of the streams from the input to `from`.
    pub taken: String,
    /// Joins that must be open.
    pub gates: Vec<StepNo>,
}

/// Steps that move together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its nodes, in order of the flow.
    pub nodes: Vec<Node>,
    /// Where it reads.
    pub roots: Vec<Root>,
    /// It calls user code.
    pub acts: Option<StepNo>,
    /// It reads two inputs in lock step.
    pub pairs: Option<StepNo>,
    /// The reduces in it.
    pub folds: Vec<StepNo>,
}

impl Unit {
    /// Whether all of it has its place in one lane: it reads or writes files, or folds.
    pub fn has_seat(&self) -> bool {
        let outside = |n: &Node| matches!(n, Node::Source(_) | Node::Sink(_));
        !self.folds.is_empty() || self.nodes.iter().any(outside)
    }
}

/// How a flow is carried out.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The units, sources first.
    pub units: Vec<Unit>,
    /// For each stream and consumer: how items get there.
    pub edges: BTreeMap<(StreamNo, Node, usize), Edge>,
    /// For each stream: whether it is in the log.
    pub logged: Vec<bool>,
    /// For each join: what it is a view of.
    pub views: BTreeMap<StepNo, Vec<Reach>>,
    /// For each stream: the unit that appends to its log.
    pub writers: Vec<Option<UnitNo>>,
}

impl Plan {
    /// Its units with their numbers.
    pub fn numbered_units(&self) -> impl Iterator<Item = (UnitNo, &Unit)> + Clone {
        UnitNo::first(self.units.len()).zip(&self.units)
    }

    /// The consumers that a stream reaches inside its unit.
    pub fn fused(&self, stream: StreamNo) -> impl Iterator<Item = (Node, usize)> + '_ {
        let of = (stream, Node::Source(StreamNo(0)), 0)..=(stream, Node::Publish(StreamNo(usize::MAX)), usize::MAX);
        self.edges.range(of).filter(|(_, e)| **e == Edge::Fused).map(|((_, node, input), _)| (*node, *input))
    }

    /// All edges to a node.
    pub fn edges_to(&self, node: Node) -> impl Iterator<Item = (StreamNo, usize, Edge)> + '_ {
        self.edges.iter().filter(move |((_, to, _), _)| *to == node).map(|((s, _, input), e)| (*s, *input, *e))
    }

    /// The parts of a join's batch that come through an input.
    pub fn view(&self, join: StepNo) -> &[Reach] {
        self.views.get(&join).map_or(&[], Vec::as_slice)
    }

    /// The unit that a node is in.
    pub fn unit_of(&self, node: Node) -> Option<UnitNo> {
        self.units.iter().position(|u| u.nodes.contains(&node)).map(UnitNo)
    }
}

/// What a node is called in accounts and reports.
pub fn name(flow: &Flow, node: Node) -> String {
    match node {
        Node::Source(s) => format!("source:{}", flow.streams[s].name),
        Node::Step(i) => flow.steps[i].name.clone(),
        Node::Sink(s) => format!("sink:{}", flow.streams[s].name),
        Node::Publish(s) => format!("publish:{}", flow.streams[s].name),
    }
}
