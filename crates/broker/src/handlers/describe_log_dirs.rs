//! DescribeLogDirs: what lies in this node's data directory, and how much space is left there (KIP-113, KIP-827). A node has one data directory.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use caudal_partition::{Partition, Partitions};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use caudal_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use caudal_storage::{FilesystemSize, StorageError};
use caudal_types::off_thread;

use crate::table::{Handler, Outcome, RequestContext};
use crate::text::{topic_name, wire};

pub(crate) struct DescribeLogDirs {
    folder: PathBuf,
    partitions: Partitions,
}

impl DescribeLogDirs {
    pub(crate) fn new(folder: PathBuf, partitions: Partitions) -> Self {
        Self { folder, partitions }
    }

    async fn size(&self) -> Result<FilesystemSize, StorageError> {
        let folder = self.folder.clone();
        let asked = off_thread::run(move || FilesystemSize::of(&folder)).await;
        asked.unwrap_or_else(|error| Err(StorageError::Io(error.to_string())))
    }
}

/// What is asked for: some partitions, or all.
struct Wanted(Option<HashSet<(String, i32)>>);

impl Wanted {
    fn new(request: &DescribeLogDirsRequest) -> Self {
        let partitions = |topics: &Vec<_>| {
            let each = topics.iter().flat_map(
                |topic: &caudal_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic| {
                    topic.partitions.iter().map(|partition| (topic.topic.to_string(), *partition))
                },
            );
            each.collect()
        };
        Self(request.topics.as_ref().map(partitions))
    }

    fn has(&self, partition: &Partition) -> bool {
        let name = partition.name();
        self.0.as_ref().is_none_or(|wanted| wanted.contains(&(name.topic.to_string(), name.partition)))
    }
}

/// The partitions, by topic. A replica has what is committed as far as it has come, so that its log's end never lags behind its high watermark.
fn topics(partitions: &[Arc<Partition>], wanted: &Wanted) -> Vec<DescribeLogDirsTopic> {
    let mut by_topic: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions.iter().filter(|partition| wanted.has(partition)) {
        let described = DescribeLogDirsPartition::default()
            .with_partition_index(partition.name().partition)
            .with_partition_size(i64::try_from(partition.log_bytes()).unwrap_or(i64::MAX));
        by_topic.entry(&partition.name().topic).or_default().push(described);
    }
    let topic = |(name, mut partitions): (&str, Vec<DescribeLogDirsPartition>)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    by_topic.into_iter().map(topic).collect()
}

impl Handler for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;

    async fn handle(&self, _context: &RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
        let result = DescribeLogDirsResult::default().with_log_dir(wire(&self.folder.to_string_lossy()));
        let result = match self.size().await {
            Ok(size) => result
                .with_topics(topics(&self.partitions.all(), &Wanted::new(&request)))
                .with_total_bytes(i64::try_from(size.total).unwrap_or(i64::MAX))
                .with_usable_bytes(i64::try_from(size.free).unwrap_or(i64::MAX)),
            Err(error) => {
                tracing::warn!(%error, "the data directory cannot be described");
                result.with_error_code(ErrorCode::KAFKA_STORAGE_ERROR.code())
            }
        };
        let mut response = DescribeLogDirsResponse::default();
        response.results.push(result);
        response
    }
}

impl Outcome for DescribeLogDirsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0 || self.results.iter().any(|result| result.error_code != 0)
    }
}
