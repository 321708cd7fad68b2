//! A damaged replica is thrown away, to be built again from the others.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::keys::{index, log as log_keys, raft as raft_keys, state as state_keys};
use caudal_storage::{ColumnFamily, StorageError, WriteBatch};
use caudal_types::{NodeId, RaftGroupId};

use crate::manage::Shared;
use crate::manage::recovery::{self, Doubt, Knows};

/// How long a leader of which a replica is damaged may take to hand over.
const HAND_OVER: Duration = Duration::from_secs(2);

impl Shared {
    /// Stops a damaged replica and removes its data, if all other voters have theirs: what is thrown away here must be somewhere else. The replica is marked
    /// as a doubtful one, so that it asks and catches up once it is opened again.
    pub(crate) async fn rebuild(self: &Arc<Self>, id: RaftGroupId, voters: &[NodeId]) -> Result<(), StorageError> {
        let others: Vec<_> = voters.iter().copied().filter(|node| *node != self.me()).collect();
        if others.is_empty() {
            return Err(StorageError::Corrupt(format!(
                "Raft group {id} is damaged, and nobody else has a replica of it"
            )));
        }
        self.hand_over(id, &others).await;
        let gate = self.gate(id);
        let _one = gate.lock().await;
        self.stop(id).await;
        let sound = recovery::ask_each(self, id, &others).await;
        let silent: Vec<_> =
            others.iter().filter(|node| sound.get(node).is_none_or(|recalled| recalled.knows != Knows::All)).collect();
        if !silent.is_empty() {
            return Err(StorageError::Corrupt(format!(
                "Raft group {id} is damaged, and cannot be rebuilt while nodes {silent:?} have no sound replica to offer"
            )));
        }
        let mut batch = removal(id);
        recovery::mark(id, Doubt::Lost, &mut batch);
        self.writer.write(batch).await?;
        self.damage.mended(id);
        tracing::warn!(group = %id, "a damaged replica was removed, and is rebuilt from the others");
        Ok(())
    }

    async fn hand_over(&self, id: RaftGroupId, others: &[NodeId]) {
        let Some(group) = self.get(id).filter(|group| group.state.leader_now().leader == Some(self.me())) else {
            return;
        };
        let Some(heir) = others.iter().find(|node| self.is_keen(**node)) else { return };
        // Should it fail, the others elect one of theirs when this replica has stopped.
        let _ = tokio::time::timeout(HAND_OVER, group.transfer_leadership(*heir)).await;
    }
}

/// Removes all that the disk has of a group.
pub(crate) fn removal(id: RaftGroupId) -> WriteBatch {
    let mut batch = WriteBatch::new();
    let ranges = [
        (ColumnFamily::Log, log_keys::group_range(id)),
        (ColumnFamily::Raft, raft_keys::group_range(id)),
        (ColumnFamily::Index, index::group_range(id)),
        (ColumnFamily::State, state_keys::group_range(id)),
    ];
    for (family, (from, to)) in ranges {
        batch.delete_range(family, from, to);
    }
    batch
}
