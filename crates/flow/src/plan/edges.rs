//! How the items of each stream reach their consumers, and the units that follow from it.

use super::fuse::{Link, groups};
use super::{Edge, Node, Plan, Reach, ReadFrom, Root, Unit};
use crate::model::{Flow, Kind, SourceAt, Writer};
use crate::number::{StepNo, StreamNo, UnitNo};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the plan of a flow. Where its work is `spread` over lanes, actions are apart from the sinks, whose seat is in one lane.
pub fn plan(flow: &Flow, spread: bool) -> Plan {
    let mut p = Planner { flow, spread, group: BTreeMap::new(), logged: vec![false; flow.streams.len()] };
    for s in flow.stream_nos() {
        p.logged[s] = p.must_log(s);
    }
    let nodes = p.nodes();
    p.group = groups(&nodes, &p.links());
    let mut edges = BTreeMap::new();
    for s in flow.stream_nos() {
        for (node, input) in p.consumers(s) {
            edges.insert((s, node, input), p.edge(s, node));
        }
    }
    for ((s, ..), edge) in &edges {
        p.logged[*s] |= *edge == Edge::Logged && !p.of_join(*s);
    }
    let units = p.units(&nodes, &edges);
    let joins = flow.step_nos().filter(|j| p.is_join(*j));
    let views = joins.map(|j| {
        let inputs = flow.steps[j].inputs.iter().enumerate();
        (j, inputs.flat_map(|(input, s)| p.reach(input, *s, p.edge(*s, Node::Step(j)), &[], "")).collect())
    });
    let views = views.collect();
    let writer = |s: StreamNo| match flow.streams[s].writer {
        Writer::Outside => None,
        Writer::Source => Some(Node::Source(s)),
        Writer::Step(..) if p.of_join(s) => Some(Node::Publish(s)),
        Writer::Step(w, _) => Some(Node::Step(w)),
    };
    let unit_of = |node: Node| units.iter().position(|u| u.nodes.contains(&node)).map(UnitNo);
    let writers = flow.stream_nos().map(|s| writer(s).and_then(unit_of)).collect();
    Plan { units, edges, logged: p.logged, views, writers }
}

struct Planner<'f> {
    flow: &'f Flow,
    spread: bool,
    group: BTreeMap<Node, usize>,
    logged: Vec<bool>,
}

