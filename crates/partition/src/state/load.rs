//! Rebuilding the state from its rows, when a replica opens.

use std::sync::Arc;

use bytes::Bytes;
use caudal_storage::keys::{index, state};
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError, WriteBatch};
use caudal_types::{RaftGroupId, mutant};

use crate::state::epochs::Epochs;
use crate::state::orders::Orders;
use crate::state::producers::ProducerStates;
use crate::state::rows::{self, RowKind};
use crate::state::{PartitionState, checkpoint};

/// Reads the state as the rows have it; the first state when there are none.
pub(crate) fn load(engine: &dyn Engine, group: RaftGroupId) -> Result<PartitionState, StorageError> {
    let Some(head) = engine.get(ColumnFamily::State, &RowKind::Head.key(group, 0))? else {
        return without_head(engine, group);
    };
    let mut producers = ProducerStates::default();
    for (key, value) in scan(engine, group, RowKind::Producer)? {
        if !mutant::active("lost_checkpoint_at_restart") {
            producers.insert(rows::number_of(&key)?, rows::decode_producer(&value)?);
        }
    }
    let mut state = PartitionState {
        orders: orders(engine, group)?,
        head: rows::decode_head(&head)?,
        epochs: epochs(engine, group)?,
        producers,
        segments: Arc::new(
            scan(engine, group, RowKind::Segment)?
                .iter()
                .map(|(key, value)| rows::decode_segment(key, value))
                .collect::<Result<_, _>>()?,
        ),
        checkpoint_index: 0,
    };
    if let Some(checkpoint) = oldest_checkpoint(engine, group, &state)? {
        state.checkpoint_index = checkpoint::index_of(&checkpoint)?;
    }
    Ok(state)
}

/// The checkpoint from which the log is needed; `None` when all of it is.
pub(crate) fn oldest_checkpoint(
    engine: &dyn Engine,
    group: RaftGroupId,
    state: &PartitionState,
) -> Result<Option<Bytes>, StorageError> {
    engine.get(ColumnFamily::State, &RowKind::Checkpoint.key_at(group, state.oldest_base()))
}

fn orders(engine: &dyn Engine, group: RaftGroupId) -> Result<Orders, StorageError> {
    let row = engine.get(ColumnFamily::State, &RowKind::Orders.key(group, 0))?;
    row.map_or_else(|| Ok(Orders::default()), |row| rows::decode_orders(&row))
}

/// A log without commands has no head, but its terms have epochs.
fn without_head(engine: &dyn Engine, group: RaftGroupId) -> Result<PartitionState, StorageError> {
    Ok(PartitionState { epochs: epochs(engine, group)?, ..PartitionState::default() })
}

fn epochs(engine: &dyn Engine, group: RaftGroupId) -> Result<Epochs, StorageError> {
    let starts = scan(engine, group, RowKind::Epoch)?
        .iter()
        .map(|(key, value)| rows::decode_epoch(key, value))
        .collect::<Result<_, _>>()?;
    Ok(Epochs::new(starts))
}

fn scan(engine: &dyn Engine, group: RaftGroupId, kind: RowKind) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
    let (from, to) = kind.range(group);
    engine.scan(ColumnFamily::State, from.as_ref()..to.as_ref(), ScanLimit::NONE)
}

/// Replaces all rows by those of a state that came as the checkpoint `bytes`.
pub(crate) fn replace(group: RaftGroupId, state: &PartitionState, bytes: &Bytes, batch: &mut WriteBatch) {
    let (from, to) = state::user_range(group);
    batch.delete_range(ColumnFamily::State, from, to);
    let (from, to) = index::group_range(group);
    batch.delete_range(ColumnFamily::Index, from, to);
    if state.head.next_offset == 0 {
        // The log's very start has no rows, and its checkpoint can always be made.
        return;
    }
    batch.put(ColumnFamily::State, RowKind::Head.key(group, 0), rows::encode_head(&state.head));
    for entry in state.epochs.starts() {
        batch.put(ColumnFamily::State, rows::epoch_key(group, entry.epoch), rows::encode_epoch(entry.start));
    }
    for (id, producer) in state.producers.iter() {
        batch.put(ColumnFamily::State, rows::producer_key(group, id), rows::encode_producer(producer));
    }
    if state.orders != Orders::default() {
        batch.put(ColumnFamily::State, RowKind::Orders.key(group, 0), rows::encode_orders(&state.orders));
    }
    let key = RowKind::Checkpoint.key_at(group, state.head.next_offset);
    batch.put(ColumnFamily::State, key, bytes.clone());
}
