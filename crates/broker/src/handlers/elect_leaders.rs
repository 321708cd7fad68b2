//! ElectLeaders: gives leaderships back to the preferred leaders (KIP-183, KIP-460). They go back by themselves, too, a while after a node has come back.
//! There are no unclean elections: whoever leads has every acknowledged record.

use std::collections::BTreeMap;
use std::time::Duration;

use caudal_metadata::{ClusterImage, RaftGroupImage};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::elect_leaders_request::ElectLeadersRequest;
use caudal_protocol::messages::elect_leaders_response::{ElectLeadersResponse, PartitionResult, ReplicaElectionResult};
use caudal_raft::{HandBackError, RaftGroups};
use caudal_types::{NodeId, RaftGroupId};
use futures::future::join_all;
use tokio::time::Instant;

use crate::cluster::{Cluster, partition_of};
use crate::error::Refusal;
use crate::handlers::within;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::topic_name;

/// Kinds of elections, as the wire numbers them.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(crate) struct ElectLeaders {
    cluster: Cluster,
    groups: RaftGroups,
}

/// What is to be done for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Its leader is asked to give the leadership to this node.
    Ask { leader: NodeId, preferred: NodeId },
    /// Nothing, for this reason.
    Refuse(Refusal),
}

/// A partition with its outcome.
struct Elected {
    topic: String,
    partition: i32,
    group: RaftGroupId,
    step: Step,
}

fn refuse(code: ErrorCode, text: impl Into<String>) -> Step {
    Step::Refuse(Refusal::new(code, text))
}

/// What is to be done for a partition with this leader.
fn plan(kind: i8, group: &RaftGroupImage, leader: Option<NodeId>, is_alive: impl Fn(NodeId) -> bool) -> Step {
    let Some(preferred) = group.replicas.first().copied() else {
        return refuse(ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE, "The partition has no replicas");
    };
    match (kind, leader) {
        (UNCLEAN, Some(leader)) => refuse(ErrorCode::ELECTION_NOT_NEEDED, format!("Node {leader} leads the partition")),
        (UNCLEAN, None) => refuse(
            ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
            format!(
                "There are no unclean elections, since they lose acknowledged records. The partition elects a leader by itself as soon as more than half of its replicas ({}) are up",
                list(&group.replicas)
            ),
        ),
        (_, Some(leader)) if leader == preferred => refuse(
            ErrorCode::ELECTION_NOT_NEEDED,
            format!("The preferred leader, node {preferred}, leads the partition"),
        ),
        (_, None) => refuse(
            ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            format!(
                "The partition has no leader. It elects one by itself as soon as more than half of its replicas ({}) are up",
                list(&group.replicas)
            ),
        ),
        (_, Some(_)) if !is_alive(preferred) => refuse(
            ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            format!("The preferred leader, node {preferred}, is not alive"),
        ),
        (_, Some(leader)) => Step::Ask { leader, preferred },
    }
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl ElectLeaders {
    pub(crate) fn new(cluster: Cluster, groups: RaftGroups) -> Self {
        Self { cluster, groups }
    }

    fn planned(&self, image: &ClusterImage, kind: i8, topic: &str, partition: i32) -> Elected {
        let group = image.topic(topic).and_then(|topic| partition_of(topic, partition));
        let step = match group {
            Some(group) => {
                let leader = self.cluster.leader(image, group.group).map(|leader| leader.node);
                plan(kind, group, leader, |node| self.cluster.is_alive(node))
            }
            None => refuse(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                format!("There is no partition {partition} of a topic {topic}"),
            ),
        };
        let group = group.map_or(RaftGroupId(0), |group| group.group);
        Elected { topic: topic.to_owned(), partition, group, step }
    }

    /// Asks the leaders, all of them at once, and waits until this node knows of the new ones.
    async fn hand_back(&self, elections: &mut [Elected], within: Duration) {
        let deadline = Instant::now() + within;
        let mut by_leader: BTreeMap<NodeId, Vec<(usize, RaftGroupId, NodeId)>> = BTreeMap::new();
        for (place, election) in elections.iter().enumerate() {
            if let Step::Ask { leader, preferred } = election.step {
                by_leader.entry(leader).or_default().push((place, election.group, preferred));
            }
        }
        let asking = by_leader.iter().map(|(leader, asked)| async move {
            let groups: Vec<_> = asked.iter().map(|(_, group, _)| *group).collect();
            let outcomes = self.groups.hand_back(*leader, &groups, within).await;
            let settled = asked.iter().zip(outcomes).map(|((place, group, preferred), outcome)| async move {
                (*place, self.settle(outcome, *group, *preferred, deadline).await)
            });
            join_all(settled).await
        });
        for (place, refusal) in join_all(asking).await.into_iter().flatten() {
            elections[place].step = Step::Refuse(refusal);
        }
    }

    /// What came of a leadership that was to go to `preferred`.
    async fn settle(
        &self,
        outcome: Result<(), HandBackError>,
        group: RaftGroupId,
        preferred: NodeId,
        deadline: Instant,
    ) -> Refusal {
        let led = async {
            let mut changes = self.cluster.controller().leaders().changes();
            while self.cluster.controller().leaders().leader(group).map(|leader| leader.node) != Some(preferred) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        match outcome {
            Ok(()) => match tokio::time::timeout_at(deadline, led).await {
                Ok(()) => Refusal::new(ErrorCode::NONE, ""),
                Err(_) => Refusal::new(
                    ErrorCode::REQUEST_TIMED_OUT,
                    format!("Node {preferred} did not announce in time that it leads; look before you ask again"),
                ),
            },
            Err(HandBackError::NotLeader) => Refusal::new(
                ErrorCode::NOT_LEADER_OR_FOLLOWER,
                "The partition's leader has changed in the meantime; try again",
            ),
            Err(HandBackError::Unfit(reason)) => Refusal::new(
                ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
                format!("The preferred leader cannot lead: {reason}"),
            ),
            Err(HandBackError::Failed(reason)) => Refusal::new(
                ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
                format!("The leadership did not go to the preferred leader, node {preferred}: {reason}"),
            ),
        }
    }
}

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;
    type Response = ElectLeadersResponse;

    async fn handle(&self, context: &RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse {
        let kind = if context.version >= 1 { request.election_type } else { PREFERRED };
        if kind != PREFERRED && kind != UNCLEAN {
            return ElectLeadersResponse::default().with_error_code(ErrorCode::INVALID_REQUEST.code());
        }
        let image = self.cluster.image();
        let mut elections: Vec<Elected> = match &request.topic_partitions {
            Some(topics) => {
                let named = topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (&topic.topic, *index)));
                named.map(|(topic, index)| self.planned(&image, kind, topic, index)).collect()
            }
            None => {
                let all = image.topics.values().flat_map(|topic| {
                    (0..)
                        .zip(&topic.partitions)
                        .map(|(index, _): (i32, _)| self.planned(&image, kind, &topic.name, index))
                });
                // Who asks for all of them wants to know of those only that were to move.
                all.filter(|elected| !is_not_needed(&elected.step)).collect()
            }
        };
        self.hand_back(&mut elections, within(request.timeout_ms)).await;
        ElectLeadersResponse::default().with_replica_election_results(results(elections))
    }
}

