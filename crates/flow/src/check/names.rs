//! Names that no stream can have.

use crate::diagnostic::{Diagnostic, Span};
use crate::read::keys::Faults;
use anabranch_engine::OWN_NAMES;

/// Names that mean something else where a stream may stand.
const RESERVED: [&str; 2] = ["drop", "error"];

/// Complains about names that no stream can have.
pub fn check_name(name: &str, span: Span, faults: &mut Faults) {
    if RESERVED.contains(&name) || OWN_NAMES.contains(&name) {
        faults.push(Diagnostic::error(
            "reserved",
            span,
            format!("`{name}` cannot be the name of a stream: it means something else here"),
        ));
    } else if let Err(e) = anabranch_engine::StreamName::new(name) {
        faults.push(Diagnostic::error("bad-name", span, e.text).label(e.help.unwrap_or_default()));
    }
}
