//! How a flow is carried out: a run is opened or taken up, its lanes are worked, and it closes with a report.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // denied in the pure rooms

mod context;
mod ledger;
mod life;
mod options;
pub mod pages;
mod piece;
pub mod show;
mod worker;
pub mod world;

pub use context::logs_of;
pub use ledger::facts::Progress;
pub use ledger::report::{Books, DeadLine, Gate, Program, Report, Role, SinkLine, Status, StepLine};
pub use ledger::view::{EdgeView, RunView, StepView};
pub use life::attempt::{Outcome, run};
pub use life::books::{Batch, BatchBooks, Settled, batches};
pub use life::changed::{Change, Difference, Sort};
pub use life::forecast::{Calls, Forecast, How, Reads, Waits, What, Writes, forecast};
pub use life::inspect::{Inspection, inspect};
pub use life::look::look;
pub use life::repair::NO_SUCH_LETTERS;
pub use life::reports::{saved_report, saved_reports};
pub use options::{Note, Options, Watch};
pub use piece::letter::{DeadLetter, Failed, Reason};
pub use piece::log::{ItemLog, Logged, keep_slowest};
pub use piece::revise::{Makes, edit};
pub use piece::wanted::{ByHand, Edit, Letters, Like, Repair, Way};
pub use world::World;
