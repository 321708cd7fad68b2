//! Disks that fill up: the node refuses records in time, goes on with all else, and takes them again by itself once there is space.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use caudal_storage::FilesystemSize;
use caudal_tests::load::Load;
use caudal_tests::metrics::Metrics;
use caudal_tests::raw::{Raw, batch};
use caudal_tests::{Cluster, reader, until};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::NamedTempFile;

const SOON: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;
const KAFKA_STORAGE_ERROR: i16 = 56;
/// What fills the disk.
const BALLAST: u64 = 4 << 30;
/// What other tests may write meanwhile, at most.
const OTHERS: u64 = 2 << 30;

fn free() -> u64 {
    FilesystemSize::of(&std::env::temp_dir()).expect("the filesystem tells").free
}

/// Takes space until it is dropped.
fn ballast() -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    let allocated = rustix::fs::fallocate(file.as_file(), rustix::fs::FallocateFlags::empty(), 0, BALLAST);
    allocated.expect("the test needs some GiB of free space");
    file
}

fn create(cluster: &Cluster, topic: &str) {
    cluster.must(&["topic", "create", topic, "--partitions", "6", "--replication-factor", "3"]);
}

fn is_full(cluster: &Cluster, node: u32) -> bool {
    Metrics::of(cluster, node).get("caudal_store_full") > 0.0
}

/// What the leader of partition 0 answers to a record.
fn produce(cluster: &Cluster, topic: &str) -> i16 {
    let metadata = Raw::connect(cluster.bootstrap()).metadata();
    let found = metadata.topics.iter().find(|found| found.name.as_ref().is_some_and(|name| &***name == topic));
    let leader = found.expect("the topic is there").partitions[0].leader_id;
    let address = cluster.address(leader.0.unsigned_abs());
    Raw::connect(address).produce(topic, batch(b"x")).0
}

/// Reads records of partition 0 as a member of a consumer group, and commits.
fn read_and_commit(cluster: &Cluster, topic: &str) {
    let consumer = reader::consumer(cluster.bootstrap(), "invoices");
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, 0, Offset::Beginning).expect("a valid offset");
    consumer.assign(&place).expect("assigned");
    for offset in 0..50 {
        let message = consumer.poll(SOON).expect("a record in time").expect("no error");
        assert_eq!(message.offset(), offset);
        consumer.commit_message(&message, CommitMode::Sync).expect("committed");
    }
}

/// How many partitions each node leads, as node 2 knows it.
fn led(cluster: &Cluster, node: u32) -> usize {
    let metadata = Raw::connect(cluster.address(2)).metadata();
    let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.filter(|partition| partition.leader_id.0.unsigned_abs() == node).count()
}

#[test]
fn a_cluster_whose_disks_are_full_serves_what_it_has_and_takes_records_again_once_there_is_space() {
    let reserve = free() - OTHERS;
    let cluster = Cluster::start(3, &[&format!("storage.reserve.bytes={reserve}")]);
    create(&cluster, "compras");
    create(&cluster, "old");
    create(&cluster, "probe");
    let load = Load::start(cluster.bootstrap(), "compras", PARTITIONS);
    until(SOON, "acknowledgements", || load.acknowledged() >= 600);

    let ballast = ballast();
    until(SOON, "all nodes to see that their disks are full", || cluster.nodes().all(|node| is_full(&cluster, node)));
    assert_eq!(produce(&cluster, "probe"), KAFKA_STORAGE_ERROR);
    // What makes space goes on; so does reading, by a group whose offsets are committed.
    cluster.must(&["topic", "delete", "old"]);
    read_and_commit(&cluster, "compras");
    for node in cluster.nodes() {
        assert!(cluster.log(node).contains("the disk is full but for its reserve"), "node {node} says so");
    }

    drop(ballast);
    let now = Instant::now();
    until(SOON, "all partitions to take records again", || load.all_acknowledged_since(now));
    assert_eq!(produce(&cluster, "probe"), 0);
    let report = load.finish();
    assert!(report.acknowledged > 600, "{report:?}");
}

#[test]
fn a_node_whose_disk_is_full_leads_nothing_that_others_can_lead() {
    let cluster = Cluster::start(3, &["raft.rebalance.after.ms=500"]);
    create(&cluster, "compras");
    let load = Load::start(cluster.bootstrap(), "compras", PARTITIONS);
    until(SOON, "acknowledgements", || load.acknowledged() >= 600);

    // Half of the reserve is used, too: the node does not follow either.
    cluster.signal(1, "TERM");
    set_reserve(&cluster, 1, (free() * 3).min(1 << 44));
    cluster.start_node(1);
    assert!(cluster.log(1).contains("half of the disk's reserve is used"), "it says so");
    // Much longer than it takes a node that wants its preferred leaderships to get them.
    let wanted = load.acknowledged() + 1800;
    until(SOON, "the others to take what it does not", || {
        assert_eq!(led(&cluster, 1), 0);
        load.acknowledged() >= wanted
    });

    cluster.signal(1, "TERM");
    set_reserve(&cluster, 1, 0);
    cluster.start_node(1);
    until(SOON, "its preferred leaderships to come back", || led(&cluster, 1) > 0);
    cluster.signal(3, "KILL");
    let now = Instant::now();
    until(SOON, "an acknowledgement from every partition", || load.all_acknowledged_since(now));
    cluster.start_node(3);
    let report = load.finish();
    assert!(report.acknowledged > 600, "{report:?}");
}

fn set_reserve(cluster: &Cluster, node: u32, bytes: u64) {
    let path: PathBuf = cluster.node_dir(node).join("caudal.toml");
    let text = fs::read_to_string(&path).expect("the configuration can be read");
    let others: Vec<_> = text.lines().filter(|line| !line.contains("storage.reserve.bytes")).collect();
    let mut file = File::create(&path).expect("the configuration can be written");
    writeln!(file, "storage.reserve.bytes = {bytes}\n{}", others.join("\n")).expect("written");
}
