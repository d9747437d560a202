//! A batch on its way through a unit, and what a pattern makes of it.

use crate::expr::{Content, Env, Fault, Place, Reads, RunVars, Scope, Value, json};
use crate::format::Format;
use anabranch_engine::{Batch, Builder, Codec, Handle, Record, Result, Rows, batch::Records, limits};
use std::sync::{Arc, OnceLock};

/// A batch, or rows of it, inside a unit.
#[derive(Debug, Clone)]
pub struct Part {
    /// The batch.
    pub body: Body,
    /// The chosen rows; `None` = all.
    pub rows: Option<Rows>,
    /// Where its items come from.
    pub origin: Origin,
    /// The partition its items are in.
    pub partition: u32,
}

/// A batch in memory, or one of the log that is read when somebody looks into it.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Ready(Batch),
    /// In the log.
    Stored(Handle, Arc<OnceLock<Batch>>),
}

impl Body {
    /// A batch of the log.
    pub fn stored(handle: Handle) -> Body {
        Body::Stored(handle, Arc::default())
    }

    /// Its items, from its header or the index.
    pub fn count(&self) -> usize {
        match self {
            Body::Ready(batch) => batch.count(),
            Body::Stored(handle, _) => handle.count as usize,
        }
    }

    /// Bytes at rest.
    pub fn bytes(&self) -> usize {
        match self {
            Body::Ready(batch) => batch.bytes().len(),
            Body::Stored(handle, _) => handle.bytes,
        }
    }

    /// The batch itself.
    ///
    /// # Errors
    ///
    /// The bytes cannot be read, or are corrupt.
    pub fn batch(&self) -> Result<&Batch> {
        match self {
            Body::Ready(batch) => Ok(batch),
            Body::Stored(handle, loaded) => match loaded.get() {
                Some(batch) => Ok(batch),
                None => {
                    let batch = handle.load()?;
                    Ok(loaded.get_or_init(|| batch))
                }
            },
        }
    }

    /// Its records.
    ///
    /// # Errors
    ///
    /// The batch cannot be read or unpacked.
    pub fn records(&self) -> Result<&Records> {
        self.batch()?.records()
    }
}

/// Where the items of a batch come from: enough to name each one's place.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A batch of the log.
    Log {
        /// The stream, by its name in the flow.
        stream: Arc<str>,
        /// Where it stands.
        handle: Handle,
    },
    /// Lines of a file.
    File {
        /// The stream that the file fills.
        stream: Arc<str>,
        /// What the place names: `rRUN/PATH`.
        path: Arc<str>,
        /// For each row: the byte in the file, and the byte in the whole source.
        at: Arc<Vec<(u64, u64)>>,
    },
    /// A dead letter that is tried again: its one item is where it was before.
    Again {
        /// Its place, without `FLOW/STEP/`.
        place: Arc<str>,
        /// The nearest logged place above it.
        above: Arc<(String, u32, i64)>,
    },
    /// Made from rows of another part.
    Made {
        /// That part.
        parent: Arc<Part>,
        /// For each row: the row it was made from, and which child of it this is, if it has several.
        from: Arc<MadeFrom>,
    },
}

impl Part {
    /// Items chosen: the header's count, or the popcount of the selection.
    pub fn count(&self) -> u64 {
        self.rows.as_ref().map_or(self.body.count(), Rows::count) as u64
    }

    /// The same batch with these rows of it.
    pub fn select(&self, rows: Rows) -> Part {
        Part { body: self.body.clone(), rows: Some(rows), origin: self.origin.clone(), partition: self.partition }
    }

    /// Stream, partition and offset of the nearest logged place above a row.
    pub fn above(&self, row: usize, delta: u32) -> (&str, u32, i64) {
        match &self.origin {
            Origin::Log { stream, handle } => (stream, handle.at.partition, handle.at.offset + i64::from(delta)),
            Origin::Again { above, .. } => (&above.0, above.1, above.2),
            Origin::File { stream, at, .. } => (stream, 0, at.get(row).map_or(0, |(_, whole)| *whole as i64)),
            Origin::Made { parent, from } => {
                let row = from.get(row).map_or(0, |(r, _)| *r);
                parent.above(row as usize, row)
            }
        }
    }

