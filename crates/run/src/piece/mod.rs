//! What becomes of a piece of input.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod call;
pub mod carry;
pub mod letter;
pub mod log;
pub mod outcome;
pub mod packing;
pub mod revise;
pub mod source;
pub mod wanted;

use crate::context::RunContext;
use crate::piece::carry::Carrier;
use crate::piece::outcome::Outcome;
use anabranch_engine::{Error, Handle, Result, Rows};
use anabranch_flow::format::convert;
use anabranch_flow::number::{StreamNo, UnitNo};
use anabranch_flow::patterns::{Body, Origin, Part};
use anabranch_flow::plan::Root;
use std::ops::Range;

/// A piece of input to work on.
pub struct Task {
    /// The unit.
    pub unit: UnitNo,
    /// Its root, by number.
    pub root: usize,
    /// What to read.
    pub piece: Piece,
}

/// What to read.
pub enum Piece {
    /// Batches; only offsets in `from..to` count.
    Batches {
        /// The batches.
        handles: Vec<Handle>,
        /// First offset.
        from: i64,
        /// Behind the last offset.
        to: i64,
    },
    /// Lines that begin in `from..to`.
    Lines {
        /// First byte.
        from: i64,
        /// Behind the last byte.
        to: i64,
    },
}

/// Carries out a piece: items read, and their outcome.
pub fn carry(context: &RunContext, task: &Task) -> Result<(u64, Outcome)> {
    let root = &context.plan.units[task.unit].roots[task.root];
    match &task.piece {
        Piece::Lines { from, to } => match context.readings.get(&root.from) {
            Some(reading) => source::read(context, root, reading, *from as u64, *to as u64),
            None => Err(Error::bug("a source without files")),
        },
        Piece::Batches { handles, from, to } => {
            let mut carrier = Carrier::new(context);
            let mut items = 0;
            for handle in handles {
                for (_, part) in parts(context, root, handle, *from..*to)? {
                    items += part.count();
                    carrier.deliver(root.node, root.input, root.of, &part)?;
                }
            }
            Ok((items, carrier.out))
        }
    }
}

/// What a root takes of a batch, each with the position behind it.
pub fn parts(context: &RunContext, root: &Root, handle: &Handle, span: Range<i64>) -> Result<Vec<(i64, Part)>> {
    match &context.again {
        Some(again) if again.stream == root.from => letter::letters(context, again, root, handle, span),
        _ => {
            let to = span.end;
            let parts = view(context, root, handle, span)?;
            let firsts = parts.iter().skip(1).map(|next| next.above(0, 0).2);
            let ends: Vec<i64> = firsts.chain([handle.end.min(to)]).collect();
            Ok(ends.into_iter().zip(parts).collect())
        }
    }
}

/// A batch of the log, without the items outside `span`, in the format of the stream that the root takes.
pub fn view(context: &RunContext, root: &Root, handle: &Handle, span: Range<i64>) -> Result<Vec<Part>> {
    let format = |s: StreamNo| context.flow.streams[s].format;
    convert::viewed(part(context, root, handle, span)?, format(root.from), format(root.of))
}

/// A batch of the log, without the items outside `span`.
fn part(context: &RunContext, root: &Root, handle: &Handle, span: Range<i64>) -> Result<Part> {
    let stream = context.flow.streams[root.from].name.as_str().into();
    let body = Body::stored(handle.clone());
    let mut rows = None;
    if handle.at.offset < span.start || handle.end > span.end {
        let wanted = |delta: u32| span.contains(&(handle.at.offset + i64::from(delta)));
        let records = body.records()?;
        let mut chosen = Rows::none(records.len());
        records.iter().filter(|r| wanted(r.delta())).for_each(|r| chosen.add(r.row()));
        rows = Some(chosen);
    }
    Ok(Part { body, rows, origin: Origin::Log { stream, handle: handle.clone() }, partition: handle.at.partition })
}
