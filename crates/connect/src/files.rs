//! Finding the files of a source, and telling whether they are still what they were.

use crate::{failed, goal, refused, walk};
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::paths;
use anabranch_run::world::{Listed, Manifest, Written};
use glob::{MatchOptions, Pattern};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes at the start of a file, and at the end of what is read of it, that tell it from another one.
const TOLD_BY: u64 = 4 << 10;

/// Lists the files of a path or pattern, by name. A pattern that matches nothing is an empty source; a path must be
/// there, and one that is there as it is written is no pattern. Nothing of `data` is a source, nor what the flow has
/// `written`.
pub fn survey(folder: &Path, pattern: &str, data: &[PathBuf], written: &[Written]) -> Result<Manifest> {
    let own = Own::new(folder, written);
    let at = folder.join(pattern);
    if !paths::is_pattern(pattern) || fs::symlink_metadata(&at).is_ok() {
        let file = listed(folder, Path::new(pattern))?;
        if own.has(&at) {
            return Err(Error::usage(format!("the source {} is what the flow writes itself", at.display()))
                .help("write to another file, and put it in place when the run is done"));
        }
        if data.iter().any(|d| is_in(&at, d)) {
            return Err(Error::usage(format!("the source {} is in the data directory", at.display()))
                .help("what is kept there is read with  anabranch consume"));
        }
        return Ok(Manifest { files: vec![file], ..Manifest::default() });
    }
    let mut found = walk::walk(folder, pattern, data)?;
    let is_own = |path: &mut PathBuf| own.has(&folder.join(path));
    // what the flow says itself it writes is told by the check
    let spelled = |p: &PathBuf| written.iter().any(|w| text(w).is_some_and(|w| paths::plain(w) == paths::plain(p)));
    let outputs: Vec<PathBuf> = found.files.extract_if(.., is_own).filter(|p| !spelled(p)).collect();
    found.left.extend(outputs.iter().map(|p| format!("{} (the flow writes it)", p.display())));
    let files = found.files.iter().map(|path| listed(folder, path)).collect::<Result<_>>()?;
    Ok(Manifest { files, notes: told(pattern, &found.left).into_iter().collect(), ..Manifest::default() })
}

/// What of a pattern's files is left out.
fn told(pattern: &str, left: &[String]) -> Option<String> {
    let more = match left.len().checked_sub(limits::LEFT_OUT_TOLD) {
        Some(n @ 1..) => format!(" and {n} more"),
        _ => String::new(),
    };
    let some = left.iter().take(limits::LEFT_OUT_TOLD).cloned().collect::<Vec<_>>().join(", ");
    (!left.is_empty()).then(|| format!("files that match {pattern} but are not read: {some}{more}"))
}

fn text(written: &Written) -> Option<String> {
    written.pieces.iter().cloned().collect()
}

fn is_in(path: &Path, folder: &Path) -> bool {
    matches!((path.canonicalize(), folder.canonicalize()), (Ok(path), Ok(folder)) if path.starts_with(&folder))
}

/// What a flow writes: its sinks, and what is beside them while they are written or after a crash.
struct Own {
    paths: Vec<Pattern>,
    /// Files that are added to, under whatever name.
    ids: Vec<(u64, u64)>,
}

impl Own {
    fn new(folder: &Path, written: &[Written]) -> Own {
        let (mut paths, mut ids) = (vec![], vec![]);
        for one in written {
            let glob = match text(one) {
                Some(path) => {
                    let found = fs::metadata(folder.join(&path)).ok().filter(|m| one.adds && m.is_file());
                    ids.extend(found.map(|m| (m.dev(), m.ino())));
                    goal::lead(&folder.join(path)).ok().map(|p| Pattern::escape(&p.to_string_lossy()))
                }
                None => templated(folder, &one.pieces),
            };
            let Some(glob) = glob else { continue };
            let all = ["", ".partial", ".cut-*", ".batch-*", ".batch-*.partial"];
            paths.extend(all.iter().filter_map(|more| Pattern::new(&format!("{glob}{more}")).ok()));
        }
        Own { paths, ids }
    }

    fn has(&self, path: &Path) -> bool {
        const ANY: MatchOptions =
            MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let added_to = || fs::metadata(path).is_ok_and(|m| self.ids.contains(&(m.dev(), m.ino())));
        self.paths.iter().any(|p| p.matches_with(&whole.to_string_lossy(), ANY)) || added_to()
    }
}

/// The pattern of what a path with expressions in it can be.
fn templated(folder: &Path, pieces: &[Option<String>]) -> Option<String> {
    let first = pieces.first().cloned().flatten().unwrap_or_default();
    let (head, rest) = first.rsplit_once('/').map_or(("", first.as_str()), |(head, rest)| (head, rest));
    let head = if head.is_empty() && first.starts_with('/') { "/" } else { head };
    let whole = goal::lead(&folder.join(head)).ok()?;
    let others = pieces.iter().skip(1).map(|p| p.as_ref().map_or("*".into(), |text| Pattern::escape(text)));
    let head = Pattern::escape(whole.to_string_lossy().trim_end_matches('/'));
    let begins = if pieces.first().is_some_and(Option::is_none) { "*" } else { "" };
    Some(format!("{head}/{begins}{}{}", Pattern::escape(rest), others.collect::<String>()))
}

