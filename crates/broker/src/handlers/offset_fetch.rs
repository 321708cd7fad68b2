//! OffsetFetch: the positions that consumer groups have committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_coordinator::model::{CommittedOffset, FetchingMember, OffsetKey};
use caudal_coordinator::{Coordinator, FetchedOffset, OffsetsQuestion};
use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::OffsetFetchRequest;
use caudal_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use caudal_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use crate::cluster::{Cluster, TopicRef};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::{topic_name, wire};

/// From this version on many groups are asked for at once.
const MANY: i16 = 8;
/// From this version on a member of the consumer protocol says who it is.
const MEMBER: i16 = 9;
/// From this version on topics are named by id.
const BY_ID: i16 = 10;
/// From this version on an answer has an error code of its own.
const TOP_LEVEL_ERROR: i16 = 2;

pub(crate) struct OffsetFetch {
    cluster: Cluster,
    coordinator: Coordinator,
}

/// A topic of the request, with the name by which offsets are stored, if it is known.
struct Asked {
    topic: OffsetFetchRequestTopics,
    name: Option<Arc<str>>,
}

impl OffsetFetch {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }

    async fn group(&self, version: i16, stable: bool, group: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let image = self.cluster.image();
        let member = FetchingMember { id: group.member_id.as_deref().map(str::to_owned), epoch: group.member_epoch };
        let response = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
        let asked = group.topics.map(|topics| topics.into_iter().map(|t| Asked::new(version, &image, t)).collect());
        let asked: Option<Vec<Asked>> = asked;
        let keys = asked.as_ref().map(|asked| asked.iter().flat_map(Asked::keys).collect());
        let says_who = version >= MEMBER && (member.id.is_some() || member.epoch >= 0);
        let member = says_who.then_some(member);
        let question = OffsetsQuestion { group_id: group.group_id.as_str().to_owned(), member, keys, stable };
        let fetched = match self.coordinator.fetch_offsets(&question).await {
            Ok(fetched) => fetched,
            Err(error) if version >= TOP_LEVEL_ERROR => return response.with_error_code(error.code().code()),
            Err(error) => {
                let refused = |asked: Asked| asked.response(|_| Err(error.code()));
                return response.with_topics(asked.unwrap_or_default().into_iter().map(refused).collect());
            }
        };
        response.with_topics(match asked {
            Some(asked) => in_order(asked, fetched),
            None => all(version, &image, fetched),
        })
    }
}

impl Asked {
    fn new(version: i16, image: &ClusterImage, topic: OffsetFetchRequestTopics) -> Self {
        let name = if version >= BY_ID {
            TopicRef::new(true, "", topic.topic_id).find(image).ok().map(|found| Arc::clone(&found.name))
        } else {
            Some(topic.name.as_str().into())
        };
        Self { topic, name }
    }

    fn keys(&self) -> impl Iterator<Item = OffsetKey> {
        let keys = |name| self.topic.partition_indexes.iter().map(move |index| (Arc::clone(name), *index));
        self.name.iter().flat_map(keys)
    }

    fn response(
        self,
        mut offset: impl FnMut(i32) -> Result<Option<CommittedOffset>, ErrorCode>,
    ) -> OffsetFetchResponseTopics {
        let known = self.name.is_some();
        let part = |index: &i32| match if known { offset(*index) } else { Err(ErrorCode::UNKNOWN_TOPIC_ID) } {
            Ok(committed) => committed_part(*index, committed),
            Err(code) => committed_part(*index, None).with_error_code(code.code()),
        };
        let partitions = self.topic.partition_indexes.iter().map(part).collect();
        OffsetFetchResponseTopics::default()
            .with_name(self.topic.name)
            .with_topic_id(self.topic.topic_id)
            .with_partitions(partitions)
    }
}

/// The offsets asked for, which were fetched in the order of the request.
fn in_order(asked: Vec<Asked>, fetched: Vec<(OffsetKey, FetchedOffset)>) -> Vec<OffsetFetchResponseTopics> {
    let mut fetched = fetched.into_iter();
    let mut next = |_index| match fetched.next() {
        Some((_, offset)) => offset.map_err(|error| error.code()),
        None => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    };
    asked.into_iter().map(|asked| asked.response(&mut next)).collect()
}

/// All offsets that a group has, by topic.
fn all(version: i16, image: &ClusterImage, fetched: Vec<(OffsetKey, FetchedOffset)>) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: BTreeMap<Arc<str>, Vec<OffsetFetchResponsePartitions>> = BTreeMap::new();
    for ((topic, index), offset) in fetched {
        topics.entry(topic).or_default().push(match offset {
            Ok(committed) => committed_part(index, committed),
            Err(error) => committed_part(index, None).with_error_code(error.code().code()),
        });
    }
    let topic = |(name, partitions): (Arc<str>, _)| {
        let response = OffsetFetchResponseTopics::default().with_partitions(partitions);
        if version < BY_ID {
            return Some(response.with_name(topic_name(&name)));
        }
        // A topic that is gone has no id by which the client could be told of it.
        image.topic(&name).map(|topic| response.with_topic_id(topic.id.0))
    };
    topics.into_iter().filter_map(topic).collect()
}