    /// The place of a row, without `FLOW/STEP/`: equal over attempts, restarts and retries.
    pub fn place(&self, row: usize, delta: u32) -> String {
        match &self.origin {
            Origin::Log { stream, handle } => {
                format!("{stream}/{}/{}", handle.at.partition, handle.at.offset + i64::from(delta))
            }
            Origin::Again { place, .. } => place.to_string(),
            Origin::File { path, at, .. } => format!("{path}@{}", at.get(row).map_or(0, |(byte, _)| *byte)),
            Origin::Made { parent, from } => {
                let (row, child) = from.get(row).copied().unwrap_or_default();
                let above = parent.place(row as usize, row);
                child.map_or(above.clone(), |c| format!("{above}/{c}"))
            }
        }
    }
}

/// What a pattern sees of a part.
pub struct View<'a> {
    /// The part.
    pub part: &'a Part,
    /// Its records.
    pub records: &'a Records,
    /// The run and the variables.
    pub vars: &'a Vars,
    /// How the items are to be read.
    pub format: Format,
    /// The shard of a replicated step.
    pub shard: Option<&'a str>,
}

/// What is the same for every item of a run.
#[derive(Debug, Clone, Default)]
pub struct Vars {
    /// The run.
    pub run: RunVars,
    /// The variables.
    pub env: Env,
}

impl<'a> View<'a> {
    /// The chosen records in order.
    pub fn items(&self) -> impl Iterator<Item = Record<'a>> {
        self.items_from((0, 0))
    }

    /// The same from one on that stood at `spot` before.
    pub fn items_from(&self, spot: (usize, usize)) -> impl Iterator<Item = Record<'a>> {
        let rows = self.part.rows.as_ref();
        self.records.iter_from(spot).filter(move |r| rows.is_none_or(|rows| rows.has(r.row())))
    }

    /// Reads what `reads` wants of an item, in one pass, and gives what expressions see of it.
    ///
    /// # Errors
    ///
    /// The item is not what its format says.
    pub fn scope<'s>(
        &'s self,
        record: &Record<'a>,
        reads: &Reads,
        slots: &'s mut Vec<Option<&'a str>>,
    ) -> std::result::Result<Scope<'s>, Fault> {
        let content = if reads.item { self.content(record, reads, slots)? } else { Content::None };
        let (stream, partition, offset) = self.part.above(record.row(), record.delta());
        Ok(Scope {
            content,
            slots,
            key: record.key(),
            timestamp: record.timestamp(),
            headers: Some(record.headers()),
            place: Place { stream, partition, offset, shard: self.shard },
            run: &self.vars.run,
            env: &self.vars.env,
            extra: &[],
        })
    }

    fn content(
        &self,
        record: &Record<'a>,
        reads: &Reads,
        slots: &mut Vec<Option<&'a str>>,
    ) -> std::result::Result<Content<'a>, Fault> {
        let value = record.value();
        Ok(match (self.format, value) {
            (Format::Json, Some(v)) => Content::Json(json::fields(v, &reads.fields, slots)?),
            (Format::Json, None) => Content::Json("null"),
            (Format::Text, v) => {
                let v = v.unwrap_or_default();
                Content::Text(
                    std::str::from_utf8(v)
                        .map_err(|e| Fault::new(format!("not UTF-8: byte {} is wrong", e.valid_up_to() + 1)))?,
                )
            }
            (Format::Bytes, v) => Content::Bytes(v.unwrap_or_default()),
        })
    }

    /// The item as a value that borrows nothing.
    ///
    /// # Errors
    ///
    /// The item is not what its format says.
    pub fn value(&self, record: &Record<'a>) -> std::result::Result<Value<'static>, Fault> {
        let reads = Reads { item: true, ..Reads::default() };
        let mut slots = vec![];
        Ok(match self.content(record, &reads, &mut slots)? {
            Content::Json(raw) => Value::from_json(raw)?.into_owned(),
            Content::Text(t) => Value::text(t).into_owned(),
            Content::Bytes(b) => Value::Bytes(b.into()).into_owned(),
            Content::None => Value::Null,
        })
    }
}

