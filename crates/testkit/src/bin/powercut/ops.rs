//! What the workload did to the disk, as a list of operations on numbered files.

use crate::note::Note;
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
}
