//! Facts: what follows from the accounts.

use anabranch_flow::patterns::barrier::Verdict;
use anabranch_flow::plan::Root;

/// What follows from the accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// For each unit: how far it is.
    pub units: Vec<Progress>,
    /// For each step: what its gate says; `None` while its input is open, or if it has none.
    pub gates: Vec<Option<Verdict>>,
    /// For each step: whether its gate stays shut, or waits for what never comes.
    pub stuck: Vec<bool>,
}

/// How far a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is something to do, or there may be.
    Working,
    /// It has read everything and said everything.
    Finished,
    /// It waits behind a gate that stays shut.
    Blocked,
}

impl Facts {
    /// Whether all gates before a root are open, and stay shut for good if one is.
    pub fn gates_before(&self, root: &Root) -> Option<bool> {
        let mut all_open = true;
        for gate in &root.gates {
            match self.gates[*gate] {
                Some(Verdict::Open) => {}
                Some(Verdict::Held | Verdict::Failed) => return Some(false),
                None => all_open = false,
            }
        }
        all_open.then_some(true)
    }
}
