//! The record batch: Kafka's RecordBatch v2 on disk, on the wire and in memory.
//!
//! Format: <https://kafka.apache.org/documentation/#recordbatch>. The base
//! offset of a batch at rest is not read from its bytes: it lives in the index
//! (embedded) or is set by the broker (Kafka), so bytes are never patched.
//!
//! ```
//! use anabranch_engine::{Batch, Builder, Codec};
//! let mut b = Builder::new(Codec::Lz4);
//! b.push(1_700_000_000_000, Some(b"ann"), Some(b"{\"n\":1}"), &[]);
//! let batch: Batch = b.finish().expect("one item");
//! let records = batch.records().expect("we wrote it");
//! let first = records.iter().next().expect("one item");
//! assert_eq!(first.key(), Some(&b"ann"[..]));
//! ```

mod build;
mod compress;
mod head;
mod rows;
mod varint;
mod walk;

pub use build::{Builder, Packer};
pub use compress::Codec;
pub use head::{HEAD_BYTES, Head};
pub use rows::Rows;
pub use walk::{Headers, Record, Records};

use crate::error::Result;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// One record batch. Cheap to clone; its records are unpacked once, when first asked for.
#[derive(Clone, Debug)]
pub struct Batch {
    head: Head,
    bytes: Bytes,
    records: Arc<OnceLock<Records>>,
}

impl Batch {
    /// Takes one batch as stored: checks its length, magic and checksum, not yet its records.
    ///
    /// # Errors
    ///
    /// The bytes are no record batch, or corrupt.
    pub fn parse(bytes: Bytes) -> Result<Batch> {
        let head = Head::parse(&bytes)?;
        head.verify(&bytes)?;
        Ok(Batch { head, bytes, records: Arc::default() })
    }

    /// The header.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The whole batch as stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many items it holds, from its header.
    pub fn count(&self) -> usize {
        self.head.count as usize
    }

    /// Its records: decompressed and checked on the first call.
    ///
    /// # Errors
    ///
    /// The batch cannot be unpacked, or its records are not what its header says.
    pub fn records(&self) -> Result<&Records> {
        if let Some(records) = self.records.get() {
            return Ok(records);
        }
        let body = self.bytes.slice(HEAD_BYTES.min(self.bytes.len())..);
        let data = compress::unpack(self.head.codec, body)?;
        let records = Records::parse(&self.head, data)?;
        Ok(self.records.get_or_init(|| records))
    }

    /// A new batch with the chosen rows of this one, in order; `None` when none is chosen.
    ///
    /// # Errors
    ///
    /// The batch cannot be unpacked.
    pub fn gather(&self, rows: &Rows) -> Result<Option<Batch>> {
        let records = self.records()?;
        let mut out = Builder::with_capacity(self.head.codec, records.bytes() * rows.count() / self.count().max(1));
        for record in records.iter().filter(|r| rows.has(r.row())) {
            out.push_record(&record);
        }
        Ok(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Item;
    use proptest::prelude::*;

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from));
        let header = ("[a-z]{1,5}", bytes());
        let item = (bytes(), bytes(), proptest::collection::vec(header, 0..3), 0i64..4_000_000_000_000)
            .prop_map(|(key, value, headers, timestamp)| Item { key, value, headers, timestamp });
        proptest::collection::vec(item, 1..80)
    }

    fn build(items: &[Item], codec: Codec) -> Batch {
        let mut b = Builder::new(codec);
        items.iter().for_each(|i| b.push_item(i));
        b.finish().expect("not empty")
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_walked(items in items(), codec in 0..5usize) {
            let batch = build(&items, [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][codec]);
            let again = Batch::parse(batch.bytes().clone()).expect("verifies");
            let got: Vec<Item> = again.records().expect("reads").iter().map(|r| r.to_item()).collect();
            prop_assert_eq!(got, items);
        }

        #[test]
        fn gathered_rows_equal_filtered_items(items in items(), keep in any::<u64>()) {
            let batch = build(&items, Codec::None);
            let rows = Rows::from_fn(items.len(), |i| keep >> (i % 64) & 1 == 1);
            let want: Vec<Item> = items.iter().enumerate().filter(|(i, _)| rows.has(*i)).map(|(_, x)| x.clone()).collect();
            let got: Vec<Item> = match batch.gather(&rows).expect("gathers") {
                Some(b) => Batch::parse(b.bytes().clone()).expect("verifies").records().expect("reads").iter().map(|r| r.to_item()).collect(),
                None => vec![],
            };
            prop_assert_eq!(rows.count(), want.len());
            prop_assert_eq!(got, want);
        }

        #[test]
        fn a_flipped_bit_is_an_error(items in items(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let batch = build(&items, Codec::None);
            let mut bytes = batch.bytes().to_vec();
            let i = at.index(bytes.len() - 12) + 12; // the base offset and the length are checked elsewhere
            bytes[i] ^= 1 << bit;
            let outcome = Batch::parse(Bytes::from(bytes));
            prop_assert!(i < 16 || outcome.is_err(), "byte {} of {}", i, batch.bytes().len());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(b) = Batch::parse(Bytes::from(bytes)) { let _ = b.records(); }
        }

        #[test]
        fn no_records_panic(body in proptest::collection::vec(any::<u8>(), 1..200), count in 1..9i32) {
            let mut b = Builder::new(Codec::None);
            b.push(0, None, Some(&body), &[]);
            let mut bytes = b.finish().expect("one").bytes().to_vec();
            bytes.truncate(HEAD_BYTES);
            bytes.extend_from_slice(&body);
            let bytes = head::reseal(bytes, count);
            if let Ok(b) = Batch::parse(bytes) { let _ = b.records(); }
        }
    }

    #[test]
    fn a_compression_bomb_is_refused() {
        let zeros = vec![0u8; crate::limits::BATCH_BYTES + 1];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress::pack(codec, &zeros).expect("packs");
            assert!(packed.len() < 4 << 20, "{codec:?} {}", packed.len());
            assert!(compress::unpack(codec, Bytes::from(packed)).is_err(), "{codec:?}");
        }
    }
}
