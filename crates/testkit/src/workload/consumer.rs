//! A reader of whole partitions, again and again.

use std::ops::ControlFlow;

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{RecordBatch, split};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use caudal_protocol::messages::fetch_response::PartitionData;
use caudal_protocol::messages::{BrokerId, TopicName};
use caudal_types::Offset;
use rand::Rng;

use super::{Partition, Setting, TOPIC, latest, pause};
use crate::client::Client;
use crate::net::Host;

/// The most bytes of one read.
const BYTES: i32 = 4096;

/// Reads partitions from start to end until the run ends.
pub async fn run(setting: Setting, host: Host) {
    let (mut client, mut chance) = setting.client(host);
    while setting.works() {
        let partition = chance.random_range(0..setting.partitions);
        let from = if chance.random_bool(0.5) { 0 } else { chance.random_range(0..=setting.history.end(partition)) };
        client.find_leader(TOPIC, partition).await;
        let mut next = from;
        while let Some(after) = read(&setting, &mut client, partition, next, 100).await {
            setting.history.progressed("fetch");
            if after == next || !setting.works() {
                break;
            }
            next = after;
        }
        pause(&mut chance, 100).await;
    }
}

/// Reads once from `next` on, and answers where to go on, which is where the partition begins if that is behind `next`; `None` when nothing can be read now.
pub(crate) async fn read(
    setting: &Setting,
    client: &mut Client,
    partition: Partition,
    next: Offset,
    wait_ms: i32,
) -> Option<Offset> {
    let response = client.call(12, &request(partition, next, wait_ms)).await.ok()?;
    let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next()?;
    match ErrorCode(data.error_code) {
        ErrorCode::NONE => Some(take(setting, partition, next, &data)),
        // A leader that has just lost its place may be behind what another has told.
        ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::LEADER_NOT_AVAILABLE
        | ErrorCode::KAFKA_STORAGE_ERROR => {
            client.give_up();
            None
        }
        // Who has just become the leader, or has lost sight of the majority, does not know the end.
        ErrorCode::OFFSET_NOT_AVAILABLE => None,
        // It may also be that the partition begins later now.
        ErrorCode::OFFSET_OUT_OF_RANGE => {
            let start = latest::earliest(client, TOPIC, partition).await.filter(|start| *start > next);
            if start.is_none() {
                client.give_up();
            }
            start
        }
        code => {
            setting.history.report("fetch-refused", format!("partition {partition}, offset {next}: {code}"));
            None
        }
    }
}

/// Notes what was read, and answers where to go on.
fn take(setting: &Setting, partition: Partition, from: Offset, data: &PartitionData) -> Offset {
    let history = &setting.history;
    if data.last_stable_offset > data.high_watermark {
        let (stable, end) = (data.last_stable_offset, data.high_watermark);
        history.report("last-stable-offset", format!("partition {partition}: {stable} is beyond the end {end}"));
    }
    let mut next = from;
    let batches = match split(&data.records.clone().unwrap_or_default()) {
        Ok(batches) => batches,
        Err(error) => {
            history.report("corrupt-read", format!("partition {partition}, offset {from}: {error}"));
            return from;
        }
    };
    for bytes in batches {
        let batch = match RecordBatch::parse_stored(bytes) {
            Ok(batch) => batch,
            Err(error) => {
                history.report("corrupt-read", format!("partition {partition}, offset {next}: {error}"));
                return next;
            }
        };
        let visited = batch.for_each_record(&mut |record| {
            let offset = batch.base_offset() + i64::from(record.offset_delta);
            if offset >= from {
                if offset > next {
                    history.read_past(partition, next, offset);
                }
                let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                history.read(partition, offset, &value);
                next = offset + 1;
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = visited {
            history.report("corrupt-read", format!("partition {partition}, offset {next}: {error}"));
        }
        if next > data.high_watermark {
            let text = format!("partition {partition}: {next} was read, the end is {}", data.high_watermark);
            history.report("read-beyond-end", text);
        }
    }
    next
}

fn request(partition: Partition, offset: Offset, wait_ms: i32) -> FetchRequest {
    let wanted =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(BYTES);
    let wanted = FetchTopic::default().with_topic(TopicName(TOPIC.to_owned().into())).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(BYTES)
        .with_session_epoch(-1)
        .with_topics(vec![wanted])
}
