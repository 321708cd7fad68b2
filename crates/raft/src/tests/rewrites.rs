//! Entries that are written anew, each replica for itself.

use bytes::Bytes;
use caudal_storage::{ColumnFamily, Engine, StorageError, WriteBatch, keys::state};
use caudal_types::{NodeId, RaftGroupId};

use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, text};
use crate::{LogEntry, RaftGroup};

fn payloads(replica: &RaftGroup) -> Vec<Bytes> {
    let entries = replica.read(0, u64::MAX, usize::MAX).unwrap();
    entries.into_iter().map(|entry| entry.payload).filter(|payload| !payload.is_empty()).collect()
}

/// Every second command is written anew.
fn anew(replica: &RaftGroup) -> Vec<LogEntry> {
    let entries = replica.read(0, u64::MAX, usize::MAX).unwrap();
    let commands = entries.into_iter().filter(|entry| entry.payload.starts_with(b"command "));
    commands
        .step_by(2)
        .map(|entry| LogEntry { payload: [b"new ", &entry.payload[..]].concat().into(), ..entry })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_gets_what_is_there_now() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    cluster.propose(1, text(0)).await.unwrap();
    cluster.agreed(1, 1).await;
    cluster.crash(3).await;
    for number in 1..40 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    let leader = cluster.replica(1, 1);
    leader.rewrite(anew(&leader)).await.unwrap();
    let there = payloads(&leader);
    assert_eq!(there.len(), 40);
    assert_eq!((&there[0][..], &there[1]), (&b"new command 0"[..], &text(1)));

    // What openraft has read to send it, it holds while the other is away. In a new term it has read nothing.
    for (from, to) in [(1, 2), (2, 1)] {
        cluster.replica(from, 1).transfer_leadership(NodeId(to)).await.unwrap();
        eventually("the other leads", || cluster.replica(to, 1).leadership().borrow().serving).await;
    }
    cluster.start_node(3).await;
    let late = cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    eventually("the replica has caught up", || payloads(&late).len() == 40).await;
    // What it has had from before stays as it was until it is told itself.
    assert_eq!(payloads(&late)[0], text(0));
    assert_eq!(payloads(&late)[1..], there[1..]);
    assert_eq!(cluster.commands(3, 1)[2..], there[2..], "what is new was applied as it came");

    // A restart finds what was written anew, and the group goes on.
    drop(leader);
    cluster.crash(1).await;
    cluster.start_node(1).await;
    let again = cluster.open_on(1, 1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(payloads(&again), there);
    cluster.propose(1, text(40)).await.unwrap();
    eventually("all go on", || payloads(&again).len() == 41 && payloads(&late).len() == 41).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_applied_or_removed_is_not_written() {
    let cluster = Cluster::start(1).await;
    cluster.open(1, &members([1]), ON_REQUEST).await;
    cluster.leader(1).await;
    let index = cluster.propose(1, text(0)).await.unwrap();
    let replica = cluster.replica(1, 1);
    let entry = |index, payload: &'static [u8]| LogEntry { index, term: 1, payload: payload.into() };
    replica.rewrite(vec![entry(index + 1, b"early"), entry(index + 9, b"earlier")]).await.unwrap();
    assert_eq!(payloads(&replica), [text(0)]);

    let key = state::key(RaftGroupId(1), 200, b"mine");
    let row = |key: &Bytes| {
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::State, key.clone(), Bytes::from_static(b"row"));
        batch
    };
    assert!(replica.write_beside(|| Some(row(&key))).await.unwrap());
    assert!(!replica.write_beside(|| None).await.unwrap());
    assert!(cluster.node(1).engine.get(ColumnFamily::State, &key).unwrap().is_some());

    cluster.node(1).groups.remove(RaftGroupId(1)).await.unwrap();
    let refused = replica.rewrite(vec![entry(index, b"late")]).await;
    assert!(matches!(refused, Err(StorageError::Closed)), "{refused:?}");
    let refused = replica.write_beside(|| Some(row(&key))).await;
    assert!(matches!(refused, Err(StorageError::Closed)), "{refused:?}");
    assert!(cluster.node(1).engine.get(ColumnFamily::State, &key).unwrap().is_none());
    cluster.stop().await;
}
