//! Copy: every output equals the input, and all copies of an item are in one commit.

use super::{Effects, Pattern, Scratch, View};

/// Sends each item to every output, untouched and unread.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Outputs.
    pub outputs: usize,
}

impl Pattern for Copy {
    fn apply(&self, _: usize, view: &View<'_>, _: &mut Scratch, out: &mut Effects) {
        out.taken = view.part.count();
        out.passed = out.taken;
        (0..self.outputs).for_each(|port| out.whole(port));
    }

    fn looks(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_output_equals_the_input(lines in trial::lines()) {
            let made = trial::apply(&trial::step("{ copy: all, to: [a, b] }"), &lines, &mut Scratch::default());
            prop_assert_eq!(made.out.len(), 2);
            prop_assert!(made.out.values().all(|out| *out == lines));
            prop_assert_eq!(made.counts, (lines.len() as u64, lines.len() as u64, 0, 0));
        }
    }
}