/// The path of a file of a manifest.
pub fn path(folder: &Path, file: &Listed) -> PathBuf {
    folder.join(file.raw.as_ref().map_or(OsStr::new(&file.path), |raw| OsStr::from_bytes(raw)))
}

/// A path as text: bytes that are not UTF-8 are shown, so that two paths differ as text too.
fn shown(path: &Path) -> (String, Option<Vec<u8>>) {
    let bytes = path.as_os_str().as_bytes();
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.to_string(), None);
    }
    let chunk = |c: std::str::Utf8Chunk<'_>| {
        let rest: String = c.invalid().iter().map(|b| format!("\\x{b:02x}")).collect();
        c.valid().to_string() + &rest
    };
    (bytes.utf8_chunks().map(chunk).collect(), Some(bytes.to_vec()))
}

/// Opens a file to read it; never waits for the other side of a pipe.
pub fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)
}

fn listed(folder: &Path, path: &Path) -> Result<Listed> {
    let at = folder.join(path);
    let missing = |e: &std::io::Error| match e.kind() {
        ErrorKind::NotFound => match fs::read_link(&at) {
            Ok(to) => Error::usage(format!("{} is a link to {}, which is not there", at.display(), to.display())),
            Err(_) => Error::usage(format!("the file {} is not there", at.display()))
                .help("paths are relative to the folder of the flow"),
        },
        _ => refused("cannot read the file", &at, e),
    };
    let is_file = |data: &Metadata| match data.is_file() {
        true => Ok(()),
        false if data.is_dir() => Err(Error::usage(format!("{} is not a file", at.display()))
            .help("a folder is read with a pattern:  in/*.jsonl")),
        false => Err(Error::usage(format!("{} is not a file but {}", at.display(), goal::what(data)))
            .help("what comes through a pipe is read with  source: stdin :  anabranch run < PIPE")),
    };
    is_file(&fs::metadata(&at).map_err(|e| missing(&e))?)?; // looked at first: to open it may do something
    let file = open(&at).map_err(|e| missing(&e))?;
    let data = file.metadata().map_err(|e| missing(&e))?;
    is_file(&data)?;
    let (path, raw) = shown(path);
    Ok(Listed { path, raw, hash: hash(&file, data.len()).map_err(|e| missing(&e))?, ..identity(&data) })
}

/// Everything of a file that must stay the same, but its path and hash.
fn identity(data: &Metadata) -> Listed {
    let modified = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
    Listed { id: (data.dev(), data.ino()), length: data.len(), modified, ..Listed::default() }
}

/// Of the first bytes and the last ones, in a file of this length.
fn hash(file: &File, length: u64) -> std::io::Result<u64> {
    let mut ends = vec![0; length.min(TOLD_BY) as usize];
    file.read_exact_at(&mut ends, 0)?;
    if length > TOLD_BY {
        let last = length.saturating_sub(TOLD_BY).max(TOLD_BY);
        let had = ends.len();
        ends.resize(had + (length - last) as usize, 0);
        file.read_exact_at(&mut ends[had..], last)?;
    }
    Ok(xxhash_rust::xxh3::xxh3_64(&ends))
}

/// Fails unless the bytes that were there when the run opened are there now. What a file has grown by since is the next
/// run's.
pub fn verify(folder: &Path, was: &Listed) -> Result<()> {
    let at = path(folder, was);
    match open(&at) {
        Ok(file) => verify_open(&at, &file, was),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(changed(&at, "went away")),
        Err(e) => Err(failed("cannot read", &at, &e)),
    }
}

/// The same of a file that is open.
pub fn verify_open(at: &Path, file: &File, was: &Listed) -> Result<()> {
    let is = identity(&file.metadata().map_err(|e| failed("cannot inspect", at, &e))?);
    if is.length < was.length {
        return Err(changed(at, &format!("shrank from {} to {} bytes", was.length, is.length)));
    }
    let same = hash(file, was.length).map_err(|e| failed("cannot read", at, &e))? == was.hash;
    let untouched = is.modified == was.modified && is.length == was.length;
    let whole = was.length <= 2 * TOLD_BY; // then all of it was compared
    match same && (whole || untouched || (is.id == was.id && is.length > was.length)) {
        true => Ok(()), // another inode of the same content and time: it was moved away and put back
        false if is.id != was.id => Err(changed(at, "was replaced by another one")),
        false => Err(changed(at, "was changed")),
    }
}

fn changed(at: &Path, how: &str) -> Error {
    Error::machine(format!("the file {} {how} since the run opened", at.display())).help(
        "the run stays open: with the file as it was (mv, or cp -p from a copy) it continues;  --fresh  abandons it and \
         reads the files as they are now",
    )
}

