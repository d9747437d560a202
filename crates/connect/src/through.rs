//! Sinks that are no files: standard output, devices, pipes. What is written goes through, before the commit: a crash
//! may write the last commit again.

use crate::failed;
use anabranch_engine::{Error, Kind, Result, limits};
use anabranch_run::world::{Input, SinkFile};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Set by others: who waits for something outside gives up.
pub type Stop = Arc<AtomicBool>;

/// So much of a pipe is free if anything is.
const PIPE_BUF: usize = 4096;

/// A device or a pipe, open.
pub struct Through {
    file: File,
    path: PathBuf,
    length: u64,
    stop: Stop,
}

impl Through {
    /// Opens it; a pipe waits a while for who reads it.
    pub fn open(path: &Path, resume: Option<u64>, stop: &Stop) -> Result<Through> {
        let opened = |file: File| {
            let (path, length) = (path.to_path_buf(), resume.unwrap_or(0));
            Through { file, path, length, stop: stop.clone() }
        };
        if let Some(file) = own(path)? {
            return Ok(opened(file));
        }
        let until = Instant::now() + limits::READER_WAIT;
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
        loop {
            match OpenOptions::new().append(true).custom_flags(flags).open(path) {
                Ok(file) => return Ok(opened(file)),
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                    stopped(stop)?;
                    if Instant::now() > until {
                        return Err(Error::machine(format!("the pipe {} has no reader", path.display()))
                            .help("start its reader, then run again: it continues"));
                    }
                    std::thread::park_timeout(limits::BELL_WAIT);
                }
                Err(e) => return Err(failed("cannot write", path, &e)),
            }
        }
    }
}

/// Standard output or standard error by its other name: to open it again would be another file with a place of its own.
fn own(path: &Path) -> Result<Option<File>> {
    let of = |fd: &str| Path::new("/proc").join(std::process::id().to_string()).join("fd").join(fd);
    let cloned = match path {
        path if path == of("1") => std::io::stdout().as_fd().try_clone_to_owned(),
        path if path == of("2") => std::io::stderr().as_fd().try_clone_to_owned(),
        _ => return Ok(None),
    };
    cloned.map(|fd| Some(fd.into())).map_err(|e| failed("cannot write", path, &e))
}

fn stopped(stop: &Stop) -> Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(Error::new(Kind::Stopped, "it was told to stop while nobody took what it writes")),
        false => Ok(()),
    }
}

/// Writes all bytes. While a pipe is full it looks whether it is to stop.
fn write_all(
    to: BorrowedFd<'_>,
    mut bytes: &[u8],
    stop: &Stop,
    failed: &dyn Fn(std::io::Error) -> Error,
) -> Result<()> {
    let patience = Timespec::try_from(limits::BELL_WAIT).unwrap_or_default();
    let kind = rustix::fs::fstat(to).map(|s| FileType::from_raw_mode(s.st_mode));
    let most = if matches!(kind, Ok(FileType::RegularFile)) { bytes.len() } else { PIPE_BUF };
    while !bytes.is_empty() {
        let ready = poll(&mut [PollFd::new(&to, PollFlags::OUT)], Some(&patience));
        if !matches!(ready, Ok(1..)) {
            stopped(stop)?;
            continue;
        }
        match rustix::io::write(to, &bytes[..bytes.len().min(most)]) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(e) => return Err(failed(e.into())),
        }
    }
    Ok(())
}

impl SinkFile for Through {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        write_all(self.file.as_fd(), bytes, &self.stop, &|e| match e.kind() {
            ErrorKind::BrokenPipe if is_stdout(&self.file) => closed(),
            ErrorKind::BrokenPipe => Error::machine(format!("{} has no reader any more", self.path.display()))
                .help("start its reader again, then run again: it continues"),
            _ => failed("cannot write", &self.path, &e),
        })
    }

    fn sync(&mut self) -> Result<u64> {
        Ok(self.length)
    }
}

