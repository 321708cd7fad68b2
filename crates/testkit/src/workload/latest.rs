//! A reader of the end of a partition: what it is told must not be older than what was known when it asked.

use caudal_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use rand::Rng;

use super::{Partition, Setting, TOPIC, pause};
use crate::net::Host;

/// Kafka's name for the end.
const LATEST: i64 = -1;

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
        let answer = client.call(5, &request(partition)).await.ok();
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

fn request(partition: Partition) -> ListOffsetsRequest {
    let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(LATEST);
    let name = TopicName(TOPIC.to_owned().into());
    let wanted = ListOffsetsTopic::default().with_name(name).with_partitions(vec![wanted]);
    let mut request = ListOffsetsRequest::default();
    request.0 = request.0.with_replica_id(BrokerId(-1)).with_topics(vec![wanted]);
    request
}
