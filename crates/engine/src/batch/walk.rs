//! Walking the records of a batch without making objects of them.

use super::head::Head;
use super::varint;
use crate::error::{Error, Result};
use crate::item::Item;
use bytes::Bytes;

/// The unpacked records of one batch. Their structure was checked, so walking cannot fail.
#[derive(Debug, Clone, Default)]
pub struct Records {
    data: Bytes,
    count: usize,
    first_timestamp: i64,
    append_time: Option<i64>,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    row: usize,
    at: usize,
    delta: u32,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
    tail: &'a [u8],
}

/// The headers of one record.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    data: &'a [u8],
    left: usize,
}

impl Records {
    /// Checks the structure of unpacked records once.
    pub(super) fn parse(head: &Head, data: Bytes) -> Result<Records> {
        let count = head.count as usize;
        let append_time = head.append_time.then_some(head.max_timestamp);
        let records = Records { data, count, first_timestamp: head.first_timestamp, append_time };
        let mut at = 0;
        for row in 0..count {
            let record = records.read(row, &mut at);
            if !record.is_some_and(|r| r.headers.check() && r.delta <= head.last_delta) {
                return Err(Error::corrupt(format!("record {} of {count} in a batch is malformed", row + 1)));
            }
        }
        if at != records.data.len() {
            return Err(Error::corrupt(format!("a batch of {count} records has bytes behind the last one")));
        }
        Ok(records)
    }

    /// Records that the builder just wrote.
    pub(super) fn fresh(data: Bytes, count: usize, first_timestamp: i64) -> Records {
        Records { data, count, first_timestamp, append_time: None }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all of them, unpacked.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let mut at = 0;
        (0..self.count).map_while(move |row| self.read(row, &mut at))
    }

    /// A slice of the batch as shared bytes, without a copy.
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.data.slice_ref(part)
    }

    /// The records from one on that stood at `spot` before.
    pub fn iter_from(&self, spot: (usize, usize)) -> impl Iterator<Item = Record<'_>> {
        let (row, mut at) = spot;
        (row..self.count).map_while(move |row| self.read(row, &mut at))
    }

    #[inline]
    fn read(&self, row: usize, at: &mut usize) -> Option<Record<'_>> {
        let data: &[u8] = &self.data;
        let begin = *at;
        let len = usize::try_from(varint::get(data, at)?).ok()?;
        let end = at.checked_add(len).filter(|e| *e <= data.len())?;
        let data = &data[..end];
        *at += 1; // attributes, unused
        let ts = varint::get(data, at)?;
        let delta = u32::try_from(varint::get(data, at)?).ok()?;
        let tail = data.get(*at..)?;
        let key = nullable(data, at)?;
        let value = nullable(data, at)?;
        let left = usize::try_from(varint::get(data, at)?).ok()?;
        let headers = Headers { data: data.get(*at..)?, left };
        *at = end;
        let timestamp = self.append_time.unwrap_or(self.first_timestamp.wrapping_add(ts));
        Some(Record { row, at: begin, delta, timestamp, key, value, headers, tail })
    }
}

#[inline]
fn nullable<'a>(data: &'a [u8], at: &mut usize) -> Option<Option<&'a [u8]>> {
    let len = varint::get(data, at)?;
    if len < 0 {
        return (len == -1).then_some(None);
    }
    let end = at.checked_add(usize::try_from(len).ok()?)?;
    let bytes = data.get(*at..end)?;
    *at = end;
    Some(Some(bytes))
}

impl<'a> Record<'a> {
    /// Its place in the batch, from 0.
    pub fn row(&self) -> usize {
        self.row
    }

    /// Where it stands in its batch, to go on there later.
    pub fn spot(&self) -> (usize, usize) {
        (self.row, self.at)
    }

    /// Its offset, from the base offset of the batch. Larger than the row where a compacted topic has holes.
    pub fn delta(&self) -> u32 {
        self.delta
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers in order.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// Key, value and headers as encoded.
    pub(super) fn tail(&self) -> &'a [u8] {
        self.tail
    }

    /// A copy that stands by itself.
    pub fn to_item(&self) -> Item {
        Item {
            key: self.key.map(Bytes::copy_from_slice),
            value: self.value.map(Bytes::copy_from_slice),
            headers: self.headers.map(|(n, v)| (n.into_owned(), v.map(Bytes::copy_from_slice))).collect(),
            timestamp: self.timestamp,
        }
    }
}

impl Headers<'_> {
    fn check(self) -> bool {
        let want = self.left;
        let mut h = self;
        let mut n = 0;
        while h.next().is_some() {
            n += 1;
        }
        n == want && h.data.is_empty()
    }
}

impl<'a> Iterator for Headers<'a> {
    /// Name (made valid UTF-8) and value.
    type Item = (std::borrow::Cow<'a, str>, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut at = 0;
        let name = nullable(self.data, &mut at)??;
        let value = nullable(self.data, &mut at)?;
        self.data = self.data.get(at..)?;
        Some((String::from_utf8_lossy(name), value))
    }
}
