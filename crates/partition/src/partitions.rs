//! The partitions on this node, kept as the cluster image says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::Controller;
use caudal_raft::{NodeLiveness, RaftGroups};
use caudal_storage::{Engine, LogSpace, StorageError};
use caudal_types::{Clock, NodeId, Tasks, TopicId};
use tokio::sync::Mutex;

use crate::Partition;
use crate::compaction::{
    COMPACTION_ORDERS, Cleaner, CompactionConfig, CompactionStats, Counters, LOG_CLEANER, LiveCompaction, Orderer,
};
use crate::directory::Directory;
use crate::disk::DiskReads;
use crate::partition::NodeParts;
use crate::read::ahead::ReadAheads;
use crate::recompress::Recompressions;
use crate::reconciler::{PARTITION_RECONCILER, Reconciler};
use crate::retention::{Chores, Keeper, LOG_PURGER, Purger, RETENTION, Reclaimer};

/// What the partitions need to know.
#[derive(Clone, Debug)]
pub struct PartitionsConfig {
    /// This node.
    pub node_id: NodeId,
    /// Node-level values of topic settings by their broker-level names (`log.segment.bytes` ...).
    pub topic_defaults: BTreeMap<String, String>,
    /// How long an idle idempotent producer is remembered, in milliseconds (`producer.id.expiration.ms`).
    pub producer_expiration_ms: i64,
    /// How often to look for what is past its retention (`log.retention.check.interval.ms`).
    pub retention_check_interval: Duration,
    /// How compacted topics are cleaned.
    pub compaction: CompactionConfig,
}

/// The partitions on this node; a cheap handle.
#[derive(Clone, Debug)]
pub struct Partitions {
    directory: Arc<Directory>,
    engine: Arc<dyn Engine>,
    compaction: Arc<Counters>,
    tasks: Tasks,
}

impl Partitions {
    /// Starts the reconciler, which opens, changes and removes local replicas as the cluster image says (many are opened side by side), and what
    /// removes old records from them.
    ///
    /// # Errors
    /// When the system has no more file descriptors.
    pub fn start(
        config: PartitionsConfig,
        controller: Controller,
        groups: RaftGroups,
        liveness: NodeLiveness,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let (disk, aheads) = (DiskReads::new()?, ReadAheads::default());
        let (directory, chores) = (Arc::new(Directory::default()), Arc::new(Chores::default()));
        let compaction = Arc::<Counters>::default();
        let live = LiveCompaction::new(config.node_id, config.compaction.clone(), controller.images());
        let cleaner = Cleaner::new(live.clone(), Arc::clone(&directory), Arc::clone(&compaction), Arc::clone(&chores))?;
        let cleaner = Arc::new(Mutex::new(cleaner));
        let orderer = Orderer {
            directory: Arc::clone(&directory),
            clock: Arc::clone(&clock),
            counters: Arc::clone(&compaction),
            live,
        };
        let recompressions = Recompressions::default();
        let tasks = Tasks::new();
        let keeper = Keeper {
            directory: Arc::clone(&directory),
            chores: Arc::clone(&chores),
            clock: Arc::clone(&clock),
            every: config.retention_check_interval,
        };
        tasks.supervise(RETENTION, move || keeper.clone().run());
        let purger = Purger { directory: Arc::clone(&directory), chores: Arc::clone(&chores) };
        tasks.supervise(LOG_PURGER, move || purger.clone().run());
        let reclaimer = Reclaimer { chores: Arc::clone(&chores), engine: Arc::clone(&engine) };
        tasks.supervise("space reclaimer", move || reclaimer.clone().run());
        let shared = Arc::clone(&engine);
        let parts = NodeParts {
            node_id: config.node_id,
            groups,
            liveness,
            engine,
            clock,
            disk,
            aheads,
            chores,
            recompressions,
        };
        let (parts, reconciled, images) = (Arc::new(parts), Arc::clone(&directory), controller.images());
        tasks.supervise(PARTITION_RECONCILER, move || {
            let reconciler = Reconciler::new(config.clone(), Arc::clone(&parts), Arc::clone(&reconciled));
            reconciler.run(images.clone())
        });
        tasks.supervise(COMPACTION_ORDERS, move || orderer.clone().run());
        tasks.supervise(LOG_CLEANER, move || {
            let cleaner = Arc::clone(&cleaner);
            async move { cleaner.lock().await.run().await }
        });
        Ok(Self { directory, engine: shared, compaction, tasks })
    }

    /// A local replica by topic id.
    pub fn get(&self, topic: TopicId, partition: i32) -> Option<Arc<Partition>> {
        self.directory.get(topic, partition)
    }

    /// A local replica by topic name.
    pub fn get_by_name(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.directory.get_by_name(topic, partition)
    }

    /// All local replicas.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.directory.all()
    }

    /// What the large record batches of all replicas take on the disk.
    ///
    /// # Errors
    /// When the database does not say.
    pub fn log_space(&self) -> Result<LogSpace, StorageError> {
        self.engine.log_space()
    }

    /// What log compaction has done on this node.
    pub fn compaction(&self) -> CompactionStats {
        self.compaction.read()
    }

    /// Stops the background tasks.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}
