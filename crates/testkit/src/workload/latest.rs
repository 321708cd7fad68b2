//! A reader of the end of a partition: what it is told must not be older than what was known when it asked. And where a partition begins, for others.

use caudal_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use caudal_types::Offset;
use rand::Rng;

use super::{Partition, Setting, TOPIC, pause};
use crate::client::Client;
use crate::net::Host;

/// Kafka's name for the end.
const LATEST: i64 = -1;
/// And for the start.
const EARLIEST: i64 = -2;

/// Asks for the end of a partition until the run ends.
pub async fn run(setting: Setting, host: Host, partition: Partition) {
    let (mut client, mut chance) = setting.client(host);
    let mut failures = 0;
    while setting.works() {
        // A leader that nobody else knows any more is asked too: it must not answer.
        if failures > 0 || chance.random_bool(0.02) {
            client.find_leader(TOPIC, partition).await;
        }
        let known = setting.history.end(partition);
        let answer = client.call(5, &request(TOPIC, partition, LATEST)).await.ok();
        let answer =
            answer.and_then(|response| response.0.topics.into_iter().flat_map(|topic| topic.partitions).next());
        match answer {
            Some(answer) if answer.error_code == 0 => {
                setting.history.told_end(partition, known, answer.offset);
                setting.history.progressed("latest");
                failures = 0;
            }
            _ => failures += 1,
        }
        pause(&mut chance, 80).await;
    }
}

/// Where a partition begins, if its leader tells.
pub async fn earliest(client: &mut Client, topic: &str, partition: Partition) -> Option<Offset> {
    let answer = client.call(5, &request(topic, partition, EARLIEST)).await.ok()?;
    let part = answer.0.topics.into_iter().flat_map(|topic| topic.partitions).next()?;
    (part.error_code == 0).then_some(part.offset)
}

fn request(topic: &str, partition: Partition, timestamp: i64) -> ListOffsetsRequest {
    let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let name = TopicName(topic.to_owned().into());
    let wanted = ListOffsetsTopic::default().with_name(name).with_partitions(vec![wanted]);
    let mut request = ListOffsetsRequest::default();
    request.0 = request.0.with_replica_id(BrokerId(-1)).with_topics(vec![wanted]);
    request
}
