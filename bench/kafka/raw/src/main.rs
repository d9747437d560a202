//! The raw limit of a copy: whole batches, still packed, from one topic to another, without transactions.
//!
//! `raw BOOTSTRAP SOURCE TARGET` copies what is there when it starts, partition by partition, and ends. A thread fetches ahead
//! from all partitions at once; an idempotent producer keeps five requests with `acks=all` under way. Nothing is decoded:
//! a batch gets its producer, its sequence and its checksum, which brokers insist on. For a cluster of one broker.

mod wire;

use std::collections::VecDeque;
use std::error::Error;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use wire::{Connection, Reader, put_text};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const FETCH: (i16, i16) = (1, 4);
const PRODUCE: (i16, i16) = (0, 8);
const LIST_OFFSETS: (i16, i16) = (2, 2);
const METADATA: (i16, i16) = (3, 1);
const INIT_PRODUCER: (i16, i16) = (22, 0);
/// Requests under way: brokers keep the last five batches of a producer apart.
const UNDER_WAY: usize = 5;
/// Bytes of a produce request, unless one batch is larger: what brokers take by default.
const REQUEST_BYTES: usize = 1 << 20;
/// Bytes of a fetch; each partition has its part of them.
const FETCH_BYTES: i32 = 8 << 20;
/// Fetches that wait to be written.
const AHEAD: usize = 1;
/// Bytes that are held until each partition has a batch.
const HELD_BYTES: usize = 16 << 20;
/// Bytes of a batch before its records.
const HEAD: usize = 61;

/// A whole batch and its partition.
struct Piece {
    partition: usize,
    bytes: Vec<u8>,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, source, target] = &args[..] else { return Err("usage: raw BOOTSTRAP SOURCE TARGET".into()) };
    let mut to = Connection::open(bootstrap)?;
    let partitions = partitions(&mut to, source)?;
    let mut from = Connection::open(bootstrap)?;
    let starts = offsets(&mut from, source, partitions, -2)?;
    let ends = offsets(&mut from, source, partitions, -1)?;
    let (send, fetched) = sync_channel(AHEAD);
    let of = source.clone();
    let reader = std::thread::spawn(move || fetch_all(&mut from, &of, starts, &ends, &send));
    let written = produce_all(&mut to, target, partitions, &fetched);
    drop(fetched);
    let read = reader.join().map_err(|_| "the reader failed")?;
    written.and(read)
}

fn partitions(c: &mut Connection, topic: &str) -> Result<usize> {
    let mut body = 1i32.to_be_bytes().to_vec();
    put_text(&mut body, topic);
    let mut r = c.call(METADATA, &body)?;
    for _ in 0..r.i32()? {
        r.i32()?;
        r.text()?;
        r.i32()?;
        r.text()?;
    }
    r.i32()?;
    r.i32()?; // one topic
    check(r.i16()?, topic)?;
    r.text()?;
    r.i8()?;
    Ok(usize::try_from(r.i32()?)?)
}

/// The first (-2) or last (-1) offset of each partition.
fn offsets(c: &mut Connection, topic: &str, partitions: usize, which: i64) -> Result<Vec<i64>> {
    let mut body = (-1i32).to_be_bytes().to_vec();
    body.push(1);
    body.extend(1i32.to_be_bytes());
    put_text(&mut body, topic);
    body.extend((partitions as i32).to_be_bytes());
    for p in 0..partitions {
        body.extend((p as i32).to_be_bytes());
        body.extend(which.to_be_bytes());
    }
    let mut r = c.call(LIST_OFFSETS, &body)?;
    r.i32()?;
    let mut out = vec![0; partitions];
    for _ in 0..r.i32()? {
        r.text()?;
        for _ in 0..r.i32()? {
            let p = usize::try_from(r.i32()?)?;
            check(r.i16()?, topic)?;
            r.i64()?;
            *out.get_mut(p).ok_or("a partition that was not asked for")? = r.i64()?;
        }
    }
    Ok(out)
}

/// Sends all batches below the ends.
fn fetch_all(
    c: &mut Connection,
    topic: &str,
    mut at: Vec<i64>,
    ends: &[i64],
    to: &SyncSender<Vec<Piece>>,
) -> Result<()> {
    let mut first = 0;
    while at.iter().zip(ends).any(|(at, end)| at < end) {
        let n = at.len();
        let open: Vec<usize> = (0..n).map(|i| (first + i) % n).filter(|p| at[*p] < ends[*p]).collect();
        first += 1; // brokers fill an answer in the order that was asked
        let mut body = vec![];
        [-1, 100, 1, FETCH_BYTES].iter().for_each(|n: &i32| body.extend(n.to_be_bytes()));
        body.push(1);
        body.extend(1i32.to_be_bytes());
        put_text(&mut body, topic);
        body.extend((open.len() as i32).to_be_bytes());
        for p in open {
            body.extend((p as i32).to_be_bytes());
            body.extend(at[p].to_be_bytes());
            body.extend((FETCH_BYTES / n as i32).to_be_bytes());
        }
        let pieces = batches(c.call(FETCH, &body)?, &mut at, ends)?;
        if to.send(pieces).is_err() {
            return Ok(()); // the writer failed, and says why
        }
    }
    Ok(())
}

