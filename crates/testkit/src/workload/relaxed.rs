//! A topic that is acknowledged before it is synced: its one writer only makes traffic beside the others, whose promises must not suffer.

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::TopicName;
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use rand::Rng;

use super::{Setting, pause};
use crate::net::Host;

/// The topic.
pub const RELAXED: &str = "clicks";
/// Its settings: either bound is reached now and then.
pub const SETTINGS: [(&str, &str); 2] = [("flush.messages", "30"), ("flush.ms", "700")];

/// Writes until the run ends. What is not acknowledged is forgotten.
pub async fn run(setting: Setting, host: Host) {
    let (mut client, mut chance) = setting.client(host);
    let mut number = 0_u64;
    while setting.works() {
        let records: Vec<Record> = (0..chance.random_range(1..=5))
            .map(|_| {
                number += 1;
                Record { timestamp: 1000, value: Some(number.to_string().into()), ..Record::default() }
            })
            .collect();
        let batch = BatchBuilder::new().build(&records).expect("the batch is small and its records are in order");
        let acked = match client.call(11, &produce(batch.bytes().clone())).await {
            Ok(response) => {
                let mut answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
                answers.next().is_some_and(|answer| ErrorCode(answer.error_code) == ErrorCode::NONE)
            }
            Err(_) => false,
        };
        if acked {
            setting.history.progressed("relaxed topic written");
        } else {
            pause(&mut chance, 50).await;
            client.find_leader(RELAXED, 0).await;
        }
        pause(&mut chance, 40).await;
    }
}

fn produce(batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(RELAXED.to_owned().into()))
        .with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(2_000).with_topic_data(vec![topic])
}
