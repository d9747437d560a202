//! The plan: which edges are fused, which streams are in the log, and the units
//! in which steps move together.
//!
//! An *edge* leads from a stream to one of its consumers. Steps joined by fused
//! edges are a [`Unit`]: it has one position for each partition that it reads,
//! writes nothing between its steps, and commits all its outputs together.

use crate::model::{Flow, From, Kind, Writer};
use std::collections::BTreeMap;

/// Something that takes items of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The source of a stream: it takes lines, and gives items.
    Source(usize),
    /// A step.
    Step(usize),
    /// The sink of a stream.
    Sink(usize),
    /// Copies the view of a join into its public stream.
    Publish(usize),
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
    pub of: usize,
    /// The stream that is really read.
    pub from: usize,
    /// How.
    pub how: How,
    /// Joins that must be open.
    pub gates: Vec<usize>,
}

/// How a unit reads a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Batches of the log.
    Log,
    /// Lines of files, or items of a list.
    Lines,
    /// Lines of standard input.
    Stdin,
}

/// Steps that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its nodes, in order of the flow.
    pub nodes: Vec<Node>,
    /// Where it reads.
    pub roots: Vec<Root>,
    /// It calls user code.
    pub acts: Option<usize>,
    /// It reads two inputs in lock step.
    pub pairs: Option<usize>,
    /// The reduces in it.
    pub folds: Vec<usize>,
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
    pub edges: BTreeMap<(usize, Node, usize), Edge>,
    /// For each stream: whether it is in the log.
    pub logged: Vec<bool>,
    /// For each join: the streams that it is a view of, each with the joins before it.
    pub views: BTreeMap<usize, Vec<(usize, Vec<usize>)>>,
    /// For each stream: the unit that appends to its log.
    pub writers: Vec<Option<usize>>,
}

/// Makes the plan of a flow. Where its work is `spread` over lanes, actions are apart from the sinks, whose seat is in one lane.
pub fn plan(flow: &Flow, spread: bool) -> Plan {
    let mut p = Planner { flow, spread, edges: BTreeMap::new(), logged: vec![false; flow.streams.len()] };
    for s in 0..flow.streams.len() {
        p.logged[s] = p.must_log(s);
    }
    for s in 0..flow.streams.len() {
        for (node, input) in p.consumers(s) {
            let edge = p.edge(s, node);
            p.edges.insert((s, node, input), edge);
        }
    }
    for ((s, ..), edge) in &p.edges {
        let of_join = p.writer_kind(*s).is_some_and(|k| matches!(k, Kind::Join(_)));
        p.logged[*s] |= *edge == Edge::Logged && !of_join;
    }
    let units = p.units();
    let joins = flow.steps.iter().enumerate().filter(|(_, s)| matches!(s.kind, Kind::Join(_)));
    let views = joins.map(|(j, step)| {
        let inputs = step.inputs.iter().flat_map(|i| p.physical(*i, p.edge(*i, Node::Step(j)), &[]));
        (j, inputs.collect())
    });
    let views = views.collect();
    let writer = |s: usize| match flow.streams[s].writer {
        Writer::Outside => None,
        Writer::Source => Some(Node::Source(s)),
        Writer::Step(w, _) if matches!(flow.steps[w].kind, Kind::Join(_)) => Some(Node::Publish(s)),
        Writer::Step(w, _) => Some(Node::Step(w)),
    };
    let unit_of = |node: Node| units.iter().position(|u| u.nodes.contains(&node));
    let writers = (0..flow.streams.len()).map(|s| writer(s).and_then(unit_of)).collect();
    Plan { units, edges: p.edges, logged: p.logged, views, writers }
}

struct Planner<'f> {
    flow: &'f Flow,
    spread: bool,
    edges: BTreeMap<(usize, Node, usize), Edge>,
    logged: Vec<bool>,
}

