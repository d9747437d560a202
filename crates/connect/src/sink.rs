//! Files as sinks.

use crate::through::{Stop, Through};
use crate::{failed, goal};
use anabranch_engine::{Error, Kind, Result};
use anabranch_flow::paths::beside;
use anabranch_run::world::{Goal, Opening, SinkFile, StillHeld};
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens what the path of a sink leads to: the file, or the device or pipe as it is.
pub fn open(path: &Path, how: Opening<'_>, held: StillHeld<'_>, stop: &Stop) -> Result<Box<dyn SinkFile>> {
    Ok(match goal::goal(path, how.replace)? {
        Goal::File(file, _) => Box::new(FileSink::open(&file, how, held)?),
        Goal::Through(leads) => Box::new(Through::open(&leads, how.resume, stop)?),
    })
}

/// A file that a run writes. One that replaces is written beside its place, as `NAME.partial`.
struct FileSink {
    file: File,
    path: std::path::PathBuf,
    length: u64,
}

fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("cannot sync", folder, &e))
}

/// Gives a file the owner and the rights of another one, and these rights on top.
fn like(file: &File, path: &Path, other: &Metadata, more: u32) -> Result<()> {
    let is = file.metadata().map_err(|e| failed("cannot inspect", path, &e))?;
    if (is.uid(), is.gid()) != (other.uid(), other.gid()) {
        std::os::unix::fs::fchown(file, Some(other.uid()), Some(other.gid())).map_err(|e| {
            failed("cannot give its owner and group to", path, &e)
                .help("the file that it replaces belongs to somebody else: add to it with  mode: append , or remove it")
        })?;
    }
    let rights = Permissions::from_mode((other.mode() & 0o7777) | more);
    file.set_permissions(rights).map_err(|e| failed("cannot give its rights to", path, &e))
}

impl FileSink {
    /// Opens the file and cuts it to what is committed; the tail is kept as `NAME.cut-RUN`.
    fn open(target: &Path, how: Opening<'_>, held: StillHeld<'_>) -> Result<FileSink> {
        let Opening { replace, run, resume, .. } = how;
        let path = if replace { beside(target, ".partial") } else { target.to_path_buf() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| failed("cannot make", folder, &e))?;
        }
        let was = fs::metadata(target).ok().filter(|_| replace);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32);
        if let Some(was) = &was {
            options.mode((was.mode() & 0o777) | WRITABLE); // nobody sees of the new file what he did not see of the old one
        }
        let (mut file, found) = loop {
            let file = options.open(&path).map_err(|e| failed("cannot write", &path, &e))?;
            let found = file.metadata().map_err(|e| failed("cannot inspect", &path, &e))?;
            if !found.is_file() {
                return Err(Error::usage(format!("{} is {}, and no file", path.display(), goal::what(&found)))
                    .help("the sink is written there: remove it"));
            }
            match try_lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::machine(format!("another process writes {}", path.display())));
                }
                Err(TryLockError::Error(e)) => return Err(failed("cannot lock", &path, &e)),
            }
            // who put an earlier file in its place meanwhile took this one away from here
            if fs::metadata(&path).is_ok_and(|is| (is.dev(), is.ino()) == (found.dev(), found.ino())) {
                break (file, found);
            }
        };
        if let Some(was) = &was {
            like(&file, &path, was, WRITABLE)?;
        }
        let found = found.len();
        let length = resume.unwrap_or(found);
        if found < length {
            let text = format!("{} has {found} bytes, {length} of them were committed", path.display());
            return Err(Error::machine(text).help("it was cut from outside: put it back, or start again with  --fresh"));
        }
        held()?; // while the file is locked nobody else writes it, or puts it in its place
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

/// What the owner may do with a file while it is written, whatever he may do with the one that it replaces.
const WRITABLE: u32 = 0o600;

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
        let rights = file.metadata()?.permissions();
        let mut tail = OpenOptions::new().write(true).create(true).truncate(true).mode(WRITABLE).open(&tail_path)?;
        tail.set_permissions(rights)?;
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

/// Puts `NAME.partial`, of this length, in the place of `NAME`, with the owner and the rights of the file that is there.
/// Done twice it does nothing.
pub fn publish(path: &Path, length: u64) -> Result<()> {
    let Goal::File(target, _) = goal::goal(path, true)? else { return Ok(()) };
    let partial = beside(&target, ".partial");
    let gone = || {
        Error::machine(format!("{} is gone: it was removed while the flow ran", partial.display()))
            .help("abandon this run with  --fresh ; its items are read again")
    };
    let is_there = || fs::metadata(&target).is_ok_and(|there| there.len() == length);
    let file = match File::open(&partial) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => None, // it has its rights, and they are not for us
        Err(e) if e.kind() == ErrorKind::NotFound => return if is_there() { Ok(()) } else { Err(gone()) },
        Err(e) => return Err(failed("cannot put in place", &target, &e)),
    };
    if let Some(file) = &file {
        // a process that was stopped for long may find the file of the next run here: that one is locked, or of another length
        let is = file.metadata().map_err(|e| failed("cannot look at", &partial, &e))?.len();
        let locked = matches!(try_lock(file), Err(TryLockError::WouldBlock));
        if is < length && is_there() {
            // what is committed was synced, and ours is in its place: a process that had stood still began the shorter one, or
            // the next run did, and whatever it has is its own
            return match is == 0 && !locked {
                true => fs::remove_file(&partial).map_err(|e| failed("cannot remove", &partial, &e)),
                false => Ok(()),
            };
        }
        if locked || is != length {
            let text = match locked {
                true => format!("another process writes {}", partial.display()),
                false => format!("{} has {is} bytes, and {length} were committed", partial.display()),
            };
            return Err(Error::new(Kind::Doubt, text));
        }
    }
    if let (Some(file), Ok(was)) = (&file, fs::metadata(&target)) {
        like(file, &partial, &was, 0)?;
        file.sync_all().map_err(|e| failed("cannot sync", &partial, &e))?;
    }
    fs::rename(&partial, &target).map_err(|e| failed("cannot put in place", &target, &e))?;
    sync_folder(&target)
}

