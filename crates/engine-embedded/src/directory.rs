//! The directory: made, checked, and locked for those who must be alone.

use anabranch_engine::{Error, FlowId, Kind, Result};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Makes the directory and its folders; every new name is synced into its parent.
pub fn prepare(dir: &Path) -> Result<()> {
    // The index is made last: where it is, all of this was made and synced before.
    if !dir.join("index.db").is_file() {
        for folder in ["seg", "flow"] {
            fs::create_dir_all(dir.join(folder)).map_err(|e| machine("cannot make the data directory", dir, &e))?;
        }
        sync_dir(dir)?;
        let whole = dir.canonicalize().map_err(|e| machine("cannot inspect the data directory", dir, &e))?;
        for (i, above) in whole.ancestors().skip(1).enumerate() {
            match sync_dir(above) {
                Err(e) if i == 0 => return Err(e),
                _ => {} // folders further up may be closed to us; those that we made are not
            }
        }
    }
    let kind = rustix::fs::statfs(dir).map_err(|e| machine("cannot inspect the data directory", dir, &e.into()))?;
    match network_name(kind.f_type as u64) {
        None => Ok(()),
        Some(name) => {
            Err(Error::usage(format!("the data directory {} is on {name}, a network file system", dir.display()))
                .help("locks and syncs cannot be trusted there: take a local disk with --data DIR"))
        }
    }
}

/// The name of a network file system, by its number in `statfs(2)`.
fn network_name(magic: u64) -> Option<&'static str> {
    Some(match magic & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x5346_414f => "AFS",
        0x00c3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        _ => return None,
    })
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| machine("cannot sync the directory", dir, &e))
}

/// Opens a file for locking, made if it is not there.
pub fn lock_file(path: &Path) -> Result<File> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    open.map_err(|e| machine("cannot open", path, &e))
}

/// Takes the one seat of a flow, or says who sits there.
pub fn take_seat(path: &Path, flow: &str) -> Result<File> {
    let mut file = lock_file(path)?;
    match try_lock(&file) {
        Ok(()) => {
            let note = format!("process {} since {}", std::process::id(), since());
            let written = file.set_len(0).and_then(|()| file.write_all(note.as_bytes()));
            written.map_err(|e| machine("cannot write", path, &e))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut who).map(|_| ()));
            Err(Error::new(Kind::Busy, format!("the flow {flow} is already running here: {who}"))
                .help("wait for it, or stop it with Ctrl-C; two runs of one flow cannot share a data directory"))
        }
        Err(TryLockError::Error(e)) => Err(machine("cannot lock", path, &e)),
    }
}

/// Where the seat of a flow is.
pub fn seat(dir: &Path, flow: &FlowId) -> PathBuf {
    dir.join("flow").join(format!("{flow}.lock"))
}

/// Who has a seat; `None` if it is free.
pub fn seated(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            file.read_to_string(&mut who).ok()?;
            Some(who)
        }
        _ => None,
    }
}

/// A child of a killed process can hold its locks for the moment between fork and exec:
/// who finds a lock taken looks again a few times.
pub fn try_lock(file: &File) -> std::result::Result<(), TryLockError> {
    const LOOKS: u32 = 20;
    for _ in 1..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(std::time::Duration::from_millis(10)),
            other => return other,
        }
    }
    file.try_lock()
}

fn since() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (h, m, s) = (now / 3600 % 24, now / 60 % 60, now % 60);
    format!("{h:02}:{m:02}:{s:02} UTC")
}

/// A machine error that names the path.
pub fn machine(what: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::machine(format!("{what} {}: {e}", path.display()));
    match e.kind() {
        std::io::ErrorKind::StorageFull => {
            error.help("free some space on that disk and run again: what was committed stays")
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            error.help("the directory must be writable; another one can be given with --data DIR")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_named() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("SMB"));
        assert_eq!(network_name(0xef53), None, "ext4");
        assert_eq!(network_name(0x0102_1994), None, "tmpfs");
    }

    #[test]
    fn the_second_seat_names_the_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f.lock");
        let first = take_seat(&path, "f").expect("free");
        let e = take_seat(&path, "f").expect_err("taken");
        assert_eq!(e.kind, Kind::Busy);
        assert!(e.text.contains(&format!("process {}", std::process::id())), "{e}");
        drop(first);
        take_seat(&path, "f").expect("free again");
    }
}
