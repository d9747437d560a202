//! What a pattern sees of a part.

use super::part::Part;
use crate::expr::{Content, Env, Fault, Place, Reads, RunVars, Scope, Value, json};
use crate::format::Format;
use anabranch_engine::Record;
use anabranch_engine::batch::Records;

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
