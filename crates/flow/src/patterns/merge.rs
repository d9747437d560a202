//! Merge: the multiset union of its inputs; the order of each input partition is kept.

use super::{Effects, Pattern, Scratch, View};

/// Sends the items of every input to one output, untouched and unread.
#[derive(Debug, Clone)]
pub struct Merge;

impl Pattern for Merge {
    fn apply(&self, _: usize, view: &View<'_>, _: &mut Scratch, out: &mut Effects) {
        out.taken = view.part.count();
        out.passed = out.taken;
        out.whole(0);
    }

    fn looks(&self) -> bool {
        false
    }
}
