//! DescribeQuorum: the Raft group of the cluster's metadata, as its leader sees it (KIP-595, KIP-836, KIP-853). Kafka's tools know it as the one partition
//! of a topic of this name.

use std::sync::Arc;
use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::BrokerId;
use caudal_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use caudal_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use caudal_raft::{MemberStanding, RaftGroups, Standing};
use caudal_types::{Clock, NodeId, RaftGroupId, TimestampMs};

use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::{topic_name, wire};

/// Kafka's name of the metadata.
const METADATA: &str = "__cluster_metadata";

/// The only listener that there is for clients.
const LISTENER: &str = "PLAINTEXT";

/// How long the leader may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct DescribeQuorum {
    cluster: Cluster,
    groups: RaftGroups,
    clock: Arc<dyn Clock>,
}

impl DescribeQuorum {
    pub(crate) fn new(cluster: Cluster, groups: RaftGroups, clock: Arc<dyn Clock>) -> Self {
        Self { cluster, groups, clock }
    }

    async fn standing(&self) -> Result<(NodeId, Standing), Refusal> {
        let unknown = |text: String| Refusal::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, text);
        let leader = self.cluster.controller().controller_id();
        let leader = leader.ok_or_else(|| unknown("no node is known to lead the metadata; try again".to_owned()))?;
        match self.groups.standing(leader, RaftGroupId::METADATA, ANSWER_WITHIN).await {
            Ok(Some(standing)) => Ok((leader, standing)),
            Ok(None) => Err(unknown(format!("node {leader} does not lead the metadata any more; try again"))),
            Err(error) => Err(unknown(format!("the leader of the metadata does not answer: {error}"))),
        }
    }

    /// Where clients reach the members.
    fn nodes(&self, standing: &Standing) -> Vec<Node> {
        let image = self.cluster.image();
        let node = |member: &MemberStanding| {
            let node = image.nodes.get(&member.node)?;
            let listener =
                Listener::default().with_name(wire(LISTENER)).with_host(wire(&node.host)).with_port(node.port);
            Some(Node::default().with_node_id(BrokerId(node.id.as_kafka())).with_listeners(vec![listener]))
        };
        standing.members.iter().filter_map(node).collect()
    }
}

/// Whether the request is for the metadata, and nothing else.
fn is_for_metadata(request: &DescribeQuorumRequest) -> bool {
    match &request.topics[..] {
        [topic] => {
            &**topic.topic_name == METADATA && matches!(&topic.partitions[..], [only] if only.partition_index == 0)
        }
        _ => false,
    }
}

/// What is asked for, each with the same error.
fn refused(request: &DescribeQuorumRequest, refusal: &Refusal) -> Vec<TopicData> {
    let topic = |topic: &caudal_protocol::messages::describe_quorum_request::TopicData| {
        let partition = |wanted: &caudal_protocol::messages::describe_quorum_request::PartitionData| {
            PartitionData::default()
                .with_partition_index(wanted.partition_index)
                .with_error_code(refusal.code().code())
                .with_error_message(refusal.message())
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions)
    };
    request.topics.iter().map(topic).collect()
}

/// The metadata. Offsets are Raft's indexes: what is at an end is one past the last.
fn described(leader: NodeId, standing: &Standing, now: TimestampMs) -> PartitionData {
    let end = |index: u64| i64::try_from(index).map_or(i64::MAX, |index| index.saturating_add(1));
    let replica = |member: &MemberStanding| {
        let heard = member.heard_ago.map(|ago| now - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX).min(now));
        // The leader hears itself. Since when a member lacks something is not known.
        let heard = if member.node == leader { Some(now) } else { heard };
        let caught_up = heard.filter(|_| member.matched.is_some_and(|matched| matched >= standing.last_index));
        ReplicaState::default()
            .with_replica_id(BrokerId(member.node.as_kafka()))
            .with_log_end_offset(member.matched.map_or(-1, end))
            .with_last_fetch_timestamp(heard.unwrap_or(-1))
            .with_last_caught_up_timestamp(caught_up.unwrap_or(-1))
    };
    let (voters, observers): (Vec<_>, Vec<_>) = standing.members.iter().partition(|member| member.votes);
    PartitionData::default()
        .with_error_message(None)
        .with_leader_id(BrokerId(leader.as_kafka()))
        .with_leader_epoch(i32::try_from(standing.term).unwrap_or(i32::MAX))
        .with_high_watermark(end(standing.applied_index))
        .with_current_voters(voters.into_iter().map(replica).collect())
        .with_observers(observers.into_iter().map(replica).collect())
}

impl Handler for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    type Response = DescribeQuorumResponse;

    async fn handle(&self, context: &RequestContext, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
        let response = DescribeQuorumResponse::default().with_error_message(None);
        if !is_for_metadata(&request) {
            let text = format!("only the partition 0 of {METADATA} has a quorum that can be described");
            let refusal = Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, text);
            return response.with_topics(refused(&request, &refusal));
        }
        match self.standing().await {
            Ok((leader, standing)) => {
                let partition = described(leader, &standing, self.clock.now_ms());
                let topic = TopicData::default().with_topic_name(topic_name(METADATA)).with_partitions(vec![partition]);
                let nodes = if context.version >= 2 { self.nodes(&standing) } else { Vec::new() };
                response.with_topics(vec![topic]).with_nodes(nodes)
            }
            Err(refusal) => response.with_topics(refused(&request, &refusal)),
        }
    }
}

impl Outcome for DescribeQuorumResponse {
    fn failed(&self) -> bool {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        self.error_code != 0 || partitions.into_iter().any(|partition| partition.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_one_past_the_last_and_what_is_unknown_is_minus_one() {
        let member = |node, votes, matched, heard_ms: Option<u64>| MemberStanding {
            node: NodeId(node),
            votes,
            matched,
            heard_ago: heard_ms.map(Duration::from_millis),
        };
        let members = vec![
            member(1, true, Some(9), None),
            member(2, true, Some(9), Some(40)),
            member(3, true, Some(4), Some(7000)),
            member(4, false, None, None),
        ];
        let standing = Standing { term: 3, last_index: 9, applied_index: 8, members };
        let partition = described(NodeId(1), &standing, 10_000);
        assert_eq!((partition.leader_id.0, partition.leader_epoch, partition.high_watermark), (1, 3, 9));
        let shown = |replica: &ReplicaState| {
            let times = (replica.last_fetch_timestamp, replica.last_caught_up_timestamp);
            (replica.replica_id.0, replica.log_end_offset, times)
        };
        let voters: Vec<_> = partition.current_voters.iter().map(shown).collect();
        assert_eq!(voters, [(1, 10, (10_000, 10_000)), (2, 10, (9960, 9960)), (3, 5, (3000, -1))]);
        assert_eq!(partition.observers.iter().map(shown).collect::<Vec<_>>(), [(4, -1, (-1, -1))]);
    }
}
