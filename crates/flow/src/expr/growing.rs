//! Text and bytes that grow no further than a value may.

use super::Fault;
use anabranch_engine::limits;
use std::fmt;

/// Whether a value may have so many bytes.
pub fn fits(bytes: usize) -> Result<(), Fault> {
    if bytes <= limits::VALUE_BYTES { Ok(()) } else { Err(too_large()) }
}

/// What is said of a value that is too large.
#[cold]
pub fn too_large() -> Fault {
    Fault::new(format!(
        "the result has more than {} bytes or {} parts, an item has at most {} bytes",
        limits::VALUE_BYTES,
        limits::VALUE_PARTS,
        limits::ITEM_BYTES
    ))
}

/// Text that is being made.
#[derive(Debug, Default)]
pub struct Growing(String);

impl Growing {
    /// More of it.
    ///
    /// # Errors
    ///
    /// It would be larger than a value may be.
    pub fn push(&mut self, text: &str) -> Result<(), Fault> {
        fits(self.0.len().saturating_add(text.len()))?;
        self.0.push_str(text);
        Ok(())
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.0
    }
}

impl fmt::Write for Growing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text).map_err(|_| fmt::Error)
    }
}
