//! Items of a test on their way into the log, and out of it.

use crate::log::MemoryLog;
use anabranch_engine::{Admin, At, Engine, Error, Item as Stored, Result, StreamName, StreamSpec, items, partition};
use anabranch_flow::format::Format;
use anabranch_flow::model::{Flow, Writer};
use anabranch_flow::suite::{Item, Test};
use serde_json::Value;
use std::ops::ControlFlow;

/// Appends what a test gives to the streams that others fill.
pub fn give(log: &MemoryLog, flow: &Flow, test: &Test) -> Result<()> {
    for (s, stream) in flow.numbered_streams().filter(|(_, stream)| stream.writer == Writer::Outside) {
        let partitions = stream.partitions.unwrap_or(1);
        log.ensure(None, &[StreamSpec::new(stream.at.clone(), partitions)])?;
        let given = test.given.get(&s).map_or(&[][..], Vec::as_slice);
        let stored: Vec<(u32, Stored)> = given.iter().map(|item| stored(item, stream.format, partitions)).collect();
        if !stored.is_empty() {
            log.append(&stream.at, &stored)?;
        }
    }
    Ok(())
}

/// The value of an item as it stands in a file or the log: text without its quotes, where items are text.
pub fn written(item: &Item, format: Format) -> String {
    let json = item.value.clone().unwrap_or_else(|| "null".into());
    match (format, serde_json::from_str(&json)) {
        (Format::Text | Format::Bytes, Ok(Value::String(text))) => text,
        _ => json,
    }
}

/// An item as it is appended, and its partition.
fn stored(item: &Item, format: Format, partitions: u32) -> (u32, Stored) {
    let value = written(item, format);
    let key = item.key.clone().flatten();
    let p = key.as_ref().map_or(0, |key| partition::of_key(key.as_bytes(), partitions));
    let headers = item.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone().into()))).collect();
    let stored = Stored { key: key.map(Into::into), headers, ..Stored::of(value, item.timestamp.unwrap_or(0)) };
    (p, stored)
}

/// An item that came out.
pub struct Found {
    /// Its value; text where it is no JSON.
    pub value: Value,
    /// The item itself.
    pub item: Stored,
}

/// All items of a stream.
pub fn of(log: &MemoryLog, stream: &StreamName, format: Format) -> Result<Vec<Found>> {
    let mut out = vec![];
    if log.partitions(stream)?.is_none() {
        return Ok(out);
    }
    for (p, span) in (0..).zip(log.span(stream)?) {
        let at = At { stream: stream.clone(), partition: p, offset: span.start };
        let read = items(log, at, span.end, |_, item| {
            out.push(Found { value: value(item.value.as_deref().unwrap_or_default(), format), item });
            Ok(ControlFlow::Continue(()))
        })?;
        if read.is_break() {
            return Err(Error::bug("reading was broken off"));
        }
    }
    Ok(out)
}

/// The value of an item as JSON.
pub fn value(bytes: &[u8], format: Format) -> Value {
    let text = || Value::String(String::from_utf8_lossy(bytes).into_owned());
    match format {
        Format::Json => serde_json::from_slice(bytes).unwrap_or_else(|_| text()),
        Format::Text | Format::Bytes => text(),
    }
}
