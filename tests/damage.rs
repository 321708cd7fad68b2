//! Nodes that lose their disks, or find them damaged: they say so, undo nothing that they had acknowledged, and are whole again by themselves.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caudal_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};
use caudal_tests::load::Load;
use caudal_tests::metrics::Metrics;
use caudal_tests::raw::Raw;
use caudal_tests::{Cluster, reader, until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const SOON: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;
/// Large enough to be kept in blob files.
const LARGE: usize = 5000;
const LARGE_RECORDS: usize = 4000;

fn cluster_with_topic(set: &[&str]) -> Cluster {
    let cluster = Cluster::start(3, set);
    cluster.must(&["topic", "create", "compras", "--partitions", "6", "--replication-factor", "3"]);
    cluster
}

fn wait_for_load(load: &Load, more: usize) {
    let wanted = load.acknowledged() + more;
    until(SOON, "more acknowledgements", || load.acknowledged() >= wanted);
}

/// Waits until none of a node's replicas is doubtful, and all are there and well.
fn wait_until_whole(cluster: &Cluster, node: u32) {
    let with = |name: &str, value: f64| {
        let metrics = Metrics::of(cluster, node);
        metrics
            .since(&Metrics::default(), |metric| metric.starts_with(name))
            .into_values()
            .filter(|v| *v == value)
            .count()
    };
    // Metadata, 16 coordinator shards, the partitions.
    let replicas = 1 + 16 + PARTITIONS.unsigned_abs() as usize;
    until(SOON, "all of the node's replicas to be trusted", || {
        with("caudal_raft_doubtful{", 0.0) == replicas && with("caudal_raft_failed{", 0.0) == replicas
    });
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the database's folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("the file can be read");
    bytes[at] ^= 0x10;
    fs::write(file, bytes).expect("the file can be written");
}

#[test]
fn a_node_that_lost_its_disk_gets_everything_from_the_others_and_is_not_relied_on_before() {
    let cluster = cluster_with_topic(&[]);
    let load = Load::start(cluster.bootstrap(), "compras", PARTITIONS);
    wait_for_load(&load, 600);
    for victim in [2, 3] {
        cluster.signal(victim, "KILL");
        wait_for_load(&load, 600);
        fs::remove_dir_all(cluster.node_dir(victim).join("data")).expect("the data can be removed");
        cluster.start_node(victim);
        wait_until_whole(&cluster, victim);
        assert!(cluster.log(victim).contains("this node's disk is empty, and its cluster is not new"), "it says so");
        // It is relied on again: with it, a majority goes on without node 1.
        cluster.signal(1, "KILL");
        let now = Instant::now();
        until(SOON, "an acknowledgement from every partition", || load.all_acknowledged_since(now));
        cluster.start_node(1);
        wait_until_whole(&cluster, 1);
    }
    let report = load.finish();
    assert!(report.acknowledged > 2000, "{report:?}");
}

#[test]
fn a_node_whose_write_ahead_log_is_damaged_says_so_and_asks_the_others() {
    let cluster = cluster_with_topic(&[]);
    let load = Load::start(cluster.bootstrap(), "compras", PARTITIONS);
    wait_for_load(&load, 1800);
    cluster.signal(2, "KILL");
    let logs = files(&cluster.node_dir(2).join("data/db"), "log");
    for log in logs {
        let bytes = fs::read(&log).expect("the log can be read");
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        if end > 100_000 {
            flip(&log, end / 2);
        }
    }
    cluster.start_node(2);
    assert!(cluster.log(2).contains("the write-ahead log is damaged"), "it says so");
    wait_until_whole(&cluster, 2);
    cluster.signal(1, "KILL");
    let now = Instant::now();
    until(SOON, "an acknowledgement from every partition", || load.all_acknowledged_since(now));
    cluster.start_node(1);
    let report = load.finish();
    assert!(report.acknowledged > 1800, "{report:?}");
}

#[test]
fn a_replica_with_damaged_entries_is_rebuilt_from_the_others() {
    let cluster = cluster_with_topic(&["storage.log.memtable.bytes=1048576", "raft.log.cache.bytes=1048576"]);
    produce_large(&cluster);
    cluster.signal(2, "KILL");
    let blobs = files(&cluster.node_dir(2).join("data/db"), "blob");
    assert!(!blobs.is_empty(), "there are blob files to damage");
    for blob in &blobs {
        let length = fs::metadata(blob).expect("the file is there").len();
        for part in 1..8 {
            flip(blob, usize::try_from(length * part / 8).expect("fits"));
        }
    }
    cluster.start_node(2);
    // Its preferred leaderships come back to it, and it is read from.
    until(SOON, "the damaged replicas to be rebuilt", || {
        assert_eq!(read_all(&cluster), LARGE_RECORDS);
        cluster.log(2).contains("a damaged replica was removed, and is rebuilt from the others")
    });
    wait_until_whole(&cluster, 2);
    cluster.signal(1, "KILL");
    assert_eq!(read_all(&cluster), LARGE_RECORDS);
}

#[test]
fn a_coordinator_with_damaged_entries_starts_again_without_them() {
    let cluster = cluster_with_topic(&["storage.log.memtable.bytes=1048576", "raft.log.cache.bytes=1048576"]);
    let coordinator = coordinator_of(&cluster, GROUP);
    let late = cluster.nodes().find(|node| *node != coordinator).expect("another node");
    cluster.signal(late, "KILL");
    let last = commit_large(&cluster);
    let blobs = files(&cluster.node_dir(coordinator).join("data/db"), "blob");
    assert!(!blobs.is_empty(), "there are blob files to damage");
    blobs.iter().for_each(|blob| flip_everywhere(blob));
    // It asks for what it lacks, and the coordinator has to read it.
    cluster.start_node(late);
    let started = |node| cluster.log(node).matches(" ready version=").count();
    until(SOON, "the coordinator to start again", || started(coordinator) == 2);
    assert!(cluster.log(coordinator).contains("to start again without the damaged replica"), "it says so");
    for node in cluster.nodes() {
        wait_until_whole(&cluster, node);
    }
    let third = cluster.nodes().find(|node| ![coordinator, late].contains(node)).expect("a third node");
    cluster.signal(third, "KILL");
    assert_eq!(committed(&cluster), last);
}

const GROUP: &str = "invoices";
const COMMITS: i64 = 1500;

fn coordinator_of(cluster: &Cluster, group: &str) -> u32 {
    let request = FindCoordinatorRequest::default().with_key(StrBytes::from_string(group.to_owned()));
    let answer: FindCoordinatorResponse = Raw::connect(cluster.bootstrap()).call(10, 3, true, &request);
    assert_eq!(answer.error_code, 0);
    answer.node_id.0.unsigned_abs()
}

/// Commits offsets with as much beside them as there may be, so that they go to blob files; answers the last of each partition.
fn commit_large(cluster: &Cluster) -> Vec<Offset> {
    let member = reader::consumer(cluster.bootstrap(), GROUP);
    let metadata = "x".repeat(4000);
    let mut last = vec![Offset::Invalid; PARTITIONS.unsigned_abs() as usize];
    for number in 0..COMMITS {
        let partition = number % i64::from(PARTITIONS);
        let mut offsets = TopicPartitionList::new();
        let mut place = offsets.add_partition("compras", i32::try_from(partition).expect("fits"));
        place.set_offset(Offset::Offset(number)).expect("a valid offset");
        place.set_metadata(&metadata);
        member.commit(&offsets, CommitMode::Sync).expect("committed");
        last[usize::try_from(partition).expect("fits")] = Offset::Offset(number);
    }
    last
}

fn committed(cluster: &Cluster) -> Vec<Offset> {
    let mut places = TopicPartitionList::new();
    places.add_partition_range("compras", 0, PARTITIONS - 1);
    let member = reader::consumer(cluster.bootstrap(), GROUP);
    let committed = member.committed_offsets(places, SOON).expect("the committed offsets");
    committed.elements().iter().map(|place| place.offset()).collect()
}

/// Damages each entry in a file that a node has open.
fn flip_everywhere(blob: &Path) {
    let file = File::options().read(true).write(true).open(blob).expect("the file can be opened");
    let length = file.metadata().expect("the file is there").len();
    for at in (2000..length).step_by(3000) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("read");
        file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
    }
}

fn large(number: usize) -> String {
    format!("{number:0LARGE$}")
}

fn produce_large(cluster: &Cluster) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "10")
        .create()
        .expect("a producer");
    for number in 0..LARGE_RECORDS {
        let value = large(number);
        let partition = i32::try_from(number).expect("fits") % PARTITIONS;
        let record: BaseRecord<'_, (), str> = BaseRecord::to("compras").partition(partition).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
    }
    producer.flush(SOON).expect("all records are acknowledged");
}

/// Reads every partition from its start to its end, and checks each record; answers how many there are.
fn read_all(cluster: &Cluster) -> usize {
    let mut read = 0;
    for partition in 0..PARTITIONS {
        for (offset, message) in (0_usize..).zip(reader::read_partition(cluster.bootstrap(), "compras", partition)) {
            let number = offset * PARTITIONS.unsigned_abs() as usize + partition.unsigned_abs() as usize;
            assert_eq!(usize::try_from(message.offset()), Ok(offset));
            assert_eq!(message.payload(), Some(large(number).as_bytes()), "partition {partition}, offset {offset}");
            read += 1;
        }
    }
    read
}
