//! Bytes and items: lines of an input, items of one format in a stream of another, items as lines of a file. Pure.

pub mod convert;
pub mod lines;
pub mod render;

use crate::expr::{Fault, Value, write};

/// How the value of an item is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
}

impl Format {
    /// The bytes of an item with this value: JSON, or text as it is.
    pub fn write(self, value: &Value<'_>) -> Result<Vec<u8>, Fault> {
        if self != Format::Json {
            return write::item(value);
        }
        let mut out = vec![];
        write::json(&mut out, value)?;
        Ok(out)
    }
}
