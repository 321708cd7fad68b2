//! Snapshots, purges, and replicas that need them.

use std::time::Duration;

use bytes::Bytes;

use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, text};
use crate::{GroupOptions, Members, PurgePolicy};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_purges_by_itself_and_a_stopped_replica_gets_its_snapshot() {
    let mut cluster = Cluster::start(3).await;
    let purge = PurgePolicy::EveryEntries(50);
    let options = GroupOptions { purge, commit_within: Duration::ZERO, ..ON_REQUEST };
    cluster.open(1, &members([1, 2, 3]), options).await;
    assert_eq!(cluster.leader(1).await, 1);
    cluster.propose(1, text(0)).await.unwrap();
    cluster.agreed(1, 1).await;
    cluster.crash(3).await;
    for number in 1..400 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    let leader = cluster.replica(1, 1);
    eventually("the leader has purged", || leader.log.purged().is_some_and(|purged| purged.index > 200)).await;
    cluster.start_node(3).await;
    cluster.open_on(3, 1, &members([1, 2, 3]), options).await;
    assert_eq!(cluster.agreed(1, 400).await, (0..400).map(text).collect::<Vec<_>>());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_keeps_its_log_behind_the_checkpoint() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    cluster.propose(1, text(0)).await.unwrap();
    cluster.agreed(1, 1).await;
    cluster.crash(3).await;
    for number in 1..60 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    let checkpoint = cluster.propose(1, Bytes::from_static(b"checkpoint")).await.unwrap();
    for number in 60..100 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    for node in [1, 2] {
        let replica = cluster.replica(node, 1);
        let mut applied = replica.applied();
        applied.wait_for(|applied| *applied >= checkpoint + 40).await.unwrap();
        replica.purge().await.unwrap();
        eventually("the log is purged to the checkpoint", || {
            replica.log.purged().is_some_and(|purged| purged.index == checkpoint)
        })
        .await;
        replica.purge().await.unwrap();
        assert_eq!(replica.log.purged().unwrap().index, checkpoint, "a second purge finds nothing");
    }
    cluster.start_node(3).await;
    let late = cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    let agreed = cluster.agreed(1, 101).await;
    assert_eq!(agreed.len(), 101);
    let first_kept = late.log.purged().unwrap().index;
    assert_eq!(first_kept, checkpoint, "the log begins right behind the checkpoint");
    let kept = late.read(0, u64::MAX, usize::MAX).unwrap();
    assert_eq!(kept.len(), 40);
    cluster.crash(3).await;
    cluster.start_node(3).await;
    let again = cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(again.log.purged().unwrap().index, checkpoint);
    assert_eq!(cluster.agreed(1, 101).await, agreed);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_snapshot_travels_in_parts() {
    let mut cluster = Cluster::start(3).await;
    let purge = PurgePolicy::EveryEntries(4);
    let options = GroupOptions { purge, commit_within: Duration::ZERO, ..ON_REQUEST };
    cluster.open(1, &members([1, 2]), options).await;
    assert_eq!(cluster.leader(1).await, 1);
    for number in 0..20u8 {
        cluster.propose(1, Bytes::from(vec![number; 500_000])).await.unwrap();
    }
    let leader = cluster.replica(1, 1);
    eventually("the leader has purged", || leader.log.purged().is_some()).await;
    cluster.open_on(3, 1, &Members::default(), options).await;
    leader.change_members(members([1, 2, 3])).await.unwrap();
    assert_eq!(cluster.agreed(1, 20).await.len(), 20);
    cluster.crash(1).await;
    cluster.propose(1, text(1)).await.unwrap();
    cluster.stop().await;
}
