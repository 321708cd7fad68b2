//! A partition in which a transaction is open for long asks the transaction's coordinator, and ends it if it is over.

use std::sync::Arc;

use caudal_coordinator::transactions::{JoinTransaction, Participant, ProducerIdentity};
use caudal_partition::{Acks, Enlistment, Partition, ReadRequest};
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_types::clock::ManualClock;
use caudal_types::{Clock, ProducerId};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Cluster, DEADLINE, GROUP, POLL, TOPIC};

/// Longer than a transaction is open before its coordinator is asked.
const LONG_MS: i64 = 31_000;

/// Of the transactions; longer than all that passes here.
const TIMEOUT_MS: i32 = 600_000;

async fn init(cluster: &Cluster, id: &str) -> ProducerIdentity {
    let begun = Instant::now();
    loop {
        for node in cluster.0.values() {
            if let Ok(producer) = node.coordinator.init_producer(id, TIMEOUT_MS, None).await {
                return producer;
            }
        }
        assert!(begun.elapsed() < DEADLINE, "the transactional id is taken over");
        sleep(POLL).await;
    }
}

async fn join(cluster: &Cluster, id: &str, producer: ProducerIdentity, participant: Participant) -> u64 {
    let join = JoinTransaction { transactional_id: id.into(), producer, protocol: 2, add: true };
    let begun = Instant::now();
    loop {
        for node in cluster.0.values() {
            if let Ok(number) = node.coordinator.join_transaction(&join, vec![participant.clone()]).await {
                return number;
            }
        }
        assert!(begun.elapsed() < DEADLINE, "the transaction is joined");
        sleep(POLL).await;
    }
}

async fn end(cluster: &Cluster, id: &str, producer: ProducerIdentity, commit: bool) {
    let begun = Instant::now();
    loop {
        for node in cluster.0.values() {
            if node.coordinator.end_transaction(id, producer, 2, commit).await.is_ok() {
                return;
            }
        }
        assert!(begun.elapsed() < DEADLINE, "the transaction ends");
        sleep(POLL).await;
    }
}

/// The state that the transactional id's coordinator shows.
async fn state(cluster: &Cluster, id: &str) -> Option<&'static str> {
    for node in cluster.0.values() {
        if let Ok(described) = node.coordinator.describe_transaction(id).await {
            return Some(described.state);
        }
    }
    None
}

async fn leader(cluster: &Cluster) -> Arc<Partition> {
    let begun = Instant::now();
    loop {
        let mut here = cluster.0.values().filter_map(|node| node.partitions.get_by_name(TOPIC, 0));
        if let Some(partition) = here.find(|partition| partition.leadership().borrow().serving) {
            return partition;
        }
        assert!(begun.elapsed() < DEADLINE, "the partition has a leader");
        sleep(POLL).await;
    }
}

/// Appends a batch of a transaction, as a Produce handler does that had word from the coordinator.
async fn append(partition: &Partition, id: &str, producer: ProducerIdentity, number: u64, now: i64) {
    let record = Record { timestamp: now, value: Some("v".into()), ..Record::default() };
    let batch = BatchBuilder::new().producer(producer.id, producer.epoch, 0).transactional().build(&[record]).unwrap();
    let enlistment = Enlistment { number, version: 2, transactional_id: id.into() };
    let appended = partition.append(batch.bytes().clone(), Some(enlistment), Acks::Majority).await.unwrap();
    appended.await.unwrap();
}

fn open(partition: &Partition) -> Vec<ProducerId> {
    let mut open: Vec<_> = partition.open_transactions().into_iter().map(|(producer, ..)| producer).collect();
    open.sort_unstable();
    open
}

async fn until_open_are(partition: &Partition, expected: &[ProducerId]) {
    let begun = Instant::now();
    while open(partition) != expected {
        assert!(begun.elapsed() < DEADLINE, "open are {:?}, not {expected:?}", open(partition));
        sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_ends_what_is_over_and_leaves_alone_what_goes_on() {
    let clock = ManualClock::new(1_700_000_000_000);
    let cluster = Cluster::start_by(Arc::new(clock.clone())).await;
    let partition = leader(&cluster).await;

    // Nobody coordinates this one: its number is from nowhere.
    let lost = ProducerIdentity { id: 1_000_000, epoch: 0 };
    append(&partition, "lost", lost, 1, clock.now_ms()).await;
    let goes_on = init(&cluster, "goes-on").await;
    let part = Participant::Partition { topic: TOPIC.into(), id: partition.topic_id(), partition: 0 };
    let number = join(&cluster, "goes-on", goes_on, part).await;
    append(&partition, "goes-on", goes_on, number, clock.now_ms()).await;
    let mut both = [goes_on.id, lost.id];
    both.sort_unstable();
    assert_eq!(open(&partition), both);
    clock.advance(LONG_MS);
    until_open_are(&partition, &[goes_on.id]).await;

    // This one's coordinator knows its end, and does not know that the partition takes part. All are asked about in one look, so that once it is
    // ended, the one that goes on has been asked about, and answered, before.
    let untold = init(&cluster, "untold").await;
    let number = join(&cluster, "untold", untold, Participant::Group(GROUP.into())).await;
    append(&partition, "untold", untold, number, clock.now_ms()).await;
    end(&cluster, "untold", untold, true).await;
    clock.advance(LONG_MS);
    until_open_are(&partition, &[goes_on.id]).await;
    assert_eq!(state(&cluster, "goes-on").await, Some("Ongoing"));

    end(&cluster, "goes-on", goes_on, true).await;
    let mut offsets = partition.offsets();
    // Three records and their markers.
    let stable = offsets.wait_for(|offsets| offsets.last_stable == 6);
    timeout(DEADLINE, stable).await.expect("nothing holds readers back").unwrap();
    let read = ReadRequest {
        offset: 0,
        max_bytes: 1 << 20,
        at_least_one: true,
        committed_only: true,
        current_leader_epoch: -1,
        leader_only: true,
    };
    let read = partition.read(read).await.unwrap();
    let mut aborted: Vec<_> = read.aborted.iter().map(|aborted| aborted.producer_id).collect();
    aborted.sort_unstable();
    let mut expected = [lost.id, untold.id];
    expected.sort_unstable();
    assert_eq!(aborted, expected, "there are markers that abort them");
    cluster.stop().await;
}
