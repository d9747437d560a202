//! A disk under the segment files that fails when it is told to.

use anabranch_engine_embedded::{Disk, RealDisk, SegmentFile};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts down writes and syncs; the one that comes to zero fails, and so do all behind it.
pub struct FaultyDisk {
    left: Arc<AtomicI64>,
}

impl FaultyDisk {
    /// A disk that does so many operations.
    pub fn after(operations: i64) -> FaultyDisk {
        FaultyDisk { left: Arc::new(AtomicI64::new(operations)) }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FaultyFile { file: RealDisk.create(path)?, left: self.left.clone() }))
    }
}

struct FaultyFile {
    file: Box<dyn SegmentFile>,
    left: Arc<AtomicI64>,
}

impl FaultyFile {
    fn count(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return Err(io::Error::other("the disk failed, as it was told to"));
        }
        Ok(())
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.count()?;
        self.file.write_at(bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.count()?;
        self.file.sync()
    }
}
