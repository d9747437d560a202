//! From lines of a source to items.

use crate::context::RunContext;
use crate::ledger::marks::Mark;
use crate::piece::carry::{Carrier, view};
use crate::piece::letter::{Failed, Reason};
use crate::piece::outcome::Outcome;
use crate::world::{Line, Reading};
use anabranch_engine::{Batch, Builder, Codec, Item, Result, limits};
use anabranch_flow::format::entry::entered;
use anabranch_flow::format::framing::Framed;
use anabranch_flow::model::Stream;
use anabranch_flow::number::StreamNo;
use anabranch_flow::patterns::{Body, Origin, Part};
use anabranch_flow::plan::{Node, Root, name};
use bytes::Bytes;
use std::sync::Arc;

/// Reads the lines that begin in `from..to` and carries them through the unit.
pub fn read(context: &RunContext, root: &Root, reading: &Reading, from: u64, to: u64) -> Result<(u64, Outcome)> {
    let mut gatherer = Gatherer::new(context, root.from, Some(reading));
    reading.reader.read(from, to, &mut |line| gatherer.line(&line))?;
    gatherer.finish()
}

/// Lines of standard input, carried through the unit.
pub fn take(context: &RunContext, stream: StreamNo, lines: &[Framed]) -> Result<(u64, Outcome)> {
    let mut gatherer = Gatherer::new(context, stream, None);
    for Framed { byte, text, too_long } in lines {
        let (byte, too_long) = (*byte, *too_long);
        gatherer.line(&Line { file: 0, byte, at: byte, text, too_long, grown: None })?;
    }
    gatherer.finish()
}

/// What every source does to its lines.
struct Gatherer<'g> {
    context: &'g RunContext,
    from: StreamNo,
    /// The files; none for standard input.
    reading: Option<&'g Reading>,
    stream: &'g Stream,
    carrier: Carrier<'g>,
    batch: Builder,
    at: Vec<(u64, u64)>,
    file: usize,
    /// The number of the next line, where lines are numbered and the file has begun.
    number: Option<u64>,
    items: u64,
}

impl<'g> Gatherer<'g> {
    fn new(context: &'g RunContext, from: StreamNo, reading: Option<&'g Reading>) -> Self {
        let stream = &context.flow.streams[from];
        let batch = Builder::new(Codec::None);
        let carrier = Carrier::new(context);
        Gatherer { context, from, reading, stream, carrier, batch, at: vec![], file: 0, number: None, items: 0 }
    }

    fn finish(mut self) -> Result<(u64, Outcome)> {
        self.flush()?;
        Ok((self.items, self.carrier.out))
    }

    fn line(&mut self, line: &Line<'_>) -> Result<()> {
        if line.file != self.file || self.batch.bytes() >= limits::BATCH_TARGET_BYTES {
            self.flush()?;
        }
        let number = self.number(line)?;
        if self.stream.source.as_ref().is_some_and(|s| s.holds.is_blank(line.text)) {
            return Ok(());
        }
        if self.is_left(line) {
            self.carrier.out.marks.insert(Mark::Left(&self.stream.name, line.file).to_string(), 1);
            return Ok(());
        }
        self.items += 1;
        if line.too_long {
            let kept = &line.text[..line.text.len().min(limits::OVERSIZE_KEPT_BYTES)];
            let place = format!("{}@{}", self.path(), line.byte);
            let error = format!("the line has more than {} bytes", limits::ITEM_BYTES);
            self.dead(place, error, Item::of(Bytes::copy_from_slice(kept), self.context.started()));
            return Ok(());
        }
        if let Some(reading) = self.reading.filter(|_| self.context.with_headers[self.from]) {
            let path = reading.files.get(line.file).map_or("", |f| f.path.as_str());
            let number = number.map(|n| n.to_string());
            let headers = [Some(("file", path)), number.as_deref().map(|n| ("line", n))];
            let headers: Vec<_> = headers.into_iter().flatten().map(|(n, v)| (n, Some(v.as_bytes()))).collect();
            self.batch.push(self.context.started(), None, Some(line.text), &headers);
        } else {
            self.batch.push(self.context.started(), None, Some(line.text), &[]);
        }
        self.at.push((line.byte, line.at));
        Ok(())
    }

