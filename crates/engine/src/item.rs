//! One piece of work.

use bytes::Bytes;

/// One piece of work: a value with an optional key, headers and a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Decides the partition, when there is one.
    pub key: Option<Bytes>,
    /// JSON, text or bytes. `None` is Kafka's tombstone.
    pub value: Option<Bytes>,
    /// Names and values, in order; names may repeat.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
}

impl Item {
    /// An item that is only a value.
    pub fn of(value: impl Into<Bytes>, timestamp: i64) -> Self {
        Item { value: Some(value.into()), timestamp, ..Item::default() }
    }

    /// The value of the last header of that name, if it has one.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_deref())
    }
}
