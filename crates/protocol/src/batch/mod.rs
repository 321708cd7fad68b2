//! Record batches (magic 2) as views over bytes: the records inside are never copied or re-encoded on the way through.
//!
//! - the view itself, [`RecordBatch`]: checks, accessors, patched header
//! - `records`: reading the records inside
//! - `codec`: compression
//! - `recompress`: another codec for a batch
//! - `split`: several batches in a row
//! - `builder`: making batches, for clients, markers and tests
//! - `retain`: the same batch without some of its records

mod builder;
mod codec;
mod recompress;
mod records;
mod retain;
mod split;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use caudal_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

pub use self::builder::{BatchBuilder, Record};
pub use self::codec::Codec;
pub use self::recompress::RecompressError;
pub use self::records::{Header, Headers, RecordView};
pub use self::split::{declared_len, split, whole_batches};

/// Why bytes are no valid record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Magic 0 or 1.
    #[error("magic {0} is not supported")]
    OldMagic(i8),
    /// Too short, wrong lengths, wrong checksum, unknown codec.
    #[error("{0}")]
    Corrupt(String),
    /// Well-formed, but not what a producer may send.
    #[error("{0}")]
    Invalid(String),
}

/// The length of a batch's header, up to its first record.
pub const BATCH_HEADER_LEN: usize = 61;

/// Where the header's fields lie.
mod at {
    pub(super) const BASE_OFFSET: usize = 0;
    pub(super) const BATCH_LENGTH: usize = 8;
    pub(super) const LEADER_EPOCH: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const CRC: usize = 17;
    /// What the CRC covers begins here.
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_OFFSET_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const PRODUCER_ID: usize = 43;
    pub(super) const PRODUCER_EPOCH: usize = 51;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const RECORD_COUNT: usize = 57;
}

