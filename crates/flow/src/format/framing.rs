//! Lines, the same wherever they come from: from pieces of files, through standard input, to `produce`.

use anabranch_engine::{Result, limits};
use std::io::{self, BufRead, Read};

/// What some editors put at the start of a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What of a line is the item: all but its end (LF or CRLF) and, in the first line of an input, the byte order mark.
fn bare(line: &[u8], first: bool) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if first { line.strip_prefix(MARK).unwrap_or(line) } else { line }
}

/// Whether what stands behind the last line end of an input is no line: there is nothing, or only a mark.
fn is_nothing(rest: &[u8], first: bool) -> bool {
    rest.is_empty() || (first && rest == MARK)
}

/// A line of a file that is read in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'l> {
    /// Its first byte in the file.
    pub byte: u64,
    /// What of it is the item; of a line that is too long the beginning.
    pub text: &'l [u8],
    /// It is longer than an item can be.
    pub too_long: bool,
    /// It has a line end.
    pub ended: bool,
}

/// A file that is read in pieces: how many bytes of it count, and a way to read the bytes
/// `from..to`, as far as it goes, behind the first bytes of a buffer.
pub struct Window<'w> {
    /// Bytes that count.
    pub length: u64,
    /// Reads bytes into a buffer of which so many are kept.
    pub read: &'w ReadBytes<'w>,
}

/// Reads the bytes between two places of a file into a buffer, behind so many of its bytes.
pub type ReadBytes<'r> = dyn Fn(&mut Vec<u8>, usize, u64, u64) -> Result<()> + 'r;

/// The lines that begin in `from..to`, in order: a line belongs to the piece in which it begins, so pieces can be cut anywhere.
/// The byte before the piece tells whether a line begins there, and the last line is read behind it to its end. `bytes` is a
/// buffer to use.
///
/// # Errors
///
/// What reading gives, and what `each` gives.
pub fn piece(
    bytes: &mut Vec<u8>,
    span: std::ops::Range<u64>,
    window: &Window<'_>,
    each: &mut dyn FnMut(Line<'_>) -> Result<()>,
) -> Result<()> {
    let from = span.start.saturating_sub(1);
    (window.read)(bytes, 0, from, span.end)?;
    let mut at = 0usize; // in `bytes`
    if span.start > 0 {
        // the rest of a line that began before
        match memchr::memchr(b'\n', bytes) {
            Some(end) => at = end + 1,
            None => return Ok(()),
        }
    }
    while from + (at as u64) < span.end {
        let byte = from + at as u64;
        let end = loop {
            match memchr::memchr(b'\n', &bytes[at..]) {
                Some(end) => break Some(at + end),
                None if from + bytes.len() as u64 >= window.length => break None,
                None if bytes.len() - at > limits::ITEM_BYTES => break None,
                None => {
                    let more = (bytes.len() - at).clamp(64 << 10, limits::CHUNK_BYTES) as u64;
                    let (had, behind) = (bytes.len(), from + bytes.len() as u64);
                    (window.read)(bytes, had, behind, behind + more)?;
                }
            }
        };
        let stop = end.unwrap_or(bytes.len());
        if end.is_none() && is_nothing(&bytes[at..stop], byte == 0) {
            break;
        }
        let text = bare(&bytes[at..stop], byte == 0);
        let too_long = text.len() > limits::ITEM_BYTES;
        each(Line { byte, text, too_long, ended: end.is_some() })?;
        match end {
            Some(end) => at = end + 1,
            None => break, // the end of one that is too long is found by the piece in which it lies
        }
    }
    Ok(())
}

/// A line of an input that is read once, from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// Its first byte in the input.
    pub byte: u64,
    /// What of it is the item; of a line that is too long the beginning.
    pub text: Vec<u8>,
    /// It is longer than an item can be.
    pub too_long: bool,
}

/// The lines of an input that is read once.
pub struct Frames<R> {
    input: R,
    byte: u64,
}

impl<R: BufRead> Frames<R> {
    /// The lines of this input.
    pub fn new(input: R) -> Frames<R> {
        Frames { input, byte: 0 }
    }

    /// The input.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// The next line; `None` at the end. What is behind the beginning of a line that is too long is skipped.
    ///
    /// # Errors
    ///
    /// The input cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Framed>> {
        const MOST: usize = limits::ITEM_BYTES + MARK.len() + "\r\n".len();
        let byte = self.byte;
        let mut line = vec![];
        let n = self.input.by_ref().take(MOST as u64).read_until(b'\n', &mut line)?;
        let ended = line.last() == Some(&b'\n');
        let skipped = if n == MOST && !ended { self.input.skip_until(b'\n')? } else { 0 };
        self.byte += (n + skipped) as u64;
        if !ended && is_nothing(&line, byte == 0) {
            return Ok(None);
        }
        let len = bare(&line, byte == 0).len();
        if byte == 0 && line.starts_with(MARK) {
            line.drain(..MARK.len());
        }
        line.truncate(len);
        Ok(Some(Framed { byte, text: line, too_long: len > limits::ITEM_BYTES }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut frames = Frames::new(input);
        let mut out = vec![];
        while let Some(line) = frames.next_line().expect("reads") {
            assert!(!line.too_long);
            out.push((line.byte, line.text));
        }
        out
    }

    #[test]
    fn ends_and_the_mark_are_taken_off() {
        let line = |byte, text: &str| (byte, text.as_bytes().to_vec());
        assert_eq!(
            lines(b"\xef\xbb\xbfone\r\ntwo\n\n\xef\xbb\xbflast"),
            [line(0, "one"), line(8, "two"), line(12, ""), line(13, "\u{feff}last")]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\xef\xbb\xbf"), [], "a mark alone is nothing");
        assert_eq!(lines(b"\xef\xbb\xbf\n"), [line(0, "")], "with a line end it is an empty line");
        assert_eq!(lines(b"\r\n"), [line(0, "")]);
        assert_eq!(lines(b"one\n\r"), [line(0, "one"), line(4, "")], "half an end is a line");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        for (more, too_long) in [(0, false), (1, true), (100_000, true)] {
            let mut input = MARK.to_vec();
            input.extend(vec![b'x'; limits::ITEM_BYTES + more]);
            input.extend(b"\r\nnext\n");
            let mut frames = Frames::new(&input[..]);
            let first = frames.next_line().expect("reads").expect("a line");
            assert_eq!(first.too_long, too_long, "{more} more");
            let next = frames.next_line().expect("reads").expect("a line");
            assert_eq!((next.byte, next.text), ((input.len() - 5) as u64, b"next".to_vec()));
            assert_eq!(frames.next_line().expect("reads"), None);
        }
    }
}
