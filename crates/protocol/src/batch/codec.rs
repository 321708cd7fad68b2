//! Compression of a batch's records.

use std::io::{self, Read, Write};

use caudal_types::limits::BATCH_DECOMPRESSED_MAX_BYTES;
use caudal_types::topic_config::Compression;

use super::{BatchError, CODEC_MASK, corrupt};
use crate::wire::Reader;

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// gzip.
    Gzip = 1,
    /// snappy.
    Snappy = 2,
    /// LZ4.
    Lz4 = 3,
    /// Zstandard.
    Zstd = 4,
}

/// The frame of Java's snappy library: magic, two version numbers, then blocks, each behind its length.
const XERIAL_MAGIC: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_LEN: usize = 16;
/// How much the xerial writer puts into one block.
const XERIAL_BLOCK_LEN: usize = 32 << 10;

impl Codec {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that a batch's attributes name, if it is known.
    pub(super) fn from_attributes(attributes: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as i16 == attributes & CODEC_MASK)
    }

    /// Kafka's number.
    pub const fn id(self) -> i8 {
        self as i8
    }

    /// The codec that Kafka numbers `id`, if there is one.
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// What `bytes` hold when decompressed, if that is no more than `max` bytes; never more memory is taken for it.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] when they cannot be decompressed, or hold more.
    pub fn decompress_whole(self, bytes: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
        let mut out = Vec::new();
        let mut reader = self.reader(bytes, max)?;
        reader.read_to_end(&mut out).map_err(|error| unreadable(self, &error))?;
        Ok(out)
    }

    /// Reads what `bytes` hold when decompressed. It never gives more than [`BATCH_DECOMPRESSED_MAX_BYTES`].
    pub(super) fn decompress<'a>(self, bytes: &'a [u8]) -> Result<Limited<Box<dyn Read + 'a>>, BatchError> {
        self.reader(bytes, BATCH_DECOMPRESSED_MAX_BYTES)
    }

    fn reader<'a>(self, bytes: &'a [u8], max: usize) -> Result<Limited<Box<dyn Read + 'a>>, BatchError> {
        let reader: Box<dyn Read + 'a> = match self {
            Self::None => Box::new(bytes),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Self::Snappy => Box::new(SnappyBlocks::new(bytes, max)?),
            Self::Lz4 => Box::new(lz4::Decoder::new(bytes).map_err(|error| unreadable(self, &error))?),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(bytes).map_err(|error| unreadable(self, &error))?),
        };
        Ok(Limited { reader, max, left: max })
    }

    /// Compresses as the Java client does (snappy in xerial's frame), with the codec's default level.
    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let compression = match self {
            Self::None => Compression::Uncompressed,
            Self::Gzip => Compression::Gzip(-1),
            Self::Snappy => Compression::Snappy,
            Self::Lz4 => Compression::Lz4(LZ4_FAST),
            Self::Zstd => Compression::Zstd(zstd::DEFAULT_COMPRESSION_LEVEL),
        };
        let mut out = Vec::new();
        compress_stream(compression, bytes, &mut out)?;
        Ok(out)
    }
}

/// The codec of a topic's setting.
impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Uncompressed => Self::None,
            Compression::Gzip(_) => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4(_) => Self::Lz4,
            Compression::Zstd(_) => Self::Zstd,
        }
    }
}

/// The level that stands for LZ4's quick mode; all others are of its thorough one.
const LZ4_FAST: i32 = 9;
/// The levels of the thorough mode that the library knows; it has no better one than the last.
const LZ4_THOROUGH: std::ops::RangeInclusive<u32> = 3..=12;

/// Compresses what `from` gives, as the Java client does (snappy in xerial's frame), without ever holding it whole.
pub(super) fn compress_stream(compression: Compression, mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    match compression {
        Compression::Uncompressed => io::copy(&mut from, &mut to).map(drop),
        Compression::Gzip(level) => {
            let level = u32::try_from(level).map_or(flate2::Compression::default(), flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(to, level);
            io::copy(&mut from, &mut encoder)?;
            encoder.finish().map(drop)
        }
        Compression::Snappy => compress_xerial(from, to),
        Compression::Lz4(level) => {
            let level = match u32::try_from(level) {
                Ok(level) if level != LZ4_FAST.unsigned_abs() => {
                    level.clamp(*LZ4_THOROUGH.start(), *LZ4_THOROUGH.end())
                }
                _ => 0,
            };
            // As Java's client writes it. The batch has a checksum, and some readers know no others.
            let mut encoder = lz4::EncoderBuilder::new()
                .block_mode(lz4::BlockMode::Independent)
                .block_size(lz4::BlockSize::Max64KB)
                .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
                .checksum(lz4::ContentChecksum::NoChecksum)
                .level(level)
                .build(to)?;
            io::copy(&mut from, &mut encoder)?;
            encoder.finish().1
        }
        Compression::Zstd(level) => zstd::stream::copy_encode(from, to, level),
    }
}

fn compress_xerial(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    to.write_all(XERIAL_MAGIC)?;
    to.write_all(&[0, 0, 0, 1, 0, 0, 0, 1])?;
    let mut block = Vec::with_capacity(XERIAL_BLOCK_LEN);
    loop {
        block.clear();
        from.by_ref().take(XERIAL_BLOCK_LEN as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(());
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&block)?;
        to.write_all(&u32::try_from(compressed.len()).map_err(io::Error::other)?.to_be_bytes())?;
        to.write_all(&compressed)?;
    }
}

pub(super) fn unreadable(codec: Codec, error: &io::Error) -> BatchError {
    corrupt(format!("the records cannot be decompressed ({codec:?}): {error}"))
}

/// A reader that fails when it has given too much.
#[derive(Debug)]
pub(super) struct Limited<R> {
    reader: R,
    max: usize,
    left: usize,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buf)?;
        self.left = self.left.checked_sub(len).ok_or_else(|| too_large(self.max))?;
        Ok(len)
    }
}

