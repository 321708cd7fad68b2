//! openraft's own tests for stores.

use std::sync::Arc;

use caudal_storage::{Engine, LogWriter, MemEngine, RocksEngine, RocksOptions};
use caudal_types::{NodeId, RaftGroupId};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::log::{GroupLog, LogCache, LogStore};
use crate::machine::{MachineAdapter, MachineCore, SnapshotKeeping};
use crate::state::GroupState;
use crate::tests::machine::ListMachine;
use crate::types::TypeConfig;

fn store(engine: Arc<dyn Engine>, cache: usize) -> (LogStore, MachineAdapter) {
    let group = RaftGroupId(7);
    let writer = LogWriter::start(engine.clone());
    let (changes, _) = broadcast::channel(16);
    let state = GroupState::new(group, NodeId(0), changes);
    let log = GroupLog::open(group, engine.clone(), writer, LogCache::new(cache)).unwrap();
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

/// Dropped after a store: waits until the writer's thread has closed the database, which must not outlive the process's statics.
struct Database {
    writer: LogWriter,
    _folder: TempDir,
}

impl Drop for Database {
    fn drop(&mut self) {
        futures::executor::block_on(self.writer.close());
    }
}

impl StoreBuilder<TypeConfig, LogStore, MachineAdapter, Database> for OnDisk {
    async fn build(&self) -> Result<(Database, LogStore, MachineAdapter), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
        let (log, machine) = store(Arc::new(engine), self.cache);
        Ok((Database { writer: log.0.writer.clone(), _folder: folder }, log, machine))
    }
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
    Suite::test_all(OnDisk { cache: 1 << 20 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_on_rocksdb_without_a_cache() {
    Suite::test_all(OnDisk { cache: 0 }).await.unwrap();
}
