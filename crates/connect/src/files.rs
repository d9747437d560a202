//! Finding the files of a source.

use crate::failed;
use anabranch_engine::{Error, Result};
use anabranch_flow::run::io::{Listed, Manifest};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes at the start of a file that tell it from another one.
const TOLD_BY: u64 = 4 << 10;

/// Lists the files of a path or pattern, by name. A pattern that matches nothing is an empty source; a path must be there.
pub fn survey(folder: &Path, pattern: &str) -> Result<Manifest> {
    let is_pattern = pattern.contains(['*', '?', '[']);
    if !is_pattern {
        return Ok(Manifest { files: vec![listed(folder, pattern)?], ..Manifest::default() });
    }
    let whole = Path::new(&glob::Pattern::escape(&folder.to_string_lossy())).join(pattern);
    let paths = glob::glob(&whole.to_string_lossy())
        .map_err(|e| Error::usage(format!("`{pattern}` is not a pattern of files: {e}")))?;
    let mut files = vec![];
    for path in paths {
        let path = path.map_err(|e| failed("cannot look at", e.path(), e.error()))?;
        if path.is_file() {
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            files.push(listed(folder, &relative.to_string_lossy())?);
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Manifest { files, ..Manifest::default() })
}

fn listed(folder: &Path, path: &str) -> Result<Listed> {
    let at = folder.join(path);
    let missing = |e: &std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::usage(format!("the file {} is not there", at.display()))
            .help("paths are relative to the folder of the flow"),
        _ => Error::usage(format!("the file {} cannot be read: {e}", at.display())),
    };
    let file = File::open(&at).map_err(|e| missing(&e))?;
    let data = file.metadata().map_err(|e| missing(&e))?;
    if !data.is_file() {
        return Err(Error::usage(format!("{} is not a file", at.display()))
            .help("a folder is read with a pattern:  in/*.jsonl"));
    }
    Ok(Listed { path: path.to_string(), hash: hash(&file, data.len()).map_err(|e| missing(&e))?, ..identity(&data) })
}

/// Everything of a file that must stay the same, but its path and hash.
fn identity(data: &Metadata) -> Listed {
    let modified = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
    Listed { id: (data.dev(), data.ino()), length: data.len(), modified, ..Listed::default() }
}

fn hash(file: &File, length: u64) -> std::io::Result<u64> {
    let mut head = vec![];
    file.take(TOLD_BY.min(length)).read_to_end(&mut head)?;
    Ok(xxhash_rust::xxh3::xxh3_64(&head))
}

/// Fails if the file is not what it was when the run opened.
pub fn verify(folder: &Path, was: &Listed) -> Result<()> {
    let at = folder.join(&was.path);
    let changed = |how: String| {
        Error::machine(format!("the file {} {how} while it was read", at.display()))
            .help("the run stays open: put the file back as it was and run again, or begin anew with  --fresh")
    };
    let data = fs::metadata(&at).map_err(|e| changed(format!("went away ({e})")))?;
    let is = identity(&data);
    if is.id != was.id {
        return Err(changed("was replaced by another one".into()));
    }
    if is.length != was.length {
        let how = if is.length < was.length { "shrank" } else { "grew" };
        return Err(changed(format!("{how} from {} to {} bytes", was.length, is.length)));
    }
    let same_head = File::open(&at).and_then(|f| hash(&f, was.length)).is_ok_and(|h| h == was.hash);
    if is.modified != was.modified || !same_head {
        return Err(changed("was changed".into()));
    }
    Ok(())
}
