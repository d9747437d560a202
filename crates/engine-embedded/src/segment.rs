//! The segment that a process appends to: immutable behind its end, one writer.

use crate::directory;
use crate::disk::{Disk, SegmentFile};
use crate::index::{Index, sql};
use anabranch_engine::{Error, Result, limits};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The file name of a segment.
pub fn path(dir: &Path, seg: i64) -> PathBuf {
    dir.join("seg").join(format!("{seg:08}.seg"))
}

/// Appends batches to segment files of its own.
pub struct Writer {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    open: Option<Open>,
    poisoned: Option<Error>,
}

struct Open {
    seg: i64,
    file: Shared,
    end: u64,
}

/// A segment file. It is locked for as long as somebody has it: the collector leaves it alone.
type Shared = Arc<Mutex<Box<dyn SegmentFile>>>;

/// Batches that are durable and that no row names yet. It keeps the lock of their segment, so it must live until the
/// rows are committed: whatever becomes of the writer meanwhile, the collector does not take the bytes away.
pub struct Durable {
    /// Where each of them landed.
    pub landed: Vec<Landed>,
    _segment: Shared,
}

/// Where bytes landed.
#[derive(Debug, Clone, Copy)]
pub struct Landed {
    /// The segment.
    pub seg: i64,
    /// The first byte.
    pub pos: u64,
}

impl Writer {
    /// A writer that makes its first file when it is needed.
    pub fn new(dir: &Path, disk: Arc<dyn Disk>, index: Arc<Index>) -> Writer {
        Writer { dir: dir.to_path_buf(), disk, index, open: None, poisoned: None }
    }

    /// Appends these bytes and makes them durable. After a failure nothing more is accepted:
    /// what a failed sync left on the disk cannot be known.
    pub fn append(&mut self, parts: &[&[u8]]) -> Result<Durable> {
        if let Some(e) = &self.poisoned {
            return Err(
                Error::machine(format!("the log is closed after an earlier failure: {}", e.text)).help("run again")
            );
        }
        let durable = self.try_append(parts);
        if let Err(e) = &durable {
            self.poisoned = Some(e.clone());
            self.open = None;
        }
        durable
    }

    fn try_append(&mut self, parts: &[&[u8]]) -> Result<Durable> {
        if self.open.as_ref().is_some_and(|o| o.end >= limits::SEGMENT_BYTES) {
            self.open = None;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(create(&self.dir, &*self.disk, &self.index)?),
        };
        let at = path(&self.dir, open.seg);
        let mut landed = Vec::with_capacity(parts.len());
        let mut file = open.file.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            file.write_at(part, open.end).map_err(|e| directory::machine("cannot append to", &at, &e))?;
            landed.push(Landed { seg: open.seg, pos: open.end });
            open.end += part.len() as u64;
        }
        file.sync().map_err(|e| directory::machine("cannot sync", &at, &e))?;
        drop(file);
        Ok(Durable { landed, _segment: open.file.clone() })
    }
}

/// Registers a segment, then makes its file, so that no two writers share one.
fn create(dir: &Path, disk: &dyn Disk, index: &Index) -> Result<Open> {
    index.write(|tx| {
        let (seg, file) = loop {
            tx.execute("INSERT INTO seg DEFAULT VALUES", []).map_err(sql)?;
            let seg = tx.last_insert_rowid();
            let at = path(dir, seg);
            match disk.create(&at) {
                Ok(file) => break (seg, file),
                // A crash left the file before its number was committed. Its row makes it the collector's.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(directory::machine("cannot make", &at, &e)),
            }
        };
        directory::sync_dir(&dir.join("seg"))?;
        Ok(Open { seg, file: Arc::new(Mutex::new(file)), end: 0 })
    })
}
