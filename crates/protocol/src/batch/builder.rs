//! Making batches, for clients, markers and tests.

use bytes::{BufMut, Bytes, BytesMut};
use caudal_types::{ProducerEpoch, ProducerId, TimestampMs};

use super::{
    BATCH_HEADER_LEN, BatchError, CONTROL, Codec, LENGTH_OVERHEAD, MAGIC, RecordBatch, TRANSACTIONAL, invalid, seal,
};

/// A record to be put into a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its time, in milliseconds since the Unix epoch.
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Makes a batch as a producer sends it: base offset 0, leader epoch -1.
#[derive(Clone, Copy, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    attributes: i16,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self { codec: Codec::None, producer_id: -1, producer_epoch: -1, base_sequence: -1, attributes: 0 }
    }
}

impl BatchBuilder {
    /// An uncompressed batch of a producer that is not idempotent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses the records.
    #[must_use]
    pub fn codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// Makes it an idempotent producer's batch.
    #[must_use]
    pub fn producer(self, producer_id: ProducerId, producer_epoch: ProducerEpoch, base_sequence: i32) -> Self {
        Self { producer_id, producer_epoch, base_sequence, ..self }
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub fn transactional(self) -> Self {
        Self { attributes: self.attributes | TRANSACTIONAL, ..self }
    }

    /// Makes it a control batch.
    #[must_use]
    pub fn control(self) -> Self {
        Self { attributes: self.attributes | CONTROL, ..self }
    }

    /// The batch.
    ///
    /// # Errors
    /// [`BatchError::Invalid`] when there are no records, or more bytes than a batch can hold.
    pub fn build(&self, records: &[Record]) -> Result<RecordBatch, BatchError> {
        let first = records.first().ok_or_else(|| invalid("a batch needs a record at least".to_owned()))?;
        let count = fit("records", records.len())?;
        let max_timestamp = records.iter().map(|record| record.timestamp).max().unwrap_or(first.timestamp);
        let mut plain = BytesMut::new();
        for (delta, record) in (0..count).zip(records) {
            put_record(&mut plain, delta, first.timestamp, record)?;
        }
        let body = self.codec.compress(&plain).map_err(|error| invalid(format!("compression failed: {error}")))?;

        let len = BATCH_HEADER_LEN + body.len();
        let mut bytes = BytesMut::with_capacity(len);
        bytes.put_i64(0); // base offset
        bytes.put_i32(fit("bytes", len - LENGTH_OVERHEAD)?);
        bytes.put_i32(-1); // leader epoch
        bytes.put_i8(MAGIC);
        bytes.put_u32(0); // the checksum, written at the end
        bytes.put_i16(self.attributes | self.codec as i16);
        bytes.put_i32(count - 1);
        bytes.put_i64(first.timestamp);
        bytes.put_i64(max_timestamp);
        bytes.put_i64(self.producer_id);
        bytes.put_i16(self.producer_epoch);
        bytes.put_i32(self.base_sequence);
        bytes.put_i32(count);
        bytes.put_slice(&body);
        seal(&mut bytes);
        Ok(RecordBatch::from_trusted(bytes.freeze()))
    }
}

pub(super) fn fit(what: &str, len: usize) -> Result<i32, BatchError> {
    i32::try_from(len).map_err(|_| invalid(format!("{len} {what} are more than a batch can hold")))
}

fn put_record(
    out: &mut BytesMut,
    offset_delta: i32,
    base_timestamp: TimestampMs,
    record: &Record,
) -> Result<(), BatchError> {
    let mut body = BytesMut::new();
    body.put_i8(0); // attributes
    put_varlong(&mut body, record.timestamp.wrapping_sub(base_timestamp));
    put_varlong(&mut body, i64::from(offset_delta));
    put_bytes(&mut body, record.key.as_deref())?;
    put_bytes(&mut body, record.value.as_deref())?;
    put_varlong(&mut body, i64::from(fit("headers", record.headers.len())?));
    for (key, value) in &record.headers {
        put_bytes(&mut body, Some(key.as_bytes()))?;
        put_bytes(&mut body, value.as_deref())?;
    }
    put_bytes(out, Some(&body))
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) -> Result<(), BatchError> {
    let Some(bytes) = bytes else {
        put_varlong(out, -1);
        return Ok(());
    };
    put_varlong(out, i64::from(fit("bytes", bytes.len())?));
    out.put_slice(bytes);
    Ok(())
}

/// A zigzag-encoded integer; an i32 has the same bytes as the same i64.
pub(super) fn put_varlong(out: &mut BytesMut, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.put_u8(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.put_u8(bits as u8);
}
