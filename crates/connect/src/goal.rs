//! What the path of a sink leads to: links are followed, devices and pipes are told from files.

use crate::refused;
use anabranch_engine::{Error, Result};
use anabranch_flow::paths;
use anabranch_run::world::Goal;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Links that are followed one after the other, as many as Linux follows.
const LINKS: usize = 40;

/// The path without links, also where nothing is there yet. What leads to an open file of a process
/// (`/dev/stdout`, `/proc/self/fd/1`) stays as it is.
pub fn lead(path: &Path) -> std::io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..LINKS {
        if !fs::symlink_metadata(&at).is_ok_and(|m| m.is_symlink()) {
            return Ok(whole(&at));
        }
        let folder = whole(at.parent().unwrap_or(Path::new("")));
        if folder.starts_with("/proc") {
            return Ok(folder.join(at.file_name().unwrap_or_default()));
        }
        at = folder.join(fs::read_link(&at)?);
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// The path from the root. What of it is not there yet is taken as it is written.
fn whole(path: &Path) -> PathBuf {
    let path = if path.is_absolute() { path.to_path_buf() } else { Path::new(".").join(path) };
    for there in path.ancestors() {
        if let Ok(found) = there.canonicalize() {
            let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
            return paths::plain(found.join(rest));
        }
    }
    path
}

/// What a sink's path leads to; fails if nothing can be stored there.
pub fn goal(path: &Path, replace: bool) -> Result<Goal> {
    let leads = lead(path).map_err(|e| refused("cannot follow the link", path, &e))?;
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Goal::File(leads, None)),
        Err(e) => return Err(refused("cannot inspect the sink", path, &e)),
    };
    let kind = found.file_type();
    if kind.is_dir() {
        return Err(Error::usage(format!("the sink {} is a folder", path.display()))
            .help("name a file in it:  sink: FOLDER/FILE.jsonl"));
    }
    if kind.is_fifo() || kind.is_char_device() || leads.starts_with("/proc") {
        return Ok(Goal::Through(leads));
    }
    if !kind.is_file() {
        return Err(Error::usage(format!("the sink {} is {}, and no file", path.display(), what(&found))));
    }
    if replace && let Some(who) = others(&found) {
        let text = format!("the sink {} belongs to another {who}; a new file in its place would not", path.display());
        return Err(Error::usage(text).help("add to it with  mode: append , or remove it first"));
    }
    Ok(Goal::File(leads, Some((found.dev(), found.ino()))))
}

/// The user or the group that a file belongs to, and that we cannot give to another file.
fn others(found: &Metadata) -> Option<&'static str> {
    use rustix::process::{getegid, geteuid, getgroups};
    let (me, group) = (geteuid(), found.gid());
    if me.is_root() {
        return None;
    }
    let mine = || getegid().as_raw() == group || getgroups().is_ok_and(|all| all.iter().any(|g| g.as_raw() == group));
    if found.uid() != me.as_raw() { Some("user") } else { (!mine()).then_some("group") }
}

/// What something is that is no file.
pub fn what(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_spellings_of_a_path_lead_to_one_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |p: &str| dir.path().join(p);
        fs::create_dir_all(at("real/sub")).expect("makes");
        symlink("real", at("link")).expect("links");
        symlink("real/x.txt", at("to-x")).expect("links");
        symlink("to-x", at("to-to-x")).expect("links");
        let x = dir.path().canonicalize().expect("is there").join("real/x.txt");
        for there in [false, true] {
            for path in ["real/x.txt", "real/../real/x.txt", "link/x.txt", "link/sub/../x.txt", "to-x", "to-to-x"] {
                assert_eq!(lead(&at(path)).expect("leads somewhere"), x, "{path}, there: {there}");
            }
            fs::write(&x, "x").expect("writes");
        }
        symlink("round", at("round")).expect("links");
        assert_eq!(goal(&at("round"), true).expect_err("a circle").kind, anabranch_engine::Kind::Usage);
    }

    #[test]
    fn what_is_no_file_is_written_through_or_refused() {
        let through = |path: &str| Goal::Through(path.into());
        assert_eq!(goal(Path::new("/dev/null"), true).expect("a device"), through("/dev/null"));
        let own = |fd: u32| through(&format!("/proc/{}/fd/{fd}", std::process::id()));
        for (path, fd) in [("/dev/stdout", 1), ("/dev/fd/1", 1), ("/proc/self/fd/2", 2), ("/dev/stderr", 2)] {
            assert_eq!(goal(Path::new(path), true).expect("is open"), own(fd), "{path}");
        }
        let dir = tempfile::tempdir().expect("a folder");
        assert!(goal(dir.path(), true).expect_err("a folder").text.contains("is a folder"));
        let socket = dir.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).expect("binds");
        assert!(goal(&socket, true).expect_err("a socket").text.contains("a socket"));
    }
}
