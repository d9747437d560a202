//! Split: outputs partition the input (`match: first`) or cover it (`match: all`).
//! Nothing is dropped unless `otherwise: drop` says so, and then it is counted.

use super::{Effects, Kind, Pattern, Scratch, Verb, View};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Fault, Reads, Scope};
use crate::read::compile::predicate;
use crate::read::keys::{Faults, Keys, text};
use crate::read::ports::{Otherwise, Ports};
use crate::read::{Name, Reading, words};
use crate::spec::{Is, Key, Spec};
use crate::tree::{self, Node};
use anabranch_engine::Rows;

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "split",
        doc: "Sends each item to the first case that holds for it, or to all of them.",
        many: false,
        keys: &[
            Key::new("cases", Is::Maps(CASE), "The cases, in order.", "cases: [{ where: item.big, to: large }]")
                .needed(),
            Key::new(
                "match",
                Is::Word(&["first", "all"]),
                "Whether the first case that holds counts, or every one.",
                "match: all",
            )
            .usual("first"),
            Key::new(
                "otherwise",
                Is::StreamOr(&["drop", "error"]),
                "Where an item goes for which no case holds.",
                "otherwise: drop",
            )
            .needed(),
        ],
        example: "by-size: { split: sales, cases: [{ where: item.amount > 100.0, to: large }], otherwise: small }",
    },
    routes: true,
    fans_out: true,
    ports,
    read,
};

const CASE: &[Key] = &[
    Key::new("where", Is::Condition, "What must hold.", "where: item.big").needed(),
    Key::new("to", Is::Stream, "Where the item goes then.", "to: large").needed(),
];

fn ports(keys: &mut Keys<'_>, _: &Name, ports: &mut Ports, faults: &mut Faults) {
    match keys.node("cases") {
        Some(Node { kind: tree::Kind::List(cases), .. }) if !cases.is_empty() => {
            for case in cases {
                let Some(mut keys) = Keys::of(case, "a case", CASE, faults) else { continue };
                match (keys.node("where"), keys.text("to", faults)) {
                    (Some(_), Some((to, span))) => drop(ports.port((to.to_string(), span))),
                    _ => faults.push(
                        Diagnostic::error("missing-key", case.span, "a case has `where` and `to`")
                            .label("as in  { where: item.big, to: large }"),
                    ),
                }
                keys.done(words::key, faults);
            }
        }
        Some(node) => faults.push(
            Diagnostic::error("no-cases", node.span, "`cases` is a list")
                .label("as in  [{ where: item.big, to: large }]"),
        ),
        None => keys.missing("cases", "split", faults),
    }
    ports.rest(keys, "split", faults);
    ports.needs_rest(keys, "`split` needs `otherwise`, so that nothing is dropped unseen", faults);
}

fn read(keys: &mut Keys<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Kind> {
    let (names, mut reads) = (reading.names(), Reads::default());
    let all = keys.word("match", faults) == Some("all");
    let Some(Node { kind: tree::Kind::List(written), .. }) = keys.node("cases") else { return None };
    let mut cases = vec![];
    for case in written {
        // what is wrong with it is said with the outputs
        let Some(mut keys) = Keys::of(case, "a case", CASE, &mut vec![]) else { continue };
        let (Some(holds), Some(to)) = (keys.node("where"), keys.node("to")) else { continue };
        let Some(to) = text(to, "to", &mut vec![]) else { continue };
        let port = reading.ports.outputs.iter().position(|((name, _), _)| name == to);
        cases.push(predicate(holds, "where", &names, &mut reads, faults).zip(port));
    }
    let cases: Vec<(Compiled, usize)> = cases.into_iter().collect::<Option<_>>()?;
    let (otherwise, outputs) = (reading.ports.otherwise.unwrap_or(Otherwise::Drop), reading.ports.outputs.len());
    (!cases.is_empty()).then(|| Kind::Split(Box::new(Split { cases, reads, all, otherwise, outputs })))
}

/// Sends each item to the cases that hold for it. Output i is case i, the last one is `otherwise`.
#[derive(Debug, Clone)]
pub struct Split {
    /// What must hold, and the output it leads to, in order.
    pub cases: Vec<(Compiled, usize)>,
    /// What they read.
    pub reads: Reads,
    /// Every case that holds counts, not only the first.
    pub all: bool,
    /// Where the others go.
    pub otherwise: Otherwise,
    /// Outputs.
    pub outputs: usize,
}

impl Split {
    fn wanted(&self, scope: &Scope<'_>) -> Result<Vec<usize>, Fault> {
        let mut to = vec![];
        for (case, output) in &self.cases {
            if case.holds(scope)? {
                if !to.contains(output) {
                    to.push(*output);
                }
                if !self.all {
                    break;
                }
            }
        }
        Ok(to)
    }
}

impl Pattern for Split {
    fn apply(&self, _: usize, view: &View<'_>, _: &mut Scratch, out: &mut Effects) {
        let mut rows = vec![Rows::none(view.records.len()); self.outputs];
        let mut slots = vec![];
        for record in view.items() {
            out.taken += 1;
            let row = record.row();
            match view.scope(&record, &self.reads, &mut slots).and_then(|scope| self.wanted(&scope)) {
                Err(fault) => out.failed.push((row, fault)),
                Ok(to) if !to.is_empty() => {
                    out.passed += 1;
                    to.iter().for_each(|port| rows[*port].add(row));
                }
                Ok(_) => match self.otherwise {
                    Otherwise::Error => out.failed.push((row, Fault::new("no case matches it"))),
                    Otherwise::Drop => out.filtered += 1,
                    Otherwise::To(port) => {
                        out.filtered += 1;
                        rows[port].add(row);
                    }
                },
            }
        }
        for (port, rows) in rows.into_iter().enumerate() {
            out.rows(port, None, rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn outputs_partition_or_cover_the_input(lines in trial::lines(), all in any::<bool>(), otherwise in 0..3usize) {
            let (word, rest) = (if all { "all" } else { "first" }, ["drop", "error", "c"][otherwise]);
            let keys = format!("{{ split: all, match: {word}, cases: [{{ where: item.n > 2, to: a }}, {{ where: item.n > 0, to: b }}], otherwise: {rest} }}");
            let mut made = trial::apply(&trial::step(&keys), &lines, &mut Scratch::default());
            let mut want = [vec![], vec![], vec![]];
            let (mut passed, mut filtered, mut failed) = (0, 0, vec![]);
            for (row, line) in lines.iter().enumerate() {
                let n = trial::read(line).and_then(|v| v["n"].as_i64());
                let to: Vec<usize> = match n {
                    None => { failed.push(row); continue }
                    Some(n) if n > 2 => if all { vec![0, 1] } else { vec![0] },
                    Some(n) if n > 0 => vec![1],
                    Some(_) => vec![],
                };
                match (to.is_empty(), rest) {
                    (false, _) => passed += 1,
                    (true, "error") => failed.push(row),
                    (true, "c") => { filtered += 1; want[2].push(line.clone()) }
                    (true, _) => filtered += 1,
                }
                to.into_iter().for_each(|port| want[port].push(line.clone()));
            }
            for (port, want) in want.into_iter().enumerate() {
                prop_assert_eq!(made.out.remove(&(port, None)).unwrap_or_default(), want);
            }
            prop_assert_eq!(made.failed, failed);
            prop_assert_eq!(made.counts, (lines.len() as u64, passed, filtered, 0));
        }
    }
}
