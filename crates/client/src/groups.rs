//! Consumer groups, of the classic and of the consumer protocol, and their committed offsets.

use std::collections::{BTreeMap, HashMap};

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::consumer_group_describe_response::{Assignment, Member};
use caudal_protocol::messages::describe_groups_response::DescribedGroupMember;
use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use caudal_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use caudal_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use caudal_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
};
use caudal_types::Offset;

use crate::admin::text;
use crate::nodes::Coordinated;
use crate::{Answers, Broker, Client, ClientError, Place, assignment};

/// The protocol type of consumers.
const CONSUMERS: &str = "consumer";

/// A group, as its coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// The protocol: `classic` or `consumer`; empty if the broker does not tell.
    pub group_type: String,
    /// What its members are: `consumer`, `connect` ...; empty for a group that only has offsets.
    pub protocol_type: String,
    /// The state, in Kafka's words.
    pub state: String,
    /// The node that coordinates it.
    pub coordinator: i32,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its id.
    pub group_id: String,
    /// The protocol: `classic` or `consumer`.
    pub group_type: &'static str,
    /// What its members are: `consumer`, `connect` ...; empty for a group that only has offsets.
    pub protocol_type: String,
    /// The state, in Kafka's words.
    pub state: String,
    /// How partitions are given to members.
    pub assignor: String,
    /// The node that coordinates it.
    pub coordinator: Broker,
    /// The group's epoch, in the consumer protocol.
    pub epoch: Option<i32>,
    /// The epoch of the assignment that members shall have, in the consumer protocol.
    pub assignment_epoch: Option<i32>,
    /// Its members, by id.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that it was given, or gave itself.
    pub member_id: String,
    /// The id that it keeps over restarts, if it is a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub host: String,
    /// Its epoch, in the consumer protocol.
    pub epoch: Option<i32>,
    /// The partitions that it has, by topic. Empty for members that are no consumers.
    pub assignment: BTreeMap<String, Vec<i32>>,
}

/// An offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next record to be read.
    pub offset: Offset,
    /// What was committed with it.
    pub metadata: String,
}

/// An offset that a group shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next record to be read.
    pub offset: Offset,
}

impl Client {
    /// All groups, by id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list_groups(&self) -> Result<Answers<ListedGroup>, ClientError> {
        let ask = |node: Broker| async move {
            let response = self.call_at(&node.address(), &ListGroupsRequest::default()).await?;
            ClientError::check(response.error_code, None, || "listing groups".to_owned())?;
            let listed = response.groups.into_iter().map(|group| ListedGroup {
                group_id: group.group_id.to_string(),
                group_type: group.group_type.to_lowercase(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
                coordinator: node.id,
            });
            Ok(listed.collect())
        };
        let mut answers = self.ask_all(ask).await?;
        answers.found.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        Ok(answers)
    }