fn too_large(max: usize) -> io::Error {
    io::Error::other(format!("they are larger than {max} bytes"))
}

/// Snappy has no stream of its own: one block (librdkafka and others), or blocks in xerial's frame (Java).
struct SnappyBlocks<'a> {
    compressed: Reader<'a>,
    framed: bool,
    max: usize,
    block: io::Cursor<Vec<u8>>,
}

impl<'a> SnappyBlocks<'a> {
    fn new(bytes: &'a [u8], max: usize) -> Result<Self, BatchError> {
        let framed = bytes.starts_with(XERIAL_MAGIC);
        let mut compressed = Reader::new(bytes);
        if framed {
            compressed.take(XERIAL_HEADER_LEN).map_err(|error| unreadable(Codec::Snappy, &io::Error::other(error)))?;
        }
        Ok(Self { compressed, framed, max, block: io::Cursor::default() })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let len = if self.framed {
            let len = self.compressed.i32().map_err(io::Error::other)?;
            usize::try_from(len).map_err(io::Error::other)?
        } else {
            self.compressed.remaining()
        };
        let compressed = self.compressed.take(len).map_err(io::Error::other)?;
        let len = snap::raw::decompress_len(compressed)?;
        // Snappy reaches about 21:1 at best: a block that claims far more lies, and must not be believed before memory is taken for it.
        if len > self.max || len > compressed.len().saturating_mul(64) {
            return Err(too_large(self.max));
        }
        self.block = io::Cursor::new(snap::raw::Decoder::new().decompress_vec(compressed)?);
        Ok(())
    }
}

impl Read for SnappyBlocks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.block.read(buf)?;
            if len > 0 || buf.is_empty() || self.compressed.remaining() == 0 {
                return Ok(len);
            }
            self.next_block()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decompress(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        codec.decompress(bytes).map_err(io::Error::other)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|i| (i / 7).to_be_bytes()).collect();
        for codec in Codec::ALL {
            let compressed = codec.compress(&text).expect("compresses");
            assert_eq!(decompress(codec, &compressed).expect("decompresses"), text, "{codec:?}");
        }
    }

    #[test]
    fn lz4_frames_are_those_of_the_java_client() {
        let compressed = Codec::Lz4.compress(b"caudal caudal caudal").expect("compresses");
        assert_eq!(compressed[..6], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40], "blocks of 64 KiB, none with a checksum");
        assert_eq!(compressed[compressed.len() - 4..], [0; 4], "nor has the whole");
    }

    #[test]
    fn snappy_without_a_frame_is_read_too() {
        let compressed = snap::raw::Encoder::new().compress_vec(b"caudal caudal caudal").expect("compresses");
        assert_eq!(decompress(Codec::Snappy, &compressed).expect("decompresses"), b"caudal caudal caudal");
    }

    #[test]
    fn garbage_is_an_error_in_every_codec() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(decompress(codec, &[0xab; 40]).is_err(), "{codec:?}");
        }
        assert!(decompress(Codec::Snappy, XERIAL_MAGIC).is_err());
    }

    #[test]
    fn a_snappy_block_that_claims_gigabytes_is_refused_before_memory_is_taken() {
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
        assert!(decompress(Codec::Snappy, &bomb).is_err());
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let mut limited = Limited { reader: io::repeat(0), max: 1000, left: 1000 };
        let error = io::copy(&mut limited, &mut io::sink()).expect_err("too large");
        assert!(error.to_string().contains("larger than"), "{error}");
    }

    #[test]
    fn what_is_larger_than_it_may_be_is_an_error_in_every_codec() {
        for codec in Codec::ALL {
            let compressed = codec.compress(&[7; 5000]).expect("compresses");
            assert_eq!(codec.decompress_whole(&compressed, 5000).expect("decompresses"), [7; 5000], "{codec:?}");
            assert!(codec.decompress_whole(&compressed, 4999).is_err(), "{codec:?}");
        }
        assert_eq!([Codec::from_id(4), Codec::from_id(5), Codec::from_id(-1)], [Some(Codec::Zstd), None, None]);
    }
}
