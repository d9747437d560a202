//! In what two runs of a flow differ.

use crate::ledger::report::{Report, StepLine};
use anabranch_flow::check::hash::differences as parts_that_differ;
use serde::Serialize;
use std::collections::BTreeSet;

/// In what two runs of a flow differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Changes {
    /// Numbers of the steps.
    pub steps: Vec<Change>,
    /// Parts of the flow, by their paths; `flow` if only that is known that it is another one.
    pub flow: Vec<String>,
    /// Steps whose program is another one.
    pub programs: Vec<String>,
}

/// A number that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The step.
    pub step: String,
    /// What is counted: a column of the report.
    pub what: &'static str,
    /// In the first run; none if it had no such step.
    pub a: Option<u64>,
    /// In the second run.
    pub b: Option<u64>,
}

type Count = fn(&StepLine) -> u64;

/// What a step counts.
const COUNTS: [(&str, Count); 7] = [
    ("taken", |s| s.taken),
    ("passed", |s| s.passed),
    ("filtered", |s| s.filtered),
    ("folded", |s| s.folded),
    ("skipped", |s| s.skipped),
    ("dead", |s| s.dead),
    ("waiting", |s| s.waiting),
];

/// In what two runs differ.
pub fn changes(a: &Report, b: &Report) -> Changes {
    let mut names: Vec<&str> = a.steps.iter().map(|s| s.step.as_str()).collect();
    names.extend(b.steps.iter().map(|s| s.step.as_str()).filter(|s| a.steps.iter().all(|of| of.step != *s)));
    let mut steps = vec![];
    for name in names {
        let line = |r: &'_ Report| r.steps.iter().find(|s| s.step == name).cloned();
        let (was, is) = (line(a), line(b));
        for (what, count) in COUNTS {
            let (a, b) = (was.as_ref().map(count), is.as_ref().map(count));
            if a != b && (a, b) != (None, Some(0)) && (a, b) != (Some(0), None) {
                steps.push(Change { step: name.into(), what, a, b });
            }
        }
    }
    let flow = match (a.hash == b.hash, a.parts.is_empty() || b.parts.is_empty()) {
        (true, _) => vec![],
        (false, true) => vec!["flow".into()],
        (false, false) => parts_that_differ(&a.parts, &b.parts),
    };
    let called: BTreeSet<&String> = a.programs.keys().filter(|step| b.programs.contains_key(*step)).collect();
    let others = called.into_iter().filter(|step| a.programs[*step].hash != b.programs[*step].hash);
    Changes { steps, flow, programs: others.cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(steps: &[(&str, u64, u64)], hash: &str) -> Report {
        let step = |(step, taken, dead): &(&str, u64, u64)| {
            json!({ "step": step, "verb": "work", "taken": taken, "passed": taken - dead, "filtered": 0, "folded": 0,
                    "skipped": 0, "dead": dead, "waiting": 0, "made": {}, "gate": null, "lacks": {}, "blocked": false })
        };
        let report = json!({
            "schema": "", "flow": "f", "run": 1, "status": "done", "exit": 0, "balanced": true, "seconds": 1.0, "hash": hash,
            "parts": { "steps.a.exec": hash, "steps.a": "" }, "sinks": [], "dead": [], "imbalance": [], "notes": [],
            "programs": { "a": { "program": "./a.sh", "hash": hash } },
            "steps": steps.iter().map(step).collect::<Vec<_>>(),
            "books": { "read": 0, "added": 0, "stored": 0, "ended": 0, "filtered": 0, "folded": 0, "skipped": 0, "dead": 0, "waiting": 0 },
        });
        serde_json::from_value(report).expect("a report")
    }

    #[test]
    fn only_what_differs_is_told() {
        let (a, b) = (report(&[("a", 5, 1), ("b", 4, 0)], "1"), report(&[("a", 5, 1), ("c", 4, 0)], "1"));
        assert_eq!(changes(&a, &a), Changes::default());
        let told = changes(&a, &b);
        let lines: Vec<_> = told.steps.iter().map(|c| (c.step.as_str(), c.what, c.a, c.b)).collect();
        assert_eq!(
            lines,
            [
                ("b", "taken", Some(4), None),
                ("b", "passed", Some(4), None),
                ("c", "taken", None, Some(4)),
                ("c", "passed", None, Some(4)),
            ]
        );
        let other = report(&[("a", 5, 1), ("b", 4, 0)], "2");
        let told = changes(&a, &other);
        assert_eq!((told.flow, told.programs), (vec!["steps.a.exec".to_string()], vec!["a".to_string()]));
        let unknown = Report { parts: Default::default(), ..other };
        assert_eq!(changes(&a, &unknown).flow, ["flow"]);
    }
}