/// The length field counts what comes behind it.
const LENGTH_OVERHEAD: usize = at::BATCH_LENGTH + 4;
const MAGIC: i8 = 2;
const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A record batch: checked once (length, magic, CRC, attributes, counts), then read through accessors. The whole batch is `bytes()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
}

impl RecordBatch {
    /// Checks that `bytes` is exactly one batch that a producer may send.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::parse_stored(bytes)?;
        batch.check_as_produced()?;
        Ok(batch)
    }

    /// Checks that `bytes` is exactly one undamaged batch, as a reader gets it: with any base offset, maybe a control batch, maybe compacted.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] and [`BatchError::OldMagic`].
    pub fn parse_stored(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self { bytes };
        let len = batch.bytes.len();
        if len <= at::MAGIC {
            return Err(corrupt(format!("the batch is cut off: it has {len} bytes, fewer than any batch")));
        }
        match batch.magic() {
            MAGIC => {}
            magic @ 0..=1 => return Err(BatchError::OldMagic(magic)),
            magic => return Err(corrupt(format!("the batch has the unknown magic {magic}"))),
        }
        let declared = i64::from(batch.i32_at(at::BATCH_LENGTH)) + LENGTH_OVERHEAD as i64;
        if len < BATCH_HEADER_LEN || i64::try_from(len) != Ok(declared) {
            return Err(corrupt(format!("the batch says it has {declared} bytes, but there are {len}")));
        }
        let (declared, computed) =
            (batch.i32_at(at::CRC).cast_unsigned(), crc32c::crc32c(&batch.bytes[at::ATTRIBUTES..]));
        if declared != computed {
            return Err(corrupt(format!(
                "the batch's checksum is {declared:#010x}, but that of its bytes is {computed:#010x}"
            )));
        }
        if Codec::from_attributes(batch.attributes()).is_none() {
            let codec = batch.attributes() & CODEC_MASK;
            return Err(corrupt(format!("the batch is compressed with the unknown codec {codec}")));
        }
        let (count, last) = (batch.record_count(), batch.last_offset_delta());
        if count < 0 || last < 0 || i64::from(count) > i64::from(last) + 1 {
            return Err(corrupt(format!("the batch says it has {count} records up to offset delta {last}")));
        }
        Ok(batch)
    }

    /// The rules that hold for producers only.
    fn check_as_produced(&self) -> Result<(), BatchError> {
        let (count, last) = (self.record_count(), self.last_offset_delta());
        if i64::from(count) != i64::from(last) + 1 {
            return Err(invalid(format!("the batch has {count} records, but its last offset delta is {last}")));
        }
        if self.base_offset() != 0 {
            return Err(invalid(format!("the batch's base offset is {}; a producer must send 0", self.base_offset())));
        }
        if self.is_control() {
            return Err(invalid("clients may not write control records".to_owned()));
        }
        let sequence = self.base_sequence();
        if self.producer_id() >= 0 && (sequence < 0 || self.producer_epoch() < 0) {
            let epoch = self.producer_epoch();
            return Err(invalid(format!("an idempotent producer sent sequence {sequence} and epoch {epoch}")));
        }
        if self.is_transactional() && self.producer_id() < 0 {
            return Err(invalid("a transactional batch has no producer id".to_owned()));
        }
        Ok(())
    }

    /// Takes bytes that were checked before (read back from the log, where a checksum covers them). The accessors give 0 for what is not there.
    pub fn from_trusted(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The first record's offset (0 from a producer).
    pub fn base_offset(&self) -> Offset {
        self.i64_at(at::BASE_OFFSET)
    }

    /// The leader epoch that wrote the batch (-1 from a producer).
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.i32_at(at::LEADER_EPOCH)
    }

    /// The last record's offset less the first's.
    pub fn last_offset_delta(&self) -> i32 {
        self.i32_at(at::LAST_OFFSET_DELTA)
    }

    /// How many records it has.
    pub fn record_count(&self) -> i32 {
        self.i32_at(at::RECORD_COUNT)
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        Codec::from_attributes(self.attributes()).unwrap_or(Codec::None)
    }

    /// The attribute bit that says that timestamps are LogAppendTime.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes() & LOG_APPEND_TIME != 0
    }

    /// It belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    /// It is a transaction's marker.
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// The first record's timestamp.
    pub fn base_timestamp(&self) -> TimestampMs {
        self.i64_at(at::BASE_TIMESTAMP)
    }

    /// The largest timestamp.
    pub fn max_timestamp(&self) -> TimestampMs {
        self.i64_at(at::MAX_TIMESTAMP)
    }

    /// The producer's id; -1 if it is not idempotent.
    pub fn producer_id(&self) -> ProducerId {
        self.i64_at(at::PRODUCER_ID)
    }

    /// The producer's epoch; -1 if it is not idempotent.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        self.i16_at(at::PRODUCER_EPOCH)
    }

    /// The first record's sequence number; -1 if the producer is not idempotent.
    pub fn base_sequence(&self) -> i32 {
        self.i32_at(at::BASE_SEQUENCE)
    }

    /// The last record's sequence number, which wraps at `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        let (first, delta) = (self.base_sequence(), self.last_offset_delta());
        if first < 0 {
            return first;
        }
        first.checked_add(delta).unwrap_or_else(|| delta - (i32::MAX - first) - 1)
    }

    /// The batch with base offset and leader epoch filled in, as two pieces: a patched copy of the first 16 bytes, and the rest, uncopied. Both fields
    /// lie outside the CRC.
    pub fn patched(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> [Bytes; 2] {
        let mut head = BytesMut::with_capacity(at::MAGIC);
        head.extend_from_slice(&base_offset.to_be_bytes());
        head.extend_from_slice(&self.bytes_at::<4>(at::BATCH_LENGTH));
        head.extend_from_slice(&leader_epoch.to_be_bytes());
        [head.freeze(), self.bytes.slice(at::MAGIC.min(self.bytes.len())..)]
    }

    /// The batch with LogAppendTime set: attribute bit, max timestamp and CRC are rewritten; the records are not.
    #[must_use]
    pub fn with_log_append_time(&self, time: TimestampMs) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        put(&mut bytes, at::ATTRIBUTES, &(self.attributes() | LOG_APPEND_TIME).to_be_bytes());
        put(&mut bytes, at::MAX_TIMESTAMP, &time.to_be_bytes());
        seal(&mut bytes);
        Self { bytes: bytes.freeze() }
    }

    fn magic(&self) -> i8 {
        i8::from_be_bytes(self.bytes_at(at::MAGIC))
    }

    fn attributes(&self) -> i16 {
        self.i16_at(at::ATTRIBUTES)
    }

    fn i16_at(&self, at: usize) -> i16 {
        i16::from_be_bytes(self.bytes_at(at))
    }

    fn i32_at(&self, at: usize) -> i32 {
        i32::from_be_bytes(self.bytes_at(at))
    }

    fn i64_at(&self, at: usize) -> i64 {
        i64::from_be_bytes(self.bytes_at(at))
    }

    fn bytes_at<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = bytes.get_mut(at..at + value.len()) {
        field.copy_from_slice(value);
    }
}

/// Writes the checksum.
fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(bytes.get(at::ATTRIBUTES..).unwrap_or_default());
    put(bytes, at::CRC, &crc.to_be_bytes());
}

/// A copy whose magic, length and checksum are those of a batch.
pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = i32::try_from(bytes.len().saturating_sub(LENGTH_OVERHEAD)).unwrap_or(i32::MAX);
    put(&mut bytes, at::BATCH_LENGTH, &length.to_be_bytes());
    put(&mut bytes, at::MAGIC, &MAGIC.to_be_bytes());
    seal(&mut bytes);
    bytes
}

fn corrupt(text: String) -> BatchError {
    BatchError::Corrupt(text)
}

fn invalid(text: String) -> BatchError {
    BatchError::Invalid(text)
}
