//! What an expression sees.

use super::Fault;
use super::time::Time;
use super::value::Value;
use anabranch_engine::batch::Headers;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Variables of the flow, resolved.
pub type Env = BTreeMap<String, String>;

/// The run, as expressions see it.
#[derive(Debug, Clone, Default)]
pub struct RunVars {
    /// `run.id`
    pub id: String,
    /// `run.date`
    pub date: String,
    /// `run.started`
    pub started: jiff::Timestamp,
    /// The flow's time zone, for `floor` and `format`.
    pub zone: Zone,
}

/// A time zone; UTC where none is named.
#[derive(Debug, Clone)]
pub struct Zone(pub jiff::tz::TimeZone);

impl Default for Zone {
    fn default() -> Zone {
        Zone(jiff::tz::TimeZone::UTC)
    }
}

/// The value of an item.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// Checked JSON.
    Json(&'a str),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// There is none here.
    None,
}

/// Where an item stands: the nearest logged place above it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The partition.
    pub partition: u32,
    /// The offset; in a file the byte.
    pub offset: i64,
    /// The shard of a replicated step.
    pub shard: Option<&'a str>,
}

/// Everything that one evaluation sees.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The item's value.
    pub content: Content<'a>,
    /// The fields that the expressions of the step read.
    pub slots: &'a [Option<&'a str>],
    /// The key.
    pub key: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The headers.
    pub headers: Option<Headers<'a>>,
    /// Its place.
    pub place: Place<'a>,
    /// The run.
    pub run: &'a RunVars,
    /// The variables.
    pub env: &'a Env,
    /// `result`, `a` and `b`, and the aggregates of a reduce.
    pub extra: &'a [Value<'a>],
}

impl<'a> Scope<'a> {
    /// A scope that sees only the run and its variables.
    pub fn of_run(run: &'a RunVars, env: &'a Env) -> Scope<'a> {
        let place = Place { stream: "", partition: 0, offset: 0, shard: None };
        Scope {
            content: Content::None,
            slots: &[],
            key: None,
            timestamp: 0,
            headers: None,
            place,
            run,
            env,
            extra: &[],
        }
    }

    /// The item as a value.
    ///
    /// # Errors
    ///
    /// The item is not what its format says.
    pub fn item(&self) -> Result<Value<'a>, Fault> {
        match self.content {
            Content::Json(raw) => Value::from_json(raw),
            Content::Text(text) => Ok(Value::text(text)),
            Content::Bytes(bytes) => Ok(Value::Bytes(Cow::Borrowed(bytes))),
            Content::None => Err(Fault::new("there is no item here")),
        }
    }

    /// The item's value as it is.
    pub fn bytes(&self) -> &'a [u8] {
        match self.content {
            Content::Json(raw) | Content::Text(raw) => raw.as_bytes(),
            Content::Bytes(bytes) => bytes,
            Content::None => &[],
        }
    }

    pub(super) fn key(&self) -> Value<'a> {
        match self.key.map(|k| (k, std::str::from_utf8(k))) {
            None => Value::Null,
            Some((_, Ok(text))) => Value::text(text),
            Some((bytes, Err(_))) => Value::Bytes(Cow::Borrowed(bytes)),
        }
    }

    pub(super) fn timestamp(&self) -> Result<Value<'a>, Fault> {
        let time = Time::from_millisecond(self.timestamp).map(Value::Timestamp);
        time.ok_or_else(|| Fault::new(format!("the timestamp {} is out of range", self.timestamp)))
    }

    pub(super) fn headers(&self) -> Value<'a> {
        let mut map: Vec<(Value<'a>, Value<'a>)> = vec![];
        for (name, value) in self.headers.into_iter().flatten() {
            let value = value.map_or(Value::Null, |v| match std::str::from_utf8(v) {
                Ok(text) => Value::text(text),
                Err(_) => Value::Bytes(Cow::Borrowed(v)),
            });
            match map.iter_mut().find(|(k, _)| matches!(k, Value::Text(k) if *k == name)) {
                Some(had) => had.1 = value,
                None => map.push((Value::Text(name), value)),
            }
        }
        Value::Map(map)
    }
}
