//! Files and standard output as sinks.

use crate::failed;
use anabranch_engine::{Error, Result};
use anabranch_flow::run::io::SinkFile;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file that a run writes. One that replaces is written beside its place, as `NAME.partial`.
pub struct FileSink {
    file: File,
    path: PathBuf,
    length: u64,
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(what);
    path.with_file_name(name)
}

fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("cannot sync", folder, &e))
}

impl FileSink {
    /// Opens the file and cuts it to what is committed; the tail is kept as `NAME.cut-RUN`.
    pub fn open(path: &Path, replace: bool, run: u64, resume: Option<u64>) -> Result<FileSink> {
        if path.is_dir() {
            return Err(Error::usage(format!("the sink {} is a folder", path.display()))
                .help("name a file in it:  sink: FOLDER/FILE.jsonl"));
        }
        let path = if replace { beside(path, ".partial") } else { path.to_path_buf() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| failed("cannot make", folder, &e))?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| failed("cannot write", &path, &e))?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::machine(format!("another process writes {}", path.display())));
            }
            Err(TryLockError::Error(e)) => return Err(failed("cannot lock", &path, &e)),
        }
        let found = file.metadata().map_err(|e| failed("cannot look at", &path, &e))?.len();
        let length = resume.unwrap_or(found);
        if found < length {
            let text = format!("{} has {found} bytes, {length} of them were committed", path.display());
            return Err(Error::machine(text).help("it was cut from outside: put it back, or begin anew with  --fresh"));
        }
        if found > length {
            if !replace || length > 0 {
                keep_tail(&mut file, &path, run, length)?;
            }
            file.set_len(length).and_then(|()| file.sync_all()).map_err(|e| failed("cannot cut", &path, &e))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(|e| failed("cannot write", &path, &e))?;
        sync_folder(&path)?;
        let mut sink = FileSink { file, path, length };
        if resume.is_none() && !sink.ends_with_a_line()? {
            sink.write(b"\n")?; // else the first item would go on with somebody else's last line
        }
        Ok(sink)
    }

    fn ends_with_a_line(&self) -> Result<bool> {
        let mut last = [b'\n'];
        if self.length > 0 {
            let read = self.file.read_exact_at(&mut last, self.length - 1);
            read.map_err(|e| failed("cannot read", &self.path, &e))?;
        }
        Ok(last == [b'\n'])
    }
}

/// A child of a killed process can hold its locks for the moment between fork and exec:
/// who finds the lock taken looks again a few times.
fn try_lock(file: &File) -> std::result::Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(std::time::Duration::from_millis(10)),
            other => return other,
        }
    }
    file.try_lock()
}

/// What lies behind the committed length is nobody's; it is kept all the same.
fn keep_tail(file: &mut File, path: &Path, run: u64, length: u64) -> Result<()> {
    let tail_path = beside(path, &format!(".cut-{run}"));
    let mut copy = || -> std::io::Result<()> {
        file.seek(SeekFrom::Start(length))?;
        let mut tail = File::create(&tail_path)?;
        std::io::copy(&mut *file, &mut tail)?;
        tail.sync_all()
    };
    copy().map_err(|e| failed("cannot keep the tail as", &tail_path, &e))
}

impl SinkFile for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| failed("cannot write", &self.path, &e))
    }

    fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().map_err(|e| failed("cannot sync", &self.path, &e))?;
        Ok(self.length)
    }
}

/// Puts `NAME.partial`, of this length, in the place of `NAME`. Done twice it does nothing.
pub fn publish(path: &Path, length: u64) -> Result<()> {
    let partial = beside(path, ".partial");
    match fs::rename(&partial, path) {
        Ok(()) => sync_folder(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match fs::metadata(path) {
            Ok(there) if there.len() == length => Ok(()),
            _ => {
                Err(Error::machine(format!("{} is gone: somebody took it away while the flow ran", partial.display()))
                    .help("give this run up with  --fresh : its items come again"))
            }
        },
        Err(e) => Err(failed("cannot put in place", path, &e)),
    }
}

/// Removes `NAME.partial`.
pub fn discard(path: &Path) -> Result<()> {
    match fs::remove_file(beside(path, ".partial")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("cannot remove", path, &e)),
        _ => Ok(()),
    }
}

/// Standard output: written before the commit, so a crash may print the last commit again.
#[derive(Default)]
pub struct Stdout {
    length: u64,
}

impl SinkFile for Stdout {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        std::io::stdout()
            .write_all(bytes)
            .map_err(|e| Error::machine(format!("standard output cannot be written: {e}")))
    }

    fn sync(&mut self) -> Result<u64> {
        std::io::stdout().flush().map_err(|e| Error::machine(format!("standard output cannot be written: {e}")))?;
        Ok(self.length)
    }
}
