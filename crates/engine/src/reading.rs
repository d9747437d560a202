//! Reading a stretch of a stream.

use crate::engine::Engine;
use crate::error::Result;
use crate::item::Item;
use crate::types::{At, Chunk, Limit, Offset};
use std::ops::ControlFlow;

/// Committed batches from `at` up to `end`, a chunk at a time; it stops early where nothing more is there.
pub fn chunks<E: Engine + ?Sized>(engine: &E, mut at: At, end: Offset) -> impl Iterator<Item = Result<Chunk>> + '_ {
    std::iter::from_fn(move || {
        if at.offset >= end {
            return None;
        }
        let chunk = engine.read(&at, end, Limit { bytes: crate::limits::COMMIT_BYTES });
        let stays = chunk.as_ref().map_or(true, |c| c.next <= at.offset);
        at.offset = chunk.as_ref().map_or(end, |c| if stays { end } else { c.next });
        match chunk {
            Ok(_) if stays => None,
            chunk => Some(chunk),
        }
    })
}

/// Calls `f` for each committed item from `at` up to `end`, with its offset, until it breaks.
///
/// # Errors
///
/// What reading gives, and what `f` gives.
pub fn items<E: Engine + ?Sized>(
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
