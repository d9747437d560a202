//! `anabranch graph`

use super::args::FlowArg;
use super::{Exit, place};
use anabranch_engine::Result;
use anabranch_flow::diagnostic::Severity;
use anabranch_flow::draw;

/// Draws a flow as text.
pub fn graph(arg: &FlowArg) -> Result<Exit> {
    let file = place::read(arg)?;
    let errors: Vec<_> = file.checked.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    for d in &errors {
        eprint!("{}", d.draw(&file.name, &file.text));
    }
    if let Some(flow) = &file.checked.flow {
        show!("{}", draw::text(flow));
    }
    Ok(if errors.is_empty() { 0 } else { 2 })
}
