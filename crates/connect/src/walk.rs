//! What a pattern of files matches: as in a shell, and every file once.

use crate::{goal, refused};
use anabranch_engine::{Error, Result};
use anabranch_flow::paths::{MATCH, is_pattern};
use glob::Pattern;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, relative to the folder, by name.
    pub files: Vec<PathBuf>,
    /// What is left out, each with why.
    pub left: Vec<String>,
}

/// A part of a pattern, between slashes.
enum Part {
    /// A name.
    Name(OsString),
    /// A pattern of names; one that has only brackets is a name where that is there.
    Names(Pattern, Option<OsString>),
    /// `**`: all folders below.
    Deep,
}

struct Walk<'w> {
    folder: &'w Path,
    /// Files and folders that nothing is taken from.
    without: HashSet<(u64, u64)>,
    parts: Vec<Part>,
    /// Folders to look into, each with the part that comes next; those behind links come last.
    near: VecDeque<(PathBuf, usize)>,
    linked: VecDeque<(PathBuf, usize)>,
    seen: HashSet<(usize, u64, u64)>,
    /// The files, by device and inode: whether a link leads there, and the path.
    files: BTreeMap<(u64, u64), Vec<(bool, PathBuf)>>,
    left: Vec<String>,
}

/// Finds the files that a pattern matches, but nothing of `without`.
pub fn walk(folder: &Path, pattern: &str, without: &[PathBuf]) -> Result<Found> {
    let mut parts = vec![];
    for part in pattern.split('/').filter(|p| !p.is_empty() && *p != ".") {
        parts.push(match part {
            "**" => Part::Deep,
            part if is_pattern(part) => {
                let compiled = Pattern::new(part)
                    .map_err(|e| Error::usage(format!("`{pattern}` is not a pattern of files: {e}")))?;
                Part::Names(compiled, (!part.contains(['*', '?'])).then(|| part.into()))
            }
            part => Part::Name(part.into()),
        });
    }
    if matches!(parts.last(), Some(Part::Deep)) {
        let all = Pattern::new("*").map_err(|e| Error::bug(e.to_string()))?;
        parts.push(Part::Names(all, None));
    }
    let root = if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    let mut walk = Walk {
        folder,
        without: without.iter().filter_map(|w| fs::metadata(w).ok()).map(|m| id(&m)).collect(),
        parts,
        near: [(root, 0)].into(),
        linked: VecDeque::new(),
        seen: HashSet::new(),
        files: BTreeMap::new(),
        left: vec![],
    };
    while let Some((at, part)) = walk.near.pop_front().or_else(|| walk.linked.pop_front()) {
        walk.look_into(&at, part)?;
    }
    Ok(walk.once())
}

fn id(data: &Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

impl Walk<'_> {
    fn look_into(&mut self, at: &Path, i: usize) -> Result<()> {
        let whole = self.folder.join(at);
        let data = match fs::metadata(&whole) {
            Ok(data) if data.is_dir() => data,
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(refused("cannot read the folder", &whole, &e)),
        };
        let (dev, inode) = id(&data);
        if self.without.contains(&(dev, inode)) || !self.seen.insert((i, dev, inode)) {
            return Ok(()); // links may go round in a circle
        }
        let names = match self.parts.get(i) {
            None => vec![],
            Some(Part::Name(name)) => vec![name.clone()],
            Some(Part::Names(_, Some(name))) if fs::symlink_metadata(whole.join(name)).is_ok() => vec![name.clone()],
            Some(Part::Names(pattern, _)) => {
                let (of_editor, pattern) = (is_copy(pattern.as_str()), pattern.clone());
                let mut names = entries(&whole)?;
                names.retain(|n| pattern.matches_with(&n.to_string_lossy(), MATCH));
                let is_last = i + 1 == self.parts.len();
                let left = names.extract_if(.., |n| is_last && !of_editor && is_copy(&n.to_string_lossy()));
                self.left.extend(left.map(|n| format!("{} (a copy that an editor made)", at.join(n).display())));
                names
            }
            Some(Part::Deep) => {
                self.near.push_back((at.to_path_buf(), i + 1));
                for name in entries(&whole)?.into_iter().filter(|n| !n.as_encoded_bytes().starts_with(b".")) {
                    self.enter(at.join(name), i);
                }
                vec![]
            }
        };
        for name in names {
            match i + 1 == self.parts.len() {
                true => self.take(at.join(name))?,
                false => self.enter(at.join(name), i + 1),
            }
        }
        Ok(())
    }

    fn enter(&mut self, at: PathBuf, i: usize) {
        match fs::symlink_metadata(self.folder.join(&at)) {
            Ok(data) if data.is_symlink() => self.linked.push_back((at, i)),
            Ok(data) if data.is_dir() => self.near.push_back((at, i)),
            _ => {}
        }
    }

    fn take(&mut self, at: PathBuf) -> Result<()> {
        let whole = self.folder.join(&at);
        let is_link = fs::symlink_metadata(&whole).is_ok_and(|m| m.is_symlink());
        match fs::metadata(&whole) {
            Ok(data) if data.is_dir() || self.without.contains(&id(&data)) => {}
            Ok(data) if data.is_file() => self.files.entry(id(&data)).or_default().push((is_link, at)),
            Ok(data) => self.left.push(format!("{} ({})", at.display(), goal::what(&data))),
            Err(_) if is_link => self.left.push(format!("{} (a link that leads nowhere)", at.display())),
            Err(e) if e.kind() == ErrorKind::NotFound => {} // it went away meanwhile
            Err(e) => return Err(refused("cannot inspect", &whole, &e)),
        }
        Ok(())
    }

    /// Each file once, under the name that is its own, else the first one.
    fn once(self) -> Found {
        let mut found = Found { files: vec![], left: self.left };
        for mut names in self.files.into_values() {
            names.sort();
            let mut names = names.into_iter().map(|(_, name)| name);
            let Some(first) = names.next() else { continue };
            found.left.extend(names.map(|n| format!("{} (another name of {})", n.display(), first.display())));
            found.files.push(first);
        }
        found.files.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        found.left.sort();
        found
    }
}

