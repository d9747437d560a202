//! Images: what a power cut may leave of a disk, laid out as files.

use crate::disk::{Disk, Names, rename};
use crate::ops::{FileNo, Op, ROOT};
use anabranch_testkit::rng::Rng;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A disk keeps or loses these bytes as one.
const SECTOR: usize = 512;

/// A way of losing what was not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All of it is lost.
    LoseAll,
    /// All of it is kept.
    KeepAll,
    /// Some writes are kept, and in another order.
    Reorder,
    /// Writes are torn: some sectors are new, some old, some zero.
    Tear,
    /// Like [`Way::Reorder`], and some names are lost too.
    LoseNames,
}

impl Way {
    /// All ways and their names.
    pub const ALL: [(Way, &'static str); 5] = [
        (Way::LoseAll, "lose-all"),
        (Way::KeepAll, "keep-all"),
        (Way::Reorder, "reorder"),
        (Way::Tear, "tear"),
        (Way::LoseNames, "lose-names"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Way::ALL.iter().find(|(way, _)| *way == self).map_or("", |(_, name)| name)
    }
}

/// One choice of what happens to something that was not durable.
#[derive(Debug, Clone, Hash)]
enum Piece {
    /// A part of a write is kept.
    Kept(usize, Range<usize>),
    /// A part of a write left zeros.
    Zeros(usize, Range<usize>),
    /// The file has at least that size.
    Grown(u64),
}

/// Lays out what is left in the empty folder `into`. The number tells images from each other.
pub fn lay_out(disk: &Disk<'_>, way: Way, seed: u64, into: &Path) -> io::Result<u64> {
    let mut start = DefaultHasher::new();
    (disk.syncs, disk.known).hash(&mut start);
    let mut image = Image { disk, way, rng: Rng::new(seed), mark: start.finish(), keep: 0 };
    image.choose();
    let names = image.names();
    image.folder(&names, ROOT, into)?;
    Ok(image.mark)
}

struct Image<'a> {
    disk: &'a Disk<'a>,
    way: Way,
    rng: Rng,
    mark: u64,
    /// How much of what was not durable is kept, in eighths: of the names, then of each file.
    keep: u64,
}

impl Image<'_> {
    /// Writes that do not touch each other give one image in any order, so the sum tells images apart well enough.
    fn mark(&mut self, choice: impl Hash) {
        let mut hasher = DefaultHasher::new();
        choice.hash(&mut hasher);
        self.mark = self.mark.wrapping_add(hasher.finish());
    }

    /// From all to nothing: a disk may be done with one file before it begins with another.
    fn choose(&mut self) {
        self.keep = [0, 1, 4, 7, 8][self.rng.below(5) as usize];
    }

    fn names(&mut self) -> Names {
        let mut names = self.disk.names.clone();
        for i in &self.disk.loose_names {
            let kept = match self.way {
                Way::LoseAll => false,
                Way::LoseNames => self.rng.eighths(self.keep),
                _ => true,
            };
            if let Some(Op::Names(changes)) = self.disk.history.ops.get(*i).filter(|_| kept) {
                rename(&mut names, changes);
                self.mark(i);
            }
        }
        names
    }

