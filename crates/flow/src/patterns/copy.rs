//! Copy: every output equals the input, and all copies of an item are in one commit.

use super::{Effects, Kind, Pattern, Scratch, Verb, View};
use crate::read::Name;
use crate::read::keys::{Faults, Keys};
use crate::read::ports::Ports;
use crate::spec::{Is, Key, Spec};

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "copy",
        doc: "Sends each item to every output, untouched and unread. All copies of an item are in one commit.",
        many: false,
        keys: &[Key::new("to", Is::Streams, "The outputs.", "to: [a, b]").needed()],
        example: "both: { copy: photos, to: [to-tag, to-delete] }",
    },
    routes: true,
    fans_out: true,
    ports,
    read: |_, reading, _| Some(Kind::Copy(Copy { outputs: reading.ports.outputs.len() })),
};

fn ports(keys: &mut Keys<'_>, _: &Name, ports: &mut Ports, faults: &mut Faults) {
    let to = keys.texts("to", faults).unwrap_or_default();
    if to.is_empty() {
        keys.missing("to", "copy", faults);
    }
    ports.outputs.extend(to.into_iter().map(|(t, s)| ((t.to_string(), s), true)));
}

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
