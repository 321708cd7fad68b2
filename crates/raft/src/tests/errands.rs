//! What operators want of leaders, asked from any node.

use std::time::Duration;

use caudal_types::{NodeId, RaftGroupId};

use crate::HandBackError;
use crate::tests::support::{Cluster, DEADLINE, ON_REQUEST, eventually, members, text};

const GROUPS: [RaftGroupId; 2] = [RaftGroupId(1), RaftGroupId(9)];

#[tokio::test(flavor = "multi_thread")]
async fn leaderships_go_back_to_preferred_leaders_that_can_have_them() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    let asked =
        async |of: u32, cluster: &Cluster| cluster.node(2).groups.hand_back(NodeId(of), &GROUPS, DEADLINE).await;
    assert_eq!(asked(1, &cluster).await, [Ok(()), Err(HandBackError::NotLeader)], "what is led as wished stays");
    assert_eq!(asked(3, &cluster).await[0], Err(HandBackError::NotLeader));

    cluster.crash(1).await;
    let leader = cluster.leader(1).await;
    let refused = asked(leader, &cluster).await;
    assert_eq!(refused[0], Err(HandBackError::Unfit("node 1 is not alive".to_owned())));
    assert!(matches!(asked(1, &cluster).await[..], [Err(HandBackError::Failed(_)), Err(HandBackError::Failed(_))]));

    cluster.start_node(1).await;
    cluster.open_on(1, 1, &members([1, 2, 3]), ON_REQUEST).await;
    let began = std::time::Instant::now();
    while cluster.leader(1).await != 1 {
        assert!(began.elapsed() < DEADLINE);
        let leader = cluster.leader(1).await;
        if asked(leader, &cluster).await[0].is_ok() {
            assert_eq!(cluster.leader(1).await, 1);
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_tells_how_its_members_are_doing() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    let index = cluster.propose(1, text(0)).await.unwrap();
    eventually("everyone has it", || {
        cluster.replica(1, 1).status().matched.iter().filter(|(_, matched)| *matched >= index).count() >= 2
            && cluster.replica(3, 1).status().last_log_index >= index
    })
    .await;
    let ask = async |of: u32, group: u64, cluster: &Cluster| {
        cluster.node(2).groups.standing(NodeId(of), RaftGroupId(group), Duration::from_secs(5)).await
    };
    let standing = ask(1, 1, &cluster).await.unwrap().unwrap();
    assert_eq!((standing.last_index, standing.applied_index), (index, index));
    assert!(standing.members.iter().all(|member| member.votes));
    let nodes: Vec<_> = standing.members.iter().map(|member| member.node.0).collect();
    assert_eq!(nodes, [1, 2, 3]);
    assert_eq!(standing.members[0].heard_ago, None);
    assert!(standing.members[1..].iter().all(|member| member.heard_ago.is_some_and(|ago| ago < DEADLINE)));
    assert_eq!(ask(2, 1, &cluster).await.unwrap(), None, "it does not lead");
    assert_eq!(ask(1, 9, &cluster).await.unwrap(), None, "there is no such group");
    cluster.crash(3).await;
    assert!(ask(3, 1, &cluster).await.is_err());
    cluster.stop().await;
}