/// Whether a file is longer than it was when the run opened.
pub fn has_grown(file: &File, was: &Listed) -> bool {
    file.metadata().is_ok_and(|m| m.len() > was.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn one(dir: &Path) -> Listed {
        survey(dir, "f", &[], &[]).expect("is there").files.remove(0)
    }

    #[test]
    fn a_file_that_grew_is_the_same_and_every_other_change_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path().join("f");
        let content = b"0123456789".repeat(1_000);
        let change = |with: &dyn Fn()| {
            fs::write(&at, &content).expect("writes");
            let was = one(dir.path());
            with();
            verify(dir.path(), &was)
        };
        let append = || {
            let mut file = OpenOptions::new().append(true).open(&at).expect("opens");
            file.write_all(b"more").expect("writes");
        };
        change(&append).expect("it only grew");
        let of = |content: &[u8]| fs::write(&at, content).expect("writes");
        let says = |with: &dyn Fn(), how: &str| {
            let e = change(with).expect_err(how);
            assert!(e.text.contains(how), "{e}");
        };
        says(&|| of(&content[..9_000]), "shrank from 10000 to 9000");
        says(&|| fs::remove_file(&at).expect("removes"), "went away");
        for i in [0, 5_910, 9_999] {
            let mut other = content.clone();
            other[i] = b'x';
            other.extend(b"more");
            says(&|| of(&other), "was changed");
        }
        let replace = || {
            fs::write(dir.path().join("g"), b"other").expect("writes");
            fs::rename(dir.path().join("g"), &at).expect("moves");
        };
        says(&replace, "shrank");
        let put_back = || {
            let copied = std::process::Command::new("cp").arg("-p").arg(&at).arg(dir.path().join("g")).status();
            assert!(copied.expect("copies").success());
            fs::rename(dir.path().join("g"), &at).expect("moves");
        };
        change(&put_back).expect("it is what it was");
        let touch = || File::open(&at).and_then(|f| f.set_modified(std::time::UNIX_EPOCH)).expect("sets");
        says(&touch, "was changed"); // in the middle, for all that is known
        let small = b"small\n";
        of(small);
        let was = one(dir.path());
        touch();
        verify(dir.path(), &was).expect("nothing of it has changed");
        of(b"smaLl\n");
        verify(dir.path(), &was).expect_err("a letter of it has");
    }

    #[test]
    fn own_files_and_the_data_directory_are_no_sources() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |p: &str| dir.path().join(p);
        for name in ["a.txt", "out.txt", "out.txt.partial", "day-1.txt", "day-2.txt.partial", "x.txt"] {
            fs::write(at(name), name).expect("writes");
        }
        fs::create_dir(at("data")).expect("makes");
        fs::write(at("data/a.txt"), "x").expect("writes");
        std::os::unix::fs::symlink(".", at("link")).expect("links");
        let some = |text: &str| Some(text.to_string());
        let written = [
            Written { pieces: vec![some("link/out.txt")], adds: false },
            Written { pieces: vec![some("day-"), None, some(".txt")], adds: false },
            Written { pieces: vec![some("log")], adds: true },
        ];
        fs::write(at("log"), "x").and_then(|()| fs::hard_link(at("log"), at("log-2"))).expect("writes");
        let data = [at("data")];
        let survey = |pattern: &str| survey(dir.path(), pattern, &data, &written);
        let found = survey("**/*").expect("finds");
        let names: Vec<&str> = found.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(names, ["a.txt", "x.txt"]);
        assert!(found.notes[0].contains("out.txt (the flow writes it)"), "{:?}", found.notes);
        assert!(survey("out.txt").expect_err("own").text.contains("what the flow writes itself"));
        assert!(survey("log-2").expect_err("own").text.contains("what the flow writes itself"));
        assert!(survey("day-3.txt").expect_err("own").text.contains("is not there"));
        assert!(survey("day-1.txt").expect_err("own").text.contains("what the flow writes itself"));
        assert!(survey("data/a.txt").expect_err("ours").text.contains("in the data directory"));
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_read_and_a_path_that_is_there_is_no_pattern() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = OsStr::from_bytes(b"caf\xe9.txt");
        fs::write(dir.path().join(name), "x").expect("writes");
        let found = survey(dir.path(), "*.txt", &[], &[]).expect("finds").files.remove(0);
        assert_eq!(found.path, "caf\\xe9.txt");
        let found: Listed = serde_json::from_slice(&serde_json::to_vec(&found).expect("writes")).expect("reads");
        assert_eq!(path(dir.path(), &found), dir.path().join(name));
        verify(dir.path(), &found).expect("is the same");
        for name in ["d[1].txt", "what?.txt", "a*.txt"] {
            fs::write(dir.path().join(name), "x").expect("writes");
            fs::write(dir.path().join("d1.txt"), "x").expect("writes");
            let found = survey(dir.path(), name, &[], &[]).expect("finds").files;
            assert_eq!(found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        std::process::Command::new("mkfifo").arg(dir.path().join("f")).status().expect("makes a pipe");
        let e = survey(dir.path(), "f", &[], &[]).expect_err("a pipe");
        assert!(e.text.contains("is not a file but a pipe"), "{e}");
    }
}
