//! Bytes and items, pure: a file for each format of files, what is done to an item at its source, and what an item becomes in
//! a stream of another format.

pub mod convert;
pub mod entry;
pub mod framing;
pub mod jsonl;
pub mod lines;

use crate::expr::{Fault, Value, write};
use anabranch_engine::{Record, limits};

/// How a file holds items. What a format must say stands here, how it does it in its own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Each line is an item.
    Lines,
    /// Each line that is not blank is a JSON value.
    Jsonl,
}

impl FileFormat {
    /// What its items are.
    pub fn makes(self) -> Format {
        match self {
            FileFormat::Lines => Format::Text,
            FileFormat::Jsonl => Format::Json,
        }
    }

    /// Where a piece may end that begins at `from`: bytes of the files of a source, one after the other.
    pub fn cut(self, from: i64) -> i64 {
        match self {
            // a line belongs to the piece in which it begins
            FileFormat::Lines | FileFormat::Jsonl => {
                let piece = limits::CHUNK_BYTES as i64;
                (from / piece + 1) * piece
            }
        }
    }

    /// Whether a line is no item.
    pub fn is_blank(self, line: &[u8]) -> bool {
        match self {
            FileFormat::Lines => false,
            FileFormat::Jsonl => jsonl::is_blank(line),
        }
    }

    /// Appends an item of a stream of this format, with its end; `whole` is with key, headers and timestamp.
    ///
    /// # Errors
    ///
    /// It cannot be written in this format; nothing is appended then that counts.
    pub fn write(self, out: &mut Vec<u8>, whole: bool, format: Format, record: &Record<'_>) -> Result<(), Fault> {
        let value = record.value().unwrap_or(b"null");
        match self {
            _ if whole => jsonl::whole(out, format, record, value)?,
            FileFormat::Lines => lines::write(out, format, value)?,
            FileFormat::Jsonl => jsonl::write(out, format, value)?,
        }
        out.push(b'\n');
        Ok(())
    }
}

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
    ///
    /// # Errors
    ///
    /// The value has no JSON, or no text.
    pub fn write(self, value: &Value<'_>) -> Result<Vec<u8>, Fault> {
        if self != Format::Json {
            return write::item(value);
        }
        let mut out = vec![];
        write::json(&mut out, value)?;
        Ok(out)
    }
}
