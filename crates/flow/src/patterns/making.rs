//! New items, made of others.

use crate::expr::Fault;
use anabranch_engine::{Batch, Builder, Codec, Record, limits};

/// For each row of a new batch: the row it was made from, and which child of it this is, if it has several.
pub type MadeFrom = Vec<(u32, Option<u32>)>;

/// New items, in batches that are closed at [`limits::BATCH_TARGET_BYTES`].
#[derive(Debug)]
pub struct Making {
    open: Builder,
    from: MadeFrom,
    done: Vec<(Batch, MadeFrom)>,
}

impl Making {
    /// Room for `bytes` at first.
    pub fn with_capacity(bytes: usize) -> Making {
        let room = bytes.min(limits::BATCH_TARGET_BYTES * 2);
        Making { open: Builder::with_capacity(Codec::None, room), from: vec![], done: vec![] }
    }

    /// Adds items made from one: each has its key, headers and timestamp. None is added if one is too large.
    ///
    /// # Errors
    ///
    /// A value is larger than an item may be.
    pub fn children(&mut self, of: &Record<'_>, values: &[Vec<u8>], many: bool) -> std::result::Result<(), Fault> {
        if let Some(large) = values.iter().find(|v| v.len() > limits::ITEM_BYTES) {
            return Err(super::too_large(large.len()));
        }
        for (child, value) in values.iter().enumerate() {
            self.open.push_like(of, value);
            self.came_from(of.row(), many.then_some(child as u32));
        }
        Ok(())
    }

    /// Adds an item with another value.
    pub fn one(&mut self, of: &Record<'_>, value: &[u8]) {
        self.open.push_like(of, value);
        self.came_from(of.row(), None);
    }

    /// Adds an item as it is.
    pub fn same(&mut self, of: &Record<'_>) {
        self.open.push_record(of);
        self.came_from(of.row(), None);
    }

    fn came_from(&mut self, row: usize, child: Option<u32>) {
        self.from.push((row as u32, child));
        if self.open.bytes() >= limits::BATCH_TARGET_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        let batch = std::mem::replace(&mut self.open, Builder::new(Codec::None)).finish();
        let from = std::mem::take(&mut self.from);
        self.done.extend(batch.map(|b| (b, from)));
    }

    /// The batches.
    pub fn finish(mut self) -> Vec<(Batch, MadeFrom)> {
        self.close();
        self.done
    }
}
