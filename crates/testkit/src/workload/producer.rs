//! An idempotent producer on one partition, with several batches under way, as real clients have.

use std::collections::VecDeque;

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_protocol::messages::produce_response::PartitionProduceResponse;
use caudal_protocol::messages::{InitProducerIdRequest, TopicName};
use caudal_types::ProducerId;
use rand::Rng;
use rand::rngs::StdRng;

use super::{Partition, Setting, TOPIC, pause};
use crate::client::Client;
use crate::net::Host;

/// The most batches without an answer.
const UNDER_WAY: usize = 3;
/// The longest pause between two rounds, in milliseconds.
const PAUSE_MS: u64 = 150;

struct Batch {
    sequence: i32,
    values: Vec<Bytes>,
    bytes: Bytes,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Acked(i64),
    /// It is there; the answer does not say where.
    There,
    Again,
    Wrong(ErrorCode),
}

struct Producer {
    setting: Setting,
    partition: Partition,
    host: Host,
    client: Client,
    chance: StdRng,
    id: ProducerId,
    next_sequence: i32,
    next_value: u64,
    /// Not yet acknowledged, in order.
    window: VecDeque<Batch>,
}

/// Writes until the run ends, and then until everything is acknowledged.
pub async fn run(setting: Setting, host: Host, partition: Partition) {
    let (client, chance) = setting.client(host);
    let (id, next_sequence, next_value, window) = (-1, 0, 0, VecDeque::new());
    let mut producer = Producer { setting, partition, host, client, chance, id, next_sequence, next_value, window };
    producer.init().await;
    while producer.setting.works() || !producer.window.is_empty() {
        producer.fill();
        if !producer.round().await {
            pause(&mut producer.chance, 50).await;
            producer.client.find_leader(TOPIC, partition).await;
        }
        pause(&mut producer.chance, PAUSE_MS).await;
    }
}

impl Producer {
    async fn init(&mut self) {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        loop {
            match self.client.call(1, &request).await {
                Ok(response) if response.error_code == 0 => {
                    self.id = response.producer_id.0;
                    return;
                }
                _ => {
                    self.client.give_up();
                    pause(&mut self.chance, 200).await;
                }
            }
        }
    }

    fn fill(&mut self) {
        while self.setting.works() && self.window.len() < UNDER_WAY && self.chance.random_bool(0.6) {
            let count = self.chance.random_range(1..=3);
            let values: Vec<Bytes> = (0..count)
                .map(|_| {
                    self.next_value += 1;
                    Bytes::from(format!("{}-{}", self.host, self.next_value))
                })
                .collect();
            let record = |value: &Bytes| Record { timestamp: 1000, value: Some(value.clone()), ..Record::default() };
            let records: Vec<Record> = values.iter().map(record).collect();
            let built = BatchBuilder::new().producer(self.id, 0, self.next_sequence).build(&records);
            let bytes = built.expect("the batch is small and its records are in order").bytes().clone();
            self.window.push_back(Batch { sequence: self.next_sequence, values, bytes });
            self.next_sequence += count;
        }
    }

    /// Sends all that is not acknowledged, and takes the answers; whether all went well.
    async fn round(&mut self) -> bool {
        let mut sent = Vec::new();
        for batch in &self.window {
            match self.client.send(11, &request(self.partition, batch.bytes.clone())).await {
                Ok(id) => sent.push(id),
                Err(error) => {
                    self.setting.history.noted(&format_args!("producer {}: {error}", self.id));
                    return false;
                }
            }
        }
        let mut well = true;
        for id in sent {
            let response = match self.client.receive::<ProduceRequest>(11, id).await {
                Ok(response) => response,
                Err(error) => {
                    self.setting.history.noted(&format_args!("producer {}: {error}", self.id));
                    return false;
                }
            };
            let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
            let Some(answer) = answers.last() else { return false };
            // Behind one that failed, others are not at the head of the window, and will come again.
            well = well && self.take(answer);
        }
        well
    }

    /// Takes the answer to the first batch of the window; whether it is done.
    fn take(&mut self, answer: &PartitionProduceResponse) -> bool {
        match outcome(answer) {
            Outcome::Acked(offset) => {
                if let Some(batch) = self.window.pop_front() {
                    self.setting.history.acked(self.partition, offset, &batch.values);
                }
                true
            }
            Outcome::There => {
                self.window.pop_front();
                true
            }
            Outcome::Again => {
                let code = ErrorCode(answer.error_code);
                self.setting.history.noted(&format_args!("producer {}: {code}", self.id));
                false
            }
            Outcome::Wrong(code) => {
                let head = self.window.front().map(|batch| batch.sequence);
                let text = format!(
                    "partition {}: producer {} got {code} for sequence {head:?}, before which all is acknowledged",
                    self.partition, self.id
                );
                self.setting.history.report("producer-state", text);
                false
            }
        }
    }
}

fn outcome(answer: &PartitionProduceResponse) -> Outcome {
    let again = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::LEADER_NOT_AVAILABLE,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::NETWORK_EXCEPTION,
    ];
    match ErrorCode(answer.error_code) {
        ErrorCode::NONE if answer.base_offset >= 0 => Outcome::Acked(answer.base_offset),
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Outcome::There,
        code if again.contains(&code) => Outcome::Again,
        code => Outcome::Wrong(code),
    }
}

fn request(partition: Partition, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let name = TopicName(TOPIC.to_owned().into());
    let data = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(2_000)
        .with_topic_data(vec![data])
}
