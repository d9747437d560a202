//! `anabranch consume`

use super::args::{Args, Consume};
use super::{Exit, place};
use anabranch_engine::{Admin, At, Error, Limit, Offset, Record, Result, StreamName, limits};
use std::io::Write;
use std::time::Duration;

struct Printer<'a> {
    a: &'a Consume,
    out: std::io::BufWriter<std::io::StdoutLock<'static>>,
    printed: u64,
    /// Who reads has enough.
    closed: bool,
}

/// Prints the items of a stream, partition by partition; with `--follow` as they come.
pub fn consume(args: &Args, a: &Consume) -> Result<Exit> {
    let stream = StreamName::new(&a.stream)?;
    let engine = place::engine(args)?;
    let mut next = starts(&*engine, &stream, a)?;
    let mut printer = Printer { a, out: std::io::BufWriter::new(std::io::stdout().lock()), printed: 0, closed: false };
    loop {
        let before = printer.printed;
        for (p, span) in engine.span(&stream)?.into_iter().enumerate() {
            while next[p] < span.end && !printer.full() {
                let at = At { stream: stream.clone(), partition: p as u32, offset: next[p] };
                let chunk = engine.read(&at, span.end, Limit { bytes: limits::COMMIT_BYTES })?;
                for handle in &chunk.batches {
                    let batch = handle.load()?;
                    for record in batch.records()?.iter() {
                        let offset = handle.at.offset + i64::from(record.delta());
                        if offset >= next[p] && !printer.full() {
                            printer.print(&record, p as u32, offset)?;
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
            }
        }
        printer.flush()?;
        if let Some(group) = a.group.as_ref().filter(|_| printer.printed > before) {
            let offsets: Vec<_> = next.iter().enumerate().map(|(p, n)| (stream.clone(), p as u32, *n)).collect();
            engine.set_group(group, &offsets)?;
        }
        if !a.follow || printer.full() {
            break;
        }
        engine.wait(Duration::from_millis(100));
    }
    if !args.quiet {
        eprintln!("Processed a total of {} messages", printer.printed);
    }
    Ok(0)
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

impl Printer<'_> {
    fn full(&self) -> bool {
        self.closed || self.a.max_messages.is_some_and(|n| self.printed >= n)
    }

    fn print(&mut self, record: &Record<'_>, partition: u32, offset: Offset) -> Result<()> {
        let text = |b: Option<&[u8]>| b.map_or("null".into(), |b| String::from_utf8_lossy(b).into_owned());
        let mut line: Vec<u8> = vec![];
        for what in &self.a.print {
            let part = match what.as_str() {
                "key" => text(record.key()),
                "timestamp" => record.timestamp().to_string(),
                "partition" => format!("p{partition}"),
                "offset" => offset.to_string(),
                _ => record.headers().map(|(n, v)| format!("{n}:{}", text(v))).collect::<Vec<_>>().join(","),
            };
            line.extend(part.bytes());
            line.push(b'\t');
        }
        line.extend(record.value().unwrap_or(b"null"));
        line.push(b'\n');
        self.printed += 1;
        let written = self.out.write_all(&line);
        self.wrote(written)
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.wrote(flushed)
    }

    fn wrote(&mut self, outcome: std::io::Result<()>) -> Result<()> {
        match outcome {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => self.closed = true,
            Err(e) => return Err(Error::machine(format!("standard output cannot be written: {e}"))),
            Ok(()) => {}
        }
        Ok(())
    }
}
