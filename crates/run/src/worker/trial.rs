//! The beginning of a step: where all its first items fail in the same way, the step is at fault, not they.

use anabranch_engine::{Error, limits};
use anabranch_flow::model::{OnError, Step};

/// Whether a step can do its work, as far as its first items tell.
pub struct Trial {
    step: String,
    /// One passed, or two failed in different ways, or the flow says what is to become of those that fail.
    over: bool,
    /// How the first one failed, and how many.
    alike: Option<(String, usize)>,
}

impl Trial {
    /// The trial of a step.
    pub fn of(step: &Step) -> Trial {
        let said = step.on_error_said || step.on_error != OnError::DeadLetter;
        Trial { step: step.name.clone(), over: said, alike: None }
    }

    /// An item passed.
    pub fn passed(&mut self) {
        self.over = true;
    }

    /// An item failed.
    pub fn failed(&mut self, error: &str) {
        match &mut self.alike {
            _ if self.over => {}
            None => self.alike = Some((error.to_string(), 1)),
            Some((first, count)) if *count >= limits::FAILED_ALIKE || way(first) == way(error) => *count += 1,
            Some(_) => self.over = true,
        }
    }

    /// Whether nothing more is to be found out.
    pub fn is_over(&self) -> bool {
        self.over || self.alike.is_none()
    }

    /// Why the run has to stop.
    pub fn verdict(&self) -> Option<Error> {
        let (first, count) = self.alike.as_ref().filter(|_| !self.over)?;
        let text = format!(
            "the first {} items of the step {} failed in the same way: {first}",
            limits::FAILED_ALIKE,
            self.step
        );
        let help = "fix that and run again: they are retried. If these items are bad:  on-error: dead-letter";
        (*count >= limits::FAILED_ALIKE).then(|| Error::machine(text).help(help))
    }
}

/// In which way something failed: what its error says before the details.
fn way(error: &str) -> &str {
    error.split(": ").next().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial() -> Trial {
        Trial { step: "s".into(), over: false, alike: None }
    }

    #[test]
    fn items_that_fail_alike_are_counted_until_one_does_not() {
        let mut alike = trial();
        (0..limits::FAILED_ALIKE - 1).for_each(|n| alike.failed(&format!("exit 1: no {n}")));
        assert!(alike.verdict().is_none() && !alike.is_over());
        alike.failed("exit 1");
        assert!(alike.verdict().is_some_and(|e| e.text.contains("the first 20 items of the step s")));
        for other in [Some("exit 2"), None] {
            let mut mixed = trial();
            mixed.failed("exit 1: a");
            match other {
                Some(error) => mixed.failed(error),
                None => mixed.passed(),
            }
            (0..99).for_each(|_| mixed.failed("exit 1: a"));
            assert!(mixed.verdict().is_none() && mixed.is_over());
        }
    }
}
