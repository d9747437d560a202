//! A source that is a list in the flow.

use crate::world::sources::{Line, LineReader, Listed};
use anabranch_engine::Result;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A source that is being read.
pub struct Reading {
    /// Its files.
    pub files: Vec<Listed>,
    /// Reads them.
    pub reader: Arc<dyn LineReader>,
    /// Files whose last line is committed, and whether it was left to the next run.
    pub left: BTreeMap<usize, bool>,
}

/// The items of a list in the flow, read as lines.
pub struct Listing {
    items: Vec<String>,
}

impl Listing {
    /// A source of these items.
    pub fn new(items: &[String]) -> Listing {
        Listing { items: items.to_vec() }
    }

    /// What a manifest says of it: one file, as long as it has items.
    pub fn listed(items: usize) -> Listed {
        Listed { path: "items".into(), length: items as u64, ..Listed::default() }
    }
}

impl LineReader for Listing {
    fn read(&self, from: u64, to: u64, each: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<()> {
        for at in from..to {
            if let Some(item) = usize::try_from(at).ok().and_then(|i| self.items.get(i)) {
                each(Line { file: 0, byte: at, at, text: item.as_bytes(), too_long: false, grown: None })?;
            }
        }
        Ok(())
    }

    fn number(&self, at: u64) -> Result<u64> {
        Ok(at + 1)
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }
}