/// Puts `NAME.partial` where `TO.partial` is. Done twice it does nothing.
pub fn put_aside(path: &Path, to: &Path) -> Result<()> {
    let (Goal::File(target, _), Goal::File(to, _)) = (goal::goal(path, true)?, goal::goal(to, true)?) else {
        return Ok(());
    };
    match fs::rename(beside(&target, ".partial"), beside(&to, ".partial")) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("cannot put aside", &target, &e)),
        _ => sync_folder(&to),
    }
}

/// The length of the file that was put in place.
pub fn length(path: &Path) -> Option<u64> {
    let Ok(Goal::File(target, _)) = goal::goal(path, true) else { return None };
    fs::metadata(target).ok().filter(Metadata::is_file).map(|is| is.len())
}

/// Writes the beginning of a file that was put in place into another one.
pub fn copy(path: &Path, length: u64, to: &mut dyn SinkFile) -> Result<()> {
    let mut file = File::open(path).map_err(|e| failed("cannot read", path, &e))?;
    let (mut left, mut buffer) = (length, vec![0; 1 << 16]);
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = file.read(&mut buffer[..most]).map_err(|e| failed("cannot read", path, &e))?;
        if n == 0 {
            return Err(Error::machine(format!("{} was cut while it was read", path.display())));
        }
        to.write(&buffer[..n])?;
        left -= n as u64;
    }
    Ok(())
}

/// Removes `NAME.partial`.
pub fn discard(path: &Path) -> Result<()> {
    let Goal::File(target, _) = goal::goal(path, true)? else { return Ok(()) };
    match fs::remove_file(beside(&target, ".partial")) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("cannot remove", path, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn opened(path: &Path, run: u64) -> Result<Box<dyn SinkFile>> {
        let how = Opening { path: "", replace: true, run, resume: Some(0) };
        open(path, how, &mut || Ok(()), &Stop::default())
    }

    /// Replaces what is at this path with `new`.
    fn replaced(path: &Path) {
        let mut sink = opened(path, 1).expect("opens");
        sink.write(b"new").expect("writes");
        let length = sink.sync().expect("syncs");
        drop(sink);
        publish(path, length).expect("is put in place");
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").mode() & 0o7777
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_owner_and_its_rights() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        for rights in [0o600, 0o644, 0o666, 0o400, 0o4750] {
            fs::write(&path, "old").expect("writes");
            std::os::unix::fs::chown(&path, Some(4711), Some(4712)).expect("this test runs as root");
            fs::set_permissions(&path, Permissions::from_mode(rights)).expect("sets");
            let sink = opened(&path, 1).expect("opens");
            assert_eq!(mode(&beside(&path, ".partial")), rights | 0o600, "while it is written");
            drop(sink);
            replaced(&path);
            let found = fs::metadata(&path).expect("is there");
            assert_eq!((found.uid(), found.gid(), mode(&path)), (4711, 4712, rights));
            assert_eq!(fs::read(&path).expect("reads"), b"new");
            fs::remove_file(&path).expect("removes");
        }
    }

    #[test]
    fn a_file_of_another_run_is_not_put_in_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        fs::write(&path, "done").expect("writes");
        let mut next = opened(&path, 2).expect("opens");
        next.write(b"half").expect("writes");
        next.sync().expect("syncs");
        let late = publish(&path, 4).expect_err("it is at work");
        assert_eq!(late.kind, Kind::Doubt, "{late}");
        drop(next);
        let late = publish(&path, 3).expect_err("it is another one's");
        assert_eq!(late.kind, Kind::Doubt, "{late}");
        assert_eq!(fs::read(&path).expect("reads"), b"done");
        publish(&path, 4).expect("its own");
        assert_eq!(fs::read(&path).expect("reads"), b"half");
    }

    #[test]
    fn what_is_in_its_place_stays_there_whatever_is_begun_behind_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        replaced(&path);
        opened(&path, 1).expect("opens").write(b"n").expect("writes"); // by a process that stood still, or by the next run
        publish(&path, 3).expect("is there already");
        assert_eq!(fs::read(&path).expect("reads"), b"new");
        assert_eq!(fs::read(beside(&path, ".partial")).expect("reads"), b"n");
        fs::write(beside(&path, ".partial"), "").expect("writes");
        publish(&path, 3).expect("is there already");
        assert!(!beside(&path, ".partial").exists());
        let how = Opening { path: "", replace: true, run: 1, resume: Some(0) };
        let not_held = &mut || Err(Error::new(Kind::Doubt, "the lane is lost"));
        let late = open(&path, how, not_held, &Stop::default()).err().expect("does not open");
        assert_eq!(late.kind, Kind::Doubt, "{late}");
        publish(&path, 3).expect("is there already");
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let (link, target) = (dir.path().join("link"), dir.path().join("sub/target"));
        symlink("sub/target", &link).expect("links");
        for _ in 0..2 {
            replaced(&link); // first it leads to nothing yet
            assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
            assert_eq!(fs::read(&target).expect("reads"), b"new");
            fs::write(&target, "old").expect("writes");
        }
    }

    #[test]
    fn what_stands_where_the_new_file_is_written_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        fs::write(dir.path().join("other"), "mine").expect("writes");
        symlink("other", beside(&path, ".partial")).expect("links");
        assert!(opened(&path, 1).is_err());
        assert_eq!(fs::read(dir.path().join("other")).expect("reads"), b"mine");
    }
}
