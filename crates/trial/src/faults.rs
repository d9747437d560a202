//! What goes wrong in a run that is tried, and how often: never more than the waist allows.

use crate::rng::Rng;
use std::time::Duration;

/// Odds are in thousandths of the moments at which a fault could come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Another process goes on.
    pub switch: u64,
    /// The process is killed.
    pub die: u64,
    /// The process stands still, longer than the others wait for it.
    pub stall: u64,
    /// A commit ends in doubt: it is there or not, and its lane is lost.
    pub doubt: u64,
    /// A lane cannot be taken just now.
    pub refuse: u64,
    /// A read finds nothing, though there is something.
    pub blind: u64,
    /// The crew says again what it said last.
    pub stale: u64,
    /// What is committed is seen at most so much later.
    pub late: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Some kinds of faults and not others, often or seldom.
    pub fn drawn(dice: &mut Rng) -> Faults {
        let mut odds = |most: u64| if dice.eighths(4) { 0 } else { 1 + dice.below(most) };
        Faults {
            switch: 20 + odds(500),
            die: odds(8),
            stall: odds(12),
            doubt: odds(60),
            refuse: odds(300),
            blind: odds(300),
            stale: odds(300),
            late: Duration::from_millis(odds(400)),
        }
    }

    /// Nothing goes wrong any more; turns change as before.
    pub fn ceased(self) -> Faults {
        Faults { switch: self.switch, ..Faults::none() }
    }
}
