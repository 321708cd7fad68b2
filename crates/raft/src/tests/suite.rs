//! openraft's own tests for stores.

use std::sync::Arc;

use caudal_storage::{Engine, LogWriter, MemEngine, RocksEngine, RocksOptions};
use caudal_types::{NodeId, RaftGroupId};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::log::{Damage, GroupLog, LogCache, LogStore};
use crate::machine::{MachineAdapter, MachineCore, SnapshotKeeping};
use crate::state::GroupState;
use crate::tests::machine::ListMachine;
use crate::tests::support::DEADLINE;
use crate::types::TypeConfig;

fn store(engine: Arc<dyn Engine>, cache: usize) -> (LogStore, MachineAdapter) {
    let group = RaftGroupId(7);
    let writer = LogWriter::start(engine.clone());
    let (changes, _) = broadcast::channel(16);
    let state = GroupState::new(group, NodeId(0), changes);
    let log = GroupLog::open(group, engine.clone(), writer, LogCache::new(cache), Damage::default()).unwrap();
    let machine = ListMachine::boxed(group, engine);
    let core = MachineCore::open(state, log.clone(), machine, SnapshotKeeping::Fresh).unwrap();
    (LogStore(log), MachineAdapter(core))
}

struct InMemory {
    cache: usize,
}

impl StoreBuilder<TypeConfig, LogStore, MachineAdapter> for InMemory {
    async fn build(&self) -> Result<((), LogStore, MachineAdapter), StorageError<TypeConfig>> {
        let (log, machine) = store(Arc::new(MemEngine::new()), self.cache);
        Ok(((), log, machine))
    }
}

struct OnDisk {
    cache: usize,
}

impl StoreBuilder<TypeConfig, LogStore, MachineAdapter, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, MachineAdapter), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
        let (log, machine) = store(Arc::new(engine), self.cache);
        Ok((folder, log, machine))
    }
}

async fn suite_on_disk(cache: usize) {
    Suite::test_all(OnDisk { cache }).await.unwrap();
    assert!(caudal_storage::wait_until_closed(DEADLINE), "the writers' threads let go of their databases");
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_on_the_engine_in_memory() {
    Suite::test_all(InMemory { cache: 1 << 20 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_on_the_engine_in_memory_without_a_cache() {
    Suite::test_all(InMemory { cache: 0 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_on_rocksdb() {
    suite_on_disk(1 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_on_rocksdb_without_a_cache() {
    suite_on_disk(0).await;
}
