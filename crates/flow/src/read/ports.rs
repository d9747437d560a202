//! The outputs of a step, as its keys name them.

use super::keys::{Faults, Keys, Name};
use crate::diagnostic::Diagnostic;

/// The outputs of a step.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// Their names, and whether they are written in the flow.
    pub outputs: Vec<(Name, bool)>,
    /// Where the rest goes, if that is written.
    pub otherwise: Option<Otherwise>,
    /// Which output is the `done:` of a join.
    pub done: Option<usize>,
    /// The streams of one template `x-{shard}`: the template, and each shard with its stream.
    pub family: Option<(String, Vec<(String, String)>)>,
}

/// What becomes of an item that no output wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It is counted.
    Drop,
    /// It has failed.
    Error,
    /// It goes to this output.
    To(usize),
}

impl Ports {
    /// The one output of a step: as `to` names it, or with the step's own name. A replicated step has its outputs.
    pub fn only(keys: &mut Keys<'_>, name: &Name, ports: &mut Ports, faults: &mut Faults) {
        if ports.outputs.is_empty() {
            let to = keys.text("to", faults);
            let explicit = to.is_some();
            let out = to.map_or_else(|| name.clone(), |(t, s)| (t.to_string(), s));
            ports.outputs.push((out, explicit));
        }
    }

    /// The number of an output; two cases may lead to one stream.
    pub fn port(&mut self, name: Name) -> usize {
        self.outputs.iter().position(|((n, _), _)| *n == name.0).unwrap_or_else(|| {
            self.outputs.push((name, true));
            self.outputs.len() - 1
        })
    }

    /// Reads `otherwise`, where it is written.
    pub fn rest(&mut self, keys: &mut Keys<'_>, verb: &str, faults: &mut Faults) {
        let Some((word, span)) = keys.text("otherwise", faults) else { return };
        self.otherwise = Some(match word {
            "drop" => Otherwise::Drop,
            "error" => Otherwise::Error,
            stream => {
                if self.outputs.iter().any(|((n, _), _)| n == stream) {
                    let what = format!("this `{verb}` sends items to `{stream}` anyhow: `otherwise` is for the others");
                    faults.push(Diagnostic::error("stream-twice", span, what).label("drop, or another stream"));
                }
                Otherwise::To(self.port((stream.to_string(), span)))
            }
        });
    }

    /// Complains where `otherwise` is not written and must be.
    pub fn needs_rest(&self, keys: &Keys<'_>, what: &str, faults: &mut Faults) {
        if self.otherwise.is_none() {
            let label = "otherwise: drop (counted), error, or a stream";
            faults.push(Diagnostic::error("missing-key", keys.span, what).label(label));
        }
    }
}
