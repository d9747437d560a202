//! The disk as the rules of POSIX leave it: what a sync covered stays, what it did not cover may go.
//!
//! Durable are the bytes and the size of a file after a sync of that file, and the names in a folder after a
//! sync of that folder. A sync of a new file does not keep its name, as some file systems do beyond the rules.

use crate::note::{Known, Note, Topic};
use crate::ops::{FileNo, History, Op};
use std::collections::BTreeMap;

/// Syncs that are taken as if they did nothing: a rule broken on purpose, to see that the loss is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Syncs of segment files.
    Segments,
    /// Syncs of the index and its log.
    Index,
    /// Syncs of folders.
    Folders,
    /// Syncs of segment files while two commits are under way: as if one sync would do for both.
    Overlap,
    /// None, but those of segment files last from the next acknowledgement on: as if the index did not wait for them.
    Order,
}

impl Broken {
    /// All of them, by name.
    pub const ALL: [(&'static str, Broken); 5] = [
        ("segment-sync", Broken::Segments),
        ("index-sync", Broken::Index),
        ("folder-sync", Broken::Folders),
        ("overlap-sync", Broken::Overlap),
        ("sync-order", Broken::Order),
    ];
}

/// A file on the disk.
#[derive(Debug, Default)]
pub struct Stored {
    /// What is there for certain.
    pub bytes: Vec<u8>,
    /// Operations on it that no sync covered, by number.
    pub loose: Vec<usize>,
}

/// What stands under which name in which folder.
pub type Names = BTreeMap<(FileNo, String), FileNo>;

/// The disk at one point of the history.
pub struct Disk<'a> {
    /// What happens to it.
    pub history: &'a History,
    /// The files, by number; of a folder nothing but its names counts.
    pub files: Vec<Stored>,
    /// The names that are there for certain.
    pub names: Names,
    /// Operations on names that no sync covered, by number.
    pub loose_names: Vec<usize>,
    /// What was tried and what was acknowledged.
    pub known: Known,
    /// Operations so far.
    pub now: usize,
    /// Syncs so far that made something durable.
    pub syncs: usize,
    /// Syncs of segments whose effect is put off: the file, and what they cover.
    late: Vec<(FileNo, usize)>,
    broken: Option<Broken>,
}

impl<'a> Disk<'a> {
    /// The disk before anything happened.
    pub fn new(history: &'a History, broken: Option<Broken>) -> Disk<'a> {
        let files = history.entries.iter().map(|_| Stored::default()).collect();
        let (names, loose_names, known) = (Names::new(), vec![], Known::default());
        Disk { history, files, names, loose_names, known, now: 0, syncs: 0, late: vec![], broken }
    }

    /// Goes on until that many operations happened.
    pub fn go_to(&mut self, cut: usize) {
        let history = self.history;
        for (i, op) in history.ops.iter().enumerate().take(cut).skip(self.now) {
            match op {
                Op::Names(_) => self.loose_names.push(i),
                Op::Write { file, .. } | Op::Size { file, .. } => self.files[*file].loose.push(i),
                Op::Said(note) => self.hear(*note),
                Op::Sync { file, .. } if self.ignored(*file) => {}
                Op::Sync { file, before } if history.entries[*file].folder => self.sync_names(*file, *before),
                Op::Sync { file, before } if self.put_off(*file) => self.late.push((*file, *before)),
                Op::Sync { file, before } => self.sync_bytes(*file, *before),
            }
        }
        self.now = self.now.max(cut);
    }

    fn hear(&mut self, note: Note) {
        self.known.hear(note);
        if note.done {
            std::mem::take(&mut self.late).into_iter().for_each(|(file, before)| self.sync_bytes(file, before));
        }
    }

    fn ignored(&self, file: FileNo) -> bool {
        let entry = &self.history.entries[file];
        match self.broken {
            None | Some(Broken::Order) => false,
            Some(Broken::Folders) => entry.folder,
            Some(Broken::Segments) => entry.is_segment(),
            Some(Broken::Index) => entry.is_index(),
            Some(Broken::Overlap) => entry.is_segment() && self.known.under_way(Topic::Commit) > 1,
        }
    }

    fn put_off(&self, file: FileNo) -> bool {
        self.broken == Some(Broken::Order) && self.history.entries[file].is_segment()
    }

    fn sync_names(&mut self, folder: FileNo, before: usize) {
        let loose = std::mem::take(&mut self.loose_names);
        for i in loose {
            let Some(Op::Names(changes)) = self.history.ops.get(i) else { continue };
            if i < before && changes.iter().any(|(f, _, _)| *f == folder) {
                rename(&mut self.names, changes);
                self.syncs += 1;
            } else {
                self.loose_names.push(i);
            }
        }
    }

    fn sync_bytes(&mut self, file: FileNo, before: usize) {
        let stored = &mut self.files[file];
        let covered = stored.loose.partition_point(|i| *i < before);
        for i in stored.loose.drain(..covered) {
            match &self.history.ops[i] {
                Op::Write { at, bytes, .. } => write(&mut stored.bytes, *at as usize, bytes),
                Op::Size { size, .. } => stored.bytes.resize(*size as usize, 0),
                _ => {}
            }
            self.syncs += 1;
        }
    }
}

/// Changes names, all at once.
pub fn rename(names: &mut Names, changes: &[(FileNo, String, Option<FileNo>)]) {
    for (folder, name, file) in changes {
        let at = (*folder, name.clone());
        match file {
            Some(file) => names.insert(at, *file),
            None => names.remove(&at),
        };
    }
}

fn write(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Entry, ROOT};

