//! Which shards there are, which are here, and who leads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, LeaderTable, RaftGroupImage};
use caudal_raft::{GroupOptions, Members, PurgePolicy, RaftGroups};
use caudal_storage::{Engine, StorageError};
use caudal_types::{NodeId, Tasks, limits, off_thread};
use parking_lot::RwLock;
use tokio::time;

use crate::machine::ShardMachine;
use crate::shard::{Shard, Surroundings};
use crate::tasks;
use crate::{CoordinatorConfig, GroupError};

/// After how many entries a shard's log is cut off behind a snapshot.
const ENTRIES_PER_SNAPSHOT: u64 = 10_000;

/// How long a request waits for a node that is just taking over.
const TAKEOVER_WAIT: Duration = Duration::from_secs(1);

/// How long to wait before a shard that could not be opened is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The shards.
#[derive(Debug)]
pub(crate) struct Shards {
    around: Surroundings,
    leaders: LeaderTable,
    /// Those that are here, by number.
    open: RwLock<BTreeMap<usize, Arc<Shard>>>,
}

impl Shards {
    pub(crate) fn new(around: Surroundings, leaders: LeaderTable) -> Self {
        Self { around, leaders, open: RwLock::default() }
    }

    /// The cluster's truth now.
    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        self.around.images.borrow().clone()
    }

    /// The shard of `key`, if it is here.
    pub(crate) fn of(&self, key: &str) -> Option<Arc<Shard>> {
        let count = self.around.images.borrow().coordinator_shards.len();
        self.open.read().get(&shard_of(key, count)?).cloned()
    }

    /// What the shards go by.
    pub(crate) fn config(&self) -> &CoordinatorConfig {
        &self.around.config
    }

    /// The shard of `key`, if this node leads it or is just taking over.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`] when it does not.
    pub(crate) async fn serving(&self, key: &str) -> Result<Arc<Shard>, GroupError> {
        let not_here = || GroupError::NotCoordinator { coordinator: self.leader_of(key) };
        let shard = self.of(key).ok_or_else(not_here)?;
        let mut serving = shard.serving();
        if !*serving.borrow_and_update() {
            if !shard.is_taking_over(self.around.config.node_id) {
                return Err(not_here());
            }
            let taken_over = time::timeout(TAKEOVER_WAIT, serving.wait_for(|serving| *serving)).await;
            if !matches!(taken_over, Ok(Ok(_))) {
                return Err(not_here());
            }
        }
        Ok(shard)
    }

    /// All that are here.
    pub(crate) fn all(&self) -> Vec<Arc<Shard>> {
        self.open.read().values().cloned().collect()
    }

    /// The node that leads the shard of `key`.
    pub(crate) fn leader_of(&self, key: &str) -> Option<NodeId> {
        let image = self.image();
        let shard = image.coordinator_shards.get(shard_of(key, image.coordinator_shards.len())?)?;
        self.leaders.leader(shard.group).map(|leader| leader.node)
    }

    /// Opens this node's shards as they appear in the cluster's image.
    pub(crate) async fn open_all(self: Arc<Self>, groups: RaftGroups, engine: Arc<dyn Engine>, tasks: Tasks) {
        let mut images = self.around.images.clone();
        loop {
            let image = images.borrow_and_update().clone();
            let mut complete = true;
            for (number, shard) in image.coordinator_shards.iter().enumerate() {
                let is_here = shard.replicas.contains(&self.around.config.node_id);
                if is_here && !self.open.read().contains_key(&number) {
                    let opened = self.open(number, shard, &groups, &engine, &tasks).await;
                    if let Err(error) = opened {
                        tracing::error!(shard = number, %error, "the coordinator shard cannot be opened");
                        groups.note_damage(shard.group, &error);
                        complete = false;
                    }
                }
            }
            if !complete {
                time::sleep(RETRY_AFTER).await;
            } else if images.changed().await.is_err() {
                return;
            }
        }
    }

    async fn open(
        &self,
        number: usize,
        shard: &RaftGroupImage,
        groups: &RaftGroups,
        engine: &Arc<dyn Engine>,
        tasks: &Tasks,
    ) -> Result<(), StorageError> {
        let (group, engine) = (shard.group, engine.clone());
        // Nearly always it is not open. It is where this task panicked before, with tables that nobody knows any more.
        groups.close(group).await;
        if groups.damaged().borrow().contains(&group) {
            groups.rebuild(group, &shard.replicas).await?;
        }
        let machine = off_thread::run(move || ShardMachine::open(&*engine, group)).await;
        let machine = machine.map_err(|error| StorageError::Io(error.to_string()))??;
        let tables = machine.tables();
        let members = Members { voters: shard.replicas.clone(), learners: Vec::new() };
        let options = GroupOptions {
            purge: PurgePolicy::EveryEntries(ENTRIES_PER_SNAPSHOT),
            commit_within: limits::COMMIT_WITHIN,
            spare_sync_within: limits::SPARE_SYNC_WITHIN,
        };
        let raft = groups.open(group, members, Box::new(machine), options).await?;
        let shard = Arc::new(Shard::new(raft, tables, self.around.clone()));
        // Not started anew when they panic: what they had in hand, and the shard's state as leader, may be half done, and no other node leads the shard
        // while Raft's leader is here. Only a restart of the node makes it whole.
        tasks.spawn("coordinator-propose", tasks::propose(shard.clone()));
        tasks.spawn("coordinator-mind", tasks::mind(shard.clone()));
        self.open.write().insert(number, shard);
        Ok(())
    }
}

/// The number of the shard that a key belongs to, as Kafka finds it; fixed for ever.
fn shard_of(key: &str, shards: usize) -> Option<usize> {
    let hash = java_hash(key).checked_abs().unwrap_or(0);
    usize::try_from(hash).ok()?.checked_rem(shards)
}

/// Java's `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_shards_that_java_gives_them() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(
            java_hash("faturas-ção"),
            "faturas-ção".encode_utf16().fold(0_i32, |h, c| h.wrapping_mul(31).wrapping_add(i32::from(c)))
        );
        assert_eq!(shard_of("polygenelubricants", 16), Some(0));
        assert_eq!(shard_of("hello", 16), Some(2));
        assert_eq!(shard_of("hello", 0), None);
    }
}
