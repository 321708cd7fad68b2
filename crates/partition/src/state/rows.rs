//! The rows of a partition in the column family `state`, encoders and decoders beside each other. Big-endian; each value begins with a version byte.
//! Persisted: keep stable, and add versions instead of changing one.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use caudal_storage::StorageError;
use caudal_storage::keys::state;
use caudal_types::{LeaderEpoch, Offset, ProducerId, RaftGroupId};

use crate::state::epochs::EpochStart;
use crate::state::orders::Orders;
use crate::state::producers::{Producer, RememberedBatch};
use crate::state::segments::{OpenSegment, Segment, TimeBlock};
use crate::state::{Head, Settings};
use crate::transaction::{AbortedTransaction, Enlistment, OpenTransaction};

const VERSION: u8 = 1;
/// Of a producer's fields: since there are transactions.
const PRODUCER_VERSION: u8 = 2;

/// The kinds of rows; persisted, keep stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RowKind {
    /// The one row that every apply writes: see [`Head`].
    Head = 16,
    /// By producer id: what is known of a producer.
    Producer = 17,
    /// By epoch: where it begins.
    Epoch = 18,
    /// By base offset: a closed segment.
    Segment = 19,
    /// By base offset: a full time block.
    TimeBlock = 20,
    /// By next offset: the state from which the log can be applied on.
    Checkpoint = 21,
    /// By last offset: an aborted transaction.
    Aborted = 22,
    /// One row: how far the log is to be cleaned, see [`Orders`].
    Orders = 23,
    /// One row, of this replica alone: how far it is, see [`crate::compaction::Progress`].
    Cleaned = 24,
}

/// The kind of the rows that a replica has for itself: they differ from replica to replica.
pub const REPLICAS_OWN_ROWS: u8 = RowKind::Cleaned as u8;

impl RowKind {
    /// The key of a row of this kind.
    pub(crate) fn key(self, group: RaftGroupId, id: u64) -> Bytes {
        match self {
            Self::Head | Self::Orders | Self::Cleaned => state::key(group, self as u8, &[]),
            _ => state::key(group, self as u8, &id.to_be_bytes()),
        }
    }

    /// The key of a row that is filed under an offset.
    pub(crate) fn key_at(self, group: RaftGroupId, offset: Offset) -> Bytes {
        self.key(group, as_key(offset))
    }

    /// All rows of this kind.
    pub(crate) fn range(self, group: RaftGroupId) -> (Bytes, Bytes) {
        state::kind_range(group, self as u8)
    }
}

/// Offsets, epochs and producer ids in keys are never negative.
pub(crate) fn as_key(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The number in a row's key.
pub(crate) fn number_of(key: &Bytes) -> Result<i64, StorageError> {
    let (_, own) = state::split(key).ok_or_else(|| damaged("a key is too short"))?;
    let number = own.as_ref().try_get_u64().map_err(damaged)?;
    i64::try_from(number).map_err(damaged)
}

pub(crate) fn encode_head(head: &Head) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    out.put_u8(VERSION);
    out.put_i64(head.next_offset);
    out.put_i64(head.log_start);
    out.put_i64(head.last_time);
    out.put_i64(head.last_sweep);
    head.settings.encode(&mut out);
    out.put_i64(head.open.base);
    out.put_u64(head.open.bytes);
    out.put_i64(head.open.first_time);
    out.put_i64(head.open.max_timestamp);
    out.put_i64(head.block.base);
    out.put_u32(head.block.batches);
    out.put_i64(head.block.max_timestamp);
    out.freeze()
}

pub(crate) fn decode_head(value: &[u8]) -> Result<Head, StorageError> {
    read(value, "the partition's head", |bytes| {
        Ok(Head {
            next_offset: bytes.try_get_i64()?,
            log_start: bytes.try_get_i64()?,
            last_time: bytes.try_get_i64()?,
            last_sweep: bytes.try_get_i64()?,
            settings: Settings::decode(bytes)?,
            open: OpenSegment {
                base: bytes.try_get_i64()?,
                bytes: bytes.try_get_u64()?,
                first_time: bytes.try_get_i64()?,
                max_timestamp: bytes.try_get_i64()?,
            },
            block: TimeBlock {
                base: bytes.try_get_i64()?,
                batches: bytes.try_get_u32()?,
                max_timestamp: bytes.try_get_i64()?,
            },
        })
    })
}

