//! When each step began and ended, as far as this process saw it.

use crate::ledger::Standing;
use crate::ledger::facts::Facts;
use crate::ledger::report::Report;
use std::collections::BTreeMap;

/// When each step took its first and its last items, and when gates were judged: milliseconds since 1970-01-01 UTC.
#[derive(Debug, Default)]
pub struct Times {
    steps: BTreeMap<String, (u64, i64, i64)>,
    gates: BTreeMap<String, i64>,
}

impl Times {
    /// Accounts have come, at this time.
    pub fn see(&mut self, standing: Standing<'_>, facts: &Facts, now: i64) {
        for (s, step) in standing.context.flow.numbered_steps() {
            let settled = standing.tally(&step.name, |t| t.settled());
            if settled > 0 {
                let known = self.steps.entry(step.name.clone()).or_insert((0, now, now));
                if known.0 != settled {
                    (known.0, known.2) = (settled, now);
                }
            }
            if facts.gates[s].is_some() {
                self.gates.entry(step.name.clone()).or_insert(now);
            }
        }
    }

    /// Into the lines of a report.
    pub fn note_in(&self, report: &mut Report) {
        for line in &mut report.steps {
            let (step, gate) = (self.steps.get(&line.step), self.gates.get(&line.step));
            line.began = step.map(|(_, first, _)| *first).or(gate.copied());
            line.ended = gate.copied().into_iter().chain(step.map(|(.., last)| *last)).max();
        }
    }
}
