//! The 61 bytes in front of every batch, big-endian.

use super::compress::Codec;
use crate::error::{Error, Result};
use crate::limits::BATCH_BYTES;

/// Bytes of the header.
pub const HEAD_BYTES: usize = 61;
/// Where the bytes begin that the checksum covers.
const CHECKED_FROM: usize = 21;

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the whole batch.
    pub len: usize,
    /// CRC32C of everything behind it.
    pub crc: u32,
    /// How the records are packed.
    pub codec: Codec,
    /// The timestamps were set by the broker when it appended.
    pub append_time: bool,
    /// Belongs to a transaction.
    pub transactional: bool,
    /// A transaction marker, not items.
    pub control: bool,
    /// Offset of the last item, from the base offset.
    pub last_delta: u32,
    /// Timestamp from which those of the items are counted.
    pub first_timestamp: i64,
    /// The newest timestamp of its items.
    pub max_timestamp: i64,
    /// Kafka's id of the producer, −1 for none.
    pub producer: i64,
    /// Items in the batch.
    pub count: u32,
}

impl Head {
    /// Reads the header of the batch that begins at `bytes[0]`; the batch may be followed by others.
    ///
    /// # Errors
    ///
    /// The bytes are too few, or no header of a record batch of version 2.
    pub fn parse(bytes: &[u8]) -> Result<Head> {
        let head = Head::of_any_size(bytes)?;
        if head.len > BATCH_BYTES {
            return Err(Error::corrupt("a record batch claims an impossible length"));
        }
        Ok(head)
    }

    /// The same, of a batch that was built here and may be too large for the log.
    pub(super) fn of_any_size(bytes: &[u8]) -> Result<Head> {
        let head: &[u8; HEAD_BYTES] = bytes
            .get(..HEAD_BYTES)
            .and_then(|h| h.try_into().ok())
            .ok_or_else(|| Error::corrupt(format!("a record batch of {} bytes has no whole header", bytes.len())))?;
        let len = i32_at(head, 8);
        let magic = head[16];
        if magic != 2 {
            return Err(Error::corrupt(format!("a record batch has format {magic}; format 2 is read")));
        }
        let len = usize::try_from(len).ok().map(|l| l + 12).filter(|l| *l >= HEAD_BYTES);
        let len = len.ok_or_else(|| Error::corrupt("a record batch claims an impossible length"))?;
        let attributes = i16::from_be_bytes([head[21], head[22]]);
        let (last_delta, count) = (i32_at(head, 23), i32_at(head, 57));
        if last_delta < 0 || count < 0 {
            return Err(Error::corrupt("a record batch claims a negative count"));
        }
        Ok(Head {
            len,
            crc: i32_at(head, 17) as u32,
            codec: Codec::from_attributes(attributes)?,
            append_time: attributes & 8 != 0,
            transactional: attributes & 16 != 0,
            control: attributes & 32 != 0,
            last_delta: last_delta as u32,
            first_timestamp: i64_at(head, 27),
            max_timestamp: i64_at(head, 35),
            producer: i64_at(head, 43),
            count: count as u32,
        })
    }

    /// Checks that `bytes` are the whole batch of this header and match its checksum.
    ///
    /// # Errors
    ///
    /// The checksum does not fit: the bytes are corrupt.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.len {
            return Err(Error::corrupt(format!("a record batch of {} bytes claims {}", bytes.len(), self.len)));
        }
        let crc = crc32c::crc32c(bytes.get(CHECKED_FROM..).unwrap_or_default());
        if crc != self.crc {
            return Err(Error::corrupt(format!(
                "a record batch has checksum {crc:08x}, its header says {:08x}",
                self.crc
            )));
        }
        Ok(())
    }

    /// Writes the header of a fresh batch into the first bytes of `batch`, which is complete behind it.
    pub(super) fn seal(batch: &mut [u8], codec: Codec, count: u32, first_timestamp: i64, max_timestamp: i64) {
        let length = (batch.len() - 12) as i32;
        let Some((head, _)) = batch.split_first_chunk_mut::<HEAD_BYTES>() else { return };
        head[0..8].copy_from_slice(&0i64.to_be_bytes());
        head[8..12].copy_from_slice(&length.to_be_bytes());
        head[12..16].copy_from_slice(&(-1i32).to_be_bytes());
        head[16] = 2;
        head[21..23].copy_from_slice(&codec.attributes().to_be_bytes());
        head[23..27].copy_from_slice(&(count as i32 - 1).to_be_bytes());
        head[27..35].copy_from_slice(&first_timestamp.to_be_bytes());
        head[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        head[43..51].copy_from_slice(&(-1i64).to_be_bytes());
        head[51..53].copy_from_slice(&(-1i16).to_be_bytes());
        head[53..57].copy_from_slice(&(-1i32).to_be_bytes());
        head[57..61].copy_from_slice(&(count as i32).to_be_bytes());
        let crc = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// For tests: a header with the right length and checksum over whatever records these are.
#[cfg(test)]
pub fn reseal(mut bytes: Vec<u8>, count: i32) -> bytes::Bytes {
    Head::seal(&mut bytes, Codec::None, count as u32, 0, 0);
    bytes.into()
}

fn i32_at(head: &[u8; HEAD_BYTES], at: usize) -> i32 {
    let mut b = [0; 4];
    b.copy_from_slice(&head[at..at + 4]);
    i32::from_be_bytes(b)
}

fn i64_at(head: &[u8; HEAD_BYTES], at: usize) -> i64 {
    let mut b = [0; 8];
    b.copy_from_slice(&head[at..at + 8]);
    i64::from_be_bytes(b)
}
