//! What proposers are told.

use bytes::Bytes;
use caudal_storage::StoreState;
use caudal_types::NodeId;

use crate::ProposeError;
use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};

#[tokio::test(flavor = "multi_thread")]
async fn one_callers_proposals_keep_their_order() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    let group = cluster.replica(1, 1);
    let mut pending = Vec::new();
    for number in 0..2000 {
        pending.push(group.enqueue(text(number)).await.unwrap());
    }
    let mut last = 0;
    for outcome in pending {
        let applied = soon(outcome).await.unwrap();
        assert!(applied.index > last);
        last = applied.index;
    }
    assert_eq!(cluster.agreed(1, 2000).await, (0..2000).map(text).collect::<Vec<_>>());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_takes_nothing() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    let error = cluster.replica(2, 1).propose(text(1)).await.unwrap_err();
    assert!(matches!(error, ProposeError::NotLeader { leader: Some(NodeId(1)) }), "{error}");
    assert!(cluster.agreed(1, 0).await.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_acknowledges_nothing_and_does_not_say_that_it_was_not_taken() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    cluster.propose(1, text(0)).await.unwrap();
    let group = cluster.replica(1, 1);
    for follower in [2, 3] {
        cluster.node(follower).engine.fail_writes(Some("broken".to_owned()));
    }
    let outcome = soon(group.propose(text(1))).await;
    assert!(matches!(outcome, Err(ProposeError::Unknown)), "{outcome:?}");
    eventually("it shows that nobody leads", || group.leadership().borrow().leader.is_none()).await;
    let refused = group.propose(text(3)).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: None })), "{refused:?}");
    cluster.crash(2).await;
    cluster.crash(3).await;
    // When the others come back, the entry may be committed after all.
    cluster.start_node(2).await;
    cluster.open_on(2, 1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.start_node(3).await;
    cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.propose(1, text(2)).await.unwrap();
    let agreed = cluster.agreed(1, 2).await;
    assert_eq!((agreed.first(), agreed.last()), (Some(&text(0)), Some(&text(2))));
    assert!(!agreed.contains(&text(3)));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_refuses_and_gives_leadership_up() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    cluster.propose(1, text(0)).await.unwrap();
    let group = cluster.replica(1, 1);
    cluster.node(1).engine.fail_writes(Some("broken".to_owned()));
    let first = soon(group.propose(text(1))).await;
    assert!(!matches!(first, Err(ProposeError::NotLeader { .. } | ProposeError::Stopped)), "{first:?}");
    let mut store = cluster.node(1).writer.state();
    soon(store.wait_for(|state| matches!(state, StoreState::Failed(_)))).await.unwrap();
    let error = group.propose(text(2)).await.unwrap_err();
    assert!(matches!(error, ProposeError::Storage(_)), "{error}");
    let other = cluster.replica(2, 1);
    eventually("another node serves", || {
        let now = *other.leadership().borrow();
        now.leader.is_some_and(|leader| leader != NodeId(1))
    })
    .await;
    cluster.propose_elsewhere(1, 1, text(3)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_group_says_that_it_is_stopped() {
    let cluster = Cluster::start(1).await;
    let group = cluster.open_on(1, 1, &members([1]), ON_REQUEST).await;
    cluster.leader(1).await;
    cluster.node(1).groups.close(group.id()).await;
    let error = group.propose(Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, ProposeError::Stopped | ProposeError::NotLeader { .. }), "{error}");
    assert!(group.status().failed.is_some());
    cluster.stop().await;
}