impl Planner<'_> {
    /// What makes the stream; the `done:` stream of a join is written by no pattern.
    fn writer_kind(&self, s: usize) -> Option<&Kind> {
        match self.flow.streams[s].writer {
            Writer::Step(w, _) if self.flow.steps[w].done != Some(s) => Some(&self.flow.steps[w].kind),
            _ => None,
        }
    }

    fn reads_stdin(&self, s: usize) -> bool {
        self.flow.streams[s].source.as_ref().is_some_and(|s| s.from == From::Stdin)
    }

    /// Whether the stream belongs into the log whoever reads it.
    fn must_log(&self, s: usize) -> bool {
        let stream = &self.flow.streams[s];
        let home = stream.sink.is_some() || stream.source.is_some();
        let told = matches!(stream.writer, Writer::Step(w, _) if self.flow.steps[w].done == Some(s));
        stream.writer == Writer::Outside || stream.keep || self.reads_stdin(s) || told || (stream.declared && !home)
    }

    /// Everything that takes items of a stream.
    fn consumers(&self, s: usize) -> Vec<(Node, usize)> {
        let stream = &self.flow.streams[s];
        let mut all: Vec<(Node, usize)> =
            stream.readers.iter().map(|(step, input)| (Node::Step(*step), *input)).collect();
        if stream.sink.is_some() {
            all.push((Node::Sink(s), 0));
        }
        if self.logged[s] && matches!(self.writer_kind(s), Some(Kind::Join(_))) {
            all.push((Node::Publish(s), 0));
        }
        all
    }

    fn edge(&self, s: usize, to: Node) -> Edge {
        let of_join = matches!(self.writer_kind(s), Some(Kind::Join(_)));
        if of_join && (matches!(to, Node::Publish(_)) || !self.logged[s]) {
            return Edge::View;
        }
        if self.must_log(s) {
            return Edge::Logged;
        }
        let by_source = self.flow.streams[s].writer == Writer::Source;
        let by_pure = by_source || self.writer_kind(s).is_some_and(is_pure);
        let reader = if let Node::Step(r) = to { Some(&self.flow.steps[r].kind) } else { None };
        let flows_in = reader.is_none_or(|k| is_pure(k) || matches!(k, Kind::Reduce(..)));
        let acts = matches!(self.writer_kind(s), Some(Kind::Act(_)));
        if flows_in && (by_pure || (reader.is_none() && !(acts && self.spread))) {
            return Edge::Fused;
        }
        if let (Writer::Step(w, _), Some(Kind::Copy(_))) = (self.flow.streams[s].writer, self.writer_kind(s)) {
            let input = self.flow.steps[w].inputs[0];
            if self.edge(input, Node::Step(w)) != Edge::Fused {
                return Edge::Alias;
            }
        }
        Edge::Logged
    }

    /// The streams that are really read, each with the joins that must be open.
    fn physical(&self, s: usize, edge: Edge, gates: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let Writer::Step(w, _) = self.flow.streams[s].writer else { return vec![(s, gates.to_vec())] };
        let step = &self.flow.steps[w];
        match edge {
            Edge::Alias => {
                let input = step.inputs[0];
                self.physical(input, self.edge(input, Node::Step(w)), gates)
            }
            Edge::View => {
                let mut gates = gates.to_vec();
                gates.push(w);
                let inputs = step.inputs.iter().flat_map(|i| self.physical(*i, self.edge(*i, Node::Step(w)), &gates));
                inputs.collect()
            }
            _ => vec![(s, gates.to_vec())],
        }
    }

    fn units(&self) -> Vec<Unit> {
        let mut nodes: Vec<Node> = vec![];
        for (s, stream) in self.flow.streams.iter().enumerate() {
            let wanted = self.reads_stdin(s)
                || self.logged[s]
                || self.edges.iter().any(|((of, ..), e)| *of == s && *e == Edge::Fused);
            if stream.writer == Writer::Source && wanted {
                nodes.push(Node::Source(s));
            }
        }
        nodes.extend(
            (0..self.flow.steps.len()).filter(|i| !matches!(self.flow.steps[*i].kind, Kind::Join(_))).map(Node::Step),
        );
        let ends = self.edges.keys().filter(|(_, node, _)| !matches!(node, Node::Step(_))).map(|(_, node, _)| *node);
        nodes.extend(ends);
        let mut group: BTreeMap<Node, usize> = nodes.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        for ((s, to, _), edge) in &self.edges {
            let from = match self.flow.streams[*s].writer {
                Writer::Source => Node::Source(*s),
                Writer::Step(w, _) => Node::Step(w),
                Writer::Outside => continue,
            };
            if let (Edge::Fused, Some(a), Some(b)) = (edge, group.get(&from).copied(), group.get(to).copied()) {
                group.values_mut().filter(|g| **g == b).for_each(|g| *g = a);
            }
        }
        let mut units: BTreeMap<usize, Unit> = BTreeMap::new();
        for node in nodes {
            let unit = units.entry(group[&node]).or_insert(Unit {
                nodes: vec![],
                roots: vec![],
                acts: None,
                pairs: None,
                folds: vec![],
            });
            unit.nodes.push(node);
            unit.roots.extend(self.roots(node));
            if let Node::Step(i) = node {
                match &self.flow.steps[i].kind {
                    Kind::Act(_) => unit.acts = Some(i),
                    Kind::Pair(_) => unit.pairs = Some(i),
                    Kind::Reduce(..) => unit.folds.push(i),
                    _ => {}
                }
            }
        }
        units.into_values().collect()
    }

    fn roots(&self, node: Node) -> Vec<Root> {
        if let Node::Source(s) = node {
            let how = if self.reads_stdin(s) { How::Stdin } else { How::Lines };
            return vec![Root { node, input: 0, of: s, from: s, how, gates: vec![] }];
        }
        let mut roots = vec![];
        for ((s, to, input), edge) in &self.edges {
            if *to != node || *edge == Edge::Fused {
                continue;
            }
            for (from, gates) in self.physical(*s, *edge, &[]) {
                roots.push(Root { node, input: *input, of: *s, from, how: How::Log, gates });
            }
        }
        roots.sort_by_key(|r| r.input); // a pair tells its sides apart by their order
        roots
    }
}

/// Steps that do nothing but look and route.
fn is_pure(kind: &Kind) -> bool {
    matches!(kind, Kind::Copy(_) | Kind::Filter(_) | Kind::Split(_) | Kind::Shard(_) | Kind::Merge(_) | Kind::Work(_))
}

impl Plan {
    /// How the items of a stream reach a node.
    pub fn edge(&self, stream: usize, node: Node, input: usize) -> Option<Edge> {
        self.edges.get(&(stream, node, input)).copied()
    }

    /// The consumers that a stream reaches inside its unit.
    pub fn fused(&self, stream: usize) -> impl Iterator<Item = (Node, usize)> + '_ {
        let of = (stream, Node::Source(0), 0)..=(stream, Node::Publish(usize::MAX), usize::MAX);
        self.edges.range(of).filter(|(_, e)| **e == Edge::Fused).map(|((_, node, input), _)| (*node, *input))
    }

    /// All edges to a node.
    pub fn into(&self, node: Node) -> impl Iterator<Item = (usize, usize, Edge)> + '_ {
        self.edges.iter().filter(move |((_, to, _), _)| *to == node).map(|((s, _, input), e)| (*s, *input, *e))
    }

    /// The unit that a node is in.
    pub fn unit_of(&self, node: Node) -> Option<usize> {
        self.units.iter().position(|u| u.nodes.contains(&node))
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
