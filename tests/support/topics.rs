//! Topics and their settings through librdkafka, on Caudal and on Apache Kafka alike.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;

use crate::reader;

/// How long a cluster may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Creates a topic with settings of its own.
///
/// # Panics
/// When it is refused.
pub fn create(bootstrap: &str, topic: &str, partitions: i32, replication_factor: i32, settings: &[(&str, &str)]) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication_factor));
    let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
    let results = block_on(admin(bootstrap).create_topics([&new], &options())).expect("an answer");
    assert!(results[0].is_ok(), "{topic} is not created: {results:?}");
}

/// Gives a topic these settings of its own and no others.
///
/// # Panics
/// When they are refused.
pub fn set(bootstrap: &str, topic: &str, settings: &[(&str, &str)]) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let change = settings.iter().fold(change, |change, (key, value)| change.set(key, value));
    let results = block_on(admin(bootstrap).alter_configs([&change], &options())).expect("an answer");
    assert!(results[0].is_ok(), "the settings of {topic} are not changed: {results:?}");
}

/// Adds partitions to a topic.
///
/// # Panics
/// When that is refused.
pub fn grow(bootstrap: &str, topic: &str, partitions: usize) {
    let grown = NewPartitions::new(topic, partitions);
    let results = block_on(admin(bootstrap).create_partitions([&grown], &options())).expect("an answer");
    assert!(results[0].is_ok(), "{topic} does not grow: {results:?}");
}

/// A topic's setting; `None` where there is no such topic, or while nobody answers.
pub fn setting(bootstrap: &str, topic: &str, key: &str) -> Option<String> {
    let asked = ResourceSpecifier::Topic(topic);
    let results = block_on(admin(bootstrap).describe_configs([&asked], &options())).ok()?;
    results.into_iter().next()?.ok()?.get(key)?.value.clone()
}

/// The settings of a node, each with whether it can only be set at the node's start.
///
/// # Panics
/// When the node does not answer.
pub fn node_settings(bootstrap: &str, node: i32) -> BTreeMap<String, bool> {
    let asked = ResourceSpecifier::Broker(node);
    let results = block_on(admin(bootstrap).describe_configs([&asked], &options())).expect("an answer");
    let settings = results.into_iter().next().expect("a result").expect("the settings of a node");
    settings.entries.into_iter().map(|entry| (entry.name, entry.is_read_only)).collect()
}

/// How many replicas each partition of a topic has: nothing where there is no such topic, or while nobody answers.
pub fn replicas(bootstrap: &str, topic: &str) -> Vec<usize> {
    let metadata = reader::consumer(bootstrap, "topics").fetch_metadata(Some(topic), ANSWER_WITHIN);
    let Ok(metadata) = metadata else { return Vec::new() };
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions.map(|partition| partition.replicas().len()).collect()
}

/// The node that leads a partition; `None` while there is none, or while nobody answers.
pub fn leader(bootstrap: &str, topic: &str, partition: usize) -> Option<u32> {
    let metadata = reader::consumer(bootstrap, "topics").fetch_metadata(Some(topic), ANSWER_WITHIN).ok()?;
    let leader = metadata.topics().first()?.partitions().get(partition)?.leader();
    u32::try_from(leader).ok()
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("an admin client")
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN))
}

fn block_on<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}
