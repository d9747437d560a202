//! Reads a trace: its lines become calls, in the order in which they took effect.

use crate::Fallible;
use crate::call::parse;
use crate::ops::History;
use crate::replay::Replay;
use std::collections::HashMap;

/// Reads the trace of what was done in `root`; what was written to `notes` are notes.
pub fn read(text: &str, root: &str, notes: &str) -> Fallible<History> {
    let mut replay = Replay::new(root, notes);
    // A call that another thread interrupts is printed in two pieces. It takes effect when it returns; a sync
    // covers only what had returned when it began.
    let mut begun: HashMap<&str, (&str, usize)> = HashMap::new();
    for line in text.lines() {
        let Some((process, line)) = line.split_once(' ') else { continue };
        let (line, now) = (line.trim_start(), replay.history.ops.len());
        if line.starts_with("+++") || line.starts_with("---") {
            continue;
        }
        if let Some(head) = line.strip_suffix("<unfinished ...>") {
            begun.insert(process, (head, now));
            if let Some(call) = parse(head).filter(|c| replay.is_note(c)) {
                replay.note(&call)?; // what is being said may be known already
            }
            continue;
        }
        let resumed = line.strip_prefix("<... ").and_then(|l| l.split_once(" resumed>"));
        let (whole, before) = match resumed {
            None => (line.to_string(), now),
            Some((_, tail)) => {
                let (head, before) = begun.remove(process).ok_or("a call ends that did not begin")?;
                if parse(head).is_some_and(|c| replay.is_note(&c)) {
                    continue;
                }
                (format!("{head}{tail}"), before)
            }
        };
        let call = parse(&whole).ok_or_else(|| format!("a line of the trace that is no call: {line:.200}"))?;
        replay.take(&call, before).map_err(|e| format!("{e}, at {line:.300}"))?;
    }
    Ok(replay.history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;

    fn history(text: &str) -> Fallible<History> {
        read(text, "/d", "/notes")
    }

    const OPENED: &str = "1 openat(AT_FDCWD, \"/d/a\", O_RDWR|O_CREAT, 0666) = 3</d/a>\n";

    #[test]
    fn a_write_that_returns_after_a_sync_began_is_not_covered() {
        let text = format!(
            "{OPENED}1 write(3</d/a>, \"\\x41\", 1 <unfinished ...>\n2 fsync(3</d/a> <unfinished ...>\n\
             1 <... write resumed>) = 1\n2 <... fsync resumed>) = 0\n"
        );
        let ops = history(&text).expect("reads").ops;
        assert!(matches!(&ops[1], Op::Write { at: 0, bytes, .. } if bytes == b"A"), "{ops:?}");
        assert!(matches!(ops[2], Op::Sync { before: 1, .. }), "{ops:?}");
    }

    #[test]
    fn a_note_counts_from_when_it_is_being_written() {
        let text = format!(
            "{OPENED}2 write(4</notes>, \"did commit 7\\x0a\", 13 <unfinished ...>\n\
             1 pwrite64(3</d/a>, \"A\", 1, 5) = 1\n2 <... write resumed>) = 13\n"
        );
        let ops = history(&text).expect("reads").ops;
        assert!(matches!(ops[1], Op::Said(note) if note.done && note.n == 7), "{ops:?}");
        assert!(matches!(ops[2], Op::Write { at: 5, .. }), "{ops:?}");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let e = history(&format!("{OPENED}1 fallocate(3</d/a>, 0, 0, 10) = 0\n")).expect_err("not known");
        assert!(e.to_string().contains("fallocate"), "{e}");
        let e = history("1 fsync(3</d/a>) = 0\n").expect_err("never opened");
        assert!(e.to_string().contains("not seen to be opened"), "{e}");
        let e = history(&format!("{OPENED}1 fsync(3</d/a>) = -1 EIO (Input/output error)\n")).expect_err("failed");
        assert!(e.to_string().contains("failed"), "{e}");
        let mapped = "1 mmap(NULL, 8, PROT_READ|PROT_WRITE, MAP_SHARED, 3</d/a>, 0) = 0x7f00\n";
        let e = history(&format!("{OPENED}{mapped}")).expect_err("memory");
        assert!(e.to_string().contains("through memory"), "{e}");
    }
}