pub(crate) fn encode_producer(producer: &Producer) -> Bytes {
    let mut out = BytesMut::with_capacity(25 + 24 * producer.batches.len());
    out.put_u8(PRODUCER_VERSION);
    put_producer(&mut out, producer);
    out.freeze()
}

pub(crate) fn decode_producer(value: &[u8]) -> Result<Producer, StorageError> {
    match value.first() {
        Some(&VERSION) => read(value, "a producer", get_plain_producer),
        _ => read_version(value, PRODUCER_VERSION, "a producer", get_producer),
    }
}

/// A producer as it stands in its row and in checkpoints.
pub(crate) fn put_producer(out: &mut BytesMut, producer: &Producer) {
    out.put_i16(producer.epoch);
    out.put_i64(producer.last_time);
    out.put_u8(u8::try_from(producer.batches.len()).unwrap_or(u8::MAX));
    for batch in producer.batches.iter().take(usize::from(u8::MAX)) {
        out.put_i32(batch.first_sequence);
        out.put_i32(batch.last_sequence);
        out.put_i64(batch.base_offset);
        out.put_i64(batch.timestamp);
    }
    out.put_u64(producer.ended);
    out.put_i32(producer.coordinator_epoch);
    out.put_u8(u8::from(producer.open.is_some()));
    if let Some(open) = &producer.open {
        open.enlistment.encode(out);
        out.put_i64(open.first_offset);
        out.put_i64(open.since);
    }
}

pub(crate) fn get_producer(bytes: &mut &[u8]) -> Result<Producer, TryGetError> {
    let plain = get_plain_producer(bytes)?;
    let (ended, coordinator_epoch) = (bytes.try_get_u64()?, bytes.try_get_i32()?);
    let open = if bytes.try_get_u8()? == 0 { None } else { Some(get_open(bytes)?) };
    Ok(Producer { ended, coordinator_epoch, open, ..plain })
}

fn get_open(bytes: &mut &[u8]) -> Result<OpenTransaction, TryGetError> {
    Ok(OpenTransaction {
        enlistment: Enlistment::decode(bytes)?,
        first_offset: bytes.try_get_i64()?,
        since: bytes.try_get_i64()?,
    })
}

/// A producer as it stood in rows and checkpoints before there were transactions.
pub(crate) fn get_plain_producer(bytes: &mut &[u8]) -> Result<Producer, TryGetError> {
    let epoch = bytes.try_get_i16()?;
    let last_time = bytes.try_get_i64()?;
    let count = bytes.try_get_u8()?;
    let mut batches = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        batches.push(RememberedBatch {
            first_sequence: bytes.try_get_i32()?,
            last_sequence: bytes.try_get_i32()?,
            base_offset: bytes.try_get_i64()?,
            timestamp: bytes.try_get_i64()?,
        });
    }
    Ok(Producer { epoch, last_time, batches, ended: 0, coordinator_epoch: -1, open: None })
}

pub(crate) fn encode_epoch(start: Offset) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(VERSION);
    out.put_i64(start);
    out.freeze()
}

pub(crate) fn decode_epoch(key: &Bytes, value: &[u8]) -> Result<EpochStart, StorageError> {
    let epoch = LeaderEpoch::try_from(number_of(key)?).map_err(damaged)?;
    read(value, "a leader epoch", |bytes| Ok(EpochStart { epoch, start: bytes.try_get_i64()? }))
}

pub(crate) fn encode_segment(segment: &Segment) -> Bytes {
    let mut out = BytesMut::with_capacity(41);
    out.put_u8(VERSION);
    out.put_i64(segment.end);
    out.put_u64(segment.last_index);
    out.put_u64(segment.bytes);
    out.put_i64(segment.last_time);
    out.put_i64(segment.max_timestamp);
    out.freeze()
}

pub(crate) fn decode_segment(key: &Bytes, value: &[u8]) -> Result<Segment, StorageError> {
    let base = number_of(key)?;
    read(value, "a segment", |bytes| {
        Ok(Segment {
            base,
            end: bytes.try_get_i64()?,
            last_index: bytes.try_get_u64()?,
            bytes: bytes.try_get_u64()?,
            last_time: bytes.try_get_i64()?,
            max_timestamp: bytes.try_get_i64()?,
        })
    })
}

pub(crate) fn encode_time_block(block: &TimeBlock) -> Bytes {
    let mut out = BytesMut::with_capacity(13);
    out.put_u8(VERSION);
    out.put_u32(block.batches);
    out.put_i64(block.max_timestamp);
    out.freeze()
}