fn committed_part(index: i32, committed: Option<CommittedOffset>) -> OffsetFetchResponsePartitions {
    let part = OffsetFetchResponsePartitions::default().with_partition_index(index);
    match committed {
        Some(committed) => part
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(wire(&committed.metadata))),
        None => part.with_committed_offset(-1).with_committed_leader_epoch(-1).with_metadata(Some(wire(""))),
    }
}

impl Handler for OffsetFetch {
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;

    async fn handle(&self, context: &RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let version = context.version;
        if version < MANY {
            let stable = request.require_stable;
            return single(version, self.group(version, stable, only_group(request)).await);
        }
        let stable = request.require_stable;
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.0.groups {
            groups.push(self.group(version, stable, group).await);
        }
        OffsetFetchResponse::default().with_groups(groups)
    }
}

fn only_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: OffsetFetchRequestTopic| {
        OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
    };
    OffsetFetchRequestGroup::default()
        .with_group_id(request.0.group_id)
        .with_topics(request.0.topics.map(|topics| topics.into_iter().map(topic).collect()))
}

fn single(version: i16, group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let part = |part: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(part.partition_index)
            .with_committed_offset(part.committed_offset)
            .with_committed_leader_epoch(if version >= 5 { part.committed_leader_epoch } else { -1 })
            .with_metadata(part.metadata)
            .with_error_code(part.error_code)
    };
    let topic = |topic: OffsetFetchResponseTopics| {
        let partitions = topic.partitions.into_iter().map(part).collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    };
    OffsetFetchResponse::default()
        .with_error_code(group.error_code)
        .with_topics(group.topics.into_iter().map(topic).collect())
}

impl Outcome for OffsetFetchResponse {
    fn failed(&self) -> bool {
        let in_group = |group: &OffsetFetchResponseGroup| {
            group.error_code != 0 || group.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.error_code != 0)
        };
        self.error_code != 0
            || self.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.error_code != 0)
            || self.groups.iter().any(in_group)
    }
}

#[cfg(test)]
mod tests {
    use caudal_coordinator::GroupError;

    use super::*;

    fn committed(offset: i64) -> CommittedOffset {
        CommittedOffset { offset, leader_epoch: 3, metadata: "words".to_owned(), committed_at: 0 }
    }

    fn asked(name: &'static str, known: bool, partitions: &[i32]) -> Asked {
        let topic =
            OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(partitions.to_vec());
        Asked { topic, name: known.then(|| name.into()) }
    }

    #[test]
    fn offsets_go_to_their_partitions_and_what_is_missing_is_minus_one() {
        let asked = vec![asked("a", true, &[0, 5]), asked("b", false, &[1]), asked("c", true, &[2])];
        assert_eq!(asked.iter().flat_map(Asked::keys).count(), 3);
        let key = |name: &str, index| (Arc::from(name), index);
        let fetched = vec![
            (key("a", 0), Ok(Some(committed(10)))),
            (key("a", 5), Ok(None)),
            (key("c", 2), Err(GroupError::UnstableOffset)),
        ];
        let topics = in_order(asked, fetched);
        let parts: Vec<_> =
            topics.iter().flat_map(|t| &t.partitions).map(|p| (p.committed_offset, p.error_code)).collect();
        assert_eq!(
            parts,
            [
                (10, 0),
                (-1, 0),
                (-1, ErrorCode::UNKNOWN_TOPIC_ID.code()),
                (-1, ErrorCode::UNSTABLE_OFFSET_COMMIT.code())
            ]
        );
        assert_eq!(topics[0].partitions[0].metadata.as_deref(), Some("words"));
        assert_eq!(topics[0].partitions[1].metadata.as_deref(), Some(""));
    }

    #[test]
    fn all_offsets_are_grouped_by_topic() {
        let key = |name: &str, index| (Arc::from(name), index);
        let fetched = vec![
            (key("b", 0), Ok(Some(committed(1)))),
            (key("a", 1), Ok(Some(committed(2)))),
            (key("b", 3), Ok(Some(committed(3)))),
        ];
        let topics = all(9, &ClusterImage::default(), fetched.clone());
        assert_eq!(
            topics.iter().map(|t| (t.name.as_str(), t.partitions.len())).collect::<Vec<_>>(),
            [("a", 1), ("b", 2)]
        );
        assert!(all(10, &ClusterImage::default(), fetched).is_empty(), "topics that are gone have no id");
    }
}
