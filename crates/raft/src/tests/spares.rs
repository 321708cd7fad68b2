//! Followers whose sync nobody waits for.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::keys::log as log_keys;
use caudal_storage::{ColumnFamily, Completion, Engine, LogWriter, MemEngine, WriteBatch};
use caudal_types::{NodeId, RaftGroupId};
use openraft::EntryPayload;
use tokio::time::Instant;

use crate::log::{Damage, GroupLog, LogCache};
use crate::tests::support::{Cluster, DEADLINE, ON_REQUEST, eventually, members, soon, text};
use crate::types::{Command, LogEntry, log_id, raft_id};
use crate::{FlushPolicy, GroupOptions};

const GROUP: u64 = 1;
const LONG: Duration = Duration::from_secs(3600);

/// The nodes by what they are to the group.
struct Roles {
    leader: u32,
    needed: u32,
    spare: u32,
}

async fn cluster_with(within: Duration) -> (Cluster, Roles) {
    let cluster = Cluster::start(3).await;
    let options = GroupOptions { spare_sync_within: within, ..ON_REQUEST };
    cluster.open(GROUP, &members([1, 2, 3]), options).await;
    let leader = cluster.leader(GROUP).await;
    let mut found = None;
    eventually("the leader finds a follower that may wait", || {
        found = (1..=3).find(|node| may_wait(&cluster, leader, *node));
        found.is_some()
    })
    .await;
    let spare = found.unwrap();
    (cluster, Roles { leader, needed: 6 - leader - spare, spare })
}

/// Whether the leader leaves the node time.
fn may_wait(cluster: &Cluster, leader: u32, node: u32) -> bool {
    cluster.replica(leader, GROUP).spares.sync_within_ms(raft_id(NodeId(node))) > 0
}

/// How far the leader knows a node to have come, durably.
fn matched(cluster: &Cluster, leader: u32, node: u32) -> u64 {
    let matched = cluster.replica(leader, GROUP).status().matched;
    matched.into_iter().find(|(id, _)| id.0 == node).map_or(0, |(_, index)| index)
}

fn key(index: u64) -> Bytes {
    log_keys::key(RaftGroupId(GROUP), index)
}

fn is_written(engine: &MemEngine, index: u64) -> bool {
    engine.get(ColumnFamily::Log, &key(index)).unwrap().is_some()
}

