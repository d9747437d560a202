//! The books of a run: every item has one disposition, and every edge gives what it gets.

use crate::ledger::report::lines::routes_rest;
use crate::ledger::report::{Auditor, StepLine};
use anabranch_engine::account::Reader;
use anabranch_flow::model::{Kind, Writer};
use anabranch_flow::number::{StepNo, StreamNo, UnitNo};
use anabranch_flow::plan::{Edge, Node, Root, name};
use std::collections::BTreeSet;

impl Auditor<'_> {
    /// How many times an item of a stream is taken further: once by each consumer, once if it is kept for others.
    fn ways(&self, stream: StreamNo) -> (u64, bool) {
        let s = &self.now.context.flow.streams[stream];
        let kept = s.declared && self.now.context.plan.logged[stream] && s.source.is_none() && s.sink.is_none();
        let published = self.now.context.plan.unit_of(Node::Publish(stream)).is_some();
        let consumers = s.readers.len() + usize::from(s.sink.is_some());
        if published { (1, false) } else { (consumers as u64, kept) }
    }

    /// Items that came to a join.
    pub fn arrived(&self, join: StepNo) -> u64 {
        self.now.arrived(self.facts, join)
    }

    /// The roots through which a node takes the items of a stream.
    fn roots_of(&self, node: Node, stream: StreamNo) -> impl Iterator<Item = &Root> {
        let units = self.now.context.plan.units.iter().filter(move |u| u.nodes.contains(&node));
        let again = self.now.context.again.as_ref().map(|again| again.stream);
        units.flat_map(|u| &u.roots).filter(move |r| r.node == node && r.of == stream && Some(r.from) != again)
    }

    /// Items of all inputs that a pair has no partner for.
    pub fn waiting(&self, step: StepNo) -> u64 {
        let mut inputs = self.now.context.flow.steps[step].inputs.clone();
        inputs.dedup();
        inputs.into_iter().map(|s| self.waiting_of(Node::Step(step), s)).sum()
    }

    /// Items of one input that a pair has no partner for.
    fn waiting_of(&self, node: Node, stream: StreamNo) -> u64 {
        let is_pair = matches!(node, Node::Step(s) if matches!(self.now.context.flow.steps[s].kind, Kind::Pair(_)));
        let roots = self.roots_of(node, stream).filter(|_| is_pair);
        roots.map(|root| self.now.waiting(self.facts, root)).sum()
    }

    /// What a consumer got of a stream: taken, arrived at a join, or waiting for a partner.
    fn got(&self, node: Node, input: usize, stream: StreamNo) -> u64 {
        if let Node::Step(s) = node
            && let Kind::Barrier(_) = self.now.context.flow.steps[s].kind
        {
            return self.now.arrived_by(self.facts, s, input);
        }
        let (who, of) = (name(&self.now.context.flow, node), &self.now.context.flow.streams[stream].name);
        let took: u64 = self.now.accounts.iter().filter_map(|a| a.tally.get(&who)?.took.get(of)).sum();
        took + self.waiting_of(node, stream)
    }

    /// Whether a consumer that reads through copies or joins reads a stream from outside: then it has a position of its own,
    /// carried from run to run, and need not have begun where they did.
    fn over_outside(&self, node: Node, input: usize, stream: StreamNo) -> bool {
        let outside = |from: StreamNo| self.now.context.flow.streams[from].writer == Writer::Outside;
        match node {
            Node::Step(s) if matches!(self.now.context.flow.steps[s].kind, Kind::Barrier(_)) => {
                self.now.context.plan.view(s).iter().any(|r| r.input == input && outside(r.from))
            }
            _ => self.roots_of(node, stream).any(|r| outside(r.from)),
        }
    }

    /// Adds a node to the sum of the flow.
    pub fn book(&mut self, node: Node, line: &StepLine) {
        let flow = &self.now.context.flow;
        let entrance = match node {
            Node::Source(_) => line.taken,
            Node::Sink(s) if flow.streams[s].writer == Writer::Outside => line.taken,
            _ => {
                let into: BTreeSet<(StreamNo, usize)> =
                    self.now.context.plan.edges_to(node).map(|(s, i, _)| (s, i)).collect();
                let outside = into.iter().filter(|(s, _)| flow.streams[*s].writer == Writer::Outside);
                outside.map(|(s, input)| self.got(node, *input, *s)).sum()
            }
        };
        self.books.read += entrance;
        self.own_starts(node);
        let books = &mut self.books;
        books.folded += line.folded;
        books.skipped += line.skipped;
        books.dead += line.dead;
        books.waiting += line.waiting;
        let mut on = line.passed as i64;
        let rest_goes_on = matches!(node, Node::Step(s) if routes_rest(&flow.steps[s].kind));
        if rest_goes_on {
            on += line.filtered as i64
        } else {
            books.filtered += line.filtered
        }
        match node {
            Node::Sink(_) => {
                books.stored += line.passed;
                return;
            }
            Node::Publish(s) => {
                books.stored += line.passed;
                let readers = flow.streams[s].readers.len() as u64 + u64::from(flow.streams[s].sink.is_some());
                books.added += (line.passed * readers) as i64;
                return;
            }
            _ => {}
        }
        let mut delivered = 0;
        for (stream, n) in &line.made {
            let Some(i) = flow.stream_no(stream) else { continue };
            let (consumers, kept) = self.ways(i);
            self.books.stored += if kept { *n } else { 0 };
            if consumers == 0 && !kept {
                self.books.ended += n;
                delivered += n;
            }
            delivered += n * (consumers + u64::from(kept));
        }
        self.books.added += delivered as i64 - on;
    }

    /// A consumer that began elsewhere than those who hand it the items: what it read beyond that is read by it alone. So
    /// for what a pair kept waiting in earlier runs.
    fn own_starts(&mut self, node: Node) {
        let into: Vec<(StreamNo, usize, Edge)> = self.now.context.plan.edges_to(node).collect();
        for (stream, input, edge) in into {
            let pairs = matches!(node, Node::Step(s) if matches!(self.now.context.flow.steps[s].kind, Kind::Pair(_)));
            let apart = matches!(edge, Edge::Alias | Edge::View) && self.over_outside(node, input, stream);
            let Some((_, made)) = self.handed(stream).filter(|_| pairs || apart) else { continue };
            match self.got(node, input, stream) as i64 - made as i64 {
                beyond @ 1.. => self.books.read += beyond as u64,
                short => self.books.added += short,
            }
        }
    }

    /// Every edge: what one side made is what the log got, and what the other side took.
    pub fn edges(&mut self) {
        let context = self.now.context;
        let flow = &context.flow;
        for (stream, s) in flow.numbered_streams().filter(|(i, _)| context.plan.logged[*i] && !context.is_view(*i)) {
            let done = context.plan.writers[stream].is_some_and(|u| self.is_finished(u));
            let Some((by, made)) = self.made(stream).filter(|_| done) else { continue };
            let kept = self.now.items(stream);
            if kept != made {
                self.imbalance.push(format!("{by} → {}: {made} made, but {kept} appended", s.name));
            }
        }
        for (stream, node, input) in context.plan.edges.keys().copied() {
            let waits = matches!(node, Node::Step(i) if matches!(flow.steps[i].kind, Kind::Barrier(_) | Kind::Pair(_)));
            let done = context.plan.unit_of(node).is_some_and(|u| self.is_finished(u));
            if !done || waits {
                continue;
            }
            let who = name(flow, node);
            let roots: Vec<Root> = self.roots_of(node, stream).filter(|r| r.input == input).cloned().collect();
            let outside = roots.iter().filter(|r| flow.streams[r.from].writer == Writer::Outside);
            outside.for_each(|root| self.sealed(root, &who));
            let began_alike = roots.iter().all(|root| self.began_alike(root));
            if let Some((by, made)) = self.made(stream).filter(|_| began_alike) {
                let took = self.got(node, input, stream);
                if took != made {
                    self.imbalance
                        .push(format!("{by} → {} → {who}: {made} made, but {took} taken", flow.streams[stream].name));
                }
            }
        }
    }

    fn is_finished(&self, unit: UnitNo) -> bool {
        self.facts.units[unit] == super::Progress::Finished
    }

    /// Whether a root that leads through a copy or a join began where that did.
    fn began_alike(&self, root: &Root) -> bool {
        let Writer::Step(w, _) = self.now.context.flow.streams[root.of].writer else { return true };
        let Some((_, taken)) = root.taken.split_once('/') else { return true };
        (0..self.now.context.partitions[root.from]).all(|p| {
            let reader = self.now.context.reader(root, p);
            let before =
                Reader { step: self.now.context.flow.steps[w].name.clone(), taken: taken.into(), ..reader.clone() };
            self.now.start(&reader) == self.now.start(&before)
        })
    }

    /// Every dead letter that is to be tried again was taken again.
    pub fn tried_again(&mut self) {
        let Some(mending) = &self.now.record.repair else { return };
        let again = &mending.again;
        let steps: BTreeSet<&str> = again.iter().map(|a| a.step.as_str()).collect();
        for step in steps {
            let wanted = again.iter().filter(|a| a.step == step).map(|a| a.letters).sum::<u64>();
            let of_step = self.now.accounts.iter().flat_map(|a| &a.read);
            let of_step = of_step.filter(|(r, _)| r.step == step && r.stream == self.now.context.dead);
            let taken: u64 = of_step.map(|(_, next)| next.items).sum();
            if wanted != taken {
                self.imbalance.push(format!("{step}: {wanted} dead letters to be retried, but {taken} taken"));
            }
        }
    }

    /// Who made the items of a stream, and how many; `None` if it is fed from outside.
    fn made(&self, stream: StreamNo) -> Option<(String, u64)> {
        let flow = &self.now.context.flow;
        let s = &flow.streams[stream];
        let by = match s.writer {
            Writer::Outside => return None,
            Writer::Source => name(flow, Node::Source(stream)),
            Writer::Step(w, _) if self.now.context.is_view(stream) => {
                return Some((flow.steps[w].name.clone(), self.arrived(w)));
            }
            Writer::Step(w, _) => flow.steps[w].name.clone(),
        };
        let made = self.now.accounts.iter().filter_map(|a| a.tally.get(&by)?.made.get(&s.name)).sum();
        Some((by, made))
    }

    /// The same, as far as consumers were handed it: a join hands on nothing while it is shut.
    fn handed(&self, stream: StreamNo) -> Option<(String, u64)> {
        let made = self.made(stream)?;
        let shut = match self.now.context.flow.streams[stream].writer {
            Writer::Step(w, _) if self.now.context.is_view(stream) => {
                self.facts.gates[w] != Some(anabranch_flow::patterns::barrier::Verdict::Open)
            }
            _ => false,
        };
        Some(if shut { (made.0, 0) } else { made })
    }

    /// A reader of a stream from outside has read exactly to the seal.
    fn sealed(&mut self, root: &Root, who: &str) {
        let context = self.now.context;
        for p in 0..context.partitions[root.from] {
            let reader = context.reader(root, p);
            let Some(seal) = self.now.record.seals.get(&(reader.stream.clone(), p)) else { continue };
            let next = self.now.next(&reader);
            if next != *seal {
                let stream = &context.flow.streams[root.from].name;
                self.imbalance.push(format!("{stream} partition {p} → {who}: sealed at {seal}, but read to {next}"));
            }
        }
    }
}
