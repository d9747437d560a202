//! `anabranch produce`

use super::args::{Args, Produce};
use super::{Exit, place};
use anabranch_engine::{Error, Item, Result, StreamName, limits, partition};
use bytes::Bytes;
use std::io::{BufRead, Read};
use std::time::{SystemTime, UNIX_EPOCH};

/// Items that one commit takes at most.
const AT_ONCE: usize = 10_000;

/// Appends an item for each line of standard input.
pub fn produce(args: &Args, a: &Produce) -> Result<Exit> {
    let stream = StreamName::new(&a.stream)?;
    place::not_of_a_flow(&stream)?;
    let engine = place::engine(args)?;
    let spans = engine.span(&stream)?;
    let partitions = spans.len() as u32;
    let written: i64 = spans.iter().map(|s| s.end).sum();
    let mut input = std::io::BufReader::with_capacity(limits::BATCH_TARGET_BYTES, std::io::stdin().lock());
    let (mut items, mut bytes, mut turn, mut all) =
        (vec![], 0, (written % i64::from(partitions.max(1))) as u32, 0usize);
    loop {
        let mut line = vec![];
        let n = input.by_ref().take(limits::ITEM_BYTES as u64 + 2).read_until(b'\n', &mut line);
        let n = n.map_err(|e| Error::machine(format!("standard input cannot be read: {e}")))?;
        if n > limits::ITEM_BYTES && line.last() != Some(&b'\n') {
            return Err(Error::usage(format!("line {} has more than {} bytes", all + 1, limits::ITEM_BYTES)));
        }
        let idle = input.buffer().is_empty();
        if n > 0 {
            all += 1;
            bytes += n;
            items.push((0, item(a, &line, all)?));
        }
        let full = items.len() >= AT_ONCE || bytes >= limits::COMMIT_BYTES;
        if !items.is_empty() && (n == 0 || full || idle) {
            place_all(&mut items, partitions, &mut turn);
            engine.append(&stream, &items)?;
            items.clear();
            bytes = 0;
        }
        if n == 0 {
            break;
        }
    }
    if !args.quiet {
        eprintln!("Produced {} to {stream}", super::check::counted(all, "item"));
    }
    Ok(0)
}

/// With a key: by its hash. Without one: one partition for all of a commit, in turn.
fn place_all(items: &mut [(u32, Item)], partitions: u32, turn: &mut u32) {
    for (p, item) in items.iter_mut() {
        *p = item.key.as_ref().map_or(*turn % partitions, |k| partition::of_key(k, partitions));
    }
    *turn += 1;
}

fn item(a: &Produce, line: &[u8], number: usize) -> Result<Item> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
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