impl Planner<'_> {
    fn is_join(&self, step: StepNo) -> bool {
        matches!(self.flow.steps[step].kind, Kind::Barrier(_))
    }

    /// What makes the stream; the `done:` stream of a join is written by no pattern.
    fn writer_kind(&self, s: StreamNo) -> Option<&Kind> {
        match self.flow.streams[s].writer {
            Writer::Step(w, _) if self.flow.steps[w].done != Some(s) => Some(&self.flow.steps[w].kind),
            _ => None,
        }
    }

    /// Whether the stream is what a join lets through.
    fn of_join(&self, s: StreamNo) -> bool {
        matches!(self.writer_kind(s), Some(Kind::Barrier(_)))
    }

    fn reads_stdin(&self, s: StreamNo) -> bool {
        self.flow.streams[s].source.as_ref().is_some_and(|s| s.from == SourceAt::Stdin)
    }

    /// Whether the stream belongs into the log whoever reads it.
    fn must_log(&self, s: StreamNo) -> bool {
        let stream = &self.flow.streams[s];
        let home = stream.sink.is_some() || stream.source.is_some();
        let told = matches!(stream.writer, Writer::Step(w, _) if self.flow.steps[w].done == Some(s));
        stream.writer == Writer::Outside || stream.keep || self.reads_stdin(s) || told || (stream.declared && !home)
    }

    /// Everything that takes items of a stream.
    fn consumers(&self, s: StreamNo) -> Vec<(Node, usize)> {
        let stream = &self.flow.streams[s];
        let mut all: Vec<(Node, usize)> =
            stream.readers.iter().map(|(step, input)| (Node::Step(*step), *input)).collect();
        if stream.sink.is_some() {
            all.push((Node::Sink(s), 0));
        }
        if self.logged[s] && self.of_join(s) {
            all.push((Node::Publish(s), 0));
        }
        all
    }

    /// Sources, steps, sinks and copies of views into public streams; joins among the steps, although they are in no unit.
    fn nodes(&self) -> Vec<Node> {
        let streams = || self.flow.stream_nos();
        let is_read = |s: &StreamNo| self.logged[*s] || !self.consumers(*s).is_empty();
        let sources = streams().filter(|s| self.flow.streams[*s].writer == Writer::Source).filter(is_read);
        let ends = streams().flat_map(|s| self.consumers(s)).map(|(node, _)| node);
        let ends = ends.filter(|node| !matches!(node, Node::Step(_)));
        sources.map(Node::Source).chain(self.flow.step_nos().map(Node::Step)).chain(ends).collect()
    }

    /// For each step, the gates above it that can stay shut.
    ///
    /// Steps move together only if these are the same: so a unit waits behind a shut gate as a whole, or not at all.
    fn gates_above(&self, order: &[StepNo]) -> Vec<BTreeSet<StepNo>> {
        let mut above = vec![BTreeSet::new(); self.flow.steps.len()];
        for step in order {
            let mut gates = BTreeSet::new();
            for w in self.steps_before(*step) {
                gates.extend(&above[w]);
                gates.extend(self.flow.steps[w].gate().filter(|g| g.can_stay_shut()).map(|_| w));
            }
            above[*step] = gates;
        }
        above
    }

    fn steps_before(&self, step: StepNo) -> impl Iterator<Item = StepNo> {
        self.flow.steps[step].inputs.iter().filter_map(|s| match self.flow.streams[*s].writer {
            Writer::Step(w, _) => Some(w),
            _ => None,
        })
    }

    /// The steps, each behind all that it reads from.
    fn order(&self) -> Vec<StepNo> {
        let mut order = vec![];
        let mut placed = vec![false; self.flow.steps.len()];
        while let Some(next) =
            self.flow.step_nos().find(|s| !placed[*s] && self.steps_before(*s).all(|w| placed[w] || w == *s))
        {
            placed[next] = true;
            order.push(next);
        }
        order
    }

    /// Who hands items to whom, in the order of the flow.
    fn links(&self) -> Vec<Link> {
        let order = self.order();
        let above = self.gates_above(&order);
        let alike = |from: Node, to: Node| match (from, to) {
            (Node::Step(a), Node::Step(b)) => above[a] == above[b],
            (Node::Source(_), Node::Step(b)) => above[b].is_empty(),
            _ => true, // a sink is behind what its writer is behind
        };
        let rank = |node: Node| match node {
            Node::Source(s) => (0, s.0),
            Node::Step(i) => (1, order.iter().position(|s| *s == i).unwrap_or(i.0)),
            Node::Publish(s) | Node::Sink(s) => (2, s.0),
        };
        let mut links = vec![];
        for (s, stream) in self.flow.numbered_streams() {
            for (to, _) in self.consumers(s) {
                let from = match stream.writer {
                    Writer::Outside => continue,
                    Writer::Source => Node::Source(s),
                    Writer::Step(..) if self.of_join(s) && self.logged[s] && to != Node::Publish(s) => Node::Publish(s),
                    Writer::Step(w, _) => Node::Step(w),
                };
                links.push(Link { from, to, may_fuse: self.may_fuse(s, to) && alike(from, to) });
            }
        }
        links.sort_by_key(|l| (rank(l.from), rank(l.to)));
        links
    }

    /// Whether a consumer can be handed the items of a stream in memory.
    fn may_fuse(&self, s: StreamNo, to: Node) -> bool {
        if self.of_join(s) || self.must_log(s) {
            return false;
        }
        let by_source = self.flow.streams[s].writer == Writer::Source;
        let by_pure = by_source || self.writer_kind(s).is_some_and(is_pure);
        let reader = if let Node::Step(r) = to { Some(&self.flow.steps[r].kind) } else { None };
        let flows_in = reader.is_none_or(|k| is_pure(k) || matches!(k, Kind::Reduce(..)));
        let acts = matches!(self.writer_kind(s), Some(Kind::Act(_)));
        flows_in && (by_pure || (reader.is_none() && !(acts && self.spread)))
    }

    fn is_fused(&self, s: StreamNo, to: Node) -> bool {
        let from = match self.flow.streams[s].writer {
            Writer::Outside => return false,
            Writer::Source => Node::Source(s),
            Writer::Step(w, _) => Node::Step(w),
        };
        self.may_fuse(s, to) && self.group.get(&from) == self.group.get(&to)
    }

    fn edge(&self, s: StreamNo, to: Node) -> Edge {
        if self.of_join(s) && (matches!(to, Node::Publish(_)) || !self.logged[s]) {
            return Edge::View;
        }
        if self.must_log(s) {
            return Edge::Logged;
        }
        if self.is_fused(s, to) {
            return Edge::Fused;
        }
        if let (Writer::Step(w, _), Some(Kind::Copy(_))) = (self.flow.streams[s].writer, self.writer_kind(s))
            && !self.is_fused(self.flow.steps[w].inputs[0], Node::Step(w))
            && self.flow.streams[s].format == self.flow.streams[self.flow.steps[w].inputs[0]].format
        {
            return Edge::Alias;
        }
        Edge::Logged
    }

    /// The streams that are really read for an input, each with the joins that must be open.
    fn reach(&self, input: usize, s: StreamNo, edge: Edge, gates: &[StepNo], above: &str) -> Vec<Reach> {
        let stream = &self.flow.streams[s];
        let taken = if above.is_empty() { stream.name.clone() } else { format!("{above}/{}", stream.name) };
        let mut gates = gates.to_vec();
        match (edge, stream.writer) {
            (Edge::Alias | Edge::View, Writer::Step(w, _)) => {
                if edge == Edge::View {
                    gates.push(w);
                }
                let inputs = self.flow.steps[w].inputs.iter();
                inputs.flat_map(|i| self.reach(input, *i, self.edge(*i, Node::Step(w)), &gates, &taken)).collect()
            }
            _ => vec![Reach { input, from: s, taken, gates }],
        }
    }

    fn units(&self, nodes: &[Node], edges: &BTreeMap<(StreamNo, Node, usize), Edge>) -> Vec<Unit> {
        let mut units: BTreeMap<usize, Unit> = BTreeMap::new();
        for node in nodes.iter().filter(|n| !matches!(n, Node::Step(i) if self.is_join(*i))) {
            let unit = units.entry(self.group[node]).or_default();
            unit.nodes.push(*node);
            unit.roots.extend(self.roots(*node, edges));
            if let Node::Step(i) = node {
                match &self.flow.steps[*i].kind {
                    Kind::Act(_) => unit.acts = Some(*i),
                    Kind::Pair(_) => unit.pairs = Some(*i),
                    Kind::Reduce(..) => unit.folds.push(*i),
                    _ => {}
                }
            }
        }
        units.into_values().collect()
    }

    fn roots(&self, node: Node, edges: &BTreeMap<(StreamNo, Node, usize), Edge>) -> Vec<Root> {
        if let Node::Source(s) = node {
            let how = if self.reads_stdin(s) { ReadFrom::Stdin } else { ReadFrom::Lines };
            let taken = self.flow.streams[s].name.clone();
            return vec![Root { node, input: 0, of: s, from: s, taken, how, gates: vec![] }];
        }
        let mut roots = vec![];
        for ((s, to, input), edge) in edges {
            if *to != node || *edge == Edge::Fused {
                continue;
            }
            for Reach { input, from, taken, gates } in self.reach(*input, *s, *edge, &[], "") {
                roots.push(Root { node, input, of: *s, from, taken, how: ReadFrom::Log, gates });
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
