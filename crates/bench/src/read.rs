//! Reads a topic from its start to where it ends now, and checks it.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, bail};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use crate::MB;
use crate::client::{self, TIMEOUT, TopicAt};
use crate::seen::Seen;

/// Reads, and tells the figures.
///
/// # Errors
/// When a partition does not answer, or nothing comes any more.
pub fn run(at: &TopicAt) -> anyhow::Result<()> {
    let consumer = client::reader(&at.bootstrap)?;
    let mut ends = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for (partition, low, high) in client::offsets(&consumer, &at.topic)? {
        if low < high {
            ends.insert(partition, high);
            assignment.add_partition_offset(&at.topic, partition, Offset::Offset(low))?;
        }
    }
    let start = Instant::now();
    consumer.assign(&assignment).context("cannot assign the partitions")?;
    let mut seen = Seen::default();
    let mut deadline = start + TIMEOUT;
    while !ends.is_empty() {
        let message = match consumer.poll(TIMEOUT) {
            Some(Ok(message)) => message,
            // A node that is gone is an error too, which librdkafka deals with.
            Some(Err(_)) if Instant::now() < deadline => continue,
            Some(Err(error)) => return Err(error).context("reading failed"),
            None if Instant::now() < deadline => continue,
            None => bail!("nothing came for {TIMEOUT:?}, though {} partitions have more", ends.len()),
        };
        let Some(&end) = ends.get(&message.partition()) else { continue };
        deadline = Instant::now() + TIMEOUT;
        seen.add(message.partition(), message.payload().unwrap_or_default());
        if message.offset() + 1 >= end {
            ends.remove(&message.partition());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut figures = seen.figures();
    figures.insert("seconds".to_owned(), json!(seconds));
    figures.insert("MB/s".to_owned(), json!(seen.bytes() as f64 / MB / seconds));
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}
