//! The tests of a flow, as they stand in its file: what is given, what actions answer, what must come of it.

mod accept;
mod after;
mod named;
mod read;

pub use accept::accepted;
pub use after::{After, Deed};
pub use read::{KEYS, of_text};

use crate::diagnostic::Span;
use crate::expr::{Compiled, Reads};
use crate::number::{StepNo, StreamNo};
use std::collections::BTreeMap;
use std::time::Duration;

/// A test of a flow.
#[derive(Debug, Clone)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Items that streams have from outside.
    pub given: BTreeMap<StreamNo, Vec<Item>>,
    /// What the calls of each step give, attempt by attempt; the last answer is given to all further ones.
    pub mock: BTreeMap<StepNo, Vec<Answer>>,
    /// Items that streams must have.
    pub expect: BTreeMap<StreamNo, Vec<Item>>,
    /// Items that must have failed, by step.
    pub dead: BTreeMap<StepNo, Vec<Item>>,
    /// Whether items must come in this order.
    pub in_order: bool,
    /// What the report must count, by step.
    pub report: BTreeMap<StepNo, BTreeMap<&'static str, u64>>,
    /// Gates that must stay shut; all others must open.
    pub held: Vec<StepNo>,
    /// Values of variables.
    pub env: BTreeMap<String, String>,
    /// What is done when the run has ended, in order.
    pub after: Vec<After>,
}

/// An item of a test: what is said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Its value, as JSON.
    pub value: Option<String>,
    /// Its key; `Some(None)` = it has none.
    pub key: Option<Option<String>>,
    /// Headers that it has.
    pub headers: BTreeMap<String, String>,
    /// Its timestamp, milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// What a call gives.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it gives.
    pub gives: Gives,
    /// How long it takes.
    pub delay: Duration,
}

/// What a call gives.
#[derive(Debug, Clone)]
pub enum Gives {
    /// A result, computed of the item.
    Value(Box<Compiled>, Reads),
    /// An error.
    Error(String),
}

/// Counts that a report has of a step.
pub const COUNTS: [&str; 6] = ["taken", "passed", "filtered", "folded", "skipped", "dead"];