pub(crate) fn decode_time_block(key: &Bytes, value: &[u8]) -> Result<TimeBlock, StorageError> {
    let base = number_of(key)?;
    read(value, "a time block", |bytes| {
        Ok(TimeBlock { base, batches: bytes.try_get_u32()?, max_timestamp: bytes.try_get_i64()? })
    })
}

/// With the last stable offset once it had ended: transactions that end later begin there or behind it.
pub(crate) fn encode_aborted(transaction: &AbortedTransaction, last_stable: Offset) -> Bytes {
    let mut out = BytesMut::with_capacity(25);
    out.put_u8(VERSION);
    out.put_i64(transaction.producer_id);
    out.put_i64(transaction.first_offset);
    out.put_i64(last_stable);
    out.freeze()
}

pub(crate) fn decode_aborted(key: &Bytes, value: &[u8]) -> Result<(AbortedTransaction, Offset), StorageError> {
    let last_offset = number_of(key)?;
    read(value, "an aborted transaction", |bytes| {
        let (producer_id, first_offset) = (bytes.try_get_i64()?, bytes.try_get_i64()?);
        Ok((AbortedTransaction { producer_id, first_offset, last_offset }, bytes.try_get_i64()?))
    })
}

pub(crate) fn encode_orders(orders: &Orders) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    orders.encode(&mut out);
    out.freeze()
}

pub(crate) fn decode_orders(value: &[u8]) -> Result<Orders, StorageError> {
    read(value, "the orders to clean the log", Orders::decode)
}

/// The key of a producer's row.
pub(crate) fn producer_key(group: RaftGroupId, id: ProducerId) -> Bytes {
    RowKind::Producer.key(group, as_key(id))
}

/// The key of an epoch's row.
pub(crate) fn epoch_key(group: RaftGroupId, epoch: LeaderEpoch) -> Bytes {
    RowKind::Epoch.key(group, as_key(i64::from(epoch)))
}

/// Reads a value behind its version byte.
pub(crate) fn read<T>(
    value: &[u8],
    what: &str,
    fields: impl FnOnce(&mut &[u8]) -> Result<T, TryGetError>,
) -> Result<T, StorageError> {
    read_version(value, VERSION, what, fields)
}

/// Reads a value of a certain version behind its version byte.
pub(crate) fn read_version<T>(
    mut value: &[u8],
    version: u8,
    what: &str,
    fields: impl FnOnce(&mut &[u8]) -> Result<T, TryGetError>,
) -> Result<T, StorageError> {
    match value.try_get_u8() {
        Ok(found) if found == version => {
            fields(&mut value).map_err(|error| StorageError::Corrupt(format!("the row of {what} is cut off: {error}")))
        }
        Ok(newer) => Err(StorageError::Corrupt(format!(
            "the row of {what} has version {newer}, which this program does not know; update it"
        ))),
        Err(_) => Err(StorageError::Corrupt(format!("the row of {what} is empty"))),
    }
}

