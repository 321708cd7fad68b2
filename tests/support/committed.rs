//! What readers of committed records see: of topics that are written in transactions, and of groups' offsets.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::reader;

/// How long the records may take.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// How long a cluster may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Reads a topic from its start until there are `count` records, and to the ends of its partitions, so that those who wait for enough see also
/// what is too much. The records of each partition in their order.
///
/// # Panics
/// When there are not as many in time.
pub fn read(bootstrap: &str, topic: &str, partitions: i32, count: usize) -> Vec<Vec<OwnedMessage>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_range(topic, 0, partitions - 1);
    places.set_all_offsets(Offset::Beginning).expect("a valid offset");
    consumer.assign(&places).expect("assigned");
    let index = |partition: i32| usize::try_from(partition).expect("partitions count from 0");
    let mut read = vec![Vec::new(); index(partitions)];
    let mut at_end = vec![false; read.len()];
    let end = Instant::now() + DEADLINE;
    loop {
        let total: usize = read.iter().map(Vec::len).sum();
        if total >= count && at_end.iter().all(|at_end| *at_end) {
            return read;
        }
        assert!(Instant::now() < end, "{total} of {count} records of {topic} after {DEADLINE:?}");
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                at_end[index(message.partition())] = false;
                read[index(message.partition())].push(message.detach());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => at_end[index(partition)] = true,
            // Other errors are passing ones: the client tries again.
            Some(Err(_)) | None => {}
        }
    }
}

/// What a group has committed for each partition of a topic: `None` where nothing, or while nobody answers.
pub fn offsets(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> Option<Vec<i64>> {
    let mut places = TopicPartitionList::new();
    places.add_partition_range(topic, 0, partitions - 1);
    let places = reader::consumer(bootstrap, group).committed_offsets(places, ANSWER_WITHIN).ok()?;
    let committed = places.elements().into_iter().map(|place| place.offset().to_raw());
    committed.map(|offset| offset.filter(|offset| *offset >= 0)).collect()
}