/// The whole batches of a fetch.
fn batches(mut r: Reader, at: &mut [i64], ends: &[i64]) -> Result<Vec<Piece>> {
    let mut pieces = vec![];
    r.i32()?;
    for _ in 0..r.i32()? {
        r.text()?;
        for _ in 0..r.i32()? {
            let partition = usize::try_from(r.i32()?)?;
            check(r.i16()?, "reading")?;
            r.take(16)?;
            for _ in 0..r.i32()? {
                r.take(16)?; // aborted transactions
            }
            let size = usize::try_from(r.i32()?).unwrap_or(0);
            let mut rest = r.take(size)?;
            while rest.len() >= HEAD {
                let base = i64::from_be_bytes(rest[..8].try_into()?);
                let length = 12 + i32::from_be_bytes(rest[8..12].try_into()?) as usize;
                if rest.len() < length || base >= ends[partition] {
                    break; // the last one may be cut off
                }
                let (batch, behind) = rest.split_at(length);
                let delta = i32::from_be_bytes(batch[23..27].try_into()?);
                let control = u16::from_be_bytes(batch[21..23].try_into()?) & 32 != 0;
                if !control {
                    pieces.push(Piece { partition, bytes: batch.to_vec() });
                }
                at[partition] = base + i64::from(delta) + 1;
                rest = behind;
            }
        }
    }
    Ok(pieces)
}

/// Writes what comes, at most one batch of each partition in a request.
fn produce_all(c: &mut Connection, topic: &str, partitions: usize, from: &Receiver<Vec<Piece>>) -> Result<()> {
    let mut ask = (-1i16).to_be_bytes().to_vec();
    ask.extend(60_000i32.to_be_bytes());
    let mut r = c.call(INIT_PRODUCER, &ask)?;
    r.i32()?;
    check(r.i16()?, "a producer id")?;
    let (producer, epoch) = (r.i64()?, r.i16()?);
    let mut sequences = vec![0i32; partitions];
    let mut waiting: Vec<VecDeque<Vec<u8>>> = (0..partitions).map(|_| VecDeque::new()).collect();
    let (mut under_way, mut held, mut open) = (0, 0, true);
    loop {
        // requests are full: while there is more to come, each has a batch of every partition
        while open && held < HELD_BYTES && waiting.iter().any(VecDeque::is_empty) {
            match from.recv() {
                Ok(pieces) => pieces.into_iter().for_each(|p| {
                    held += p.bytes.len();
                    waiting[p.partition].push_back(p.bytes);
                }),
                Err(_) => open = false,
            }
        }
        let batches = next_request(&mut waiting);
        held -= batches.iter().map(|(_, b)| b.len()).sum::<usize>();
        if batches.is_empty() {
            break;
        }
        let mut body = vec![];
        body.extend((-1i16).to_be_bytes());
        body.extend((-1i16).to_be_bytes());
        body.extend(30_000i32.to_be_bytes());
        body.extend(1i32.to_be_bytes());
        put_text(&mut body, topic);
        body.extend((batches.len() as i32).to_be_bytes());
        for (p, mut batch) in batches {
            stamp(&mut batch, producer, epoch, &mut sequences[p])?;
            body.extend((p as i32).to_be_bytes());
            body.extend((batch.len() as i32).to_be_bytes());
            body.extend(batch);
        }
        c.send(PRODUCE, &body)?;
        under_way += 1;
        if under_way == UNDER_WAY {
            acknowledged(c)?;
            under_way -= 1;
        }
    }
    (0..under_way).try_for_each(|_| acknowledged(c))
}

fn next_request(waiting: &mut [VecDeque<Vec<u8>>]) -> Vec<(usize, Vec<u8>)> {
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    order.sort_by_key(|p| std::cmp::Reverse(waiting[*p].len()));
    let (mut out, mut size) = (vec![], 0);
    for p in order {
        let next = waiting[p].front().map_or(0, Vec::len);
        if size > 0 && size + next > REQUEST_BYTES {
            break;
        }
        size += next;
        out.extend(waiting[p].pop_front().map(|batch| (p, batch)));
    }
    out
}

/// Puts producer and sequence into the header, and the checksum of all that.
fn stamp(batch: &mut [u8], producer: i64, epoch: i16, sequence: &mut i32) -> Result<()> {
    let items = i32::from_be_bytes(batch[23..27].try_into()?) + 1;
    batch[..8].copy_from_slice(&0i64.to_be_bytes());
    batch[12..16].copy_from_slice(&(-1i32).to_be_bytes());
    batch[22] &= !(16 | 8); // of no transaction, and with its own times
    batch[43..51].copy_from_slice(&producer.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    *sequence = ((i64::from(*sequence) + i64::from(items)) % (1 << 31)) as i32;
    Ok(())
}

fn acknowledged(c: &mut Connection) -> Result<()> {
    let mut r = c.receive()?;
    for _ in 0..r.i32()? {
        r.text()?;
        for _ in 0..r.i32()? {
            r.i32()?;
            check(r.i16()?, "writing")?;
            r.take(24)?;
            for _ in 0..r.i32()? {
                r.i32()?;
                r.text()?;
            }
            r.text()?;
        }
    }
    Ok(())
}

fn check(code: i16, what: &str) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(format!("{what}: the broker says {code}").into()) }
}
