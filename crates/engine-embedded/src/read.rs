//! Reading committed batches.

use crate::index::{Index, sql};
use crate::segment;
use crate::streams::{ext_base, ext_id, part};
use anabranch_engine::{At, Batch, Chunk, Error, Handle, Kind, Limit, Load, Offset, Result};
use bytes::Bytes;
use rusqlite::{OptionalExtension, params};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Segment files open for reading.
pub struct Files {
    dir: PathBuf,
    index: Arc<Index>,
    open: Mutex<HashMap<i64, Arc<File>>>,
}

/// A batch in a segment or in the index.
struct Extent {
    files: Arc<Files>,
    at: At,
    id: i64,
    n: u32,
    seg: i64,
    pos: u64,
    len: usize,
}

/// Index rows that one read takes at most.
const ROWS: usize = 4096;

/// Batches from `at` on that begin before `end`.
pub fn read(index: &Index, files: &Arc<Files>, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
    let At { stream, partition, offset } = at;
    let (start, next, found) = index.read(|db| {
        let part = part(db, stream, *partition)?;
        let first = "SELECT max(id) FROM ext WHERE id BETWEEN ? AND ?";
        let first: Option<i64> = db
            .prepare_cached(first)
            .and_then(|mut s| s.query_row(params![ext_id(part.tp, 0), ext_id(part.tp, *offset)], |r| r.get(0)))
            .map_err(sql)?;
        let rows = "SELECT id, n, seg, pos, len FROM ext WHERE id >= ? AND id < ? ORDER BY id LIMIT ?";
        let mut rows = db.prepare_cached(rows).map_err(sql)?;
        let from = first.unwrap_or(ext_id(part.tp, *offset));
        let rows = rows.query_map(params![from, ext_id(part.tp, end.min(part.next)), ROWS], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get::<_, i64>(3)? as u64, r.get::<_, i64>(4)? as usize))
        });
        let rows: Vec<(i64, u32, i64, u64, usize)> = rows.and_then(Iterator::collect).map_err(sql)?;
        Ok((part.start, part.next, rows))
    })?;
    if *offset < start {
        return Err(Error::new(
            Kind::Lost,
            format!(
                "{stream} partition {partition}: offset {offset} was still to be read, but the stream begins at {start}"
            ),
        )
        .help("retention deleted it: raise retention.ms, or continue from there with  anabranch groups reset"));
    }
    let mut chunk = Chunk { batches: vec![], next: *offset };
    let mut bytes = 0;
    for (id, n, seg, pos, len) in found {
        let base = ext_base(id);
        let behind = base + i64::from(n);
        if behind <= *offset {
            continue;
        }
        if base > chunk.next {
            break; // told below
        }
        if bytes > 0 && bytes + len > max.bytes {
            break;
        }
        bytes += len;
        let at = At { stream: stream.clone(), partition: *partition, offset: base };
        let extent = Extent { files: files.clone(), at: at.clone(), id, n, seg, pos, len };
        chunk.batches.push(Handle::new(at, n, behind, len, Arc::new(extent)));
        chunk.next = behind;
    }
    // offsets have no gaps: what no row names between two that there are is lost
    if chunk.batches.is_empty() && *offset < end.min(next) {
        let text =
            format!("{stream} partition {partition}: the index names no items at offset {offset}, of {start}..{next}");
        return Err(Error::corrupt(text)
            .help("its rows were changed from outside: take the directory from a backup, or make the stream again"));
    }
    Ok(chunk)
}

impl Files {
    /// No file open yet.
    pub fn new(dir: &Path, index: Arc<Index>) -> Files {
        Files { dir: dir.to_path_buf(), index, open: Mutex::default() }
    }

    fn file(&self, seg: i64) -> std::io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&seg) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(segment::path(&self.dir, seg))?);
        if open.len() >= 64 {
            open.clear();
        }
        open.insert(seg, file.clone());
        Ok(file)
    }
}

impl Extent {
    fn bytes(&self) -> Result<Bytes> {
        if self.seg == 0 {
            let find = "SELECT bytes FROM ext WHERE id = ?";
            let found = self
                .files
                .index
                .read(|db| db.query_row(find, [self.id], |r| r.get::<_, Option<Vec<u8>>>(0)).optional().map_err(sql))?;
            return found.flatten().map(Bytes::from).ok_or_else(|| self.gone());
        }
        let mut buf = vec![0; self.len];
        let file = self.files.file(self.seg).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => self.gone(),
            _ => Error::machine(format!("{}: {e}", self.place())),
        })?;
        file.read_exact_at(&mut buf, self.pos)
            .map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", self.place())))?;
        Ok(buf.into())
    }

    fn gone(&self) -> Error {
        Error::new(Kind::Lost, format!("{} was removed while it was read", self.place()))
    }

    fn place(&self) -> String {
        let At { stream, partition, offset } = &self.at;
        let end = offset + i64::from(self.n);
        let (pos, len) = (self.pos, self.len);
        let file = if self.seg == 0 {
            "the index".into()
        } else {
            segment::path(&self.files.dir, self.seg).display().to_string()
        };
        format!("{stream} partition {partition} offsets {offset}..{end} ({len} bytes at {pos} of {file})")
    }
}

impl Load for Extent {
    fn load(&self) -> Result<Batch> {
        let batch = Batch::parse(self.bytes()?).map_err(|e| self.damaged(&e.text))?;
        if batch.count() != self.n as usize {
            return Err(self.damaged(&format!("it holds {} items, the index says {}", batch.count(), self.n)));
        }
        Ok(batch)
    }
}

impl Extent {
    fn damaged(&self, why: &str) -> Error {
        Error::corrupt(format!("{} is damaged: {why}", self.place()))
            .help("the bytes were changed by something else: check the disk; take the directory from a backup, or make the stream again")
    }
}
