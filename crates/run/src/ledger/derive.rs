//! Facts are derived from the newest accounts: pure functions, the same in every process, never written.

use crate::ledger::Standing;
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::marks::Mark;
use anabranch_engine::OpenedGate;
use anabranch_flow::model::{Kind, Writer};
use anabranch_flow::number::{StepNo, StreamNo, UnitNo};
use anabranch_flow::patterns::barrier::{Gate, Verdict};
use anabranch_flow::plan::{Node, ReadFrom, Root, name};

impl<'a> Standing<'a> {
    /// Derives the facts.
    pub fn derive(self) -> Facts {
        let flow = &self.context.flow;
        let mut facts = Facts {
            units: vec![Progress::Working; self.context.plan.units.len()],
            gates: vec![None; flow.steps.len()],
            stuck: vec![false; flow.steps.len()],
        };
        loop {
            let before = facts.clone();
            for (u, unit) in self.context.plan.numbered_units() {
                if facts.units[u] == Progress::Working {
                    facts.units[u] = self.progress(&facts, &unit.roots, u);
                }
            }
            for (s, step) in flow.numbered_steps() {
                if facts.gates[s].is_none() && step.gate().is_some() {
                    facts.gates[s] = self.judge(&facts, s);
                }
                facts.stuck[s] |= step.gate().is_some() && self.is_stuck(&facts, s);
            }
            if facts == before {
                return facts;
            }
        }
    }

    fn progress(self, facts: &Facts, roots: &[Root], u: UnitNo) -> Progress {
        let unit = &self.context.plan.units[u];
        let (mut all_read, mut blocked, mut settled) = (true, false, true);
        for root in roots {
            let open = facts.gates_before(root) == Some(true);
            if root.gates.iter().any(|g| facts.stuck[*g]) || self.blocked_upstream(facts, root.from) {
                // what came before all the same is read: nothing is committed for a batch once it has closed
                settled &= !open || unit.pairs.is_some() || self.read_all_there_is(root);
                blocked = true;
            } else {
                let read = open && self.read_to_the_end(facts, root);
                settled &= read || unit.pairs.is_some();
                all_read &= read;
            }
        }
        if blocked {
            return if settled { Progress::Blocked } else { Progress::Working };
        }
        if unit.pairs.is_some() {
            let key = Mark::Done(&name(&self.context.flow, unit.nodes[0]));
            all_read = self.mark(key) >= self.context.lanes_of(u) as u64;
        }
        let said = unit.folds.iter().all(|s| {
            let held = matches!(facts.gates[*s], Some(Verdict::Held | Verdict::Failed));
            held || self.mark(Mark::Done(&self.context.flow.steps[*s].name)) > 0
        });
        if all_read && said { Progress::Finished } else { Progress::Working }
    }

    /// Whether a gate stays shut, or waits for what never comes.
    fn is_stuck(self, facts: &Facts, gate: StepNo) -> bool {
        match facts.gates[gate] {
            Some(Verdict::Open) => false,
            Some(Verdict::Held | Verdict::Failed) => true,
            None => match self.context.plan.views.get(&gate) {
                Some(view) => view.iter().any(|reach| {
                    self.blocked_upstream(facts, reach.from) || reach.gates.iter().any(|g| facts.stuck[*g])
                }),
                None => {
                    self.context.plan.unit_of(Node::Step(gate)).is_some_and(|u| facts.units[u] == Progress::Blocked)
                }
            },
        }
    }

    fn blocked_upstream(self, facts: &Facts, stream: StreamNo) -> bool {
        let held_fold = |s: StepNo| {
            matches!(self.context.flow.steps[s].kind, Kind::Reduce(..))
                && matches!(facts.gates[s], Some(Verdict::Held | Verdict::Failed))
        };
        if let Writer::Step(w, _) = self.context.flow.streams[stream].writer
            && self.context.flow.steps[w].done == Some(stream)
        {
            return facts.stuck[w]; // it tells when its join opens
        }
        match self.context.plan.writers[stream] {
            Some(u) => {
                facts.units[u] == Progress::Blocked
                    || matches!(self.context.flow.streams[stream].writer, Writer::Step(w, _) if held_fold(w))
            }
            None => false,
        }
    }

    fn read_all_there_is(self, root: &Root) -> bool {
        let spot = |p| self.context.spot(root.how, root.from, p);
        (0..self.context.partitions[root.from]).all(|p| {
            let read = || self.next(&self.context.reader(root, p)) >= self.written(&spot(p));
            root.how == ReadFrom::Stdin || read()
        })
    }

    fn read_to_the_end(self, facts: &Facts, root: &Root) -> bool {
        if root.how == ReadFrom::Stdin {
            return self.mark(Mark::Done(&name(&self.context.flow, root.node))) > 0;
        }
        (0..self.context.partitions[root.from]).all(|p| match self.end(facts, root.how, root.from, p) {
            Some(end) => self.next(&self.context.reader(root, p)) >= end,
            None => false,
        })
    }

    /// Where the batch ends in a partition, once that is known: its writers are finished, or it was sealed.
    pub fn end(self, facts: &Facts, how: ReadFrom, stream: StreamNo, p: u32) -> Option<i64> {
        let at = self.context.spot(how, stream, p);
        if let Some(seal) = self.record.seals.get(&at) {
            return Some(*seal);
        }
        if let Writer::Step(w, _) = self.context.flow.streams[stream].writer
            && self.context.flow.steps[w].done == Some(stream)
        {
            return (self.mark(Mark::Done(&self.context.flow.steps[w].name)) > 0).then(|| self.written(&at));
        }
        let unit = self.context.plan.writers[stream]?;
        (facts.units[unit] == Progress::Finished).then(|| self.written(&at))
    }

    /// The verdict of a gate, once its input has ended.
    fn judge(self, facts: &Facts, s: StepNo) -> Option<Verdict> {
        let step = &self.context.flow.steps[s];
        let gate = step.gate()?;
        if let Kind::Reduce(..) = step.kind {
            let unit = self.context.plan.unit_of(Node::Step(s)).map(|u| &self.context.plan.units[u])?;
            let ended =
                unit.roots.iter().all(|r| facts.gates_before(r) == Some(true) && self.read_to_the_end(facts, r));
            let folded = self.tally(&step.name, |t| t.folded);
            return ended.then(|| self.decided(s, gate, folded));
        }
        for reach in self.context.plan.view(s) {
            let open = reach.gates.iter().all(|g| facts.gates[*g] == Some(Verdict::Open));
            let ends = |p| self.end(facts, ReadFrom::Log, reach.from, p).is_some();
            if !open || !(0..self.context.partitions[reach.from]).all(ends) {
                return None;
            }
        }
        Some(self.decided(s, gate, self.judged_by(s)))
    }

    fn decided(self, s: StepNo, gate: &Gate, arrived: u64) -> Verdict {
        match gate.judge(self.failed_above(s), arrived) {
            Verdict::Open if gate.by_hand && self.opened(s).is_none() => Verdict::Held,
            verdict => verdict,
        }
    }

    /// Who opened a gate by hand for this batch.
    pub fn opened(self, s: StepNo) -> Option<&'a OpenedGate> {
        let name = &self.context.flow.steps[s].name;
        self.record.repair.iter().flat_map(|mending| &mending.gates).find(|gate| gate.step == *name)
    }
}
