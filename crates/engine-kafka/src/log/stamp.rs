//! A batch gets the header under which a producer sends it; its records stay as they are, packed or not.
//!
//! The layout is that of Kafka's record batch, version 2; what brokers check of it is at
//! <https://kafka.apache.org/documentation/#recordbatch>.

use bytes::Bytes;

/// Who sends, and the number of the first item.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// Given by the broker.
    pub producer: i64,
    /// Rises with every owner of the id.
    pub epoch: i16,
    /// Of the first item in its partition.
    pub sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

const LOG_APPEND_TIME: u16 = 1 << 3;
const TRANSACTIONAL: u16 = 1 << 4;

/// The batch as it is sent. `batch` is a whole batch.
pub fn stamp(batch: &[u8], by: Sender) -> Bytes {
    let mut out = batch.to_vec();
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    let old = batch.get(21..23).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes);
    let kept = old & !(LOG_APPEND_TIME | TRANSACTIONAL);
    let attributes = if by.transactional { kept | TRANSACTIONAL } else { kept };
    put(0, &0i64.to_be_bytes());
    put(12, &(-1i32).to_be_bytes());
    put(21, &attributes.to_be_bytes());
    put(43, &by.producer.to_be_bytes());
    put(51, &by.epoch.to_be_bytes());
    put(53, &by.sequence.to_be_bytes());
    let crc = crc32c::crc32c(out.get(21..).unwrap_or_default());
    if let Some(place) = out.get_mut(17..21) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    out.into()
}

/// The sequence behind so many items: they wrap at 2³¹.
pub fn advance(sequence: i32, items: u32) -> i32 {
    ((i64::from(sequence) + i64::from(items)) % (1 << 31)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::{Batch, Builder, Codec};

    #[test]
    fn a_stamped_batch_is_sound_and_has_the_same_items() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let mut b = Builder::new(codec);
            (0..100).for_each(|i| b.push(1_000 + i, Some(b"key"), Some(b"value"), &[]));
            let batch = b.finish().expect("items");
            let by = Sender { producer: 7, epoch: 3, sequence: 42, transactional: true };
            let sent = Batch::parse(stamp(batch.bytes(), by)).expect("sound");
            assert!(sent.head().transactional && sent.head().producer == 7 && sent.count() == 100);
            let values = |b: &Batch| b.records().expect("reads").iter().map(|r| r.to_item()).collect::<Vec<_>>();
            assert_eq!(values(&sent), values(&batch));
        }
    }

    #[test]
    fn sequences_wrap() {
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 3), 1);
    }
}
