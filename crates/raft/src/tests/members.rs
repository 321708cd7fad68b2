//! Changes of members.

use caudal_types::{NodeId, RaftGroupId};

use crate::Members;
use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    let cluster = Cluster::start(4).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    for number in 0..20 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    cluster.open_on(4, 1, &Members::default(), ON_REQUEST).await;
    let with_learner = Members { voters: members([1, 2, 3]).voters, learners: vec![NodeId(4)] };
    soon(cluster.replica(1, 1).change_members(with_learner.clone())).await.unwrap();
    assert_eq!(cluster.replica(1, 1).status().members, with_learner);
    assert_eq!(cluster.agreed(1, 20).await.len(), 20);
    let moved = members([4, 2, 1]);
    soon(cluster.replica(1, 1).change_members(moved.clone())).await.unwrap();
    assert_eq!(cluster.replica(1, 1).status().members, moved);
    cluster.node(3).groups.remove(RaftGroupId(1)).await.unwrap();
    assert!(cluster.commands(3, 1).is_empty());
    eventually("the new preferred leader leads", || {
        cluster.replica(4, 1).leadership().borrow().leader == Some(NodeId(4))
    })
    .await;
    cluster.propose(1, text(20)).await.unwrap();
    assert_eq!(cluster.agreed(1, 21).await.len(), 21);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_joins_later_never_founds_a_group() {
    let cluster = Cluster::start(1).await;
    let group = cluster.open_on(1, 1, &Members::default(), ON_REQUEST).await;
    let mut leadership = group.leadership();
    let waited =
        tokio::time::timeout(std::time::Duration::from_secs(3), leadership.wait_for(|now| now.leader.is_some()));
    assert!(waited.await.is_err());
    assert!(group.log.is_pristine());
    cluster.stop().await;
}
