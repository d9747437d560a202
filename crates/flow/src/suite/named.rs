//! What tests name, and what reads it.

use super::Answer;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::Flow;
use crate::names::nearest;
use crate::number::StepNo;
use crate::read::keys::Faults;
use crate::tree::Node;
use std::collections::BTreeMap;

/// Reads what the calls of steps give.
pub type AnswersOf = fn(&Node, &Flow, &mut Faults) -> BTreeMap<StepNo, Vec<Answer>>;

/// The step of a name.
pub fn named_step(text: &str, span: Span, flow: &Flow, faults: &mut Faults) -> Option<StepNo> {
    let found = flow.step_no(text);
    if found.is_none() {
        let near = nearest(text, flow.steps.iter().map(|s| s.name.as_str()));
        let label = near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
        faults.push(Diagnostic::error("unknown-step", span, format!("there is no step `{text}`")).label(label));
    }
    found
}