    /// A group with its members, whichever protocol it has.
    ///
    /// # Errors
    /// See [`ClientError`]; GROUP_ID_NOT_FOUND when there is none.
    pub async fn describe_group(&self, group: &str) -> Result<DescribedGroup, ClientError> {
        match self.describe_consumer_group(group).await {
            // Either it is of the classic protocol, or the broker knows no other.
            Err(ClientError::NoCommonVersion { .. }) => self.describe_classic_group(group).await,
            Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
                self.describe_classic_group(group).await
            }
            other => other,
        }
    }

    async fn describe_consumer_group(&self, group: &str) -> Result<DescribedGroup, ClientError> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
        let read = |coordinator: &Broker, response: caudal_protocol::messages::ConsumerGroupDescribeResponse| {
            let found = response.groups.into_iter().next().ok_or_else(|| missing(group))?;
            ClientError::check(found.error_code, found.error_message.as_deref(), || describing(group))?;
            let mut members: Vec<_> = found.members.into_iter().map(consumer).collect();
            members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
            Ok(DescribedGroup {
                group_id: group.to_owned(),
                group_type: "consumer",
                protocol_type: CONSUMERS.to_owned(),
                state: found.group_state.to_string(),
                assignor: found.assignor_name.to_string(),
                coordinator: coordinator.clone(),
                epoch: Some(found.group_epoch),
                assignment_epoch: Some(found.assignment_epoch),
                members,
            })
        };
        self.at_coordinator(Coordinated::Group(group), &request, read).await
    }

    async fn describe_classic_group(&self, group: &str) -> Result<DescribedGroup, ClientError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let read = |coordinator: &Broker, response: caudal_protocol::messages::DescribeGroupsResponse| {
            let found = response.groups.into_iter().next().ok_or_else(|| missing(group))?;
            ClientError::check(found.error_code, found.error_message.as_deref(), || describing(group))?;
            if found.group_state.as_str() == "Dead" {
                // So old brokers call a group that does not exist.
                ClientError::check(ErrorCode::GROUP_ID_NOT_FOUND.code(), None, || describing(group))?;
            }
            let is_consumers = found.protocol_type.as_str() == CONSUMERS;
            let mut members: Vec<_> = found.members.into_iter().map(|member| classic(member, is_consumers)).collect();
            members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
            Ok(DescribedGroup {
                group_id: group.to_owned(),
                group_type: "classic",
                protocol_type: found.protocol_type.to_string(),
                state: found.group_state.to_string(),
                assignor: found.protocol_data.to_string(),
                coordinator: coordinator.clone(),
                epoch: None,
                assignment_epoch: None,
                members,
            })
        };
        self.at_coordinator(Coordinated::Group(group), &request, read).await
    }

    /// What a group has committed, by topic and partition. Nothing for a group that does not exist.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<CommittedOffset>, ClientError> {
        let asked = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(None);
        let mut request = OffsetFetchRequest::default();
        request.0 = request.0.with_groups(vec![asked]);
        let read = |_: &Broker, response: caudal_protocol::messages::OffsetFetchResponse| {
            let found = response.groups.into_iter().next().ok_or_else(|| missing(group))?;
            let code = if found.error_code == ErrorCode::GROUP_ID_NOT_FOUND.code() { 0 } else { found.error_code };
            ClientError::check(code, None, || format!("asking for the offsets of group '{group}'"))?;
            Ok(found)
        };
        let found = self.at_coordinator(Coordinated::Group(group), &request, read).await?;
        // Newer brokers name topics by id.
        let by_id = found.topics.iter().any(|topic| topic.name.is_empty());
        let names = if by_id { self.topic_names().await? } else { HashMap::new() };
        Ok(committed(found, &names))
    }

    async fn topic_names(&self) -> Result<HashMap<uuid::Uuid, String>, ClientError> {
        let topics = self.metadata(None).await?.topics;
        Ok(topics.into_iter().map(|topic| (topic.id, topic.name)).collect())
    }

    /// Commits offsets for a group without being its member. One that does not exist comes into being.
    ///
    /// # Errors
    /// See [`ClientError`]; UNKNOWN_MEMBER_ID while the group has members. Some of the offsets may be committed then.
    pub async fn commit_offsets(&self, group: &str, offsets: &[NewOffset]) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for new in offsets {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(new.partition)
                .with_committed_offset(new.offset)
                .with_committed_metadata(Some(text("")));
            topics.entry(&new.topic).or_default().push(partition);
        }
        let mut request = OffsetCommitRequest::default();
        for (name, partitions) in topics {
            let id = self.cached_topic(name, false).await?.id;
            let topic = OffsetCommitRequestTopic::default().with_name(text(name).into()).with_topic_id(id);
            request.0.topics.push(topic.with_partitions(partitions));
        }
        request.0.group_id = GroupId(text(group));
        request.0.generation_id_or_member_epoch = -1;
        let read = |_: &Broker, response: caudal_protocol::messages::OffsetCommitResponse| {
            for topic in &response.topics {
                for partition in &topic.partitions {
                    ClientError::check(partition.error_code, None, || {
                        format!("committing offsets of group '{group}'")
                    })?;
                }
            }
            Ok(())
        };
        self.at_coordinator(Coordinated::Group(group), &request, read).await
    }

    /// Deletes a group with its offsets.
    ///
    /// # Errors
    /// See [`ClientError`]; NON_EMPTY_GROUP while it has members.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        let read = |_: &Broker, response: caudal_protocol::messages::DeleteGroupsResponse| {
            let result = response.results.first().ok_or_else(|| missing(group))?;
            ClientError::check(result.error_code, None, || format!("deleting group '{group}'"))
        };
        self.at_coordinator(Coordinated::Group(group), &request, read).await
    }

    /// Deletes committed offsets; the code that each partition has.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_offsets(
        &self,
        group: &str,
        places: &[Place],
    ) -> Result<BTreeMap<Place, ErrorCode>, ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for (topic, partition) in places {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(*partition);
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetDeleteRequestTopic::default().with_name(text(name).into()).with_partitions(partitions)
        });
        let request = OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(topics.collect());
        let read = |_: &Broker, response: caudal_protocol::messages::OffsetDeleteResponse| {
            ClientError::check(response.error_code, None, || format!("deleting offsets of group '{group}'"))?;
            let results = response.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    ((topic.name.to_string(), partition.partition_index), ErrorCode(partition.error_code))
                })
            });
            Ok(results.collect())
        };
        self.at_coordinator(Coordinated::Group(group), &request, read).await
    }
}

fn missing(group: &str) -> ClientError {
    ClientError::Missing(format!("group '{group}'"))
}

fn describing(group: &str) -> String {
    format!("describing group '{group}'")
}

fn consumer(member: Member) -> GroupMember {
    let by_topic = |assignment: Assignment| {
        let topics = assignment.topic_partitions.into_iter();
        topics.map(|topic| (topic.topic_name.to_string(), sorted(topic.partitions))).collect()
    };
    GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: Some(member.member_epoch),
        assignment: by_topic(member.assignment),
    }
}

fn classic(member: DescribedGroupMember, is_consumer: bool) -> GroupMember {
    let assignment = if is_consumer { assignment::partitions(member.member_assignment) } else { None };
    GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: None,
        assignment: assignment.unwrap_or_default(),
    }
}

fn sorted(mut partitions: Vec<i32>) -> Vec<i32> {
    partitions.sort_unstable();
    partitions
}

/// Topics that are gone have no name by which they could be told.
fn committed(group: OffsetFetchResponseGroup, names: &HashMap<uuid::Uuid, String>) -> Vec<CommittedOffset> {
    let mut offsets = Vec::new();
    for topic in group.topics {
        let name =
            if topic.name.is_empty() { names.get(&topic.topic_id).cloned() } else { Some(topic.name.to_string()) };
        let Some(name) = name else { continue };
        for partition in topic.partitions.into_iter().filter(|partition| partition.committed_offset >= 0) {
            offsets.push(CommittedOffset {
                topic: name.clone(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                metadata: partition.metadata.map(|metadata| metadata.to_string()).unwrap_or_default(),
            });
        }
    }
    offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    offsets
}
