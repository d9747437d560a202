//! The report of a run: made from the accounts alone, and it must balance.

use super::Shared;
use super::facts::{self, Facts, Progress};
use super::marks;
use crate::model::{Kind, Writer};
use crate::patterns::join::Verdict;
use crate::plan::{Node, name};
use anabranch_engine::{Account, Phase, RunRecord};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// `open`, `done`, `done-with-dead-letters`, `held`, `failed`, `abandoned`.
    pub status: String,
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
}

/// A step in the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StepLine {
    pub step: String,
    pub verb: String,
    pub taken: u64,
    pub passed: u64,
    pub filtered: u64,
    pub folded: u64,
    pub skipped: u64,
    pub dead: u64,
    pub waiting: u64,
    pub made: BTreeMap<String, u64>,
    /// What a gate says: `open`, `held: …`.
    pub gate: Option<String>,
    /// Failed items that its results lack, by the step at which they failed.
    pub lacks: BTreeMap<String, u64>,
    /// It could not begin, since a gate before it stays shut.
    pub blocked: bool,
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

/// Makes the report of a run from its accounts.
pub fn report(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts, now: i64) -> Report {
    let mut auditor = Auditor { shared, accounts, record, facts, books: Books::default(), imbalance: vec![] };
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
    let (status, exit) = status(record.phase, !imbalance.is_empty(), accounts);
    Report {
        schema: SCHEMA.into(),
        flow: shared.flow.name.to_string(),
        run: record.number,
        status: status.into(),
        exit,
        balanced: imbalance.is_empty(),
        seconds: ((now - record.started).max(0) as f64) / 1000.0,
        sinks: sinks(shared, accounts),
        steps,
        dead: vec![],
        books,
        imbalance,
        notes: notes(accounts),
    }
}

fn status(phase: Phase, unbalanced: bool, accounts: &[Account]) -> (&'static str, u8) {
    let cut = facts::mark(accounts, marks::STDIN_CUT) > 0;
    match phase {
        Phase::Done | Phase::Dead if unbalanced => ("failed", 1),
        Phase::Done if cut => ("done", 1),
        Phase::Done => ("done", 0),
        Phase::Dead => ("done-with-dead-letters", if cut { 1 } else { 3 }),
        Phase::Held => ("held", 4),
        Phase::Failed => ("failed", 1),
        Phase::Abandoned => ("abandoned", 1),
        Phase::Open | Phase::Closing => ("open", 1),
    }
}

fn notes(accounts: &[Account]) -> Vec<String> {
    let cut = facts::mark(accounts, marks::STDIN_CUT) > 0;
    let text = "standard input was cut: the process that read it was killed, and what it had not yet committed is gone";
    if cut { vec![text.into()] } else { vec![] }
}

fn sinks(shared: &Shared, accounts: &[Account]) -> Vec<SinkLine> {
    let with_sink = shared.flow.streams.iter().enumerate().filter(|(_, s)| s.sink.is_some());
    with_sink
        .map(|(i, s)| SinkLine {
            stream: s.name.clone(),
            path: super::sinks::path(shared, i).ok().flatten().unwrap_or_else(|| "stdout".into()),
            items: tally(accounts, &name(&shared.flow, Node::Sink(i)), |t| t.passed),
            bytes: facts::mark(accounts, &marks::length(shared, i)),
        })
        .collect()
}

fn tally(accounts: &[Account], name: &str, of: impl Fn(&anabranch_engine::Tally) -> u64) -> u64 {
    accounts.iter().filter_map(|a| a.tally.get(name)).map(of).sum()
}

struct Auditor<'a> {
    shared: &'a Shared,
    accounts: &'a [Account],
    record: &'a RunRecord,
    facts: &'a Facts,
    books: Books,
    imbalance: Vec<String>,
}

