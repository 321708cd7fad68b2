//! The consumer protocol (KIP-848).

use super::{Coordinator, check_group_id};
use crate::leader::Leader;
use crate::model::consumer::{DescribedConsumerGroup, Heartbeat, HeartbeatAnswer};
use crate::tables::Tables;
use crate::{Assignor, ConsumerGroupConfig, GroupError};

impl Coordinator {
    /// The node's settings of consumer groups.
    pub fn consumer_config(&self) -> &ConsumerGroupConfig {
        &self.config.consumer
    }

    /// Takes the heartbeat of a member of the consumer protocol; also the one with which it joins or leaves.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn consumer_heartbeat(&self, beat: Heartbeat) -> Result<HeartbeatAnswer, GroupError> {
        self.check_heartbeat(&beat)?;
        let group_id = beat.group_id.clone();
        let heartbeat = |leader: &mut Leader, tables: &Tables, now| leader.consumer_heartbeat(tables, beat, now);
        let (result, pending) = self.lead(&group_id, heartbeat).await?;
        self.replicated(&group_id, pending).await?;
        result
    }

    /// A consumer group; a group that does not exist is [`GroupError::GroupNotFound`], one of the classic protocol [`GroupError::OtherProtocol`].
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn describe_consumer_group(&self, group_id: &str) -> Result<DescribedConsumerGroup, GroupError> {
        check_group_id(group_id)?;
        let describe = |leader: &mut Leader, tables: &Tables, _| leader.describe_consumers(tables, group_id);
        self.shard(group_id)?.lead(describe).unwrap_or_else(|| Err(self.not_coordinator(group_id)))
    }

    /// What can be said of a heartbeat without its group.
    fn check_heartbeat(&self, beat: &Heartbeat) -> Result<(), GroupError> {
        let invalid = |reason: &str| Err(GroupError::InvalidRequest(reason.to_owned()));
        let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
        if beat.member_id.is_empty() && beat.member_epoch != 0 {
            return invalid("MemberId can't be empty.");
        } else if beat.group_id.is_empty() {
            return invalid("GroupId can't be empty.");
        } else if is_empty(&beat.instance_id) {
            return invalid("InstanceId can't be empty.");
        } else if is_empty(&beat.rack_id) {
            return invalid("RackId can't be empty.");
        }
        match beat.member_epoch {
            0 if beat.rebalance_timeout_ms.is_none() => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            0 if beat.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            0 if beat.topic_names.is_none() && beat.topic_regex.is_none() => {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            -2 if beat.instance_id.is_none() => return invalid("InstanceId can't be null."),
            ..-2 => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        self.check_assignor(beat.assignor.as_deref())
    }

    fn check_assignor(&self, name: Option<&str>) -> Result<(), GroupError> {
        let served = &self.config.consumer.assignors;
        match name {
            Some(name) if !served.iter().any(|assignor| assignor.name() == name) => {
                let supported: Vec<_> = served.iter().copied().map(Assignor::name).collect();
                Err(GroupError::UnsupportedAssignor { got: name.to_owned(), supported: supported.join(", ") })
            }
            _ => Ok(()),
        }
    }
}
