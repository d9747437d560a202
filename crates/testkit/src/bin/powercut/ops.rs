//! What the workload did to the disk, as a list of operations on numbered files.

use crate::note::Note;
use std::collections::BTreeSet;
use std::ops::Range;

/// A file or a folder, by its number. It keeps it whatever it is called.
pub type FileNo = usize;
/// The folder that everything happens in. It was there before.
pub const ROOT: FileNo = 0;

/// One operation.
#[derive(Debug)]
pub enum Op {
    /// Names changed, all at once: what stands there now, or nothing.
    Names(Vec<(FileNo, String, Option<FileNo>)>),
    /// Bytes were written.
    Write {
        /// To which file.
        file: FileNo,
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The size was set.
    Size {
        /// Of which file.
        file: FileNo,
        /// To how many bytes.
        size: u64,
    },
    /// A file or folder was synced.
    Sync {
        /// Which one.
        file: FileNo,
        /// It covers the operations before this one: those that had returned when it began.
        before: usize,
    },
    /// The workload noted something.
    Said(Note),
}

/// A file or a folder.
#[derive(Debug)]
pub struct Entry {
    /// Whether it is a folder.
    pub folder: bool,
    /// What it was called at first.
    pub name: String,
}

impl Entry {
    /// Whether it holds batches.
    pub fn is_segment(&self) -> bool {
        self.name.ends_with(".seg")
    }

    /// Whether it is the index, or its log.
    pub fn is_index(&self) -> bool {
        self.name.starts_with("index.db")
    }
}

/// Everything that happened.
#[derive(Debug, Default)]
pub struct History {
    /// The operations, in order.
    pub ops: Vec<Op>,
    /// The files and folders, by number.
    pub entries: Vec<Entry>,
}

/// A stretch of the history between two notes.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The note it ends with; `None` = the end of the workload.
    pub until: Option<Note>,
    /// Its operations.
    pub ops: Range<usize>,
}

impl History {
    /// The history, cut behind each note of something done.
    pub fn stretches(&self) -> Vec<Stretch> {
        let mut all = vec![];
        let mut from = 0;
        for (i, op) in self.ops.iter().enumerate() {
            if let Op::Said(note) = op
                && note.done
            {
                all.push(Stretch { until: Some(*note), ops: from..i + 1 });
                from = i + 1;
            }
        }
        all.push(Stretch { until: None, ops: from..self.ops.len() });
        all
    }

    /// The places right behind a sync: nothing that relies on it has happened yet.
    pub fn syncs(&self) -> Vec<usize> {
        let ended = |(i, op): (usize, &Op)| matches!(op, Op::Sync { .. }).then_some(i + 1);
        self.ops.iter().enumerate().filter_map(ended).collect()
    }

    /// The places at which both a segment and the index hold writes that no sync covered: there two commits are half
    /// written, the data of one and the index rows of the one before it.
    pub fn overlaps(&self) -> Vec<usize> {
        let (mut loose, mut places) = (BTreeSet::new(), vec![]);
        for (i, op) in self.ops.iter().enumerate() {
            match op {
                Op::Write { file, .. } => loose.insert(*file),
                Op::Sync { file, .. } => loose.remove(file),
                _ => false,
            };
            let any = |of: fn(&Entry) -> bool| loose.iter().any(|f| self.entries.get(*f).is_some_and(of));
            if any(Entry::is_segment) && any(Entry::is_index) {
                places.push(i + 1);
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commits_overlap_where_a_segment_and_the_index_hold_unsynced_writes() {
        let entry = |name: &str| Entry { folder: false, name: name.into() };
        let write = |file| Op::Write { file, at: 0, bytes: vec![1] };
        let sync = |file| Op::Sync { file, before: 0 };
        let entries = vec![entry("/"), entry("1.seg"), entry("index.db-wal"), entry("bell")];
        let ops = vec![write(1), write(3), sync(1), write(2), write(1), sync(1), sync(2), write(1)];
        assert_eq!(History { ops, entries }.overlaps(), [5]);
    }
}
