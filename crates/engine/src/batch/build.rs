//! Encoding a fresh batch into one buffer.

use super::Batch;
use super::compress::{self, Codec};
use super::head::{HEAD_BYTES, Head};
use super::varint;
use super::walk::{Record, Records};
use crate::item::Item;
use crate::limits;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// Encodes items into one batch.
#[derive(Debug)]
pub struct Builder {
    buf: Vec<u8>,
    codec: Codec,
    count: u32,
    first_timestamp: i64,
    max_timestamp: i64,
}

impl Builder {
    /// An empty batch to be packed with `codec`.
    pub fn new(codec: Codec) -> Builder {
        Builder::with_capacity(codec, 0)
    }

    /// The same, with room for `bytes` of records.
    pub fn with_capacity(codec: Codec, bytes: usize) -> Builder {
        let mut buf = Vec::with_capacity(HEAD_BYTES + bytes);
        buf.resize(HEAD_BYTES, 0);
        Builder { buf, codec, count: 0, first_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// Items so far.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes so far, before packing.
    pub fn bytes(&self) -> usize {
        self.buf.len()
    }

    /// Adds an item.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let mut tail = nullable_size(key) + nullable_size(value) + varint::size(headers.len() as i64);
        for (name, value) in headers {
            tail += nullable_size(Some(name.as_bytes())) + nullable_size(*value);
        }
        self.front(timestamp, tail);
        self.nullable(key);
        self.nullable(value);
        varint::put(&mut self.buf, headers.len() as i64);
        for (name, value) in headers {
            self.nullable(Some(name.as_bytes()));
            self.nullable(*value);
        }
    }

    /// Adds an item that stands by itself.
    pub fn push_item(&mut self, item: &Item) {
        let headers: Vec<_> = item.headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
        self.push(item.timestamp, item.key.as_deref(), item.value.as_deref(), &headers);
    }

    /// Adds a record of another batch; key, value and headers are copied as encoded.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let tail = record.tail();
        self.front(record.timestamp(), tail.len());
        self.buf.extend_from_slice(tail);
    }

    /// Adds an item with the key and headers of `like`, another value and timestamp.
    pub fn push_like(&mut self, like: &Record<'_>, value: &[u8]) {
        let headers: Vec<_> = like.headers().collect();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_ref(), *v)).collect();
        self.push(like.timestamp(), like.key(), Some(value), &headers);
    }

    /// The batch, or `None` if nothing was added. It is as large as what was added: see [`Packer`].
    pub fn finish(mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let (count, first) = (self.count, self.first_timestamp);
        let (mut unpacked, mut codec) = (None, Codec::None);
        if let Some(packed) = compress::pack(self.codec, &self.buf[HEAD_BYTES..]) {
            unpacked = Some(Bytes::copy_from_slice(&self.buf[HEAD_BYTES..]));
            self.buf.truncate(HEAD_BYTES);
            self.buf.extend_from_slice(&packed);
            codec = self.codec;
        }
        Head::seal(&mut self.buf, codec, count, first, self.max_timestamp);
        let bytes = Bytes::from(self.buf);
        let head = Head::of_any_size(&bytes).ok()?;
        let data = unpacked.unwrap_or_else(|| bytes.slice(HEAD_BYTES..));
        let records = OnceLock::new();
        let _ = records.set(Records::fresh(data, count as usize, first));
        Some(Batch { head, bytes, records: Arc::new(records) })
    }

    fn front(&mut self, timestamp: i64, tail: usize) {
        if self.count == 0 {
            self.first_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let ts = timestamp.wrapping_sub(self.first_timestamp);
        let delta = i64::from(self.count);
        varint::put(&mut self.buf, (1 + varint::size(ts) + varint::size(delta) + tail) as i64);
        self.buf.push(0);
        varint::put(&mut self.buf, ts);
        varint::put(&mut self.buf, delta);
        self.count += 1;
    }

    fn nullable(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => varint::put(&mut self.buf, -1),
            Some(b) => {
                varint::put(&mut self.buf, b.len() as i64);
                self.buf.extend_from_slice(b);
            }
        }
    }
}

/// Puts items into batches that are closed at [`limits::BATCH_TARGET_BYTES`], so that none can outgrow what is read.
#[derive(Debug)]
pub struct Packer {
    codec: Codec,
    open: Builder,
    done: Vec<Batch>,
}

impl Default for Packer {
    fn default() -> Packer {
        Packer::new(Codec::None)
    }
}

impl Packer {
    /// Batches that are packed like this.
    pub fn new(codec: Codec) -> Packer {
        Packer { codec, open: Builder::new(codec), done: vec![] }
    }

    /// Adds an item.
    pub fn push_item(&mut self, item: &Item) {
        self.open.push_item(item);
        if self.open.bytes() >= limits::BATCH_TARGET_BYTES {
            self.done.extend(std::mem::replace(&mut self.open, Builder::new(self.codec)).finish());
        }
    }

    /// The batches.
    pub fn finish(mut self) -> Vec<Batch> {
        self.done.extend(self.open.finish());
        self.done
    }
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint::size(b.len() as i64) + b.len())
}
