//! Replicas in whose data damage was found. Such a replica is thrown away and rebuilds itself from the others, see
//! [`RaftGroups::rebuild`](crate::RaftGroups::rebuild).

use std::collections::BTreeSet;
use std::sync::Arc;

use caudal_storage::StorageError;
use caudal_types::RaftGroupId;
use tokio::sync::watch;

/// All damaged replicas of a node; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damage(Arc<watch::Sender<BTreeSet<RaftGroupId>>>);

impl Damage {
    /// Notes it when `error` means that bytes of `group` are damaged, not that the disk refuses.
    pub(crate) fn note(&self, group: RaftGroupId, error: &StorageError) {
        if !matches!(error, StorageError::Corrupt(_)) {
            return;
        }
        let new = self.0.send_if_modified(|damaged| damaged.insert(group));
        if new {
            tracing::error!(%group, %error, "this node's replica is damaged");
        }
    }

    /// The damaged bytes are gone.
    pub(crate) fn mended(&self, group: RaftGroupId) {
        self.0.send_if_modified(|damaged| damaged.remove(&group));
    }

    /// The damaged replicas, as they become known.
    pub(crate) fn watch(&self) -> watch::Receiver<BTreeSet<RaftGroupId>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_refuses_has_damaged_nothing() {
        let damage = Damage::default();
        let mut seen = damage.watch();
        damage.note(RaftGroupId(1), &StorageError::Io("refused".to_owned()));
        assert!(!seen.has_changed().unwrap());
        damage.note(RaftGroupId(1), &StorageError::Corrupt("a checksum".to_owned()));
        assert_eq!(*seen.borrow_and_update(), [RaftGroupId(1)].into());
        damage.note(RaftGroupId(1), &StorageError::Corrupt("a checksum".to_owned()));
        assert!(!seen.has_changed().unwrap(), "it is told once");
        damage.mended(RaftGroupId(1));
        assert!(seen.borrow_and_update().is_empty());
    }
}
