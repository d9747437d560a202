//! Filter: outputs are exactly the items for which `where` holds; the others are
//! counted, or go to `otherwise`. An item for which it cannot be told has failed.

use super::{Effects, Kind, Pattern, Scratch, Verb, View};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Reads};
use crate::read::compile::predicate;
use crate::read::keys::{Faults, Keys};
use crate::read::ports::{Otherwise, Ports};
use crate::read::{Name, Reading};
use crate::spec::{Is, Key, Spec};
use anabranch_engine::Rows;

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "filter",
        doc: "Keeps the items for which `where` is true. The others are counted, or go to `otherwise`.",
        many: false,
        keys: &[
            Key::new("where", Is::Condition, "What must hold for an item to be kept.", "where: item.amount > 10.0")
                .needed(),
            Key::new("otherwise", Is::StreamOr(&["drop"]), "Where the others go.", "otherwise: small").usual("drop"),
            Key::new("to", Is::Stream, "The output.", "to: big").depends("the name of the step"),
        ],
        example: "big: { filter: sales, where: item.amount > 10.0, otherwise: small }",
    },
    routes: true,
    fans_out: false,
    ports,
    read,
};

fn ports(keys: &mut Keys<'_>, name: &Name, ports: &mut Ports, faults: &mut Faults) {
    Ports::only(keys, name, ports, faults);
    ports.rest(keys, "filter", faults);
}

fn read(keys: &mut Keys<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Kind> {
    let mut reads = Reads::default();
    let keep = keys.needed("where", faults).and_then(|n| predicate(n, "where", &reading.names(), &mut reads, faults));
    if reading.ports.otherwise == Some(Otherwise::Error) {
        let at = keys.key_span("otherwise").unwrap_or(keys.span);
        let what = "a filter drops the others or sends them to a stream";
        faults.push(Diagnostic::error("otherwise", at, what).label("drop, or a stream"));
    }
    let otherwise = matches!(reading.ports.otherwise, Some(Otherwise::To(_)));
    Some(Kind::Filter(Box::new(Filter { keep: keep?, reads, otherwise })))
}

/// Keeps the items for which an expression holds. Output 0 has them, output 1 the others.
#[derive(Debug, Clone)]
pub struct Filter {
    /// What must hold.
    pub keep: Compiled,
    /// What it reads.
    pub reads: Reads,
    /// Whether the others have an output.
    pub otherwise: bool,
}

impl Pattern for Filter {
    fn apply(&self, _: usize, view: &View<'_>, _: &mut Scratch, out: &mut Effects) {
        let (mut kept, mut others) = (Rows::none(view.records.len()), Rows::none(view.records.len()));
        let mut slots = vec![];
        for record in view.items() {
            out.taken += 1;
            let holds = view.scope(&record, &self.reads, &mut slots).and_then(|scope| self.keep.holds(&scope));
            match holds {
                Ok(true) => kept.add(record.row()),
                Ok(false) => others.add(record.row()),
                Err(fault) => out.failed.push((record.row(), fault)),
            }
        }
        out.passed = kept.count() as u64;
        out.filtered = others.count() as u64;
        out.rows(0, None, kept);
        if self.otherwise {
            out.rows(1, None, others);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn outputs_are_exactly_the_items_for_which_it_holds(lines in trial::lines()) {
            let step = trial::step("{ filter: all, where: item.n > 0, to: a, otherwise: b }");
            let mut made = trial::apply(&step, &lines, &mut Scratch::default());
            let (mut kept, mut others, mut failed) = (vec![], vec![], vec![]);
            for (row, line) in lines.iter().enumerate() {
                match trial::read(line).and_then(|v| v["n"].as_i64()) {
                    Some(n) if n > 0 => kept.push(line.clone()),
                    Some(_) => others.push(line.clone()),
                    None => failed.push(row),
                }
            }
            prop_assert_eq!(made.counts, (lines.len() as u64, kept.len() as u64, others.len() as u64, 0));
            prop_assert_eq!(made.out.remove(&(0, None)).unwrap_or_default(), kept);
            prop_assert_eq!(made.out.remove(&(1, None)).unwrap_or_default(), others);
            prop_assert_eq!(made.failed, failed);
        }
    }
}
