//! `anabranch consume`

use super::args::{Args, Consume};
use super::{CLOSED, Exit, place};
use anabranch_engine::{Admin, At, Error, Limit, Offset, Record, Result, StreamName, limits};
use anabranch_run::show::text::plain;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::json;
use std::io::{ErrorKind, IsTerminal, stdout};
use std::time::Duration;

/// Bytes that are gathered before they are written.
const AT_ONCE: usize = 64 << 10;

struct Printer<'a> {
    a: &'a Consume,
    json: bool,
    /// A person looks: items must not steer the terminal.
    plain: bool,
    /// What is to be written.
    lines: Vec<u8>,
    /// Where in these lines one ends, the partition, the offset to go on with then, and how many items that prints.
    ends: Vec<(usize, usize, Offset, u64)>,
    /// Where each partition goes on, behind what was written.
    next: Vec<Offset>,
    /// Items that are to be printed.
    taken: u64,
    /// Items that were printed.
    printed: u64,
    /// Who reads has enough.
    closed: bool,
}

/// Prints the items of a stream, partition by partition; with `--follow` as they come.
pub fn consume(args: &Args, a: &Consume) -> Result<Exit> {
    let stream = StreamName::new(&a.stream)?;
    let Some(engine) = place::engine_there(args)? else {
        return Err(place::no_stream(&stream));
    };
    let mut next = starts(&*engine, &stream, a)?;
    let mut printer = Printer::new(args, a, &next);
    loop {
        let before = printer.printed;
        let read = print_all(&*engine, &stream, &mut next, &mut printer).and_then(|()| printer.write());
        if let Some(group) = a.group.as_ref().filter(|_| printer.printed > before) {
            let offsets: Vec<_> =
                printer.next.iter().enumerate().map(|(p, n)| (stream.clone(), p as u32, *n)).collect();
            engine.set_group(group, &offsets)?; // also where it cannot go on: as far as it was printed
        }
        read?;
        if !a.follow || printer.full() {
            break;
        }
        engine.wait(Duration::from_millis(100));
    }
    if !args.quiet {
        tell!("Processed a total of {} messages", printer.printed);
    }
    Ok(if printer.closed { CLOSED } else { 0 })
}

/// Prints what is there now.
fn print_all(engine: &dyn Admin, stream: &StreamName, next: &mut [Offset], printer: &mut Printer<'_>) -> Result<()> {
    for (p, span) in engine.span(stream)?.into_iter().enumerate() {
        while next[p] < span.end && !printer.full() {
            let at = At { stream: stream.clone(), partition: p as u32, offset: next[p] };
            let chunk = engine.read(&at, span.end, Limit { bytes: limits::COMMIT_BYTES })?;
            for handle in &chunk.batches {
                let batch = handle.load()?;
                for record in batch.records()?.iter() {
                    let offset = handle.at.offset + i64::from(record.delta());
                    if offset >= next[p] && !printer.full() {
                        printer.print(&record, p, offset)?;
                        next[p] = offset + 1;
                    }
                }
            }
            if printer.full() {
                break;
            }
            next[p] = chunk.next.max(next[p]);
            if chunk.batches.is_empty() && chunk.next < span.end && chunk.next == at.offset {
                break; // what ends a commit is on its way
            }
            printer.passed(p, next[p]);
        }
    }
    Ok(())
}

fn starts(engine: &dyn Admin, stream: &StreamName, a: &Consume) -> Result<Vec<Offset>> {
    let spans = engine.span(stream)?;
    let group = match &a.group {
        Some(name) if !a.from_beginning => Some(engine.group(name)?),
        _ => None,
    };
    let start = |p: usize, first: Offset| {
        group.as_ref().and_then(|g| g.offsets.get(&(stream.clone(), p as u32)).copied()).unwrap_or(first)
    };
    Ok(spans.iter().enumerate().map(|(p, s)| start(p, s.start)).collect())
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".into(), |b| String::from_utf8_lossy(b).into_owned())
}

impl Printer<'_> {
    fn new<'a>(args: &Args, a: &'a Consume, next: &[Offset]) -> Printer<'a> {
        Printer {
            a,
            json: args.json,
            plain: !args.json && stdout().is_terminal(),
            lines: vec![],
            ends: vec![],
            next: next.to_vec(),
            taken: 0,
            printed: 0,
            closed: false,
        }
    }

    fn full(&self) -> bool {
        self.closed || self.a.max_messages.is_some_and(|n| self.taken >= n)
    }

    fn print(&mut self, record: &Record<'_>, partition: usize, offset: Offset) -> Result<()> {
        if self.json {
            self.lines.extend(document(record, partition, offset).to_string().bytes());
        } else {
            let from = self.lines.len();
            self.line(record, partition, offset);
            if self.plain {
                let shown = plain(&String::from_utf8_lossy(&self.lines[from..])).into_owned();
                self.lines.truncate(from);
                self.lines.extend(shown.bytes());
            }
        }
        self.lines.push(b'\n');
        self.ends.push((self.lines.len(), partition, offset + 1, 1));
        self.taken += 1;
        if self.lines.len() >= AT_ONCE { self.write() } else { Ok(()) }
    }

    fn line(&mut self, record: &Record<'_>, partition: usize, offset: Offset) {
        for what in &self.a.print {
            let part = match what.as_str() {
                "key" => text(record.key()),
                "timestamp" => record.timestamp().to_string(),
                "partition" => format!("p{partition}"),
                "offset" => offset.to_string(),
                _ => record.headers().map(|(n, v)| format!("{n}:{}", text(v))).collect::<Vec<_>>().join(","),
            };
            self.lines.extend(part.bytes());
            self.lines.push(b'\t');
        }
        self.lines.extend(record.value().unwrap_or(b"null"));
    }

    /// Nothing to print is left before this offset.
    fn passed(&mut self, partition: usize, next: Offset) {
        self.ends.push((self.lines.len(), partition, next, 0));
    }

    /// Writes what was gathered. Only an item that was written whole is printed.
    fn write(&mut self) -> Result<()> {
        let (mut written, mut fault) = (0, None);
        let out = stdout();
        while written < self.lines.len() && fault.is_none() {
            // past the buffer of standard output, so that it is known what was written
            match rustix::io::write(&out, &self.lines[written..]) {
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&out, PollFlags::OUT)], None)),
                Err(e) => fault = Some(std::io::Error::from(e)),
            }
        }
        for (_, partition, next, items) in self.ends.drain(..).filter(|(end, ..)| *end <= written) {
            self.next[partition] = next;
            self.printed += items;
        }
        self.lines.clear();
        match fault {
            Some(e) if e.kind() == ErrorKind::BrokenPipe => self.closed = true,
            Some(e) => return Err(Error::machine(format!("standard output cannot be written: {e}"))),
            None => {}
        }
        Ok(())
    }
}

/// An item for programs.
fn document(record: &Record<'_>, partition: usize, offset: Offset) -> serde_json::Value {
    let text = |b: Option<&[u8]>| b.map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: serde_json::Map<_, _> = record.headers().map(|(n, v)| (n.to_string(), json!(text(v)))).collect();
    json!({ "partition": partition, "offset": offset, "timestamp": record.timestamp(), "key": text(record.key()),
            "value": text(record.value()), "headers": headers })
}
