//! Filter: outputs are exactly the items for which `where` holds; the others are
//! counted, or go to `otherwise`. An item for which it cannot be told has failed.

use super::{Effects, Pattern, Scratch, View};
use crate::expr::{Compiled, Reads};
use anabranch_engine::Rows;

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
