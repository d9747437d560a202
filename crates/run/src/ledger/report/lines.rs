//! The lines of a report: what each step did with its items.

use crate::ledger::facts::Progress;
use crate::ledger::marks::{self, Mark};
use crate::ledger::report::{Auditor, Gate, Role, StepLine};
use anabranch_engine::OpenedGate;
use anabranch_flow::model::{Kind, Writer};
use anabranch_flow::number::StepNo;
use anabranch_flow::patterns::barrier::{self, Verdict};
use anabranch_flow::plan::{Node, name};

impl Auditor<'_> {
    /// All lines; each node's part of the books is summed up on the way.
    pub fn steps(&mut self) -> Vec<StepLine> {
        let flow = &self.now.context.flow;
        let mut lines = vec![];
        for (s, stream) in flow.numbered_streams() {
            if stream.writer == Writer::Source && self.now.context.plan.unit_of(Node::Source(s)).is_some() {
                lines.extend(self.node(Node::Source(s), Role::Source));
            }
        }
        for (i, step) in flow.numbered_steps() {
            if let Kind::Barrier(_) = step.kind {
                lines.push(self.join(i));
            } else {
                lines.extend(self.node(Node::Step(i), Role::of(step)));
                lines.extend(self.lost_finals(&step.name));
            }
        }
        for s in flow.stream_nos() {
            for (node, verb) in [(Node::Publish(s), Role::Publish), (Node::Sink(s), Role::Sink)] {
                if self.now.context.plan.unit_of(node).is_some() {
                    lines.extend(self.node(node, verb));
                }
            }
        }
        lines
    }

    /// The line of a node, and its part of the books. Sources and sinks are shown where something failed.
    fn node(&mut self, node: Node, verb: Role) -> Option<StepLine> {
        let context = self.now.context;
        let who = name(&context.flow, node);
        let sum = |of: fn(&anabranch_engine::Tally) -> u64| self.now.tally(&who, of);
        let mut line = StepLine {
            step: who.clone(),
            verb,
            taken: sum(|t| t.taken()),
            passed: sum(|t| t.passed),
            filtered: sum(|t| t.filtered),
            folded: sum(|t| t.folded),
            skipped: sum(|t| t.skipped),
            dead: sum(|t| t.dead),
            ..StepLine::default()
        };
        for made in self.now.accounts.iter().filter_map(|a| a.tally.get(&who)).flat_map(|t| &t.made) {
            *line.made.entry(made.0.clone()).or_default() += made.1;
        }
        let unit = context.plan.unit_of(node);
        line.blocked = unit.is_some_and(|u| self.facts.units[u] == Progress::Blocked);
        let settled = line.passed + line.filtered + line.folded + line.skipped + line.dead;
        if settled != line.taken {
            self.imbalance.push(format!("{who}: {} taken, but {settled} settled", line.taken));
        }
        let mut waiting = 0;
        if let Node::Step(s) = node {
            waiting = self.waiting(s);
            self.law(s, &line);
            if let Some(gate) = context.flow.steps[s].gate() {
                line.lacks = self.now.failed_by_step(s);
                line.gate = self.verdict(s, gate, line.folded);
            }
        }
        line.waiting = waiting;
        line.taken += waiting;
        self.book(node, &line);
        let quiet = !matches!(node, Node::Step(_)) && line.dead == 0 && line.skipped == 0;
        (!quiet).then_some(line)
    }

    /// What a step made is what its pattern promises for what passed.
    fn law(&mut self, s: StepNo, line: &StepLine) {
        let step = &self.now.context.flow.steps[s];
        let made: u64 = line.made.values().sum();
        let rest = if routes_rest(&step.kind) { line.filtered } else { 0 };
        let on = line.passed + rest;
        let many = match &step.kind {
            Kind::Split(split) => split.all,
            Kind::Work(work) => work.many(),
            Kind::Act(act) => act.work.many(),
            _ => false,
        };
        let finals = self.now.mark(Mark::Finals(&step.name));
        let want = match &step.kind {
            Kind::Copy(copy) => on * copy.outputs as u64,
            Kind::Reduce(..) => {
                let lost = self.now.tally(&marks::finals(&step.name), |t| t.taken());
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
        let sum = |of: fn(&anabranch_engine::Tally) -> u64| self.now.tally(&node, of);
        let (taken, dead, skipped) = (sum(|t| t.taken()), sum(|t| t.dead), sum(|t| t.skipped));
        self.books.added += taken as i64;
        self.books.dead += dead;
        self.books.skipped += skipped;
        let line = StepLine { step: node, verb: Role::Final, taken, dead, skipped, ..StepLine::default() };
        (taken > 0).then_some(line)
    }

    fn verdict(&self, s: StepNo, of: &barrier::Gate, arrived: u64) -> Option<Gate> {
        let failed = self.now.failed_above(s);
        let mut gate = Gate::new(self.facts.gates[s]?, failed, arrived, of.tolerate);
        let accepts = of.by_hand && of.judge(failed, self.now.judged_by(s)) == Verdict::Open;
        gate.waits = accepts && gate.verdict == Verdict::Held;
        gate.opened = self.now.opened(s).filter(|_| gate.verdict == Verdict::Open).map(by_whom);
        Some(gate)
    }

    fn join(&mut self, s: StepNo) -> StepLine {
        let step = &self.now.context.flow.steps[s];
        let arrived = self.arrived(s);
        let open = self.facts.gates[s] == Some(Verdict::Open);
        let mut line = StepLine { step: step.name.clone(), verb: Role::Join, taken: arrived, ..StepLine::default() };
        line.gate = step.gate().and_then(|gate| self.verdict(s, gate, arrived));
        line.lacks = self.now.failed_by_step(s);
        if open {
            line.passed = arrived
        } else {
            line.waiting = arrived
        }
        if let Some(out) = step.outputs.first().filter(|_| open) {
            line.made.insert(self.now.context.flow.streams[*out].name.clone(), arrived);
        }
        if let Some(done) = step.done {
            let made = self.now.tally(&step.name, |t| t.made());
            line.made.insert(self.now.context.flow.streams[done].name.clone(), made);
        }
        line.blocked = self.facts.gates[s].is_none() && self.facts.stuck[s];
        self.book(Node::Step(s), &line);
        line
    }
}

/// Who opened a gate, when and why.
fn by_whom(gate: &OpenedGate) -> String {
    let at = jiff::Timestamp::from_millisecond(gate.at).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S UTC");
    let reason = gate.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("by {} at {at}{reason}", gate.by)
}

/// Whether what a step does not want goes to a stream.
pub fn routes_rest(kind: &Kind) -> bool {
    use anabranch_flow::read::ports::Otherwise;
    match kind {
        Kind::Filter(f) => f.otherwise,
        Kind::Split(s) => matches!(s.otherwise, Otherwise::To(_)),
        Kind::Shard(s) => matches!(s.otherwise, Otherwise::To(_)),
        _ => false,
    }
}