    /// The number of this line in its file, if lines are numbered.
    fn number(&mut self, line: &Line<'_>) -> Result<Option<u64>> {
        let same = self.file == line.file;
        self.file = line.file;
        if let Some(reading) = self.reading.filter(|_| self.context.with_numbers) {
            let number = match self.number.filter(|_| same) {
                Some(next) => next,
                None => reading.reader.number(line.at)?,
            };
            self.number = Some(number + 1);
            return Ok(Some(number));
        }
        Ok(None)
    }

    /// Whether a line is the next run's: it had no end when the run opened, and its file has grown since. What is
    /// committed stays as it was decided.
    fn is_left(&self, line: &Line<'_>) -> bool {
        let Some(grown) = line.grown else { return false };
        self.reading.and_then(|r| r.left.get(&line.file)).copied().unwrap_or(grown)
    }

    fn path(&self) -> Arc<str> {
        let path = match self.reading {
            Some(reading) => reading.files.get(self.file).map_or("", |f| f.path.as_str()),
            None => "stdin",
        };
        format!("r{}/{path}", self.context.number).into()
    }

    fn dead(&mut self, place: String, error: String, item: Item) {
        let node = name(&self.context.flow, Node::Source(self.from));
        let place = format!("{}/{node}/{place}", self.context.flow.name);
        let tally = self.carrier.out.tally(&node);
        *tally.took.entry(self.stream.name.clone()).or_default() += 1;
        tally.dead += 1;
        self.carrier.out.dead.push(Failed { step: node, reason: Reason::at(place, error), item, log: None });
    }

    /// The lines so far become a batch and go through the unit.
    fn flush(&mut self) -> Result<()> {
        let builder =
            std::mem::replace(&mut self.batch, Builder::with_capacity(Codec::None, limits::BATCH_TARGET_BYTES + 4096));
        let at = std::mem::take(&mut self.at);
        let Some(batch) = builder.finish() else { return Ok(()) };
        let origin = Origin::File { stream: self.stream.name.as_str().into(), path: self.path(), at: Arc::new(at) };
        let part = Part { body: Body::Ready(batch), rows: None, origin, partition: 0 };
        let part = if self.stream.entry.is_plain() { Some(part) } else { self.enter(&part)? };
        let Some(part) = part else { return Ok(()) };
        let node = name(&self.context.flow, Node::Source(self.from));
        let tally = self.carrier.out.tally(&node);
        *tally.took.entry(self.stream.name.clone()).or_default() += part.count();
        tally.passed += part.count();
        self.carrier.emit(&node, self.from, &part)
    }

    /// Gives items their key and timestamp, and checks their fields.
    fn enter(&mut self, part: &Part) -> Result<Option<Part>> {
        let context = self.context;
        let stream = self.stream;
        let view = view(context, part, stream.format, None)?;
        let mut made = Builder::with_capacity(Codec::None, view.records.bytes());
        let mut from = vec![];
        let mut slots = vec![];
        for record in view.items() {
            match entered(&view, &record, &stream.entry, &mut slots) {
                Ok((key, timestamp)) => {
                    let headers: Vec<_> = record.headers().collect();
                    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_ref(), *v)).collect();
                    made.push(timestamp, key.as_deref(), record.value(), &headers);
                    from.push((record.row() as u32, None));
                }
                Err(fault) => {
                    let place = part.place(record.row(), record.delta());
                    self.dead(place, fault.to_string(), record.to_item());
                }
            }
        }
        let origin = Origin::Made { parent: Arc::new(part.clone()), from: Arc::new(from) };
        Ok(made.finish().map(|batch: Batch| Part { body: Body::Ready(batch), rows: None, origin, partition: 0 }))
    }
}