fn is_synced(engine: &MemEngine, index: u64) -> bool {
    engine.get_synced(ColumnFamily::Log, &key(index)).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_spare_follower_and_it_answers_when_it_has_synced() {
    let (cluster, roles) = cluster_with(LONG).await;
    let (began, node) = (Instant::now(), cluster.node(roles.spare));
    // Where the machine is slow the other follower may be late with an entry; then this one has to hurry as well.
    let unsynced = loop {
        assert!(began.elapsed() < DEADLINE, "the follower has synced each entry at once");
        let index = soon(cluster.propose(GROUP, text(0))).await.unwrap();
        eventually("it is written", || is_written(&node.engine, index)).await;
        let answered = matched(&cluster, roles.leader, roles.spare) >= index;
        let synced = is_synced(&node.engine, index);
        assert!(synced || !answered, "entry {index} was answered unsynced");
        if !synced {
            break index;
        }
    };
    assert!(
        is_synced(&cluster.node(roles.needed).engine, unsynced)
            && is_synced(&cluster.node(roles.leader).engine, unsynced)
    );
    // What has to be synced takes it along.
    soon(node.writer.write(WriteBatch::new())).await.unwrap();
    assert!(is_synced(&node.engine, unsynced));
    eventually("it has answered", || matched(&cluster, roles.leader, roles.spare) >= unsynced).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_follower_syncs_within_its_time() {
    let (cluster, roles) = cluster_with(Duration::from_millis(50)).await;
    for number in 0..20 {
        soon(cluster.propose(GROUP, text(number))).await.unwrap();
    }
    // It applies nothing that it has not synced.
    assert_eq!(cluster.agreed(GROUP, 20).await.len(), 20);
    let last = cluster.replica(roles.leader, GROUP).status().last_log_index;
    eventually("it has answered", || matched(&cluster, roles.leader, roles.spare) == last).await;
    assert!(is_synced(&cluster.node(roles.spare).engine, last));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_follower_stands_in_for_one_that_is_gone() {
    let within = Duration::from_millis(50);
    let (mut cluster, roles) = cluster_with(within).await;
    soon(cluster.propose(GROUP, text(0))).await.unwrap();
    cluster.crash(roles.needed).await;
    for number in 1..20 {
        let index = soon(cluster.propose(GROUP, text(number))).await.unwrap();
        assert!(is_synced(&cluster.node(roles.spare).engine, index), "entry {index} was committed on one disk");
    }
    eventually("it has to hurry", || !may_wait(&cluster, roles.leader, roles.spare)).await;
    soon(cluster.propose(GROUP, text(20))).await.unwrap();

    cluster.start_node(roles.needed).await;
    let options = GroupOptions { spare_sync_within: within, ..ON_REQUEST };
    cluster.open_on(roles.needed, GROUP, &members([1, 2, 3]), options).await;
    assert_eq!(cluster.agreed(GROUP, 21).await.len(), 21);
    eventually("it may wait again", || may_wait(&cluster, roles.leader, roles.spare)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_may_wait_who_is_waited_for() {
    let (cluster, roles) = cluster_with(LONG).await;
    let leader = cluster.replica(roles.leader, GROUP);
    let index = soon(cluster.propose(GROUP, text(0))).await.unwrap();
    let all = leader.await_copies(index + 1, 3);
    assert!(!may_wait(&cluster, roles.leader, roles.spare));
    // It takes the one before along.
    soon(cluster.propose(GROUP, text(1))).await.unwrap();
    soon(all).await.unwrap();
    assert!(is_synced(&cluster.node(roles.spare).engine, index + 1));
    cluster.stop().await;
}

/// Appends an entry, and tells its index when the append is complete.
async fn append(log: &Arc<GroupLog>, index: u64, complete: &mpsc::Sender<u64>) {
    let complete = complete.clone();
    let payload = EntryPayload::Normal(Command(text(0)));
    let done = |_: &Arc<GroupLog>, _: Option<u64>| -> Completion { Box::new(move |_| complete.send(index).unwrap()) };
    log.append([LogEntry { log_id: log_id(3, index), payload }], done).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_are_complete_in_their_order_when_a_log_becomes_relaxed() {
    let engine = Arc::new(MemEngine::new());
    let writer = LogWriter::start(engine.clone());
    let log =
        GroupLog::open(RaftGroupId(GROUP), engine.clone(), writer, LogCache::new(1 << 20), Damage::default()).unwrap();
    let (sender, complete) = mpsc::channel();
    log.patience.note(log_id(3, 1), LONG);
    append(&log, 1, &sender).await;
    eventually("it is written", || is_written(&engine, 1)).await;
    assert!(!is_synced(&engine, 1) && complete.try_recv().is_err());

    let policy = FlushPolicy { records: u64::MAX, within: LONG, count: |_| Some(1) };
    log.set_flush(Some(policy)).await.unwrap();
    assert!(is_synced(&engine, 1));
    log.patience.note(log_id(3, 2), LONG);
    append(&log, 2, &sender).await;
    assert_eq!([(); 2].map(|()| complete.recv_timeout(DEADLINE).unwrap()), [1, 2]);
    assert!(!is_synced(&engine, 2), "a relaxed log has its own rules");

    log.set_flush(None).await.unwrap();
    log.patience.note(log_id(3, 3), Duration::from_millis(1));
    append(&log, 3, &sender).await;
    assert_eq!(complete.recv_timeout(DEADLINE).unwrap(), 3);
    assert!(is_synced(&engine, 3));
}
