//! The disk under the segment files: the seam where tests put a faulty one.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Makes segment files.
pub trait Disk: Send + Sync {
    /// Makes a new file; an existing one is an error.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
}

/// A segment file under its writer.
pub trait SegmentFile: Send {
    /// Writes all bytes at that place.
    ///
    /// # Errors
    ///
    /// The bytes cannot be written.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes everything written so far durable.
    ///
    /// # Errors
    ///
    /// What was written may not survive.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's files.
pub struct RealDisk;

struct RealFile {
    file: File,
    /// The disk has begun to write what lies before this.
    begun: u64,
}

/// Bytes after which the disk begins to write: a sync then waits for the rest only.
const BEGIN_BYTES: u64 = 1 << 20;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.try_lock().map_err(io::Error::from)?; // tells the collector that its writer lives
        Ok(Box::new(RealFile { file, begun: 0 }))
    }
}

impl SegmentFile for RealFile {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)?;
        let behind = at + bytes.len() as u64;
        if let Some(length) = NonZeroU64::new(behind.saturating_sub(self.begun)).filter(|l| l.get() >= BEGIN_BYTES) {
            // the name of this advice misleads: for bytes that were just written it begins their way to the disk
            let _ = rustix::fs::fadvise(&self.file, self.begun, Some(length), rustix::fs::Advice::DontNeed);
            self.begun = behind;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
