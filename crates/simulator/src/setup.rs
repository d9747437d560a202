//! What is tried.

use crate::course::{self, Course};
use crate::drawn::{self, Shape};
use anabranch_trial::faults::Faults;
use anabranch_trial::log::Manner;
use anabranch_trial::rng::Rng;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The flow.
    pub shape: Shape,
    /// Batches.
    pub batches: u64,
    /// Items that each source gives in a batch, at most.
    pub items: u64,
    /// Processes that work it at once.
    pub processes: usize,
    /// What its log is like.
    pub manner: Manner,
    /// What goes wrong.
    pub faults: Faults,
    /// Runs are abandoned for new ones now and then.
    pub fresh: bool,
    /// Failed items are tried again, edited and given up.
    pub repairs: bool,
    /// Before each batch it is foretold what its run does.
    pub foretold: bool,
    /// Decides the items, and whose turn it is.
    pub seed: u64,
}

/// Steps that are drawn for a flow at most.
const STEPS: u64 = 9;

impl Setup {
    /// What a seed makes.
    pub fn of(seed: u64) -> Setup {
        let mut dice = Rng::new(seed);
        let mut shape = drawn::draw(&mut dice, STEPS);
        let faults = if dice.eighths(1) { Faults::none() } else { Faults::drawn(&mut dice) };
        let (processes, manner) = match dice.eighths(3) {
            true => (1, Manner::embedded()),
            false => (1 + dice.below(4) as usize, Manner { lanes: 1 + dice.below(8) as u32, gaps: true }),
        };
        let fresh = dice.eighths(1);
        let repairs = !fresh && dice.eighths(4);
        let mut hands = Rng::new(seed ^ 0x4a1d);
        let by_hand = shape.by_hand().filter(|_| repairs && hands.eighths(2)).collect();
        shape.by_hand = by_hand;
        Setup { shape, batches: 3, items: 25, processes, manner, faults, fresh, repairs, foretold: false, seed }
    }

    /// The same without repairs, and so with no gate that somebody opens.
    pub fn without_repairs(&self) -> Setup {
        let mut without = Setup { repairs: false, ..self.clone() };
        without.shape.by_hand.clear();
        without
    }

    /// Tries it.
    ///
    /// # Errors
    ///
    /// What is not as it should be.
    pub fn run(&self) -> Result<Course, String> {
        course::run(self, false).map_err(|wrong| wrong.why)
    }

    /// What happened, call by call; and what is not as it should be.
    pub fn told(&self) -> (Vec<String>, Option<String>) {
        match course::run(self, true) {
            Ok(course) => (course.lines, None),
            Err(wrong) => (wrong.lines, Some(wrong.why)),
        }
    }
}
