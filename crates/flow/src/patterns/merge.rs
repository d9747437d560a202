//! Merge: the multiset union of its inputs; the order of each input partition is kept.

use super::{Effects, Kind, Pattern, Scratch, Verb, View};
use crate::read::ports::Ports;
use crate::spec::{Is, Key, Spec};

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "merge",
        doc: "Sends the items of all inputs to one output, untouched and unread. The order of each input partition is kept.",
        many: true,
        keys: &[Key::new("to", Is::Stream, "The output.", "to: all").depends("the name of the step")],
        example: "all: { merge: [clicks, taps] }",
    },
    routes: true,
    fans_out: false,
    ports: Ports::only,
    read: |_, _, _| Some(Kind::Merge(Merge)),
};

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

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_output_is_all_inputs_in_their_order(left in trial::lines(), right in trial::lines()) {
            let step = trial::step("{ merge: [all, all2], to: p }\n  y: { copy: all, to: all2 }");
            let of = |lines: &[String]| trial::apply(&step, lines, &mut Scratch::default()).out.remove(&(0, None)).unwrap_or_default();
            prop_assert_eq!(of(&left), left);
            prop_assert_eq!(of(&right), right);
        }
    }
}