    fn folder(&mut self, names: &Names, folder: FileNo, path: &Path) -> io::Result<()> {
        for ((_, name), file) in names.range((folder, String::new())..(folder + 1, String::new())) {
            let path = path.join(name);
            if self.disk.history.entries[*file].folder {
                fs::create_dir(&path)?;
                self.folder(names, *file, &path)?;
                continue;
            }
            self.file(*file, &path)?;
            if self.way == Way::Tear && name.ends_with("-wal") {
                // Memory that was shared may have reached the disk at any time: nobody may trust it.
                fs::write(path.with_file_name(name.replace("-wal", "-shm")), self.rng.bytes(32 << 10))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: FileNo, path: &Path) -> io::Result<()> {
        let stored = &self.disk.files[file];
        let out = File::create_new(path)?;
        out.write_all_at(&stored.bytes, 0)?;
        self.choose();
        for piece in self.pieces(&stored.loose) {
            match &piece {
                Piece::Kept(i, part) => match &self.disk.history.ops[*i] {
                    Op::Write { at, bytes, .. } => out.write_all_at(&bytes[part.clone()], at + part.start as u64)?,
                    Op::Size { size, .. } => out.set_len(*size)?,
                    _ => {}
                },
                Piece::Zeros(i, part) => {
                    if let Op::Write { at, .. } = &self.disk.history.ops[*i] {
                        out.write_all_at(&vec![0; part.len()], at + part.start as u64)?;
                    }
                }
                Piece::Grown(size) => out.set_len(out.metadata()?.len().max(*size))?,
            }
            self.mark((file, piece));
        }
        Ok(())
    }

    /// What becomes of the operations on a file that no sync covered.
    fn pieces(&mut self, loose: &[usize]) -> Vec<Piece> {
        let whole = |i: &usize| Piece::Kept(*i, 0..self.disk.history.ops.get(*i).map_or(0, length));
        let mut pieces: Vec<Piece> = match self.way {
            Way::LoseAll => return vec![],
            Way::KeepAll => return loose.iter().map(whole).collect(),
            Way::Tear => loose.iter().flat_map(|i| self.torn(*i)).collect(),
            Way::Reorder | Way::LoseNames => {
                let mut kept: Vec<Piece> = loose.iter().map(whole).collect();
                kept.retain(|_| self.rng.eighths(self.keep));
                self.rng.shuffle(&mut kept);
                kept
            }
        };
        // A file may have its new size and not yet its new bytes.
        let end = |i: &usize| match &self.disk.history.ops[*i] {
            Op::Write { at, bytes, .. } => at + bytes.len() as u64,
            _ => 0,
        };
        if let Some(end) = loose.iter().map(end).max().filter(|_| self.rng.eighths(2)) {
            pieces.push(Piece::Grown(end));
        }
        pieces
    }

    /// The sectors of a write, each kept, lost or zero. What lies beside the write in a sector is not touched.
    fn torn(&mut self, i: usize) -> Vec<Piece> {
        let Op::Write { at, bytes, .. } = &self.disk.history.ops[i] else {
            return if self.rng.eighths(self.keep) { vec![Piece::Kept(i, 0..0)] } else { vec![] };
        };
        let mut pieces: Vec<Piece> = vec![];
        let mut from = 0;
        while from < bytes.len() {
            let to = (from + SECTOR - (*at as usize + from) % SECTOR).min(bytes.len());
            let (kept, zeros) = (self.rng.eighths(self.keep), self.rng.eighths(3));
            match (pieces.last_mut(), kept, zeros) {
                (Some(Piece::Kept(_, part)), true, _) if part.end == from => part.end = to,
                (Some(Piece::Zeros(_, part)), false, true) if part.end == from => part.end = to,
                (_, true, _) => pieces.push(Piece::Kept(i, from..to)),
                (_, false, true) => pieces.push(Piece::Zeros(i, from..to)),
                (_, false, false) => {}
            }
            from = to;
        }
        pieces
    }
}

fn length(op: &Op) -> usize {
    match op {
        Op::Write { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Entry, History};

    /// One file: four durable sectors of `1`, two of them written again with `2`, and a name that may go.
    fn history() -> History {
        let entry = |folder| Entry { folder, name: String::new() };
        let write = |at, bytes: Vec<u8>| Op::Write { file: 1, at, bytes };
        let name = |name: &str| Op::Names(vec![(ROOT, name.into(), Some(1))]);
        let ops = vec![
            name("kept"),
            write(0, vec![1; 4 * SECTOR]),
            Op::Sync { file: 1, before: 2 },
            Op::Sync { file: ROOT, before: 3 },
            write(SECTOR as u64 / 2, vec![2; 2 * SECTOR]),
            name("loose"),
        ];
        History { ops, entries: vec![entry(true), entry(false)] }
    }

    fn image(way: Way, seed: u64) -> (Vec<u8>, bool) {
        let (history, dir) = (history(), tempfile::tempdir().expect("a folder"));
        let mut disk = Disk::new(&history, None);
        disk.go_to(history.ops.len());
        lay_out(&disk, way, seed, dir.path()).expect("laid out");
        (fs::read(dir.path().join("kept")).expect("there"), dir.path().join("loose").exists())
    }

    #[test]
    fn all_is_lost_or_kept() {
        assert_eq!(image(Way::LoseAll, 1), (vec![1; 4 * SECTOR], false));
        let (bytes, name) = image(Way::KeepAll, 1);
        assert_eq!(bytes.iter().filter(|b| **b == 2).count(), 2 * SECTOR);
        assert!(name);
    }

    #[test]
    fn one_file_is_kept_and_another_one_is_lost() {
        let entry = |folder| Entry { folder, name: String::new() };
        let name = |name: &str, file| Op::Names(vec![(ROOT, name.into(), Some(file))]);
        let write = |file, at| Op::Write { file, at, bytes: vec![1; SECTOR] };
        let mut ops = vec![name("a", 1), name("b", 2)];
        ops.extend((0..50).flat_map(|n| [1, 2].map(|file| write(file, n * SECTOR as u64))));
        let history = History { ops, entries: vec![entry(true), entry(false), entry(false)] };
        let mut disk = Disk::new(&history, None);
        disk.go_to(history.ops.len());
        let kept = |seed| {
            let dir = tempfile::tempdir().expect("a folder");
            lay_out(&disk, Way::Reorder, seed, dir.path()).expect("laid out");
            ["a", "b"]
                .map(|f| fs::read(dir.path().join(f)).expect("there").iter().filter(|b| **b == 1).count() / SECTOR)
        };
        let found: Vec<_> = (0..200).map(kept).collect();
        assert!(found.contains(&[50, 0]) && found.contains(&[0, 50]));
    }

    #[test]
    fn a_torn_write_touches_nothing_beside_it() {
        let mut seen = [false; 3];
        for seed in 0..100 {
            let (bytes, _) = image(Way::Tear, seed);
            let (before, behind) = (&bytes[..SECTOR / 2], &bytes[2 * SECTOR + SECTOR / 2..]);
            assert!(before.iter().chain(behind).all(|b| *b == 1), "seed {seed}");
            bytes.iter().for_each(|b| seen[usize::from(*b)] = true);
        }
        assert_eq!(seen, [true; 3], "zeros, old and new");
    }

    #[test]
    fn names_come_and_go() {
        let names: Vec<bool> = (0..50).map(|seed| image(Way::LoseNames, seed).1).collect();
        assert!(names.contains(&true) && names.contains(&false));
        assert!((0..50).all(|seed| image(Way::Reorder, seed).1), "only that way loses names");
    }
}