fn is_not_needed(step: &Step) -> bool {
    matches!(step, Step::Refuse(refusal) if refusal.code() == ErrorCode::ELECTION_NOT_NEEDED)
}

fn results(elections: Vec<Elected>) -> Vec<ReplicaElectionResult> {
    let mut topics: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    for Elected { topic, partition, step, .. } in elections {
        let result = PartitionResult::default().with_partition_id(partition);
        let result = match step {
            Step::Refuse(refusal) if refusal.code().is_error() => {
                result.with_error_code(refusal.code().code()).with_error_message(refusal.message())
            }
            _ => result.with_error_message(None),
        };
        topics.entry(topic).or_default().push(result);
    }
    let topic = |(topic, partitions): (String, _)| {
        ReplicaElectionResult::default().with_topic(topic_name(&topic)).with_partition_result(partitions)
    };
    topics.into_iter().map(topic).collect()
}

impl Outcome for ElectLeadersResponse {
    fn failed(&self) -> bool {
        let partitions = self.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
        self.error_code != 0 || partitions.into_iter().any(|partition| partition.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: RaftGroupId = RaftGroupId(5);

    fn planned(kind: i8, leader: Option<u32>, alive: &[u32]) -> Step {
        let group = RaftGroupImage { group: GROUP, replicas: vec![NodeId(1), NodeId(2), NodeId(3)] };
        plan(kind, &group, leader.map(NodeId), |node| alive.contains(&node.0))
    }

    fn code(step: &Step) -> Option<ErrorCode> {
        match step {
            Step::Refuse(refusal) => Some(refusal.code()),
            Step::Ask { .. } => None,
        }
    }

    #[test]
    fn leaderships_go_to_preferred_leaders_only() {
        let asked = Step::Ask { leader: NodeId(2), preferred: NodeId(1) };
        assert_eq!(planned(PREFERRED, Some(2), &[1, 2]), asked);
        for (leader, alive, expected) in [
            (Some(1), vec![1, 2], ErrorCode::ELECTION_NOT_NEEDED),
            (Some(2), vec![2, 3], ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE),
            (None, vec![1], ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE),
        ] {
            assert_eq!(code(&planned(PREFERRED, leader, &alive)), Some(expected), "{leader:?}");
        }
    }

    #[test]
    fn no_election_is_unclean() {
        assert_eq!(code(&planned(UNCLEAN, Some(2), &[2])), Some(ErrorCode::ELECTION_NOT_NEEDED));
        let refused = planned(UNCLEAN, None, &[1]);
        assert_eq!(code(&refused), Some(ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE));
        assert!(matches!(refused, Step::Refuse(refusal) if refusal.to_string().contains("(1, 2, 3)")));
    }
}
