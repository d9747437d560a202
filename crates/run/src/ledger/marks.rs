//! The marks of an account: what is said and done once in a run.

use crate::context::RunContext;
use anabranch_flow::plan::{Node, name};

/// Dead letters so far; the newest one's number.
pub const DEAD: &str = "dead";
/// A process has begun to read standard input.
pub const STDIN_BEGUN: &str = "begun:stdin";
/// The rest of standard input went to a process that is gone.
pub const STDIN_CUT: &str = "cut:stdin";

/// A node has said everything: finals, the `done:` item, the end of standard input, the last pair.
pub fn done(node: &str) -> String {
    format!("done:{node}")
}

/// Finals of a reduce that are out.
pub fn finals(step: &str) -> String {
    format!("finals:{step}")
}

/// The last line of a file is the next run's.
pub fn left(stream: &str, file: usize) -> String {
    format!("left:{stream}:{file}")
}

/// The committed length of a sink.
pub fn length(context: &RunContext, sink: usize) -> String {
    name(&context.flow, Node::Sink(sink))
}
