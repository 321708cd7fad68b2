//! A checkpoint: all that applying the log from its index on needs. It lies at the start of a segment, and serves as the Raft
//! snapshot of a replica whose log begins there.
//!
//! Layout, big-endian: version (u8), Raft index (u64), next offset, last time, last sweep (i64 each), settings, latest leader epoch (i32;
//! -1 for none), producers (count u32, then id i64 and the fields of a producer's row), the fields of the orders' row. Version 2 is from before there was
//! log compaction, and has no orders; version 1 from before there were transactions. Persisted and sent between nodes: keep stable.
//!
//! Of the epochs only the latest is kept: the log begins at the checkpoint's next offset, so the earlier ones have no records in it.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use caudal_storage::StorageError;

use crate::state::epochs::{EpochStart, Epochs};
use crate::state::orders::Orders;
use crate::state::producers::{Producer, ProducerStates};
use crate::state::segments::{OpenSegment, TimeBlock};
use crate::state::{Head, PartitionState, Settings, rows};

const VERSION: u8 = 3;
const WITHOUT_ORDERS: u8 = 2;
const WITHOUT_TRANSACTIONS: u8 = 1;

/// Encodes `state` as of `index`.
pub(crate) fn encode(state: &PartitionState, index: u64) -> Bytes {
    let producers = state.producers.iter();
    let mut out = BytesMut::with_capacity(70 + 48 * producers.len());
    out.put_u8(VERSION);
    out.put_u64(index);
    out.put_i64(state.head.next_offset);
    out.put_i64(state.head.last_time);
    out.put_i64(state.head.last_sweep);
    state.head.settings.encode(&mut out);
    out.put_i32(state.epochs.latest().unwrap_or(-1));
    out.put_u32(u32::try_from(producers.len()).unwrap_or(u32::MAX));
    for (id, producer) in producers {
        out.put_i64(id);
        rows::put_producer(&mut out, producer);
    }
    state.orders.encode(&mut out);
    out.freeze()
}

/// The Raft index that a checkpoint speaks of.
pub(crate) fn index_of(bytes: &[u8]) -> Result<u64, StorageError> {
    let earlier = |version: &u8| [WITHOUT_TRANSACTIONS, WITHOUT_ORDERS].contains(version);
    let version = bytes.first().copied().filter(earlier).unwrap_or(VERSION);
    rows::read_version(bytes, version, "a checkpoint", |bytes| bytes.try_get_u64())
}

/// The state from which the entries behind the checkpoint's index can be applied. The log starts at its next offset: nothing before it can be read.
pub(crate) fn decode(bytes: &[u8]) -> Result<PartitionState, StorageError> {
    match bytes.first() {
        Some(&WITHOUT_TRANSACTIONS) => {
            let plain = |bytes: &mut &[u8]| fields(bytes, rows::get_plain_producer);
            rows::read_version(bytes, WITHOUT_TRANSACTIONS, "a checkpoint", plain)
        }
        Some(&WITHOUT_ORDERS) => {
            rows::read_version(bytes, WITHOUT_ORDERS, "a checkpoint", |bytes| fields(bytes, rows::get_producer))
        }
        _ => rows::read_version(bytes, VERSION, "a checkpoint", |bytes| {
            let state = fields(bytes, rows::get_producer)?;
            Ok(PartitionState { orders: Orders::decode(bytes)?, ..state })
        }),
    }
}

fn fields(
    bytes: &mut &[u8],
    get_producer: fn(&mut &[u8]) -> Result<Producer, TryGetError>,
) -> Result<PartitionState, TryGetError> {
    let checkpoint_index = bytes.try_get_u64()?;
    let next_offset = bytes.try_get_i64()?;
    let head = Head {
        next_offset,
        log_start: next_offset,
        last_time: bytes.try_get_i64()?,
        last_sweep: bytes.try_get_i64()?,
        settings: Settings::decode(bytes)?,
        open: OpenSegment::at(next_offset),
        block: TimeBlock::at(next_offset),
    };
    let epoch = bytes.try_get_i32()?;
    let latest = (epoch >= 0).then_some(EpochStart { epoch, start: next_offset });
    let mut producers = ProducerStates::default();
    for _ in 0..bytes.try_get_u32()? {
        let id = bytes.try_get_i64()?;
        producers.insert(id, get_producer(bytes)?);
    }
    let epochs = Epochs::new(latest.into_iter().collect());
    let (segments, orders) = (Default::default(), Orders::default());
    Ok(PartitionState { head, epochs, producers, segments, checkpoint_index, orders })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::orders::Order;
    use crate::state::producers::RememberedBatch;

    fn state() -> PartitionState {
        let mut state = PartitionState::default();
        state.head.next_offset = 40;
        state.head.log_start = 40;
        state.head.last_time = 5;
        state.head.open = OpenSegment::at(40);
        state.head.block = TimeBlock::at(40);
        state.checkpoint_index = 77;
        state.epochs = Epochs::new(vec![EpochStart { epoch: 2, start: 40 }]);
        let batch = RememberedBatch { first_sequence: 0, last_sequence: 1, base_offset: 38, timestamp: 3 };
        state.orders.take(Order { upto: 38, tombstones_before: 7 }, 4, 40);
        state.producers.insert(
            9,
            Producer { epoch: 1, last_time: 5, batches: vec![batch], ended: 0, coordinator_epoch: -1, open: None },
        );
        state
    }

    #[test]
    fn the_bytes_are_golden_and_survive_the_trip() {
        let bytes = encode(&state(), 77);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "03000000000000004d000000000000002800000000000000050000000000000000\
             0000000040000000000000002\
             40c84000000000005265c0000002710\
             000000020000000100000000000000090001000000000000000501\
             0000000000000001\
             000000000000002600000000000000030000000000000000ffffffff00\
             00000000000000260000000000000007000100000000000000260000000000000004"
        );
        assert_eq!(decode(&bytes).unwrap(), state());
        assert_eq!(index_of(&bytes).unwrap(), 77);
        let mut before = bytes[..bytes.len() - 34].to_vec();
        before[0] = 2;
        let without = PartitionState { orders: Orders::default(), ..state() };
        assert_eq!(decode(&before).unwrap(), without, "one of before there was log compaction");
        assert_eq!(index_of(&before).unwrap(), 77);
        before.truncate(before.len() - 13);
        before[0] = 1;
        assert_eq!(decode(&before).unwrap(), without, "one of before there were transactions");
        assert_eq!(index_of(&before).unwrap(), 77);
    }

    #[test]
    fn a_cut_checkpoint_is_refused() {
        let bytes = encode(&state(), 77);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = (decode(&bytes), index_of(&bytes));
        }
    }
}
