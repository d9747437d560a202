//! The marks of an account: what is said and done once in a run.

use crate::context::RunContext;
use crate::context::sinks::FileOf;
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

/// The committed length of a sink's file.
pub fn length(context: &RunContext, file: &FileOf) -> String {
    let sink = name(&context.flow, Node::Sink(file.sink));
    match &file.path {
        None => sink,
        Some(path) => format!("{sink}:{path}"),
    }
}

/// Whether a mark is the length of a file, of one of these sinks if some are named.
pub fn is_length(mark: &str, of: Option<&[String]>) -> bool {
    let sink = mark.strip_prefix("sink:");
    sink.is_some_and(|sink| of.is_none_or(|of| of.iter().any(|name| sink.split(':').next() == Some(name))))
}
