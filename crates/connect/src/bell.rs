//! Wakes a thread that waits for a child.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Can be waited for together with pipes. Once rung it stays so until it is hushed.
pub struct Bell {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Bell {
    /// A bell that nobody rang.
    pub fn new() -> std::io::Result<Bell> {
        let (reader, writer) = std::io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(Bell { reader, writer })
    }

    /// Wakes who waits, and who will wait.
    pub fn ring(&self) {
        let _ = (&self.writer).write(b"!"); // a full pipe is rung enough
    }

    /// Forgets that it was rung.
    pub fn hush(&self) {
        let _ = (&self.reader).read(&mut [0; 256]);
    }

    /// To wait for.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
