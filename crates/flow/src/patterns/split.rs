//! Split: outputs partition the input (`match: first`) or cover it (`match: all`).
//! Nothing is dropped unless `otherwise: drop` says so, and then it is counted.

use super::{Effects, Pattern, Scratch, View};
use crate::expr::{Compiled, Fault, Reads, Scope};
use anabranch_engine::Rows;

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

/// What becomes of an item that no case wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It is counted.
    Drop,
    /// It has failed.
    Error,
    /// It goes to this output.
    To(usize),
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
