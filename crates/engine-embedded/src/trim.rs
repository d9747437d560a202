//! Letting go of what nobody needs: rows, then segments without rows.

use crate::Embedded;
use crate::index::sql;
use crate::segment;
use crate::streams::{ext_base, ext_id, part};
use anabranch_engine::{At, Result};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::fs::File;
use std::time::{SystemTime, UNIX_EPOCH};

/// Cuts each partition before the given place, then what retention says, then removes empty segments.
pub fn trim(engine: &Embedded, keep_from: &[At]) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let dead = engine.index.write(|tx| {
        for at in keep_from {
            let part = part(tx, &at.stream, at.partition)?;
            cut(tx, part.tp, at.offset.min(part.next))?;
        }
        retain(tx, now)?;
        sweep(tx, engine)
    })?;
    for seg in dead {
        let _ = std::fs::remove_file(segment::path(&engine.dir, seg)); // left over = found again by nobody, and harmless
    }
    Ok(())
}

/// Removes whole extents that end at or before `keep` and moves the start of the partition.
fn cut(db: &Connection, tp: i64, keep: i64) -> Result<()> {
    let last: Option<i64> = db
        .query_row(
            "SELECT max(id) FROM ext WHERE id BETWEEN ? AND ? AND (id & 0xffffffffff) + n > ?",
            params![ext_id(tp, 0), ext_id(tp, keep), keep],
            |r| r.get(0),
        )
        .map_err(sql)?;
    let below = last.unwrap_or(ext_id(tp, keep));
    db.execute("DELETE FROM ext WHERE id >= ? AND id < ?", params![ext_id(tp, 0), below]).map_err(sql)?;
    db.execute("UPDATE part SET start = max(start, ?) WHERE tp = ?", params![keep, tp]).map_err(sql)?;
    Ok(())
}

/// `retention.ms` and `retention.bytes`, as Kafka means them: whole batches, oldest first.
fn retain(db: &Connection, now: i64) -> Result<()> {
    let mut find = db
        .prepare("SELECT tp, config FROM part JOIN stream ON stream.id = part.stream WHERE config != '{}'")
        .map_err(sql)?;
    let parts: Vec<(i64, String)> =
        find.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).and_then(Iterator::collect).map_err(sql)?;
    for (tp, config) in parts {
        let config: BTreeMap<String, String> = serde_json::from_str(&config).unwrap_or_default();
        let number = |key: &str| config.get(key).and_then(|v| v.parse::<i64>().ok()).filter(|n| *n >= 0);
        let range = params![ext_id(tp, 0), ext_id(tp + 1, 0)];
        if let Some(ms) = number("retention.ms") {
            let oldest = "SELECT min(id) FROM ext WHERE id >= ? AND id < ? AND newest >= ?";
            let keep: Option<i64> =
                db.query_row(oldest, params![ext_id(tp, 0), ext_id(tp + 1, 0), now - ms], |r| r.get(0)).map_err(sql)?;
            let next: i64 = db.query_row("SELECT next FROM part WHERE tp = ?", [tp], |r| r.get(0)).map_err(sql)?;
            cut(db, tp, keep.map_or(next, ext_base))?;
        }
        if let Some(bytes) = number("retention.bytes") {
            let keep = "SELECT min(id) FROM (SELECT id, sum(len) OVER (ORDER BY id DESC) AS total FROM ext WHERE id >= ? AND id < ?) WHERE total <= ?";
            let all: i64 = db
                .query_row("SELECT coalesce(sum(len), 0) FROM ext WHERE id >= ? AND id < ?", range, |r| r.get(0))
                .map_err(sql)?;
            let keep: Option<i64> =
                db.query_row(keep, params![ext_id(tp, 0), ext_id(tp + 1, 0), bytes], |r| r.get(0)).map_err(sql)?;
            if let Some(keep) = keep.filter(|_| all > bytes) {
                cut(db, tp, ext_base(keep))?;
            }
        }
    }
    Ok(())
}

/// Forgets segments that no row names and that nobody holds: a writer, or batches of it that wait for their rows. What
/// cannot be looked at stays.
fn sweep(db: &Connection, engine: &Embedded) -> Result<Vec<i64>> {
    let mut find = db.prepare("SELECT id FROM seg WHERE id NOT IN (SELECT DISTINCT seg FROM ext)").map_err(sql)?;
    let segs: Vec<i64> = find.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(sql)?;
    let unused = |seg: &i64| match File::open(segment::path(&engine.dir, *seg)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    };
    let dead: Vec<i64> = segs.into_iter().filter(unused).collect();
    for seg in &dead {
        db.execute("DELETE FROM seg WHERE id = ?", [seg]).map_err(sql)?;
    }
    Ok(dead)
}
