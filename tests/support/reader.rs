//! Reading with librdkafka's consumer, from where and for as long as a test says.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long a reader waits for the partition's offsets, and for each record.
const DEADLINE: Duration = Duration::from_secs(60);

/// A consumer of a group, which commits when it is told to.
///
/// # Panics
/// When the client cannot be made.
pub fn consumer(bootstrap: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer")
}

/// Reads a partition from its start to what is its end now. The partition's leadership may move meanwhile.
///
/// # Panics
/// When the offsets or a record do not come in time.
pub fn read_partition(bootstrap: &str, topic: &str, partition: i32) -> Vec<OwnedMessage> {
    let consumer = consumer(bootstrap, "reader");
    let (low, high) = offsets(&consumer, topic, partition);
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, partition, Offset::Offset(low)).expect("a valid offset");
    consumer.assign(&place).expect("assigned");
    let mut read = Vec::new();
    while read.last().map_or(low, |last: &OwnedMessage| last.offset() + 1) < high {
        // Errors that librdkafka shows meanwhile are passing ones: it tries again.
        if let Ok(message) = consumer.poll(DEADLINE).expect("a record in time") {
            read.push(message.detach());
        }
    }
    read
}

/// The first offset and the end of a partition. Unlike its fetching, librdkafka's look-up of offsets does not try again by itself.
fn offsets(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let end = Instant::now() + DEADLINE;
    loop {
        match consumer.fetch_watermarks(topic, partition, DEADLINE) {
            Ok(offsets) => return offsets,
            Err(error) => assert!(Instant::now() < end, "the offsets of partition {partition}: {error}"),
        }
    }
}
