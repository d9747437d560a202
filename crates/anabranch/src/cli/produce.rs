//! `anabranch produce`

use super::args::{Args, Produce};
use super::{Exit, place, signals::Input};
use anabranch_engine::{Admin, Error, Item, Result, StreamName, limits, partition};
use anabranch_flow::format::framing::Frames;
use anabranch_run::show::text::counted;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::BufReader;
use std::time::{SystemTime, UNIX_EPOCH};

/// Items that one commit takes at most.
const AT_ONCE: usize = 10_000;

/// Appends an item for each line of standard input.
pub fn produce(args: &Args, a: &Produce) -> Result<Exit> {
    let stream = StreamName::new(&a.stream)?;
    place::not_of_a_flow(&stream)?;
    let Some(engine) = place::engine_there(args)? else {
        return Err(place::no_stream(&stream));
    };
    let spans = engine.span(&stream)?;
    let partitions = spans.len() as u32;
    let written: i64 = spans.iter().map(|s| s.end).sum();
    let mut sent = Sent {
        engine: &*engine,
        stream: &stream,
        partitions,
        turn: (written % i64::from(partitions.max(1))) as u32,
        items: 0,
    };
    let input = Input::new()?;
    let watched = input.watched();
    let outcome = sent.all(a, input);
    let there = match sent.items {
        0 => format!("nothing of it is in {stream}"),
        n => format!("the first {} are in {stream}, from lines 1 to {n}", counted(n, "item")),
    };
    let go_on = (sent.items > 0).then(|| format!("continue with line {}", sent.items + 1));
    match (outcome, Input::stopped(&watched)) {
        (Ok(all), _) => {
            if !args.quiet {
                tell!("Produced {} to {stream}", counted(all, "item"));
            }
            Ok(0)
        }
        (Err(_), Some(exit)) => {
            tell!("stopped; {there}");
            go_on.iter().for_each(|help| tell!("  = {help}"));
            Ok(exit)
        }
        (Err(e), None) => {
            let help: Vec<String> = go_on.into_iter().chain(e.help).collect();
            Err(Error {
                text: format!("{}; {there}", e.text),
                help: Some(help.join("; ")).filter(|h| !h.is_empty()),
                ..e
            })
        }
    }
}

/// What is on its way to a stream.
struct Sent<'s> {
    engine: &'s dyn Admin,
    stream: &'s StreamName,
    partitions: u32,
    turn: u32,
    /// Items that are in the stream, one for each line.
    items: usize,
}

impl Sent<'_> {
    /// Appends an item for each line; how many.
    fn all(&mut self, a: &Produce, input: Input) -> Result<usize> {
        let mut lines = Frames::new(BufReader::with_capacity(limits::BATCH_TARGET_BYTES, input));
        let (mut items, mut bytes, mut all) = (vec![], 0, 0usize);
        loop {
            let line = lines.next_line();
            let line = line.map_err(|e| Error::machine(format!("standard input cannot be read: {e}")))?;
            let ended = line.is_none();
            if let Some(line) = line {
                all += 1;
                if line.too_long {
                    return Err(Error::usage(format!("line {all} has more than {} bytes", limits::ITEM_BYTES)));
                }
                bytes += line.text.len();
                items.push((0, item(a, &line.text, all)?));
            }
            let full = items.len() >= AT_ONCE || bytes >= limits::COMMIT_BYTES;
            if !items.is_empty() && (ended || full || (lines.input().buffer().is_empty() && idle())) {
                place_all(&mut items, self.partitions, &mut self.turn);
                self.engine.append(self.stream, &items)?;
                self.items += items.len();
                items.clear();
                bytes = 0;
            }
            if ended {
                return Ok(all);
            }
        }
    }
}

/// Whether nothing comes through standard input for a moment: then what came is not kept waiting.
fn idle() -> bool {
    let stdin = std::io::stdin();
    let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    matches!(poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&moment)), Ok(0))
}

/// With a key: by its hash. Without one: one partition for all of a commit, in turn.
fn place_all(items: &mut [(u32, Item)], partitions: u32, turn: &mut u32) {
    for (p, item) in items.iter_mut() {
        *p = item.key.as_ref().map_or(*turn % partitions, |k| partition::of_key(k, partitions));
    }
    *turn += 1;
}

fn item(a: &Produce, line: &[u8], number: usize) -> Result<Item> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let (mut key, mut value) = (a.key.clone().map(Bytes::from), line);
    if let Some(separator) = a.key_separator.as_deref().filter(|s| !s.is_empty()) {
        let at = line.windows(separator.len()).position(|w| w == separator.as_bytes());
        let at = at.ok_or_else(|| Error::usage(format!("line {number} has no `{separator}` between key and value")))?;
        key = Some(Bytes::copy_from_slice(&line[..at]));
        value = &line[at + separator.len()..];
    }
    Ok(Item { key, ..Item::of(Bytes::copy_from_slice(value), now) })
}
