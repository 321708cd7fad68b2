//! Batches to order.

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Codec, Record, RecordBatch};
use caudal_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

/// A batch to be made.
#[derive(Clone, Debug)]
pub(crate) struct BatchSpec {
    /// One timestamp per record.
    pub(crate) times: Vec<TimestampMs>,
    pub(crate) producer_id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) sequence: i32,
    pub(crate) keyed: bool,
    pub(crate) codec: Codec,
    /// Attribute bits beside the codec's.
    pub(crate) attributes: i16,
    pub(crate) base_offset: Offset,
    /// The bytes of each value.
    pub(crate) value_len: usize,
}

impl BatchSpec {
    /// A batch of a producer that is not idempotent.
    pub(crate) fn plain(records: i32) -> Self {
        Self {
            times: vec![0; usize::try_from(records).unwrap()],
            producer_id: -1,
            epoch: -1,
            sequence: -1,
            keyed: false,
            codec: Codec::None,
            attributes: 0,
            base_offset: 0,
            value_len: 5,
        }
    }

    pub(crate) fn at(mut self, time: TimestampMs) -> Self {
        self.times.fill(time);
        self
    }

    pub(crate) fn from(self, producer_id: ProducerId, epoch: ProducerEpoch, sequence: i32) -> Self {
        Self { producer_id, epoch, sequence, ..self }
    }

    pub(crate) fn build(&self) -> RecordBatch {
        let record = |(at, &timestamp): (usize, &TimestampMs)| Record {
            timestamp,
            key: self.keyed.then(|| Bytes::from(format!("key {at}"))),
            value: Some(vec![b'v'; self.value_len].into()),
            headers: vec![],
        };
        let records: Vec<_> = self.times.iter().enumerate().map(record).collect();
        let builder = BatchBuilder::new().codec(self.codec).producer(self.producer_id, self.epoch, self.sequence);
        let mut bytes = builder.build(&records).unwrap().bytes().to_vec();
        bytes[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        let attributes = i16::from_be_bytes([bytes[21], bytes[22]]) | self.attributes;
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        RecordBatch::from_trusted(bytes.into())
    }
}
