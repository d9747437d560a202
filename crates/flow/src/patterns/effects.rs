//! What a pattern made of a part.

use super::making::MadeFrom;
use crate::expr::Fault;
use anabranch_engine::{Batch, Rows};

/// What a pattern made of one part. The runner carries it out.
#[derive(Debug, Default)]
pub struct Effects {
    /// What goes to which output.
    pub emits: Vec<Emit>,
    /// Items that the pattern iterated.
    pub taken: u64,
    /// Items that went on.
    pub passed: u64,
    /// Items that were not wanted.
    pub filtered: u64,
    /// Items that became part of a result.
    pub folded: u64,
    /// Items that failed, by row.
    pub failed: Vec<(usize, Fault)>,
}

/// Something for an output.
#[derive(Debug)]
pub struct Emit {
    /// The output, by its place in the step.
    pub port: usize,
    /// The partition, where the pattern chooses it.
    pub partition: Option<u32>,
    /// What.
    pub what: What,
}

/// Routing patterns emit selections, not items.
#[derive(Debug)]
pub enum What {
    /// The part as it came.
    Whole,
    /// These rows of its batch.
    Rows(Rows),
    /// New items, and for each the row it was made from and which child of it this is.
    New(Batch, MadeFrom),
}

impl Effects {
    /// The part as it came goes to `port`.
    pub fn whole(&mut self, port: usize) {
        self.emits.push(Emit { port, partition: None, what: What::Whole });
    }

    /// These rows go to `port`, if there are any.
    pub fn rows(&mut self, port: usize, partition: Option<u32>, rows: Rows) {
        if !rows.is_empty() {
            self.emits.push(Emit { port, partition, what: What::Rows(rows) });
        }
    }
}
