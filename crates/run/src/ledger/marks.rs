//! The marks of an account: what is said and done once in a run.

use crate::context::RunContext;
use crate::context::sinks::FileOf;
use anabranch_engine::Account;
use std::fmt;

/// What a lane says once, with a number. An account knows it by its text, as it knows steps and streams by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark<'a> {
    /// Dead letters so far; the newest one's number.
    Dead,
    /// A process has begun to read standard input.
    StdinBegun,
    /// The rest of standard input went to a process that is gone.
    StdinCut,
    /// A node has said everything: finals, the `done:` item, the end of standard input, the last pair.
    Done(&'a str),
    /// Finals of a reduce that are out.
    Finals(&'a str),
    /// The last line of a file of a stream is the next run's.
    Left(&'a str, usize),
    /// The committed length of a sink's file; of one that has several, with its path.
    Length(&'a str, Option<&'a str>),
}

impl<'a> Mark<'a> {
    /// The length of a file.
    pub fn length(context: &'a RunContext, file: &'a FileOf) -> Mark<'a> {
        Mark::Length(&context.flow.streams[file.sink].name, file.path.as_deref())
    }

    /// Its number in an account, if it was made.
    pub fn of(self, account: &Account) -> Option<u64> {
        account.marks.get(&self.to_string()).copied()
    }

    /// Whether it was made.
    pub fn is_in(self, account: &Account) -> bool {
        self.of(account).is_some()
    }

    /// Whether a text of an account is the length of a file of this sink.
    pub fn is_length_of(text: &str, sink: &str) -> bool {
        let rest = text.strip_prefix(&Mark::Length(sink, None).to_string());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Dead => f.write_str("dead"),
            Mark::StdinBegun => f.write_str("begun:stdin"),
            Mark::StdinCut => f.write_str("cut:stdin"),
            Mark::Done(node) => write!(f, "done:{node}"),
            Mark::Finals(step) => f.write_str(&finals(step)),
            Mark::Left(stream, file) => write!(f, "left:{stream}:{file}"),
            Mark::Length(sink, None) => write!(f, "sink:{sink}"),
            Mark::Length(sink, Some(path)) => write!(f, "sink:{sink}:{path}"),
        }
    }
}

/// The node whose tally has what became of the finals of a reduce.
pub fn finals(step: &str) -> String {
    format!("finals:{step}")
}
