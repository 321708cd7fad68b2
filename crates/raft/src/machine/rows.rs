//! The rows that this crate keeps in the column family `state`, beside those of the state machine: what is applied, and every membership
//! since the snapshot, so that a checkpoint older than what is applied can carry the membership as of its index.

use bytes::Bytes;
use caudal_storage::engine::ScanLimit;
use caudal_storage::keys::state as state_keys;
use caudal_storage::{ColumnFamily, Engine, StorageError, WriteBatch};
use caudal_types::RaftGroupId;

use crate::codec;
use crate::types::{LogId, LoggedMembership};

/// The last applied log id; one row.
const APPLIED: u8 = 0;
/// A membership by the index of its log entry.
const MEMBERSHIP: u8 = 1;

fn membership_key(group: RaftGroupId, index: u64) -> Bytes {
    state_keys::key(group, MEMBERSHIP, &index.to_be_bytes())
}

pub(crate) fn put_applied(batch: &mut WriteBatch, group: RaftGroupId, id: &LogId) {
    batch.put(ColumnFamily::State, state_keys::key(group, APPLIED, &[]), codec::encode_log_id(Some(id)));
}

pub(crate) fn read_applied(engine: &dyn Engine, group: RaftGroupId) -> Result<Option<LogId>, StorageError> {
    let row = engine.get(ColumnFamily::State, &state_keys::key(group, APPLIED, &[]))?;
    Ok(row.map(|value| codec::decode_log_id(&value)).transpose()?.flatten())
}

pub(crate) fn put_membership(batch: &mut WriteBatch, group: RaftGroupId, membership: &LoggedMembership) {
    if let Some(id) = membership.log_id() {
        let value = codec::encode_logged_membership(membership);
        batch.put(ColumnFamily::State, membership_key(group, id.index), value);
    }
}

/// The membership that was in force when the entry at `index` had been applied.
pub(crate) fn read_membership(
    engine: &dyn Engine,
    group: RaftGroupId,
    index: u64,
) -> Result<LoggedMembership, StorageError> {
    let (first, last) = state_keys::kind_range(group, MEMBERSHIP);
    let end = index.checked_add(1).map_or(last, |next| membership_key(group, next));
    let rows = engine.scan_back(ColumnFamily::State, &first..&end, ScanLimit::rows(1))?;
    rows.first().map_or_else(|| Ok(LoggedMembership::default()), |(_, value)| codec::decode_logged_membership(value))
}

/// Removes the memberships that were superseded before `kept`.
pub(crate) fn prune_memberships(batch: &mut WriteBatch, group: RaftGroupId, kept: &LoggedMembership) {
    if let Some(id) = kept.log_id() {
        let (first, _) = state_keys::kind_range(group, MEMBERSHIP);
        batch.delete_range(ColumnFamily::State, first, membership_key(group, id.index));
    }
}

/// Removes all memberships.
pub(crate) fn clear_memberships(batch: &mut WriteBatch, group: RaftGroupId) {
    let (first, end) = state_keys::kind_range(group, MEMBERSHIP);
    batch.delete_range(ColumnFamily::State, first, end);
}
