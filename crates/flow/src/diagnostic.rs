//! What `check` says: what is wrong, where, and what to write instead.

use anabranch_engine::Error;
use serde::Serialize;
use std::fmt;

/// A place in a flow file. Line 0 = the flow was made in Rust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// First character, from 0.
    pub column: usize,
    /// Behind the last character.
    pub end: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The flow cannot run.
    Error,
    /// It can run, but hardly as meant.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that `check` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A short name, stable over versions.
    pub code: &'static str,
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// Written beside the marked text.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A flow that cannot run, and everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<Diagnostic>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut errors = self.0.iter().filter(|d| d.severity == Severity::Error).peekable();
        while let Some(d) = errors.next() {
            if d.span.line > 0 {
                write!(f, "line {}: ", d.span.line)?;
            }
            f.write_str(&d.message)?;
            if !d.label.is_empty() {
                write!(f, " ({})", d.label)?;
            }
            f.write_str(if errors.peek().is_some() { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::usage(format!("the flow cannot run: {invalid}")).code("invalid-flow").source(invalid)
    }
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Error, code, span, message: message.into(), label: String::new(), help: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// A note.
    pub fn note(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Note, ..Diagnostic::error(code, span, message) }
    }

    /// With words beside the marked text.
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// With what to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The drawing of it: the line of the file with the place marked.
    ///
    /// ```
    /// use anabranch_flow::diagnostic::{Diagnostic, Span};
    /// let d = Diagnostic::error("x", Span { line: 1, column: 6, end: 9 }, "no such word").label("did you mean `you`?");
    /// assert_eq!(d.draw("a.yaml", "thank yuo"), "\
    /// error: no such word
    ///   ┌ a.yaml:1:7
    /// 1 │ thank yuo
    ///   │       ^^^ did you mean `you`?
    /// ");
    /// ```
    pub fn draw(&self, file: &str, text: &str) -> String {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let mut out = format!("{word}: {}\n", self.message);
        let Span { line, column, end } = self.span;
        let source = text.lines().nth(line.wrapping_sub(1));
        if let Some(source) = source {
            let number = line.to_string();
            let gap = " ".repeat(number.len());
            let marks =
                "^".repeat(end.saturating_sub(column).clamp(1, source.chars().count().saturating_sub(column).max(1)));
            let source = source.replace('\t', " ");
            out += &format!("{gap} ┌ {file}:{line}:{}\n{number} │ {source}\n", column + 1);
            out += format!("{gap} │ {}{marks} {}", " ".repeat(column), self.label).trim_end();
            out.push('\n');
            if let Some(help) = &self.help {
                out += &format!("{gap} = {help}\n");
            }
        } else {
            let more = [self.label.as_str(), self.help.as_deref().unwrap_or_default()];
            for part in more.iter().filter(|p| !p.is_empty()) {
                out += &format!("  = {part}\n");
            }
        }
        out
    }
}