fn damaged(reason: impl std::fmt::Display) -> StorageError {
    StorageError::Corrupt(format!("a partition's row has a key that is not its kind's: {reason}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: RaftGroupId = RaftGroupId(7);

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn open_transaction(id: &str) -> OpenTransaction {
        let enlistment = Enlistment { number: 8, version: 2, transactional_id: id.into() };
        OpenTransaction { enlistment, first_offset: 10, since: 11 }
    }

    fn head() -> Head {
        Head {
            next_offset: 1,
            log_start: 2,
            last_time: 3,
            last_sweep: 4,
            settings: Settings { segment_bytes: 5, segment_ms: 6, producer_expiration_ms: 7, producers_max: 8 },
            open: OpenSegment { base: 9, bytes: 10, first_time: 11, max_timestamp: 12 },
            block: TimeBlock { base: 13, batches: 14, max_timestamp: 15 },
        }
    }

    #[test]
    fn the_bytes_are_golden() {
        let numbers = [1u8, 2, 3, 4, 5, 6, 7];
        let mut expected = String::from("01");
        for number in numbers {
            expected += &format!("{number:016x}");
        }
        expected += "00000008";
        for number in 9u8..=13 {
            expected += &format!("{number:016x}");
        }
        expected += "0000000e000000000000000f";
        assert_eq!(hex(&encode_head(&head())), expected);

        let batch = RememberedBatch { first_sequence: 1, last_sequence: 2, base_offset: 3, timestamp: -1 };
        let plain =
            Producer { epoch: 4, last_time: 5, batches: vec![batch], ended: 0, coordinator_epoch: -1, open: None };
        let fields = "00040000000000000005010000000100000002\
                      0000000000000003ffffffffffffffff";
        assert_eq!(hex(&encode_producer(&plain)), format!("02{fields}0000000000000000ffffffff00"));
        let before: Vec<_> = [1].into_iter().chain(encode_producer(&plain)[1..37].iter().copied()).collect();
        assert_eq!(decode_producer(&before).unwrap(), plain, "what was written before there were transactions");
        let open = open_transaction("ab");
        let producer = Producer { ended: 6, coordinator_epoch: 7, open: Some(open), ..plain };
        assert_eq!(
            hex(&encode_producer(&producer)),
            format!("02{fields}0000000000000006000000070100000000000000080200026162000000000000000a000000000000000b")
        );
        let aborted = AbortedTransaction { producer_id: 1, first_offset: 2, last_offset: 3 };
        assert_eq!(hex(&encode_aborted(&aborted, 4)), "01000000000000000100000000000000020000000000000004");
        assert_eq!(hex(&encode_epoch(6)), "010000000000000006");
        let segment = Segment { base: 0, end: 1, last_index: 2, bytes: 3, last_time: 4, max_timestamp: 5 };
        assert_eq!(
            hex(&encode_segment(&segment)),
            "0100000000000000010000000000000002000000000000000300000000000000040000000000000005"
        );
        let mut orders = Orders::default();
        orders.take(crate::state::orders::Order { upto: 9, tombstones_before: 2 }, 5, 10);
        assert_eq!(
            hex(&encode_orders(&orders)),
            "0100000000000000090000000000000002000100000000000000090000000000000005"
        );
        assert_eq!(decode_orders(&encode_orders(&orders)).unwrap(), orders);
        let block = TimeBlock { base: 0, batches: 512, max_timestamp: 7 };
        assert_eq!(hex(&encode_time_block(&block)), "01000002000000000000000007");
    }

    #[test]
    fn a_newer_version_and_a_short_row_are_refused() {
        let good = encode_head(&head());
        let mut newer = good.to_vec();
        newer[0] = 2;
        assert!(decode_head(&newer).is_err());
        for len in 0..good.len() {
            assert!(decode_head(&good[..len]).is_err(), "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn rows_survive_the_trip(numbers: [i64; 5], base in 0..i64::MAX, epoch in 0..i32::MAX, count in 1..6usize, id in 0..i64::MAX) {
            let [a, b, c, d, e] = numbers;
            let mut head = head();
            head.next_offset = a;
            head.open.first_time = b;
            head.settings.segment_ms = c;
            prop_assert_eq!(decode_head(&encode_head(&head)).unwrap(), head);

            let batch = RememberedBatch { first_sequence: epoch, last_sequence: -1, base_offset: d, timestamp: e };
            let open = (count > 2).then(|| open_transaction(&"x".repeat(count)));
            let batches = vec![batch; count - 1];
            let producer = Producer { epoch: -1, last_time: a, batches, ended: 5, coordinator_epoch: epoch, open };
            prop_assert_eq!(decode_producer(&encode_producer(&producer)).unwrap(), producer);
            prop_assert_eq!(number_of(&producer_key(GROUP, id)).unwrap(), id);

            let start = EpochStart { epoch, start: a };
            prop_assert_eq!(decode_epoch(&epoch_key(GROUP, epoch), &encode_epoch(a)).unwrap(), start);

            let segment = Segment { base, end: a, last_index: 9, bytes: 8, last_time: b, max_timestamp: c };
            let key = RowKind::Segment.key_at(GROUP, base);
            prop_assert_eq!(decode_segment(&key, &encode_segment(&segment)).unwrap(), segment);

            let aborted = AbortedTransaction { producer_id: a, first_offset: b, last_offset: base };
            let key = RowKind::Aborted.key_at(GROUP, base);
            prop_assert_eq!(decode_aborted(&key, &encode_aborted(&aborted, c)).unwrap(), (aborted, c));

            let block = TimeBlock { base, batches: 3, max_timestamp: c };
            let key = RowKind::TimeBlock.key_at(GROUP, base);
            prop_assert_eq!(decode_time_block(&key, &encode_time_block(&block)).unwrap(), block);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let key = Bytes::from(bytes.clone());
            let _ = (decode_head(&bytes), decode_producer(&bytes), decode_epoch(&key, &bytes));
            let _ = decode_orders(&bytes);
            let _ = (decode_segment(&key, &bytes), decode_time_block(&key, &bytes), decode_aborted(&key, &bytes));
        }
    }
}
