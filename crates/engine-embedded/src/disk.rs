//! The disk under the segment files: the seam where tests put a faulty one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Makes segment files.
pub trait Disk: Send + Sync {
    /// Makes a new file; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
}

/// A segment file under its writer.
pub trait SegmentFile: Send {
    /// Writes all bytes at that place.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes everything written so far durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's files.
pub struct RealDisk;

struct RealFile(File);

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.try_lock().map_err(io::Error::from)?; // tells the collector that its writer lives
        Ok(Box::new(RealFile(file)))
    }
}

impl SegmentFile for RealFile {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
