//! What is to be done with failed items: as it is asked for.

use crate::piece::letter::{DeadLetter, Failed};
use bytes::Bytes;
use std::sync::Arc;

/// What is to be done with a batch that is held, or with failed items of one that is done with dead letters.
///
/// ```
/// use anabranch_run::{Letters, Repair, Way};
///
/// let repair = Repair::of(3).with(Letters::These(vec!["3-0001".into()]), Way::Retry);
/// assert_eq!(repair.batch, 3);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Repair {
    /// The batch.
    pub batch: u64,
    /// Which of its letters, and what is done with them. A letter that is named is in one of them only; of those that
    /// are meant by what they are, the first one counts.
    pub choices: Vec<(Letters, Way)>,
    /// Results that were said without an item stay as they are: it goes on through the other steps.
    pub late: bool,
    /// A gate that waits for somebody is opened.
    pub open: Option<ByHand>,
}

/// A gate that somebody opens.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// The join.
    pub step: String,
    /// Who opens it.
    pub by: String,
    /// Why, if that is said.
    pub reason: Option<String>,
}

/// Dead letters of a batch.
#[derive(Debug, Clone)]
pub enum Letters {
    /// Those with these ids. One that cannot be chosen is an error.
    These(Vec<String>),
    /// All that are not settled, and that are like this. Those that cannot be chosen stay as they are.
    All(Like),
}

/// What letters are like; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Like {
    /// They failed at this step.
    pub step: Option<String>,
    /// Their error has this text.
    pub error: Option<String>,
    /// They failed in this run.
    pub run: Option<u64>,
}

impl Like {
    /// Whether a letter is like this.
    pub fn is(&self, letter: &DeadLetter) -> bool {
        let Failed { step, reason, .. } = &letter.failed;
        let step_is = self.step.as_ref().is_none_or(|s| s == step);
        let error_is = self.error.as_ref().is_none_or(|e| reason.error.contains(e.as_str()));
        step_is && error_is && self.run.is_none_or(|run| run == letter.run)
    }
}

/// What is done with a dead letter.
#[derive(Clone)]
pub enum Way {
    /// It is tried again at the step where it failed.
    Retry,
    /// It is given up.
    Skip,
    /// It is tried again with the value that this makes of it; the letter keeps the old one.
    Edit(Arc<Edit>),
    /// It counts as passed: its step's action is not called, and this is its result, if it has one.
    Settle(Option<Bytes>),
}

/// Makes the new value of an item that failed, or says why it cannot.
pub type Edit = dyn Fn(&DeadLetter) -> std::result::Result<Bytes, String> + Send + Sync;

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Way::Retry => "Retry",
            Way::Skip => "Skip",
            Way::Edit(_) => "Edit",
            Way::Settle(_) => "Settle",
        })
    }
}

impl Repair {
    /// A repair of a batch, of which nothing is chosen yet.
    pub fn of(batch: u64) -> Repair {
        Repair { batch, ..Repair::default() }
    }

    /// Also does this with these letters.
    #[must_use]
    pub fn with(mut self, letters: Letters, way: Way) -> Repair {
        self.choices.push((letters, way));
        self
    }
}
