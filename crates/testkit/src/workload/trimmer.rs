//! Deletes records, from partitions that others read meanwhile.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::TopicName;
use caudal_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use caudal_types::Offset;
use rand::Rng;
use rand::rngs::StdRng;

use super::ledger::{self, LEDGER, Ledger};
use super::{Partition, Setting, TOPIC, pause};
use crate::client::Client;
use crate::net::Host;

/// How many of the newest offsets are left at most, now and then.
const LEFT: Offset = 40;

/// Deletes records until the run ends.
pub async fn run(setting: Setting, ledger: Ledger, host: Host) {
    let (mut client, mut chance) = setting.client(host);
    while setting.works() {
        pause(&mut chance, 400).await;
        if chance.random_bool(0.7) {
            trim(&setting, &mut client, &mut chance).await;
        } else {
            trim_ledger(&ledger, &mut client, &mut chance).await;
        }
    }
}

async fn trim(setting: &Setting, client: &mut Client, chance: &mut StdRng) {
    let partition = chance.random_range(0..setting.partitions);
    let before = (setting.history.end(partition) - chance.random_range(0..=LEFT)).max(0);
    setting.history.deletes(partition, before);
    match delete(client, TOPIC, partition, before).await {
        Some((ErrorCode::NONE, start)) if start >= before => setting.history.progressed("trim"),
        Some((ErrorCode::NONE, start)) => {
            let text = format!("partition {partition}: it begins at {start} after all before {before} was deleted");
            setting.history.report("not-deleted", text);
        }
        // What a client knows to be there may be more than who leads now has applied, if it leads no more.
        Some(_) | None => client.give_up(),
    }
}

/// What was read already: nothing else shows how its transaction ended.
async fn trim_ledger(ledger: &Ledger, client: &mut Client, chance: &mut StdRng) {
    let partition = chance.random_range(0..ledger::PARTITIONS);
    let before = ledger.read_up_to(partition);
    if before > 0 && delete(client, LEDGER, partition, chance.random_range(0..=before)).await.is_none() {
        client.give_up();
    }
}

async fn delete(client: &mut Client, topic: &str, partition: Partition, before: Offset) -> Option<(ErrorCode, Offset)> {
    if !client.find_leader(topic, partition).await {
        return None;
    }
    let wanted = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
    let name = TopicName(topic.to_owned().into());
    let wanted = DeleteRecordsTopic::default().with_name(name).with_partitions(vec![wanted]);
    let request = DeleteRecordsRequest::default().with_topics(vec![wanted]).with_timeout_ms(2_000);
    let answer = client.call(2, &request).await.ok()?;
    let part = answer.topics.into_iter().flat_map(|topic| topic.partitions).next()?;
    Some((ErrorCode(part.error_code), part.low_watermark))
}