/// What a pattern made of one part. The runner carries it out.
#[derive(Debug, Default)]
pub struct Effects {
    /// What goes to which output.
    pub emits: Vec<Emit>,
    /// Items that the pattern iterated.
    pub taken: u64,
    /// Items that went on.
    pub passed: u64,
    /// Items that were not wanted.
    pub filtered: u64,
    /// Items that became part of a result.
    pub folded: u64,
    /// Items that failed, by row.
    pub failed: Vec<(usize, Fault)>,
}

/// For each row of a new batch: the row it was made from, and which child of it this is, if it has several.
pub type MadeFrom = Vec<(u32, Option<u32>)>;

/// New items, in batches that are closed at [`limits::BATCH_TARGET_BYTES`].
#[derive(Debug)]
pub struct Making {
    open: Builder,
    from: MadeFrom,
    done: Vec<(Batch, MadeFrom)>,
}

impl Making {
    /// Room for `bytes` at first.
    pub fn with_capacity(bytes: usize) -> Making {
        let room = bytes.min(limits::BATCH_TARGET_BYTES * 2);
        Making { open: Builder::with_capacity(Codec::None, room), from: vec![], done: vec![] }
    }

    /// Adds items made from one: each has its key, headers and timestamp. None is added if one is too large.
    ///
    /// # Errors
    ///
    /// A value is larger than an item may be.
    pub fn children(&mut self, of: &Record<'_>, values: &[Vec<u8>], many: bool) -> std::result::Result<(), Fault> {
        if let Some(large) = values.iter().find(|v| v.len() > limits::ITEM_BYTES) {
            return Err(super::too_large(large.len()));
        }
        for (child, value) in values.iter().enumerate() {
            self.open.push_like(of, value);
            self.came_from(of.row(), many.then_some(child as u32));
        }
        Ok(())
    }

    /// Adds an item with another value.
    pub fn one(&mut self, of: &Record<'_>, value: &[u8]) {
        self.open.push_like(of, value);
        self.came_from(of.row(), None);
    }

    /// Adds an item as it is.
    pub fn same(&mut self, of: &Record<'_>) {
        self.open.push_record(of);
        self.came_from(of.row(), None);
    }

    fn came_from(&mut self, row: usize, child: Option<u32>) {
        self.from.push((row as u32, child));
        if self.open.bytes() >= limits::BATCH_TARGET_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        let batch = std::mem::replace(&mut self.open, Builder::new(Codec::None)).finish();
        let from = std::mem::take(&mut self.from);
        self.done.extend(batch.map(|b| (b, from)));
    }

    /// The batches.
    pub fn finish(mut self) -> Vec<(Batch, MadeFrom)> {
        self.close();
        self.done
    }
}

/// Something for an output.
#[derive(Debug)]
pub struct Emit {
    /// The output, by its place in the step.
    pub port: usize,
    /// The partition, where the pattern chooses it.
    pub partition: Option<u32>,
    /// What.
    pub what: What,
}

/// Routing patterns emit selections, not items.
#[derive(Debug)]
pub enum What {
    /// The part as it came.
    Whole,
    /// These rows of its batch.
    Rows(Rows),
    /// New items, and for each the row it was made from and which child of it this is.
    New(Batch, MadeFrom),
}

impl Effects {
    /// The part as it came goes to `port`.
    pub fn whole(&mut self, port: usize) {
        self.emits.push(Emit { port, partition: None, what: What::Whole });
    }

    /// These rows go to `port`, if there are any.
    pub fn rows(&mut self, port: usize, partition: Option<u32>, rows: Rows) {
        if !rows.is_empty() {
            self.emits.push(Emit { port, partition, what: What::Rows(rows) });
        }
    }
}
