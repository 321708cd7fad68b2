//! Record batches (magic 2) as views over bytes: the records inside are never copied or re-encoded on the way through.

use bytes::Bytes;
use caudal_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

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

/// A record batch: checked once (length, magic, CRC, attributes, counts), then read through accessors. The whole batch is `bytes()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
}

/// The length of a batch's header, up to its first record.
pub const BATCH_HEADER_LEN: usize = 61;

impl RecordBatch {
    /// Checks that `bytes` is exactly one batch.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn parse(_bytes: Bytes) -> Result<Self, BatchError> {
        todo!()
    }

    /// Takes bytes that were checked before (read back from the log, where a checksum covers them).
    pub fn from_trusted(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The first record's offset (0 from a producer).
    pub fn base_offset(&self) -> Offset {
        todo!()
    }

    /// The last record's offset less the first's.
    pub fn last_offset_delta(&self) -> i32 {
        todo!()
    }

    /// How many records it has.
    pub fn record_count(&self) -> i32 {
        todo!()
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        todo!()
    }

    /// The attribute bit that says that timestamps are LogAppendTime.
    pub fn is_log_append_time(&self) -> bool {
        todo!()
    }

    /// It belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        todo!()
    }

    /// It is a transaction's marker.
    pub fn is_control(&self) -> bool {
        todo!()
    }

    /// The first record's timestamp.
    pub fn base_timestamp(&self) -> TimestampMs {
        todo!()
    }

    /// The largest timestamp.
    pub fn max_timestamp(&self) -> TimestampMs {
        todo!()
    }

    /// The producer's id; -1 if it is not idempotent.
    pub fn producer_id(&self) -> ProducerId {
        todo!()
    }

    /// The producer's epoch; -1 if it is not idempotent.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        todo!()
    }

    /// The first record's sequence number; -1 if the producer is not idempotent.
    pub fn base_sequence(&self) -> i32 {
        todo!()
    }

    /// The last record's sequence number, which wraps at `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        todo!()
    }

    /// The batch with base offset and leader epoch filled in, as two pieces: a patched copy of the first 16 bytes, and the rest, uncopied. Both fields
    /// lie outside the CRC.
    pub fn patched(&self, _base_offset: Offset, _leader_epoch: LeaderEpoch) -> [Bytes; 2] {
        todo!()
    }

    /// The batch with LogAppendTime set: attribute bit, max timestamp and CRC are rewritten; the records are not.
    #[must_use]
    pub fn with_log_append_time(&self, _time: TimestampMs) -> Self {
        todo!()
    }

    /// Reads the records one by one, decompressed, until `visit` says stop.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] when the records cannot be decoded or are not as many as the header says.
    pub fn for_each_record(
        &self,
        _visit: &mut dyn FnMut(RecordView<'_>) -> std::ops::ControlFlow<()>,
    ) -> Result<(), BatchError> {
        todo!()
    }
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its offset less the batch's.
    pub offset_delta: i32,
    /// Its timestamp (the batch's max timestamp when that is LogAppendTime).
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}