/// Whether a file is another name of standard output.
fn is_stdout(file: &File) -> bool {
    let id = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).ok().map(|s| (s.st_dev, s.st_ino));
    id(file.as_fd()) == id(std::io::stdout().as_fd())
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the reader of standard output has gone")
}

/// Standard output.
pub struct Stdout {
    length: u64,
    stop: Stop,
}

impl Stdout {
    /// As long as nobody says stop.
    pub fn new(stop: &Stop) -> Stdout {
        Stdout { length: 0, stop: stop.clone() }
    }
}

fn of_stdout(e: &std::io::Error) -> Error {
    match e.kind() {
        ErrorKind::BrokenPipe => closed(),
        _ => Error::machine(format!("standard output cannot be written: {e}")),
    }
}

impl SinkFile for Stdout {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        let mut out = std::io::stdout().lock();
        out.flush().map_err(|e| of_stdout(&e))?;
        write_all(out.as_fd(), bytes, &self.stop, &|e| of_stdout(&e))
    }

    fn sync(&mut self) -> Result<u64> {
        Ok(self.length)
    }
}

/// Device and inode of what is open, if it is a file.
pub fn file(of: BorrowedFd<'_>) -> Option<(u64, u64)> {
    let found = rustix::fs::fstat(of).ok().filter(|s| FileType::from_raw_mode(s.st_mode).is_file());
    found.map(|s| (s.st_dev, s.st_ino))
}

/// What an input has to give; a pipe that is silent is given a moment.
pub fn input(from: BorrowedFd<'_>) -> Input {
    let kind = rustix::fs::fstat(from).map(|s| FileType::from_raw_mode(s.st_mode));
    match kind {
        Err(_) | Ok(FileType::CharacterDevice) => return Input::Nothing, // a terminal, the null device
        Ok(_) => {}
    }
    let moment = Timespec::try_from(limits::BELL_WAIT).unwrap_or_default();
    let _ = poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&moment));
    match rustix::io::ioctl_fionread(from) {
        Ok(1..) => Input::Something,
        _ => Input::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_pipe_that_nobody_empties_does_not_keep_a_run_from_stopping() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let bytes: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let stop = Stop::new(AtomicBool::new(true));
        let e = write_all(writer.as_fd(), &bytes, &stop, &|e| Error::machine(e.to_string())).expect_err("is full");
        assert_eq!(e.kind, Kind::Stopped);
        let all = bytes.clone();
        let write = move || {
            write_all(writer.as_fd(), &all, &Stop::default(), &|e| Error::machine(e.to_string())).expect("writes")
        };
        let (mut before, thread) = (vec![0; 65536], std::thread::spawn(write));
        reader.read_exact(&mut before).expect("what was written before");
        let mut got = vec![];
        reader.read_to_end(&mut got).expect("reads");
        thread.join().expect("ends");
        assert!(got == bytes);
    }

    #[test]
    fn an_input_tells_whether_it_has_something() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert_eq!(input(reader.as_fd()), Input::Silent);
        writer.write_all(b"x").expect("writes");
        assert_eq!(input(reader.as_fd()), Input::Something);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(writer);
        assert_eq!(input(reader.as_fd()), Input::Silent, "it has ended");
        let null = File::open("/dev/null").expect("opens");
        assert_eq!(input(null.as_fd()), Input::Nothing);
        let mut file = tempfile::tempfile().expect("a file");
        assert_eq!(input(file.as_fd()), Input::Silent);
        file.write_all(b"x").and_then(|()| std::io::Seek::rewind(&mut file)).expect("writes");
        assert_eq!(input(file.as_fd()), Input::Something);
    }

    #[test]
    fn a_pipe_that_is_closed_is_told() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let e = write_all(writer.as_fd(), b"x", &Stop::default(), &|e| of_stdout(&e)).expect_err("is closed");
        assert_eq!(e.kind, Kind::Closed);
    }
}
