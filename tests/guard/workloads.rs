//! The requests whose cost is counted.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::BrokerId;
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_tests::raw::name;

use crate::node::{self, Client, Frame};

/// How often each workload is counted.
pub(crate) const ROUNDS: usize = 5;

const PRODUCE: i16 = 12;
const FETCH: i16 = 12;

/// Requests that are all alike.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// In a round.
    pub(crate) requests: usize,
    /// Sent before the first answer.
    window: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    /// To each of so many partitions a batch with so many records of 100 bytes.
    Produce { topic: &'static str, partitions: i32, records: usize },
    /// From each of so many partitions, from this offset on.
    Fetch { topic: &'static str, partitions: i32, offset: i64, bytes: i32 },
}

/// In the order in which they run: what is fetched was produced before.
pub(crate) const WORKLOADS: [Workload; 8] = [
    Workload {
        name: "produce: 1 batch of 1 kB",
        requests: 50,
        window: 1,
        what: What::Produce { topic: "one", partitions: 1, records: 10 },
    },
    Workload {
        name: "produce: 6 batches of 16 kB",
        requests: 20,
        window: 1,
        what: What::Produce { topic: "six", partitions: 6, records: 160 },
    },
    Workload {
        name: "produce: 1 batch of 1 kB, 5 in flight",
        requests: 100,
        window: 5,
        what: What::Produce { topic: "busy", partitions: 1, records: 10 },
    },
    Workload {
        name: "fetch: 1 batch",
        requests: 50,
        window: 1,
        what: What::Fetch { topic: "one", partitions: 1, offset: 1000, bytes: 1 },
    },
    Workload {
        name: "fetch: 1 batch, by the index on disk",
        requests: 50,
        window: 1,
        what: What::Fetch { topic: "busy", partitions: 1, offset: 0, bytes: 1 },
    },
    Workload {
        name: "fetch: 200 batches",
        requests: 10,
        window: 1,
        what: What::Fetch { topic: "one", partitions: 1, offset: 500, bytes: 1 << 20 },
    },
    Workload {
        name: "fetch: 6 partitions of 64 kB",
        requests: 20,
        window: 1,
        what: What::Fetch { topic: "six", partitions: 6, offset: 0, bytes: 64 << 10 },
    },
    Workload {
        name: "fetch: nothing new, 6 partitions",
        requests: 50,
        window: 1,
        what: What::Fetch { topic: "six", partitions: 6, offset: END_OF_SIX, bytes: 1 << 20 },
    },
];

/// Warming up and all rounds of what is produced to the topic `six`.
const END_OF_SIX: i64 = 20 * 160 * (1 + ROUNDS as i64);

/// Runs everything against a node whose data lies in `folder`.
pub(crate) async fn run(folder: &Path) -> anyhow::Result<()> {
    let node = node::start(folder).await?;
    let mut client = Client::connect(&node).await?;
    for (topic, partitions) in [("one", 1), ("six", 6), ("busy", 1)] {
        client.create_topic(topic, partitions).await?;
        println!("topic {topic}");
    }
    for workload in &WORKLOADS {
        let frame = workload.warm_up(&mut client).await?;
        boundary();
        for _ in 0..ROUNDS {
            let bytes = client.repeat(&frame, workload.requests, workload.window).await?;
            println!("{}: {bytes} bytes answered", workload.name);
            boundary();
        }
    }
    node.shutdown().await;
    Ok(())
}

/// Entering this function is where callgrind writes down what it has counted.
#[inline(never)]
pub(crate) fn boundary() {
    black_box(());
}

impl Workload {
    /// Runs a round that does not count, the first request of which is checked.
    async fn warm_up(&self, client: &mut Client) -> anyhow::Result<Frame> {
        let frame = match self.what {
            What::Produce { topic, partitions, records } => {
                let request = produce(topic, partitions, records)?;
                let answer = client.call(PRODUCE, &request).await?;
                let answered = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
                ensure!(answered.clone().all(|partition| partition.error_code == 0), "{}: {answer:?}", self.name);
                Frame::new(PRODUCE, &request)?
            }
            What::Fetch { topic, partitions, offset, bytes } => {
                let request = fetch(topic, partitions, offset, bytes);
                let answer = client.call(FETCH, &request).await?;
                let answered = answer.responses.iter().flat_map(|topic| &topic.partitions);
                ensure!(answered.clone().all(|partition| partition.error_code == 0), "{}: {answer:?}", self.name);
                let length: usize = answered.filter_map(|partition| Some(partition.records.as_ref()?.len())).sum();
                println!("{}: {length} bytes of records", self.name);
                Frame::new(FETCH, &request)?
            }
        };
        client.repeat(&frame, self.requests - 1, self.window).await?;
        Ok(frame)
    }
}

fn produce(topic: &str, partitions: i32, records: usize) -> anyhow::Result<ProduceRequest> {
    let record = Record { timestamp: 1000, value: Some(Bytes::from(vec![7; 90])), ..Record::default() };
    let batch = BatchBuilder::new().build(&vec![record; records]).context("a batch")?.bytes().clone();
    let data = |partition| PartitionProduceData::default().with_index(partition).with_records(Some(batch.clone()));
    let data =
        TopicProduceData::default().with_name(name(topic)).with_partition_data((0..partitions).map(data).collect());
    Ok(ProduceRequest::default().with_acks(-1).with_timeout_ms(60_000).with_topic_data(vec![data]))
}

fn fetch(topic: &str, partitions: i32, offset: i64, bytes: i32) -> FetchRequest {
    let wanted = |partition| {
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(bytes)
    };
    let wanted = FetchTopic::default().with_topic(name(topic)).with_partitions((0..partitions).map(wanted).collect());
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(10 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![wanted])
}
