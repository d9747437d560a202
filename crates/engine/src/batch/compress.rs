//! How the records of a batch are packed.

use crate::error::{Error, Result};
use crate::limits::BATCH_BYTES;
use bytes::Bytes;
use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
use std::io::{Read, Write};

/// Compression of a batch, numbered as in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not packed.
    #[default]
    None,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    pub(super) fn from_attributes(attributes: i16) -> Result<Codec> {
        match attributes & 7 {
            0 => Ok(Codec::None),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            1 => Err(Error::corrupt("a record batch is packed with gzip, which is not read here")),
            2 => Err(Error::corrupt("a record batch is packed with snappy, which is not read here")),
            n => Err(Error::corrupt(format!("a record batch is packed with unknown codec {n}"))),
        }
    }

    pub(super) fn attributes(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }
}

/// Packs records; `None` where they stay as they are: nothing was asked for, or the packer failed.
pub(super) fn pack(codec: Codec, records: &[u8]) -> Option<Vec<u8>> {
    match codec {
        Codec::None => None,
        Codec::Lz4 => {
            // Kafka reads independent blocks only
            let info = FrameInfo::new().block_mode(BlockMode::Independent);
            let mut out = FrameEncoder::with_frame_info(info, Vec::with_capacity(records.len() / 2));
            out.write_all(records).ok().and_then(|()| out.finish().ok())
        }
        Codec::Zstd => zstd::bulk::compress(records, 1).ok(),
    }
}

/// Unpacks records, at most [`BATCH_BYTES`] of them.
pub(super) fn unpack(codec: Codec, body: Bytes) -> Result<Bytes> {
    let reader: Box<dyn Read + '_> = match codec {
        Codec::None => return Ok(body),
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body.as_ref())),
        Codec::Zstd => Box::new(zstd::Decoder::with_buffer(body.as_ref()).map_err(|e| broken(&e))?),
    };
    let mut out = Vec::with_capacity(body.len() * 3);
    reader.take(BATCH_BYTES as u64 + 1).read_to_end(&mut out).map_err(|e| broken(&e))?;
    if out.len() > BATCH_BYTES {
        return Err(Error::corrupt(format!("a record batch unpacks to more than {BATCH_BYTES} bytes")));
    }
    Ok(out.into())
}

fn broken(e: &std::io::Error) -> Error {
    Error::corrupt(format!("a record batch cannot be unpacked: {e}"))
}