/// Names of what is in a folder.
fn entries(folder: &Path) -> Result<Vec<OsString>> {
    let failed = |e: std::io::Error| refused("cannot read the folder", folder, &e);
    let read = fs::read_dir(folder).map_err(failed)?;
    let names: std::io::Result<Vec<OsString>> = read.map(|e| e.map(|e: DirEntry| e.file_name())).collect();
    let mut names = names.map_err(failed)?;
    names.sort();
    Ok(names)
}

/// Whether a name is that of a copy that editors leave behind: `x~`, `#x#`.
fn is_copy(name: &str) -> bool {
    name.ends_with('~') || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;

    /// A folder with these files.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("has a folder")).expect("makes");
            fs::write(path, file).expect("writes");
        }
        dir
    }

    fn found(dir: &Path, pattern: &str) -> Vec<String> {
        let found = walk(dir, pattern, &[dir.join("data")]).expect("walks");
        found.files.iter().map(|f| f.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let dir = folder(&[
            "a.txt",
            ".b.txt",
            "sub/c.txt",
            "sub/.d/e.txt",
            ".h/f.txt",
            "sub/deep/g.txt",
            "data/h.txt",
            "d[1]/i.txt",
        ]);
        for (pattern, want) in [
            ("*.txt", vec!["a.txt"]),
            ("./*.txt", vec!["a.txt"]),
            ("?.txt", vec!["a.txt"]),
            ("[!b].txt", vec!["a.txt"]),
            (".*.txt", vec![".b.txt"]),
            ("*/*.txt", vec!["d[1]/i.txt", "sub/c.txt"]),
            ("**/*.txt", vec!["a.txt", "d[1]/i.txt", "sub/c.txt", "sub/deep/g.txt"]),
            ("**", vec!["a.txt", "d[1]/i.txt", "sub/c.txt", "sub/deep/g.txt"]),
            ("sub/**/g.txt", vec!["sub/deep/g.txt"]),
            (".h/*", vec![".h/f.txt"]),
            ("sub/../*.txt", vec!["sub/../a.txt"]),
            ("d[1]/*", vec!["d[1]/i.txt"]),
            ("no/*.txt", vec![]),
            ("a.txt/*", vec![]),
            ("data/*", vec![]),
        ] {
            assert_eq!(found(dir.path(), pattern), want, "{pattern}");
        }
        let whole = dir.path().join("*.txt");
        assert_eq!(found(Path::new("."), &whole.to_string_lossy()), [dir.path().join("a.txt").to_string_lossy()]);
    }

    #[test]
    fn links_in_a_circle_end_and_every_file_is_found_once() {
        let dir = folder(&["real/x.txt", "z.txt"]);
        let at = |p: &str| dir.path().join(p);
        symlink("..", at("real/up")).expect("links");
        symlink(".", at("here")).expect("links");
        symlink("../real", at("real/again")).expect("links");
        symlink("z.txt", at("a.txt")).expect("links");
        fs::hard_link(at("real/x.txt"), at("real/y.txt")).expect("links");
        symlink("nowhere", at("gone.txt")).expect("links");
        let found = walk(dir.path(), "**/*.txt", &[]).expect("ends");
        assert_eq!(found.files, [Path::new("real/x.txt"), Path::new("z.txt")]);
        let want = [
            "a.txt (another name of z.txt)",
            "gone.txt (a link that leads nowhere)",
            "real/y.txt (another name of real/x.txt)",
        ];
        assert_eq!(found.left, want);
    }

    #[test]
    fn a_folder_behind_a_link_is_looked_into() {
        let (dir, other) = (folder(&["a.txt"]), folder(&["b.txt"]));
        symlink(other.path(), dir.path().join("link")).expect("links");
        assert_eq!(found(dir.path(), "**/*.txt"), ["a.txt", "link/b.txt"]);
        assert_eq!(found(dir.path(), "link/*"), ["link/b.txt"]);
    }

    #[test]
    fn what_is_left_out_is_told_and_names_are_bytes() {
        let dir = folder(&["a", "a~", "#a#", "b"]);
        let name = OsString::from_vec(b"caf\xe9".to_vec());
        fs::write(dir.path().join(&name), "x").expect("writes");
        std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().expect("makes a pipe");
        let found = walk(dir.path(), "*", &[]).expect("walks");
        assert_eq!(found.files, [Path::new("a"), Path::new("b"), Path::new(&name)]);
        let copy = |n: &str| format!("{n} (a copy that an editor made)");
        assert_eq!(found.left, [copy("#a#"), copy("a~"), "pipe (a pipe)".into()]);
        assert_eq!(walk(dir.path(), "*~", &[]).expect("walks").files, [Path::new("a~")]);
    }
}
