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
