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
    /// Gzip.
    Gzip,
    /// Snappy, in the frames of snappy-java.
    Snappy,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    pub(super) fn from_attributes(attributes: i16) -> Result<Codec> {
        match attributes & 7 {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            n => Err(Error::corrupt(format!("a record batch is packed with unknown codec {n}"))),
        }
    }

    pub(super) fn attributes(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }
}

/// Packs records; `None` where they stay as they are: nothing was asked for, or the packer failed.
pub(super) fn pack(codec: Codec, records: &[u8]) -> Option<Vec<u8>> {
    match codec {
        Codec::None => None,
        Codec::Gzip => {
            let mut out =
                flate2::write::GzEncoder::new(Vec::with_capacity(records.len() / 2), flate2::Compression::fast());
            out.write_all(records).ok().and_then(|()| out.finish().ok())
        }
        Codec::Snappy => snappy_frames(records),
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
        Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body.as_ref())),
        Codec::Snappy => return snappy(&body),
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body.as_ref())),
        Codec::Zstd => Box::new(zstd::Decoder::with_buffer(body.as_ref()).map_err(|e| broken(&e))?),
    };
    let mut out = Vec::with_capacity(body.len() * 3);
    reader.take(BATCH_BYTES as u64 + 1).read_to_end(&mut out).map_err(|e| broken(&e))?;
    if out.len() > BATCH_BYTES {
        return Err(too_large());
    }
    Ok(out.into())
}

fn too_large() -> Error {
    Error::corrupt(format!("a record batch unpacks to more than {BATCH_BYTES} bytes"))
}

/// What stands before the blocks of snappy-java: a mark, its version, and the oldest that can read it.
/// See <https://github.com/xerial/snappy-java>, `SnappyOutputStream`.
const SNAPPY_HEAD: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Bytes of a block before it is packed, as snappy-java has them.
const SNAPPY_BLOCK: usize = 32 << 10;

fn snappy_frames(records: &[u8]) -> Option<Vec<u8>> {
    let mut out = SNAPPY_HEAD.to_vec();
    for block in records.chunks(SNAPPY_BLOCK) {
        let packed = snap::raw::Encoder::new().compress_vec(block).ok()?;
        out.extend_from_slice(&(packed.len() as i32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Some(out)
}

/// Blocks of snappy-java, each with its length before it, or one bare block.
fn snappy(body: &[u8]) -> Result<Bytes> {
    let mut out = vec![];
    let Some(mut rest) = body.strip_prefix(&SNAPPY_HEAD[..8]) else {
        snappy_block(body, &mut out)?;
        return Ok(out.into());
    };
    let cut = || Error::corrupt("a record batch packed with snappy is cut off");
    rest = rest.get(8..).ok_or_else(cut)?;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut())?;
        snappy_block(behind.get(..length).ok_or_else(cut)?, &mut out)?;
        rest = &behind[length..];
    }
    if rest.is_empty() { Ok(out.into()) } else { Err(cut()) }
}

fn snappy_block(block: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let broken = |e: snap::Error| Error::corrupt(format!("a record batch cannot be unpacked: {e}"));
    if out.len() + snap::raw::decompress_len(block).map_err(broken)? > BATCH_BYTES {
        return Err(too_large());
    }
    out.extend(snap::raw::Decoder::new().decompress_vec(block).map_err(broken)?);
    Ok(())
}

fn broken(e: &std::io::Error) -> Error {
    Error::corrupt(format!("a record batch cannot be unpacked: {e}"))
}
