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
