//! Dead letters: items that failed, with the story of their failure in headers.

use crate::context::RunContext;
use anabranch_engine::{Builder, Codec, Handle, Item, Result, limits};
use anabranch_flow::patterns::{Body, Origin, Part};
use anabranch_flow::plan::{Node, Root};
use bytes::Bytes;
use std::sync::Arc;

/// A header of ours on a dead letter.
pub fn told(item: &Item, name: &str) -> String {
    item.header(&format!("anabranch.{name}")).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
}

/// The dead letters in a batch that a root tries again: the position behind each, and the item as its step got it.
pub fn letters(
    context: &RunContext,
    root: &Root,
    handle: &Handle,
    span: std::ops::Range<i64>,
) -> Result<Vec<(i64, Part)>> {
    let Some((_, again)) = &context.again else { return Ok(vec![]) };
    let Node::Step(s) = root.node else { return Ok(vec![]) };
    let step = &context.flow.steps[s].name;
    let mut out = vec![];
    for record in handle.load()?.records()?.iter() {
        let offset = handle.at.offset + i64::from(record.delta());
        let item = record.to_item();
        let id = told(&item, "id");
        let wanted = again.iter().any(|a| a.id == id && a.step == *step && a.of == root.taken);
        if span.contains(&offset) && wanted {
            out.extend(part(context, step, item).map(|part| (offset + 1, part)));
        }
    }
    Ok(out)
}

pub fn part(context: &RunContext, step: &str, mut item: Item) -> Option<Part> {
    let place = told(&item, "place");
    let own = format!("{}/{step}/", context.flow.name);
    let place = place.strip_prefix(&own).unwrap_or(&place).into();
    let above = told(&item, "above");
    let mut words = above.rsplitn(3, '/');
    let offset = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    let of_partition = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    let above = Arc::new((words.next().unwrap_or_default().to_string(), of_partition, offset));
    let partition = told(&item, "partition").parse().unwrap_or(0);
    item.headers.retain(|(name, _)| !name.starts_with("anabranch."));
    let mut batch = Builder::new(Codec::None);
    batch.push_item(&item);
    let origin = Origin::Again { place, above };
    batch.finish().map(|batch| Part { body: Body::Ready(batch), rows: None, origin, partition })
}

/// An error may quote the item that it is about; the item is kept beside it.
pub fn short(mut error: String) -> String {
    let most = 2 * limits::ERROR_TEXT_BYTES; // an action's last words, and ours
    if error.len() > most {
        error.truncate(error.floor_char_boundary(most));
        error.push('…');
    }
    error
}

/// A failed item with the story of its failure in headers.
pub fn letter(context: &RunContext, lane: u32, number: u64, dead: Dead) -> Item {
    let id = if lane == 0 {
        format!("{}-{number:04}", context.number)
    } else {
        format!("{}-{lane}.{number:04}", context.number)
    };
    let mut item = dead.item;
    let mut header =
        |name: &str, text: String| item.headers.push((format!("anabranch.{name}"), Some(Bytes::from(text))));
    header("id", id);
    header("step", dead.step);
    header("error", short(dead.error));
    header("attempts", dead.attempts.to_string());
    header("place", dead.whence.place);
    if let Some((of, partition, above)) = dead.whence.from {
        header("of", of);
        header("partition", partition.to_string());
        header("above", above);
    }
    header("run", context.number.to_string());
    item
}

/// An item that failed.
#[derive(Debug, Clone)]
pub struct Dead {
    /// The step.
    pub step: String,
    /// Why.
    pub error: String,
    /// After so many attempts.
    pub attempts: u32,
    /// Where it came from.
    pub whence: Whence,
    /// The item as the step got it.
    pub item: Item,
}

/// Where an item came from that failed.
#[derive(Debug, Clone, Default)]
pub struct Whence {
    /// Its place.
    pub place: String,
    /// From which stream the step took it, in which partition, and the nearest logged place above it; nothing where it
    /// cannot be tried again.
    pub from: Option<(String, u32, String)>,
}

impl Whence {
    /// Of a row of a part that a step took from the stream `of`.
    pub fn of(part: &Part, row: usize, delta: u32, of: &str) -> Whence {
        let (stream, partition, offset) = part.above(row, delta);
        let above = format!("{stream}/{partition}/{offset}");
        Whence { place: part.place(row, delta), from: Some((of.to_string(), part.partition, above)) }
    }

    /// Of something that cannot be tried again.
    pub fn at(place: String) -> Whence {
        Whence { place, from: None }
    }
}
