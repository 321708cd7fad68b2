//! AlterReplicaLogDirs: moves replicas between a node's data directories (KIP-113). A node has one, so that what is moved there stays where it is, and
//! there is nowhere else to move it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use caudal_partition::Partitions;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use caudal_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

use crate::table::{Handler, Outcome, RequestContext};
use crate::text::topic_name;

pub(crate) struct AlterReplicaLogDirs {
    folder: PathBuf,
    partitions: Partitions,
}

impl AlterReplicaLogDirs {
    pub(crate) fn new(folder: PathBuf, partitions: Partitions) -> Self {
        Self { folder, partitions }
    }

    fn move_to(&self, folder: &Path, topic: &str, index: i32) -> ErrorCode {
        if folder != self.folder {
            return ErrorCode::LOG_DIR_NOT_FOUND;
        }
        match self.partitions.get_by_name(topic, index) {
            Some(_) => ErrorCode::NONE,
            None => ErrorCode::REPLICA_NOT_AVAILABLE,
        }
    }
}

impl Handler for AlterReplicaLogDirs {
    type Request = AlterReplicaLogDirsRequest;
    type Response = AlterReplicaLogDirsResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: AlterReplicaLogDirsRequest,
    ) -> AlterReplicaLogDirsResponse {
        let mut topics: BTreeMap<&str, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
        for dir in &request.dirs {
            for topic in &dir.topics {
                let results = topics.entry(&topic.name).or_default();
                for index in &topic.partitions {
                    let code = self.move_to(Path::new(&*dir.path), &topic.name, *index);
                    let result = AlterReplicaLogDirPartitionResult::default().with_partition_index(*index);
                    results.push(result.with_error_code(code.code()));
                }
            }
        }
        let topic = |(name, partitions)| {
            AlterReplicaLogDirTopicResult::default().with_topic_name(topic_name(name)).with_partitions(partitions)
        };
        AlterReplicaLogDirsResponse::default().with_results(topics.into_iter().map(topic).collect())
    }
}

impl Outcome for AlterReplicaLogDirsResponse {
    fn failed(&self) -> bool {
        self.results.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}
