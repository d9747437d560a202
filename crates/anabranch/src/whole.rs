//! A whole run in one call, on the embedded engine.

use crate::{Embedded, Local};
use anabranch_engine::{Error, Kind};
use anabranch_flow::check::check_text;
use anabranch_flow::diagnostic::Invalid;
use anabranch_flow::model::Flow;
use anabranch_run::{Options, Outcome, Report, Status};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A run that did not end well. Everything that was committed stays.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Failure {
    /// The flow has mistakes; nothing was touched.
    Invalid(Invalid),
    /// Something failed; what to do about it depends on the kind. To run it again goes on, as a rule.
    Error(Error),
    /// A gate is shut over items that failed: what lies behind it was not done. The report names it.
    Held(Box<Report>),
    /// The run has failed by its own rules, or its books do not balance. The report says why.
    Failed(Box<Report>),
}

impl Failure {
    /// A short name for programs, stable over versions.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Invalid(_) => "invalid-flow",
            Failure::Error(e) => e.code,
            Failure::Held(_) => "held",
            Failure::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Invalid(invalid) => write!(f, "the flow cannot run: {invalid}"),
            Failure::Error(e) => e.fmt(f),
            Failure::Held(report) | Failure::Failed(report) => {
                f.write_str(&anabranch_run::show::report::in_short(report))
            }
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Invalid(invalid) => Some(invalid),
            Failure::Error(e) => Some(e),
            Failure::Held(_) | Failure::Failed(_) => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Error(e)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Failure {
        Failure::Invalid(invalid)
    }
}

/// Runs a flow file to its end, or continues its open run, as the command `anabranch run` does: relative paths are those of
/// the file's folder, and `.anabranch` in it keeps the streams. Variables come from the environment.
///
/// # Errors
///
/// See [`Failure`]. A report that is returned is of a run that is done; items that failed may be among its dead letters:
/// [`Report::status`] says so.
pub fn run(file: impl AsRef<Path>) -> Result<Report, Failure> {
    let file = file.as_ref();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::usage(format!("the flow file {} cannot be read: {e}", file.display())).source(e))?;
    let checked = check_text(&text, &|name| std::env::var(name).ok());
    let flow = checked.flow.ok_or(Invalid(checked.diagnostics))?;
    flow.run_in(file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Runs flows in one call. It is a trait only because a flow knows nothing of engines.
pub trait RunFlow {
    /// Runs the flow to its end, or continues its open run: relative paths are those of `folder`, and `.anabranch` in it
    /// keeps the streams.
    ///
    /// # Errors
    ///
    /// See [`Failure`]. A report that is returned is of a run that is done; items that failed may be among its dead
    /// letters: [`Report::status`] says so.
    fn run_in(self, folder: impl AsRef<Path>) -> Result<Report, Failure>;
}

impl RunFlow for Flow {
    fn run_in(self, folder: impl AsRef<Path>) -> Result<Report, Failure> {
        let folder = folder.as_ref();
        let data = folder.join(".anabranch");
        let engine = Arc::new(Embedded::open(&data)?);
        let world = Arc::new(Local::new(folder).with_data(&data).noting(&data)?);
        match anabranch_run::run(Arc::new(self), engine, world, Options::default())? {
            Outcome::Closed(report) => match report.status {
                Status::Done | Status::DoneWithDeadLetters if report.balanced => Ok(report),
                Status::Held => Err(Failure::Held(Box::new(report))),
                _ => Err(Failure::Failed(Box::new(report))),
            },
            Outcome::Stopped(_) => Err(Error::new(Kind::Stopped, "the run was told to stop").into()),
        }
    }
}