    fn history(ops: Vec<Op>) -> History {
        let entry = |folder, name: &str| Entry { folder, name: name.into() };
        History { ops, entries: vec![entry(true, "/"), entry(false, "1.seg")] }
    }

    fn make() -> Op {
        Op::Names(vec![(ROOT, "1.seg".into(), Some(1))])
    }

    fn write(at: u64, bytes: &[u8]) -> Op {
        Op::Write { file: 1, at, bytes: bytes.to_vec() }
    }

    #[test]
    fn a_sync_keeps_bytes_and_no_name() {
        let history = history(vec![make(), write(2, b"ab"), Op::Sync { file: 1, before: 2 }, write(0, b"cd")]);
        let mut disk = Disk::new(&history, None);
        disk.go_to(4);
        assert_eq!(disk.files[1].bytes, b"\0\0ab");
        assert_eq!(disk.files[1].loose, [3]);
        assert_eq!((disk.names.len(), disk.loose_names.len()), (0, 1), "the folder was not synced");
    }

    #[test]
    fn a_sync_covers_what_had_returned_when_it_began() {
        let history = history(vec![make(), write(0, b"a"), write(1, b"b"), Op::Sync { file: 1, before: 2 }]);
        let mut disk = Disk::new(&history, None);
        disk.go_to(4);
        assert_eq!(disk.files[1].bytes, b"a");
        assert_eq!(disk.files[1].loose, [2]);
    }

    #[test]
    fn a_broken_rule_syncs_nothing() {
        let ops = vec![make(), write(0, b"a"), Op::Sync { file: 1, before: 2 }, Op::Sync { file: ROOT, before: 3 }];
        let history = history(ops);
        let mut disk = Disk::new(&history, Some(Broken::Segments));
        disk.go_to(4);
        assert_eq!((disk.files[1].bytes.len(), disk.names.len()), (0, 1));
        let mut disk = Disk::new(&history, Some(Broken::Folders));
        disk.go_to(4);
        assert_eq!((disk.files[1].bytes.len(), disk.names.len()), (1, 0));
    }

    #[test]
    fn an_overlap_is_two_commits_under_way() {
        let said = |done, n| Op::Said(Note { done, topic: Topic::Commit, n });
        let sync = |before| Op::Sync { file: 1, before };
        let ops = vec![make(), write(0, b"a"), said(false, 1), said(false, 2), sync(4), said(true, 1), sync(6)];
        let history = history(ops);
        let mut disk = Disk::new(&history, Some(Broken::Overlap));
        disk.go_to(6);
        assert_eq!(disk.files[1].loose, [1]);
        disk.go_to(7);
        assert_eq!(disk.files[1].bytes, b"a", "the second commit is alone now");
    }
}
