//! The lines of files in memory.

use anabranch_engine::{Error, Result};
use anabranch_flow::format::framing::{self, Window};
use anabranch_run::world::{Line, LineReader};
use std::sync::Arc;

/// Files that are read, in order.
pub struct Lines {
    /// Each with its path.
    pub files: Vec<(String, Arc<Vec<u8>>)>,
}

impl LineReader for Lines {
    fn read(&self, from: u64, to: u64, each: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<()> {
        let mut start = 0u64;
        for (file, (_, bytes)) in self.files.iter().enumerate() {
            let length = bytes.len() as u64;
            let span = from.max(start).min(start + length) - start..to.max(start).min(start + length) - start;
            if !span.is_empty() {
                let read = |into: &mut Vec<u8>, keep: usize, from: u64, to: u64| {
                    into.truncate(keep);
                    into.extend_from_slice(&bytes[from as usize..to.min(length) as usize]);
                    Ok(())
                };
                let window = Window { length, read: &read };
                framing::piece(&mut vec![], span, &window, &mut |line| {
                    let grown = (!line.ended).then_some(false);
                    let (byte, at, text) = (line.byte, start + line.byte, line.text);
                    each(Line { file, byte, at, text, too_long: line.too_long, grown })
                })?;
            }
            start += length;
        }
        Ok(())
    }

    fn number(&self, at: u64) -> Result<u64> {
        let mut start = 0u64;
        for (_, bytes) in &self.files {
            let length = bytes.len() as u64;
            if at < start + length {
                let before = &bytes[..(at - start) as usize];
                return Ok(before.iter().filter(|b| **b == b'\n').count() as u64 + 1);
            }
            start += length;
        }
        Err(Error::bug(format!("a line at byte {at}, where no file is")))
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }
}