impl Auditor<'_> {
    fn steps(&mut self) -> Vec<StepLine> {
        let flow = &self.shared.flow;
        let mut lines = vec![];
        for (s, stream) in flow.streams.iter().enumerate() {
            if stream.writer == Writer::Source && self.shared.plan.unit_of(Node::Source(s)).is_some() {
                lines.extend(self.node(Node::Source(s), "source"));
            }
        }
        for (i, step) in flow.steps.iter().enumerate() {
            if let Kind::Join(_) = step.kind {
                lines.push(self.join(i));
            } else {
                lines.extend(self.node(Node::Step(i), step.verb()));
                lines.extend(self.lost_finals(&step.name));
            }
        }
        for s in 0..flow.streams.len() {
            for (node, verb) in [(Node::Publish(s), "publish"), (Node::Sink(s), "sink")] {
                if self.shared.plan.unit_of(node).is_some() {
                    lines.extend(self.node(node, verb));
                }
            }
        }
        lines
    }

    /// The line of a node, and its part of the books. Sources and sinks are shown where something failed.
    fn node(&mut self, node: Node, verb: &str) -> Option<StepLine> {
        let shared = self.shared;
        let who = name(&shared.flow, node);
        let sum = |of: fn(&anabranch_engine::Tally) -> u64| tally(self.accounts, &who, of);
        let mut line = StepLine {
            step: who.clone(),
            verb: verb.into(),
            taken: sum(|t| t.taken()),
            passed: sum(|t| t.passed),
            filtered: sum(|t| t.filtered),
            folded: sum(|t| t.folded),
            skipped: sum(|t| t.skipped),
            dead: sum(|t| t.dead),
            ..StepLine::default()
        };
        for made in self.accounts.iter().filter_map(|a| a.tally.get(&who)).flat_map(|t| &t.made) {
            *line.made.entry(made.0.clone()).or_default() += made.1;
        }
        let unit = shared.plan.unit_of(node);
        line.blocked = unit.is_some_and(|u| self.facts.units[u] == Progress::Blocked);
        let settled = line.passed + line.filtered + line.folded + line.skipped + line.dead;
        if settled != line.taken {
            self.imbalance.push(format!("{who}: {} taken, but {settled} settled", line.taken));
        }
        let mut waiting = 0;
        if let Node::Step(s) = node {
            waiting = self.waiting_pairs(s);
            self.law(s, &line);
            if let Some(gate) = shared.flow.steps[s].gate() {
                line.lacks = facts::failed_by_step(shared, self.accounts, s);
                line.gate = self.verdict(s, gate.tolerate, line.folded);
            }
        }
        line.waiting = waiting;
        line.taken += waiting;
        self.book(node, &line);
        let quiet = !matches!(node, Node::Step(_)) && line.dead == 0 && line.skipped == 0;
        (!quiet).then_some(line)
    }

    /// What a step made is what its pattern promises for what passed.
    fn law(&mut self, s: usize, line: &StepLine) {
        let step = &self.shared.flow.steps[s];
        let made: u64 = line.made.values().sum();
        let rest = if routes_rest(&step.kind) { line.filtered } else { 0 };
        let on = line.passed + rest;
        let many = match &step.kind {
            Kind::Split(split) => split.all,
            Kind::Work(work) => work.many(),
            Kind::Act(act) => act.work.many(),
            _ => false,
        };
        let finals = facts::mark(self.accounts, &marks::finals(&step.name));
        let want = match &step.kind {
            Kind::Copy(copy) => on * copy.outputs as u64,
            Kind::Reduce(..) => {
                let lost = tally(self.accounts, &marks::finals(&step.name), |t| t.taken());
                finals.saturating_sub(lost) * step.outputs.len() as u64
            }
            Kind::Pair(_) => line.folded / 2,
            _ => on,
        };
        let holds = if many { made >= want } else { made == want };
        if !holds && !step.outputs.is_empty() {
            self.imbalance.push(format!("{}: {want} to be made, but {made} made", step.name));
        }
    }

    /// Finals that a reduce could not say.
    fn lost_finals(&mut self, step: &str) -> Option<StepLine> {
        let node = marks::finals(step);
        let sum = |of: fn(&anabranch_engine::Tally) -> u64| tally(self.accounts, &node, of);
        let (taken, dead, skipped) = (sum(|t| t.taken()), sum(|t| t.dead), sum(|t| t.skipped));
        self.books.added += taken as i64;
        self.books.dead += dead;
        self.books.skipped += skipped;
        let line = StepLine { step: node, verb: "final".into(), taken, dead, skipped, ..StepLine::default() };
        (taken > 0).then_some(line)
    }

    fn verdict(&self, s: usize, tolerate: crate::patterns::join::Tolerate, arrived: u64) -> Option<String> {
        use crate::patterns::join::Tolerate;
        let failed = facts::failed_above(self.shared, self.accounts, s);
        let bound = match tolerate {
            Tolerate::Items(n) => n.to_string(),
            Tolerate::Percent(p) => format!("{p}%"),
        };
        match self.facts.gates[s]? {
            Verdict::Open => Some("open".into()),
            Verdict::Held => Some(format!("held: {failed} of {} failed, tolerate is {bound}", failed + arrived)),
            Verdict::Failed => Some(format!("failed: {failed} of {} failed, tolerate is {bound}", failed + arrived)),
        }
    }

    fn join(&mut self, s: usize) -> StepLine {
        let step = &self.shared.flow.steps[s];
        let arrived = facts::arrived(self.shared, self.accounts, self.record, s);
        let open = self.facts.gates[s] == Some(Verdict::Open);
        let tolerate = step.gate().map_or(crate::patterns::join::Tolerate::Items(0), |g| g.tolerate);
        let mut line = StepLine { step: step.name.clone(), verb: "join".into(), taken: arrived, ..StepLine::default() };
        line.gate = self.verdict(s, tolerate, arrived);
        line.lacks = facts::failed_by_step(self.shared, self.accounts, s);
        if open {
            line.passed = arrived
        } else {
            line.waiting = arrived
        }
        if let Some(out) = step.outputs.first().filter(|_| open) {
            line.made.insert(self.shared.flow.streams[*out].name.clone(), arrived);
        }
        if let Some(done) = step.done {
            let made = tally(self.accounts, &step.name, |t| t.made());
            line.made.insert(self.shared.flow.streams[done].name.clone(), made);
        }
        let blocked = self.shared.plan.views[&s]
            .iter()
            .any(|(from, _)| self.shared.plan.writers[*from].is_some_and(|u| self.facts.units[u] == Progress::Blocked));
        line.blocked = blocked;
        self.book(Node::Step(s), &line);
        line
    }

    /// Items that a pair has no partner for.
    fn waiting_pairs(&self, s: usize) -> u64 {
        let shared = self.shared;
        if !matches!(shared.flow.steps[s].kind, Kind::Pair(_)) {
            return 0;
        }
        let Some(unit) = shared.plan.unit_of(Node::Step(s)).map(|u| &shared.plan.units[u]) else { return 0 };
        let mut waiting = 0;
        for root in &unit.roots {
            for p in 0..shared.partitions[root.from] {
                let reader = name(&shared.flow, root.node);
                let spot = shared.spot(root.how, root.from, p);
                let next = facts::next(self.accounts, self.record, &reader, &spot);
                let end = facts::written(self.accounts, self.record, &spot);
                waiting += (end - next).max(0) as u64;
            }
        }
        waiting
    }

    /// How many times an item of a stream is taken further: once by each consumer, once if it is kept for others.
    fn ways(&self, stream: usize) -> (u64, bool) {
        let s = &self.shared.flow.streams[stream];
        let kept = s.declared && self.shared.plan.logged[stream] && s.source.is_none() && s.sink.is_none();
        let published = self.shared.plan.unit_of(Node::Publish(stream)).is_some();
        let consumers = s.readers.len() + usize::from(s.sink.is_some());
        if published { (1, false) } else { (consumers as u64, kept) }
    }

    fn book(&mut self, node: Node, line: &StepLine) {
        let flow = &self.shared.flow;
        let books = &mut self.books;
        let entrance = match node {
            Node::Source(_) => line.taken,
            Node::Step(s) if matches!(flow.steps[s].kind, Kind::Join(_)) => {
                let outside = flow.steps[s].inputs.iter().filter(|i| flow.streams[**i].writer == Writer::Outside);
                outside.map(|i| facts::items(self.shared, self.accounts, self.record, *i)).sum()
            }
            Node::Step(s) => {
                let outside = |i: &&usize| flow.streams[**i].writer == Writer::Outside;
                let names: Vec<&str> =
                    flow.steps[s].inputs.iter().filter(outside).map(|i| flow.streams[*i].name.as_str()).collect();
                let took = |a: &Account| {
                    a.tally.get(&line.step).map_or(0, |t| {
                        t.took.iter().filter(|(n, _)| names.contains(&n.as_str())).map(|(_, n)| *n).sum()
                    })
                };
                let direct: u64 = self.accounts.iter().map(took).sum();
                let all_outside = !names.is_empty() && names.len() == flow.steps[s].inputs.len();
                if all_outside { line.taken } else { direct }
            }
            Node::Sink(s) if flow.streams[s].writer == Writer::Outside => line.taken,
            _ => 0,
        };
        books.read += entrance;
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
                self.books.added += (line.passed * readers) as i64;
                return;
            }
            _ => {}
        }
        let mut delivered = 0;
        for (stream, n) in &line.made {
            let Some(i) = flow.streams.iter().position(|s| s.name == *stream) else { continue };
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

    /// Every edge: what one side made is what the log got, and what the other side took.
    fn edges(&mut self) {
        let shared = self.shared;
        let flow = &shared.flow;
        for (stream, s) in
            flow.streams.iter().enumerate().filter(|(i, _)| shared.plan.logged[*i] && !shared.is_view(*i))
        {
            let done = shared.plan.writers[stream].is_some_and(|u| self.facts.units[u] == Progress::Finished);
            let Some((by, made)) = self.made(stream).filter(|_| done) else { continue };
            let kept = facts::items(shared, self.accounts, self.record, stream);
            if kept != made {
                self.imbalance.push(format!("{by} → {}: {made} made, but {kept} appended", s.name));
            }
        }
        for (stream, node, _) in shared.plan.edges.keys().copied() {
            let waits = matches!(node, Node::Step(i) if matches!(flow.steps[i].kind, Kind::Join(_) | Kind::Pair(_)));
            let done = shared.plan.unit_of(node).is_some_and(|u| self.facts.units[u] == Progress::Finished);
            let who = name(flow, node);
            match self.made(stream) {
                _ if !done || waits => {}
                None => self.sealed(stream, &who),
                Some((by, made)) => {
                    let of = &flow.streams[stream].name;
                    let took: u64 = self.accounts.iter().filter_map(|a| a.tally.get(&who)?.took.get(of)).sum();
                    if took != made {
                        self.imbalance.push(format!("{by} → {of} → {who}: {made} made, but {took} taken"));
                    }
                }
            }
        }
    }

    /// Every dead letter that is to be tried again was taken again.
    fn tried_again(&mut self) {
        let Some((_, again)) = &self.shared.again else { return };
        let steps: BTreeSet<&str> = again.iter().map(|a| a.step.as_str()).collect();
        for step in steps {
            let wanted = again.iter().filter(|a| a.step == step).count() as u64;
            let of_step = self.accounts.iter().flat_map(|a| &a.read);
            let of_step = of_step.filter(|((s, stream, _), _)| s == step && *stream == self.shared.dead);
            let taken: u64 = of_step.map(|(_, next)| next.items).sum();
            if wanted != taken {
                self.imbalance.push(format!("{step}: {wanted} dead letters to be tried again, but {taken} taken"));
            }
        }
    }

    /// Who made the items of a stream, and how many; `None` if it is fed from outside.
    fn made(&self, stream: usize) -> Option<(String, u64)> {
        let flow = &self.shared.flow;
        let s = &flow.streams[stream];
        let by = match s.writer {
            Writer::Outside => return None,
            Writer::Source => name(flow, Node::Source(stream)),
            Writer::Step(w, _) if self.shared.is_view(stream) => {
                return Some((flow.steps[w].name.clone(), facts::arrived(self.shared, self.accounts, self.record, w)));
            }
            Writer::Step(w, _) => flow.steps[w].name.clone(),
        };
        let made = self.accounts.iter().filter_map(|a| a.tally.get(&by)?.made.get(&s.name)).sum();
        Some((by, made))
    }

    /// A reader of a stream from outside has read exactly to the seal.
    fn sealed(&mut self, stream: usize, who: &str) {
        let shared = self.shared;
        for p in 0..shared.partitions[stream] {
            let at = (shared.flow.streams[stream].at.clone(), p);
            let Some(seal) = self.record.seals.get(&at) else { continue };
            let next = facts::next(self.accounts, self.record, who, &at);
            if next != *seal {
                self.imbalance.push(format!(
                    "{} partition {p} → {who}: sealed at {seal}, but read to {next}",
                    shared.flow.streams[stream].name
                ));
            }
        }
    }
}

/// Whether what a step does not want goes to a stream.
fn routes_rest(kind: &Kind) -> bool {
    use crate::patterns::split::Otherwise;
    match kind {
        Kind::Filter(f) => f.otherwise,
        Kind::Split(s) => matches!(s.otherwise, Otherwise::To(_)),
        Kind::Shard(s) => matches!(s.otherwise, Otherwise::To(_)),
        _ => false,
    }
}
