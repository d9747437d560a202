//! Reading lines of files by position, from many threads at once.
//!
//! A line belongs to the piece in which it begins, so pieces can be cut anywhere:
//! a reader looks at the byte before its piece to see whether a line begins there,
//! and reads behind its piece to the end of the last line.

use crate::{failed, files};
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::format::framing::{self, Window};
use anabranch_run::world::{Line, LineReader, Listed, Manifest};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The files of a manifest. A few of them are open at a time.
pub struct Files {
    folder: PathBuf,
    files: Vec<(Listed, u64)>,
    /// Those that are open, the ones used last behind.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
    /// Places in all files together, each with the line ends before it in its file.
    counted: Mutex<BTreeMap<u64, u64>>,
    /// Buffers of pieces that are done: a fresh one costs as much as the reading.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Files {
    /// The files of a manifest; fails if one is not what that says.
    pub fn open(folder: &Path, manifest: &Manifest) -> Result<Files> {
        let mut files = vec![];
        let mut start = 0;
        for listed in &manifest.files {
            files::verify(folder, listed)?;
            files.push((listed.clone(), start));
            start += listed.length;
        }
        let (counted, buffers, open) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Files { folder: folder.to_path_buf(), files, open, counted, buffers })
    }

    /// A file, open. One that was closed meanwhile must still be what it was.
    fn file(&self, i: usize, listed: &Listed) -> Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.iter().position(|(j, _)| *j == i).and_then(|at| open.remove(at)) {
            Some((_, file)) => file,
            None => {
                let path = files::path(&self.folder, listed);
                let file = files::open(&path).or_else(|_| {
                    open.clear(); // too many may be open already
                    files::open(&path)
                });
                let file = file.map_err(|e| failed("cannot read", &path, &e))?;
                files::verify_open(&path, &file, listed)?;
                Arc::new(file)
            }
        };
        open.push_back((i, file.clone()));
        if open.len() > limits::OPEN_FILES {
            open.pop_front();
        }
        Ok(file)
    }

    /// Line ends of a file in its bytes before `to`. Counting goes on from the nearest place counted before.
    fn line_ends(&self, i: usize, to: u64) -> Result<u64> {
        let Some((listed, start)) = self.files.get(i) else { return Ok(0) };
        let window = Open { file: self.file(i, listed)?, listed, folder: &self.folder };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counted.range(start..&(start + to)).next_back();
        let (mut from, mut ends) = before.map_or((0, 0), |(at, ends)| (at - start, *ends));
        while from < to {
            let next = to.min(from + limits::CHUNK_BYTES as u64);
            let mut bytes = vec![];
            window.read(&mut bytes, 0, from, next)?;
            ends += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            from = next;
        }
        counted.insert(start + to, ends);
        Ok(ends)
    }

    /// Reads a piece of a file in a buffer that was used before, if there is one.
    fn read_file(&self, i: usize, span: Range<u64>, each: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<()> {
        let buffers = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = buffers().pop().unwrap_or_default();
        let read = self.read_piece(&mut bytes, i, span, each);
        if bytes.capacity() <= 2 * limits::CHUNK_BYTES {
            buffers().push(bytes);
        }
        read
    }

    fn read_piece(
        &self,
        bytes: &mut Vec<u8>,
        i: usize,
        span: Range<u64>,
        each: &mut dyn FnMut(Line<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some((listed, start)) = self.files.get(i) else { return Ok(()) };
        let open = Open { file: self.file(i, listed)?, listed, folder: &self.folder };
        let window = Window { length: listed.length, read: &|bytes, kept, from, to| open.read(bytes, kept, from, to) };
        framing::piece(bytes, span, &window, &mut |line| {
            let grown = (!line.ended && !line.too_long).then(|| files::has_grown(&open.file, listed));
            let framing::Line { byte, text, too_long, .. } = line;
            each(Line { file: i, byte, at: start + byte, text, too_long, grown })
        })
    }
}

/// A file that is read.
struct Open<'w> {
    file: Arc<File>,
    listed: &'w Listed,
    folder: &'w Path,
}

impl Open<'_> {
    /// The bytes `from..to`, as far as the file goes, behind the first `kept` of what `bytes` holds.
    fn read(&self, bytes: &mut Vec<u8>, kept: usize, from: u64, to: u64) -> Result<()> {
        bytes.resize(kept + to.min(self.listed.length).saturating_sub(from) as usize, 0);
        self.file.read_exact_at(&mut bytes[kept..], from).map_err(|e| match files::verify(self.folder, self.listed) {
            Err(changed) => changed,
            Ok(()) => failed("cannot read", &files::path(self.folder, self.listed), &e),
        })
    }
}

