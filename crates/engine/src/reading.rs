//! Reading a stretch of a stream.

use crate::admin::Desk;
use crate::error::{Error, Result};
use crate::item::Item;
use crate::limits;
use crate::types::{At, Chunk, Limit, Offset};
use std::ops::ControlFlow;

/// Committed batches from `at` up to `end`, a chunk at a time. What is committed can be seen a moment later: where `end` is
/// what an account says, that is waited for, at most [`MARKERS_WAIT`](limits::MARKERS_WAIT). On an engine that shows at once
/// what is committed it stops early where nothing more is there.
pub fn chunks<E: Desk + ?Sized>(engine: &E, mut at: At, end: Offset) -> impl Iterator<Item = Result<Chunk>> + '_ {
    let mut left = limits::MARKERS_WAIT.div_duration_f64(limits::BELL_WAIT) as u32;
    std::iter::from_fn(move || {
        while at.offset < end {
            let chunk = match engine.read(&at, end, Limit { bytes: limits::COMMIT_BYTES }) {
                Ok(chunk) => chunk,
                Err(e) => {
                    at.offset = end;
                    return Some(Err(e));
                }
            };
            if chunk.next > at.offset {
                at.offset = chunk.next;
                return Some(Ok(chunk));
            }
            if engine.counts_by_offset() {
                return None;
            }
            if left == 0 {
                let text =
                    format!("{} partition {} cannot be read from {} to {end}", at.stream, at.partition, at.offset);
                at.offset = end;
                return Some(Err(Error::machine(text).help("a broker may be gone: run again when it is back")));
            }
            left -= 1;
            engine.wait(limits::BELL_WAIT);
        }
        None
    })
}

/// Calls `f` for each committed item from `at` up to `end`, with its offset, until it breaks.
///
/// # Errors
///
/// What reading gives, and what `f` gives.
pub fn items<E: Desk + ?Sized>(
    engine: &E,
    at: At,
    end: Offset,
    mut f: impl FnMut(Offset, Item) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let span = at.offset..end;
    for chunk in chunks(engine, at, end) {
        for handle in &chunk?.batches {
            for record in handle.load()?.records()?.iter() {
                let offset = handle.at.offset + i64::from(record.delta());
                if span.contains(&offset) && f(offset, record.to_item())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}
