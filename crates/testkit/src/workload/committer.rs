//! Committed offsets: one client that commits larger and larger ones, another one that asks for them.

use std::sync::Arc;

use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use caudal_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName};

use super::{Setting, TOPIC, group_name, pause};
use crate::net::Host;

/// Commits until the run ends.
pub async fn write(setting: Setting, host: Host, number: Host) {
    let (mut client, mut chance) = setting.client(host);
    let group = group_name(number);
    while setting.works() {
        if client.target().is_none() && !client.find_coordinator(&group).await {
            client.give_up();
            pause(&mut chance, 200).await;
            continue;
        }
        let offset = setting.history.next_commit(&group);
        let answer = client.call(6, &commit(&group, offset)).await.ok();
        let code =
            answer.map(|answer| answer.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.error_code != 0));
        match code {
            Some(false) => setting.history.committed(&group, offset),
            _ => client.give_up(),
        }
        pause(&mut chance, 150).await;
    }
}

/// Asks until the run ends.
pub async fn read(setting: Setting, host: Host, group: Arc<str>) {
    let (mut client, mut chance) = setting.client(host);
    while setting.works() {
        if client.target().is_none() && !client.find_coordinator(&group).await {
            client.give_up();
            pause(&mut chance, 200).await;
            continue;
        }
        let known = setting.history.sure_commit(&group);
        let answer = client.call(5, &fetch(&group)).await.ok().filter(|answer| answer.error_code == 0);
        let answer = answer.and_then(|answer| answer.topics.into_iter().flat_map(|topic| topic.partitions).next());
        match answer {
            Some(answer) if answer.error_code == 0 => {
                setting.history.told_commit(&group, known, answer.committed_offset);
                setting.history.progressed("offset fetch");
            }
            _ => client.give_up(),
        }
        pause(&mut chance, 150).await;
    }
}

fn commit(group: &str, offset: i64) -> OffsetCommitRequest {
    commit_as(group, "", -1, offset)
}

/// A commit by a member of a generation.
pub(crate) fn commit_as(group: &str, member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
    let name = TopicName(TOPIC.to_owned().into());
    let topic = OffsetCommitRequestTopic::default().with_name(name).with_partitions(vec![partition]);
    let mut request = OffsetCommitRequest::default();
    let group = GroupId(group.to_owned().into());
    request.0 = request.0.with_group_id(group).with_generation_id_or_member_epoch(generation).with_topics(vec![topic]);
    request.0.member_id = member.to_owned().into();
    request
}

fn fetch(group: &str) -> OffsetFetchRequest {
    let name = TopicName(TOPIC.to_owned().into());
    let topic = OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(vec![0]);
    let mut request = OffsetFetchRequest::default();
    request.0 = request.0.with_group_id(GroupId(group.to_owned().into())).with_topics(Some(vec![topic]));
    request
}
