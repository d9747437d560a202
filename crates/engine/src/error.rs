//! Errors, grouped by what the caller must do next.

use std::fmt;
use std::sync::Arc;

/// The result of everything an engine does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller must do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for cannot be: mend the flow or the command. Nothing was touched.
    Usage,
    /// Somebody else holds it: wait, or stop the other one. Nothing was touched.
    Busy,
    /// The lane was lost, and nobody knows whether its last commits exist: claim it again, its account tells.
    Doubt,
    /// Items that were still wanted are gone (retention, truncation).
    Lost,
    /// An item is not taken where it has to go: mend that, and run again. To try again by itself would change nothing.
    Refused,
    /// Batches wait for somebody to decide about them, too many for another one. Nothing was touched.
    Held,
    /// Bytes at rest do not verify. Nothing after them is trusted.
    Corrupt,
    /// The machine failed (disk, memory, process): mend it and run again.
    Machine,
    /// It was told to stop: what is committed stays, and to run it again goes on.
    Stopped,
    /// Who read its output is gone, and has seen enough. To run it again goes on.
    Closed,
    /// A bug of ours: please report it.
    Bug,
}

impl Kind {
    /// A short name for programs, stable over versions.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Busy => "busy",
            Kind::Doubt => "doubt",
            Kind::Lost => "lost",
            Kind::Refused => "refused",
            Kind::Held => "held",
            Kind::Corrupt => "corrupt",
            Kind::Machine => "machine",
            Kind::Stopped => "stopped",
            Kind::Closed => "closed",
            Kind::Bug => "bug",
        }
    }
}

/// What happened, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Error {
    /// What the caller must do.
    pub kind: Kind,
    /// A short name for programs, stable over versions: that of the kind, or a narrower one.
    pub code: &'static str,
    /// One sentence: what happened and where.
    pub text: String,
    /// What to do, when there is something to say.
    pub help: Option<String>,
    /// What it came of, if that is another error.
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `text`.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Error { kind, code: kind.code(), text: text.into(), help: None, source: None }
    }

    /// Mend what was asked for.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// The machine failed.
    pub fn machine(text: impl Into<String>) -> Self {
        Self::new(Kind::Machine, text)
    }

    /// Bytes at rest do not verify.
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, text)
    }

    /// A bug of ours.
    pub fn bug(text: impl Into<String>) -> Self {
        Self::new(Kind::Bug, text).help("this is a mistake of Anabranch: please report it")
    }

    /// The same error under a narrower name.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// The same error with what it came of.
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same error with what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.help {
            Some(help) => write!(f, "\n  = {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
