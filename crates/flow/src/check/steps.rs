//! Steps: what every step may say, and what its verb makes of the rest.

use super::wire::Wired;
use crate::diagnostic::Diagnostic;
use crate::model::OnError;
use crate::patterns::{Kind, STEP_KEYS};
use crate::read::keys::{Faults, Keys};
use crate::read::{Reading, words};

/// What every step may say, and what it does.
pub struct Built {
    /// What it does.
    pub kind: Kind,
    /// What becomes of failed items.
    pub on_error: OnError,
    /// Whether the flow says so itself.
    pub on_error_said: bool,
    /// Names of its groups.
    pub groups: Vec<String>,
}

/// Compiles a step.
pub fn build(wired: &mut Wired<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Built> {
    let mut keys = std::mem::replace(&mut wired.draft.keys, Keys::empty(String::new(), wired.draft.name.1, STEP_KEYS));
    keys.node("doc");
    let on_error_said = keys.key_span("on-error").is_some();
    let on_error = match keys.word("on-error", faults) {
        Some("skip") => OnError::Skip,
        Some("fail") => OnError::Fail,
        _ => OnError::DeadLetter,
    };
    let groups = keys.texts("group", faults).unwrap_or_default();
    let n = wired.inputs.len();
    if groups.len() > 1 && groups.len() != n {
        let (text, span) = groups[0];
        faults.push(
            Diagnostic::error("groups", span, format!("{} groups for {n} inputs; `{text}` is the first", groups.len()))
                .label("one for all, or one for each input"),
        );
    }
    let groups = groups.into_iter().map(|(t, _)| t.to_string()).collect();
    let kind = (wired.draft.verb.read)(&mut keys, reading, faults);
    keys.done(|k| words::key(k).or_else(|| words::verb(k)), faults);
    Some(Built { kind: kind?, on_error, on_error_said, groups })
}