impl LineReader for Files {
    fn read(&self, from: u64, to: u64, each: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<()> {
        for (i, (listed, start)) in self.files.iter().enumerate() {
            let (begin, end) = (from.max(*start), to.min(start + listed.length));
            if begin < end {
                self.read_file(i, begin - start..end - start, each)?;
            }
        }
        Ok(())
    }

    fn number(&self, at: u64) -> Result<u64> {
        let i = self.files.partition_point(|(listed, start)| start + listed.length <= at);
        let start = self.files.get(i).map_or(0, |(_, start)| *start);
        Ok(self.line_ends(i, at - start)? + 1)
    }

    fn verify(&self) -> Result<()> {
        let outcome: std::result::Result<(), Error> =
            self.files.iter().try_for_each(|(listed, _)| files::verify(&self.folder, listed));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8], cuts: &[u64]) -> Vec<(u64, Vec<u8>)> {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("f"), content).expect("writes");
        let manifest = files::survey(dir.path(), "f", &[], &[]).expect("is there");
        let files = Files::open(dir.path(), &manifest).expect("opens");
        let mut out = vec![];
        let mut from = 0;
        for to in cuts.iter().copied().chain([content.len() as u64]) {
            files
                .read(from, to, &mut |l| {
                    out.push((l.byte, l.text.to_vec()));
                    Ok(())
                })
                .expect("reads");
            from = to;
        }
        out
    }

    #[test]
    fn pieces_cut_anywhere_give_the_same_lines() {
        let content = b"\xef\xbb\xbfone\r\ntwo\n\nfour\nlast";
        let want: Vec<(u64, Vec<u8>)> = vec![
            (0, b"one".to_vec()),
            (8, b"two".to_vec()),
            (12, vec![]),
            (13, b"four".to_vec()),
            (18, b"last".to_vec()),
        ];
        assert_eq!(lines(content, &[]), want);
        for a in 0..=content.len() as u64 {
            for b in a..=content.len() as u64 {
                assert_eq!(lines(content, &[a, b]), want, "cut at {a} and {b}");
            }
        }
    }

    #[test]
    fn lines_have_numbers_in_their_file_whoever_asks_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let long = "x".repeat(limits::CHUNK_BYTES);
        std::fs::write(dir.path().join("a"), format!("one\n{long}\n\nfour\n")).expect("writes");
        std::fs::write(dir.path().join("b"), "one\ntwo").expect("writes");
        let manifest = files::survey(dir.path(), "*", &[], &[]).expect("is there");
        let files = Files::open(dir.path(), &manifest).expect("opens");
        let mut starts = vec![];
        files
            .read(0, u64::MAX, &mut |l| {
                starts.push(l.at);
                Ok(())
            })
            .expect("reads");
        for order in [vec![0, 1, 2, 3, 4, 5], vec![5, 3, 4, 2, 0, 1]] {
            let files = Files::open(dir.path(), &manifest).expect("opens");
            for i in order {
                assert_eq!(files.number(starts[i]).expect("counts"), [1, 2, 3, 4, 1, 2][i]);
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_memory_stays_flat() {
        let mut content = vec![b'x'; limits::ITEM_BYTES * 2];
        content.extend(b"\nshort\n");
        let chunk = limits::CHUNK_BYTES as u64;
        let cuts: Vec<u64> = (1..content.len() as u64 / chunk + 1).map(|i| i * chunk).collect();
        let got = lines(&content, &cuts);
        assert_eq!(got.len(), 2);
        assert!(got[0].1.len() > limits::ITEM_BYTES && got[0].1.len() < limits::ITEM_BYTES + 2 * limits::CHUNK_BYTES);
        assert_eq!(got[1].1, b"short");
    }

    #[test]
    fn a_mark_alone_is_nothing_and_a_last_line_tells_whether_its_file_has_grown() {
        assert_eq!(lines(b"\xef\xbb\xbf", &[]), []);
        assert_eq!(lines(b"\xef\xbb\xbf\n", &[]), [(0, vec![])]);
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("f"), "one\nhal").expect("writes");
        let manifest = files::survey(dir.path(), "f", &[], &[]).expect("is there");
        let files = Files::open(dir.path(), &manifest).expect("opens");
        let grown = || {
            let mut all = vec![];
            files
                .read(0, 7, &mut |l| {
                    all.push(l.grown);
                    Ok(())
                })
                .expect("reads");
            all
        };
        assert_eq!(grown(), [None, Some(false)]);
        std::fs::write(dir.path().join("f"), "one\nhalf\n").expect("writes");
        assert_eq!(grown(), [None, Some(true)]);
    }

    #[test]
    fn more_files_than_are_open_at_once_are_read_in_any_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let n = 3 * limits::OPEN_FILES as u64;
        (0..n).for_each(|i| std::fs::write(dir.path().join(format!("{i:04}")), format!("{i:04}\n")).expect("writes"));
        let manifest = files::survey(dir.path(), "*", &[], &[]).expect("are there");
        let files = Files::open(dir.path(), &manifest).expect("opens");
        let mut got = vec![];
        for i in (0..n).rev() {
            files
                .read(i * 5, i * 5 + 5, &mut |l| {
                    got.push(l.text.to_vec());
                    Ok(())
                })
                .expect("reads");
            assert!(files.open.lock().expect("is free").len() <= limits::OPEN_FILES);
        }
        assert_eq!(got, (0..n).rev().map(|i| format!("{i:04}").into_bytes()).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_changes_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f");
        std::fs::write(&path, "one\ntwo\n").expect("writes");
        let manifest = files::survey(dir.path(), "f", &[], &[]).expect("is there");
        let files = Files::open(dir.path(), &manifest).expect("opens");
        std::fs::write(&path, "one\n").expect("writes");
        let e = files.verify().expect_err("it shrank");
        assert!(e.text.contains("shrank from 8 to 4"), "{e}");
        let e = files.read(0, 8, &mut |_| Ok(())).expect_err("it shrank");
        assert!(e.text.contains("shrank"), "{e}");
    }
}
