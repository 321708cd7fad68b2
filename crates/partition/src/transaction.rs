//! Transactions, as a partition sees them (KIP-98): batches that belong to one, the marker that ends it, and what readers of committed records
//! skip.
//!
//! A batch is taken only with an [`Enlistment`], which the transaction's coordinator gives out while the transaction is open. The number in it keeps
//! the transactions of a producer apart, also where the protocol does not (version 1 has one epoch for all of them): a batch or a marker that is
//! late belongs to a transaction that has ended, and does nothing.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut, TryGetError};
use caudal_protocol::batch::{BatchBuilder, BatchError, Record, RecordBatch};
use caudal_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

/// Says that a partition belongs to a producer's transaction: given out by the transaction's coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enlistment {
    /// Which of the transactional id's transactions, from 1.
    pub number: u64,
    /// What the client speaks: 1, or 2 (KIP-890).
    pub version: u8,
    /// Whose transaction: by this the coordinator is found.
    pub transactional_id: Arc<str>,
}

/// Ends a transaction in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch; with version 2 the one that follows the transaction's own, so that the partition knows those of before for late.
    pub epoch: ProducerEpoch,
    /// Which of its transactions.
    pub number: u64,
    /// The leader epoch of the coordinator.
    pub coordinator_epoch: i32,
    /// Whether the records count.
    pub commit: bool,
}

/// A transaction whose records readers of committed records skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
}

/// A transaction that is open in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Whose, and which.
    pub enlistment: Enlistment,
    /// Its first record: readers of committed records wait before it.
    pub first_offset: Offset,
    /// When that was appended, by the log's clock.
    pub since: TimestampMs,
}

/// A producer, as tools see it (DescribeProducers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedProducer {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The last sequence number that it used; -1 for none.
    pub last_sequence: i32,
    /// When it last appended, by the log's clock.
    pub last_time: TimestampMs,
    /// The leader epoch of the coordinator that last ended a transaction; -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub open_since: Option<Offset>,
}

impl EndMarker {
    /// The control batch that tells readers.
    ///
    /// # Errors
    /// Never with a marker's few bytes.
    pub(crate) fn batch(&self, now: TimestampMs) -> Result<RecordBatch, BatchError> {
        let record = Record { timestamp: now, key: Some(self.key()), value: Some(self.value()), ..Record::default() };
        BatchBuilder::new().producer(self.producer_id, self.epoch, -1).transactional().control().build(&[record])
    }

    /// Version and type: 0 is abort, 1 commit.
    fn key(&self) -> Bytes {
        let mut key = BytesMut::with_capacity(4);
        key.put_i16(0);
        key.put_i16(i16::from(self.commit));
        key.freeze()
    }

    /// Version and coordinator epoch.
    fn value(&self) -> Bytes {
        let mut value = BytesMut::with_capacity(6);
        value.put_i16(0);
        value.put_i32(self.coordinator_epoch);
        value.freeze()
    }
}

impl Enlistment {
    /// How many bytes it takes.
    pub(crate) fn encoded_len(&self) -> usize {
        11 + self.transactional_id.len()
    }

    /// Number (u64), version (u8), transactional id (length u16, text). A transactional id comes in a request, whose strings are shorter than 32 KiB.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_u64(self.number);
        out.put_u8(self.version);
        out.put_u16(u16::try_from(self.transactional_id.len()).unwrap_or(u16::MAX));
        out.put_slice(self.transactional_id.as_bytes());
    }

    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, TryGetError> {
        use bytes::Buf;
        let (number, version) = (bytes.try_get_u64()?, bytes.try_get_u8()?);
        let len = usize::from(bytes.try_get_u16()?);
        let Some((text, rest)) = bytes.split_at_checked(len) else {
            return Err(TryGetError { requested: len, available: bytes.len() });
        };
        *bytes = rest;
        Ok(Self { number, version, transactional_id: String::from_utf8_lossy(text).into() })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    #[test]
    fn a_marker_is_what_clients_expect() {
        for commit in [false, true] {
            let marker = EndMarker { producer_id: 7, epoch: 3, number: 9, coordinator_epoch: 5, commit };
            let batch = marker.batch(42).unwrap();
            assert!(batch.is_control() && batch.is_transactional());
            assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (7, 3, -1));
            assert_eq!((batch.record_count(), batch.max_timestamp()), (1, 42));
            let mut seen = Vec::new();
            batch
                .for_each_record(&mut |record| {
                    seen.push((record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(seen, [(Some(vec![0, 0, 0, u8::from(commit)]), Some(vec![0, 0, 0, 0, 0, 5]))]);
        }
    }
}
