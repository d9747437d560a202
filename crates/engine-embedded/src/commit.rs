//! What a commit does in the index.

use crate::index::sql;
use crate::segment::Landed;
use crate::streams::{PartitionRow, ext_id, part};
use anabranch_engine::{At, Batch, Dest, End, Error, Kind, Result, limits};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// A batch that is about to get its row.
pub enum Row<'a> {
    /// Written inside the index.
    Inline(&'a Batch),
    /// Written to a segment and synced.
    Written(&'a Batch, Landed),
    /// Another row for bytes that stand already.
    Again(&'a At),
}

/// Gives the batches their offsets, in order, and tells where each partition ends now.
pub fn apply(db: &Connection, rows: &[(&Dest, Row<'_>)]) -> Result<BTreeMap<Dest, End>> {
    let mut parts: BTreeMap<&Dest, (PartitionRow, u64)> = BTreeMap::new();
    let sql_text = "INSERT INTO ext (id, n, seg, pos, len, newest, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let mut insert = db.prepare_cached(sql_text).map_err(sql)?;
    for (dest, row) in rows {
        if let Row::Inline(b) | Row::Written(b, _) = row
            && b.bytes().len() > limits::BATCH_BYTES
        {
            let (size, most) = (b.bytes().len(), limits::BATCH_BYTES);
            let text = format!("a batch of {size} bytes for {}; at most {most} can be read again", dest.stream);
            return Err(Error::machine(text).help("nothing was written; make the items smaller"));
        }
        if !parts.contains_key(dest) {
            parts.insert(dest, (part(db, &dest.stream, dest.partition)?, 0));
        }
        let Some((part, items)) = parts.get_mut(dest) else { continue };
        let id = ext_id(part.tp, part.next);
        let n = match row {
            Row::Inline(b) => {
                let h = b.head();
                insert.execute(params![id, h.count, 0, 0, h.len, h.max_timestamp, b.bytes().as_ref()]).map_err(sql)?;
                h.count
            }
            Row::Written(b, at) => {
                is_there(db, at.seg)?;
                let h = b.head();
                insert
                    .execute(params![id, h.count, at.seg, at.pos, h.len, h.max_timestamp, None::<&[u8]>])
                    .map_err(sql)?;
                h.count
            }
            Row::Again(at) => refer(db, id, at)?,
        };
        part.next += i64::from(n);
        *items += u64::from(n);
    }
    let mut ends = BTreeMap::new();
    let mut update = db.prepare_cached("UPDATE part SET next = ? WHERE tp = ?").map_err(sql)?;
    for (dest, (part, items)) in parts {
        update.execute(params![part.next, part.tp]).map_err(sql)?;
        ends.insert(dest.clone(), End { end: part.next, items });
    }
    Ok(ends)
}

/// A row may name a segment only while the segment is known: one that the collector took cannot come back.
fn is_there(db: &Connection, seg: i64) -> Result<()> {
    let find = "SELECT 1 FROM seg WHERE id = ?";
    let found = db.prepare_cached(find).map_err(sql)?.query_row([seg], |_| Ok(())).optional().map_err(sql)?;
    found.ok_or_else(|| {
        Error::machine(format!("segment {seg} was removed before its batches were committed; nothing was committed"))
            .help("locks do not hold on this disk: use a local file system, and run again")
    })
}

/// Copies the row of a batch that begins exactly at `at`; its bytes stay where they are.
fn refer(db: &Connection, id: i64, at: &At) -> Result<u32> {
    let from = ext_id(part(db, &at.stream, at.partition)?.tp, at.offset);
    let copy = "INSERT INTO ext (id, n, seg, pos, len, newest, bytes)
                SELECT ?, n, seg, pos, len, newest, bytes FROM ext WHERE id = ? RETURNING n";
    let n = db.prepare_cached(copy).map_err(sql)?.query_row(params![id, from], |r| r.get(0)).optional().map_err(sql)?;
    n.ok_or_else(|| {
        let At { stream, partition, offset } = at;
        let text = format!("{stream} partition {partition}: offset {offset} was cut before it was copied");
        Error::new(Kind::Lost, text).help("retention deleted it: raise retention.ms")
    })
}
