//! Streams and partitions in the index.

use crate::index::sql;
use anabranch_engine::{Error, FlowId, Offset, Result, Shape, StreamName, StreamSpec, limits};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bits of an extent's id that hold the offset; the rest is the partition's number.
const OFFSET_BITS: u32 = 40;

/// The id of the extent of partition `tp` that begins at `base`.
pub fn ext_id(tp: i64, base: Offset) -> i64 {
    tp << OFFSET_BITS | base
}

/// The offset in the id of an extent.
pub fn ext_base(id: i64) -> Offset {
    id & ((1 << OFFSET_BITS) - 1)
}

/// A partition as the index knows it.
#[derive(Debug, Clone)]
pub struct PartitionRow {
    /// Its number in the index.
    pub tp: i64,
    /// First kept offset.
    pub start: Offset,
    /// The offset that comes next.
    pub next: Offset,
}

/// One partition.
pub fn part(db: &Connection, stream: &StreamName, p: u32) -> Result<PartitionRow> {
    let mut find = db
        .prepare_cached(
            "SELECT tp, start, next FROM part JOIN stream ON stream.id = part.stream WHERE name = ? AND p = ?",
        )
        .map_err(sql)?;
    let part = find
        .query_row(params![stream.as_str(), p], |r| {
            Ok(PartitionRow { tp: r.get(0)?, start: r.get(1)?, next: r.get(2)? })
        })
        .optional()
        .map_err(sql)?;
    part.ok_or_else(|| unknown(stream, Some(p)))
}

fn unknown(stream: &StreamName, p: Option<u32>) -> Error {
    let what = p.map_or(String::new(), |p| format!(" partition {p}"));
    Error::usage(format!("there is no stream {stream}{what} here"))
        .help(format!("make it with  anabranch streams create {stream} --partitions N"))
}

/// Partitions of a stream, if there is one.
pub fn partitions(db: &Connection, stream: &StreamName) -> Result<Option<u32>> {
    let count = "SELECT count(*) FROM part JOIN stream ON stream.id = part.stream WHERE name = ?";
    let n: u32 = db.query_row(count, [stream.as_str()], |r| r.get(0)).map_err(sql)?;
    Ok(Some(n).filter(|n| *n > 0))
}

/// First kept offset .. next offset, for each partition.
pub fn spans(db: &Connection, stream: &StreamName) -> Result<Vec<Range<Offset>>> {
    let mut find = db
        .prepare_cached(
            "SELECT tp, start, next FROM part JOIN stream ON stream.id = part.stream WHERE name = ? ORDER BY p",
        )
        .map_err(sql)?;
    let rows = find.query_map([stream.as_str()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).map_err(sql)?;
    let mut spans = vec![];
    for (p, row) in rows.enumerate() {
        let (tp, start, next): (i64, Offset, Offset) = row.map_err(sql)?;
        ends_there(db, stream, p, tp, start..next)?;
        spans.push(start..next);
    }
    if spans.is_empty() { Err(unknown(stream, None)) } else { Ok(spans) }
}

/// The last batch of a partition ends where the partition does: what was changed from outside would be lost in silence.
fn ends_there(db: &Connection, stream: &StreamName, p: usize, tp: i64, span: Range<Offset>) -> Result<()> {
    let last = "SELECT id, n FROM ext WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1";
    let last: Option<(i64, i64)> = db
        .prepare_cached(last)
        .and_then(|mut s| s.query_row([ext_id(tp, 0), ext_id(tp + 1, 0)], |r| Ok((r.get(0)?, r.get(1)?))).optional())
        .map_err(sql)?;
    let end = last.map_or(span.start, |(id, n)| ext_base(id) + n);
    if end == span.end {
        return Ok(());
    }
    let text =
        format!("{stream} partition {p}: the index says that it ends at {}, but its last items end at {end}", span.end);
    Err(Error::corrupt(text)
        .help("its rows were changed from outside: take the directory from a backup, or make the stream again"))
}

/// Makes a stream, or checks that it has the wanted shape.
pub fn ensure(db: &Connection, owner: Option<&FlowId>, want: &StreamSpec) -> Result<Shape> {
    let name = want.name.as_str();
    let found: Option<(i64, Option<String>)> = db
        .query_row("SELECT id, owner FROM stream WHERE name = ?", [name], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()
        .map_err(sql)?;
    let Some((id, had)) = found else { return create(db, owner, want) };
    let partitions: u32 =
        db.query_row("SELECT count(*) FROM part WHERE stream = ?", [id], |r| r.get(0)).map_err(sql)?;
    if let Some(wanted) = want.partitions.filter(|w| *w != partitions) {
        return Err(Error::usage(format!("the stream {name} has {partitions} partitions, {wanted} are wanted"))
            .help(format!("write  partitions: {partitions}  or delete it with  anabranch streams delete {name}")));
    }
    match (owner, had.as_deref()) {
        (Some(flow), None) => {
            db.execute("UPDATE stream SET owner = ? WHERE id = ?", params![flow.as_str(), id]).map_err(sql)?;
        }
        (Some(flow), Some(had)) if had != flow.as_str() => return Err(owned(&want.name, had)),
        _ => {}
    }
    if !want.config.is_empty() {
        db.execute("UPDATE stream SET config = ? WHERE id = ?", params![config_text(&want.config), id]).map_err(sql)?;
    }
    Ok(Shape { partitions, id: String::new(), created: false, note: None })
}

/// The error of writing a stream that a flow owns.
pub fn owned(stream: &StreamName, owner: &str) -> Error {
    Error::usage(format!("the stream {stream} is written by the flow {owner}"))
        .help("one writer for each stream: write to another one, and merge them in a flow")
}

fn create(db: &Connection, owner: Option<&FlowId>, want: &StreamSpec) -> Result<Shape> {
    let partitions = want.partitions.unwrap_or(1);
    if partitions == 0 || partitions > limits::PARTITIONS {
        return Err(Error::usage(format!("a stream cannot have {partitions} partitions"))
            .help(format!("1 to {} are possible", limits::PARTITIONS)));
    }
    let values = params![want.name.as_str(), owner.map(FlowId::as_str), config_text(&want.config)];
    db.execute("INSERT INTO stream (name, owner, config) VALUES (?, ?, ?)", values).map_err(sql)?;
    let id = db.last_insert_rowid();
    // offsets are never given twice: a reader of a stream that was deleted does not skip what is in the new one
    let gone = "SELECT next FROM gone WHERE name = ?";
    let first: Option<i64> = db.query_row(gone, [want.name.as_str()], |r| r.get(0)).optional().map_err(sql)?;
    let mut insert =
        db.prepare_cached("INSERT INTO part (stream, p, start, next) VALUES (?, ?, ?3, ?3)").map_err(sql)?;
    for p in 0..partitions {
        insert.execute(params![id, p, first.unwrap_or(0)]).map_err(sql)?;
    }
    Ok(Shape { partitions, id: String::new(), created: true, note: note(want) })
}

/// What this engine does not do of what was wished.
fn note(want: &StreamSpec) -> Option<String> {
    let mut not = vec![];
    if let Some(n) = want.replication_factor.filter(|n| *n > 1) {
        not.push(format!("replication factor {n} (one copy is kept)"));
    }
    not.extend(want.config.keys().filter(|k| !matches!(k.as_str(), "retention.ms" | "retention.bytes")).cloned());
    (!not.is_empty()).then(|| format!("{}: the embedded engine leaves out {}", want.name, not.join(", ")))
}

fn config_text(config: &BTreeMap<String, String>) -> String {
    serde_json::to_string(config).unwrap_or_else(|_| "{}".into())
}
