//! Old records go, by retention, by DeleteRecords and with their topics; and the space on the disks with them.

use std::time::Duration;

use caudal_tests::disk::{blob_bytes, data_bytes};
use caudal_tests::metrics::Metrics;
use caudal_tests::same::assert_same;
use caudal_tests::{Cluster, reader, topics, until};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

const SOON: Duration = Duration::from_secs(60);
const RECORD_BYTES: usize = 16 << 10;
const MIB: u64 = 1 << 20;
/// Records whose batches, of one each, are below a KiB: they lie in other files than larger ones.
const SMALL: usize = 60_000;
const SMALL_BYTES: usize = 850;
/// Looks often, so that the tests need not wait.
const LOOKS_OFTEN: &str = "log.retention.check.interval.ms=200";

/// What no codec makes smaller, different for every record.
fn value(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..RECORD_BYTES / 8).flat_map(|_| word()).collect()
}

/// Writes records `from..to` to partition 0, all acknowledged.
fn produce(cluster: &Cluster, topic: &str, numbers: std::ops::Range<u64>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("enable.idempotence", "true")
        .set("batch.size", "32768")
        .create()
        .expect("a producer");
    for number in numbers {
        let (key, value) = (number.to_string(), value(number));
        let mut record = BaseRecord::to(topic).partition(0).key(&key).payload(&value);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
    producer.flush(SOON).expect("everything is acknowledged");
}

/// Writes small records to partition 0, each in a batch of its own, all acknowledged.
fn produce_small(cluster: &Cluster, topic: &str, count: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("batch.num.messages", "1")
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    let value = "x".repeat(SMALL_BYTES);
    for _ in 0..count {
        let mut record: BaseRecord<'_, (), str> = BaseRecord::to(topic).partition(0).payload(&value);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
    producer.flush(SOON).expect("everything is acknowledged");
}

/// The first offset and the end of partition 0, as its leader tells them.
fn ends(cluster: &Cluster, topic: &str) -> Option<(i64, i64)> {
    reader::consumer(cluster.bootstrap(), "ends").fetch_watermarks(topic, 0, SOON).ok()
}

fn begins_at(cluster: &Cluster, topic: &str) -> i64 {
    ends(cluster, topic).map_or(-1, |(start, _)| start)
}

/// Offset, key and value of every record that can be read.
fn records(cluster: &Cluster, topic: &str) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
    let read = reader::read_partition(cluster.bootstrap(), topic, 0);
    let parts = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
    read.iter().map(|message| (message.offset(), parts(message.key()), parts(message.payload()))).collect()
}

/// An index of the Raft log of a node's replica.
fn raft_index(cluster: &Cluster, node: u32, which: &str) -> f64 {
    Metrics::of(cluster, node).raft_index(which, "compras")
}

fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("an admin client")
}

/// DeleteRecords for partition 0: where the log begins then.
fn delete_records(cluster: &Cluster, topic: &str, before: Offset) -> Result<i64, RDKafkaErrorCode> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, before).expect("a valid offset");
    let options = AdminOptions::new().operation_timeout(Some(SOON)).request_timeout(Some(SOON));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let deleted = runtime.block_on(admin(cluster).delete_records(&offsets, &options)).expect("an answer");
    let partition = deleted.find_partition(topic, 0).expect("the partition is answered");
    match partition.error() {
        Ok(()) => Ok(partition.offset().to_raw().expect("an offset")),
        Err(error) => Err(error.rdkafka_error_code().expect("an error of the broker's")),
    }
}

#[test]
fn records_past_their_retention_go_and_their_space_comes_back() {
    let cluster = Cluster::start(1, &[LOOKS_OFTEN]);
    let small = [("internal.segment.bytes", "1048576"), ("retention.bytes", "-1")];
    topics::create(cluster.bootstrap(), "compras", 1, 1, &small);
    topics::create(cluster.bootstrap(), "kept", 1, 1, &small);
    produce(&cluster, "kept", 0..100);
    produce(&cluster, "compras", 0..8_000);
    assert_eq!(ends(&cluster, "compras"), Some((0, 8_000)));
    let before = blob_bytes(&cluster, 1);
    assert!(before > 60 * MIB, "{before} bytes of records are in files");

    // 32 segments of a MiB are kept.
    let by_size = [("internal.segment.bytes", "1048576"), ("retention.bytes", "33554432")];
    topics::set(cluster.bootstrap(), "compras", &by_size);
    until(SOON, "the oldest segments to go", || begins_at(&cluster, "compras") > 5_000);
    let (start, end) = ends(&cluster, "compras").expect("the ends");
    let kept = (end - start) * RECORD_BYTES as i64;
    assert!((30 << 20..34 << 20).contains(&kept), "{kept} bytes are kept");
    let read = records(&cluster, "compras");
    assert_eq!(read.len() as i64, end - start);
    assert!(read.iter().all(|(offset, _, found)| *found == value(offset.unsigned_abs())));
    until(SOON, "the space of the oldest segments", || blob_bytes(&cluster, 1) < before / 2);

    let by_age = [("internal.segment.bytes", "1048576"), ("retention.ms", "1000")];
    topics::set(cluster.bootstrap(), "compras", &by_age);
    until(SOON, "all segments to go, the open one too", || ends(&cluster, "compras") == Some((end, end)));
    until(SOON, "the space of all", || blob_bytes(&cluster, 1) < 8 * MIB);
    let metrics = Metrics::of(&cluster, 1);
    assert_eq!(metrics.get("caudal_partition_log_bytes{topic=\"compras\",partition=\"0\"}"), 0.0);
    assert!(metrics.get("caudal_store_log_bytes") < (8 * MIB) as f64);

    cluster.signal(1, "KILL");
    cluster.start_node(1);
    assert_eq!(ends(&cluster, "compras"), Some((end, end)), "after a restart");
    assert_eq!(records(&cluster, "kept").len(), 100, "others keep what they have");
}

#[test]
fn the_space_of_small_records_past_their_retention_comes_back_too() {
    let cluster = Cluster::start(1, &[LOOKS_OFTEN]);
    let settings = [("internal.segment.bytes", "1048576")];
    topics::create(cluster.bootstrap(), "compras", 1, 1, &settings);
    topics::create(cluster.bootstrap(), "kept", 1, 1, &settings);
    produce_small(&cluster, "kept", 100);
    produce_small(&cluster, "compras", SMALL);
    assert_eq!(ends(&cluster, "compras"), Some((0, SMALL as i64)));
    until(SOON, "small records in files", || data_bytes(&cluster, 1) > 24 * MIB);
    let (before, blobs) = (data_bytes(&cluster, 1), blob_bytes(&cluster, 1));
    assert!(blobs < MIB, "{blobs} bytes lie in files for large batches");

    topics::set(cluster.bootstrap(), "compras", &[("internal.segment.bytes", "1048576"), ("retention.ms", "1000")]);
    let all = SMALL as i64;
    until(SOON, "all segments to go, the open one too", || ends(&cluster, "compras") == Some((all, all)));
    until(SOON, "the space of all", || data_bytes(&cluster, 1) < before / 3);

    cluster.signal(1, "KILL");
    cluster.start_node(1);
    assert_eq!(ends(&cluster, "compras"), Some((all, all)), "after a restart");
    assert_eq!(records(&cluster, "kept").len(), 100, "others keep what they have");
}

#[test]
fn deleted_records_are_gone_for_every_reader_and_every_leader() {
    let cluster = Cluster::start(3, &[LOOKS_OFTEN, "raft.rebalance.after.ms=500"]);
    topics::create(cluster.bootstrap(), "compras", 1, 3, &[("internal.segment.bytes", "262144")]);
    produce(&cluster, "compras", 0..100);
    assert_eq!(delete_records(&cluster, "compras", Offset::Offset(42)), Ok(42));
    assert_eq!(ends(&cluster, "compras"), Some((42, 100)));
    assert_eq!(records(&cluster, "compras")[0].0, 42, "in the middle of a segment");
    assert_eq!(delete_records(&cluster, "compras", Offset::Offset(7)), Ok(42), "it never goes back");
    assert_eq!(
        delete_records(&cluster, "compras", Offset::Offset(101)),
        Err(RDKafkaErrorCode::OffsetOutOfRange),
        "beyond the end"
    );
    let leader = topics::leader(cluster.bootstrap(), "compras", 0).expect("a leader");
    cluster.signal(leader, "KILL");
    until(SOON, "another leader", || {
        topics::leader(cluster.bootstrap(), "compras", 0).is_some_and(|now| now != leader)
    });
    until(SOON, "the next leader to say the same", || ends(&cluster, "compras") == Some((42, 100)));
    cluster.start_node(leader);
    assert_eq!(delete_records(&cluster, "compras", Offset::End), Ok(100));
    assert_eq!(ends(&cluster, "compras"), Some((100, 100)));
    produce(&cluster, "compras", 100..110);
    assert_eq!(records(&cluster, "compras").len(), 10);

    topics::create(cluster.bootstrap(), "compacted", 1, 3, &[("cleanup.policy", "compact")]);
    produce(&cluster, "compacted", 0..3);
    assert_eq!(delete_records(&cluster, "compacted", Offset::Offset(1)), Err(RDKafkaErrorCode::PolicyViolation));
}

#[test]
fn a_node_that_was_away_for_a_retention_has_the_same_records_as_the_others() {
    let cluster = Cluster::start(3, &[LOOKS_OFTEN, "raft.rebalance.after.ms=500"]);
    let settings = [("internal.segment.bytes", "262144"), ("retention.bytes", "-1")];
    topics::create(cluster.bootstrap(), "compras", 1, 3, &settings);
    produce(&cluster, "compras", 0..200);
    // The preferred leader, so that it leads again later, and is read from.
    let away = topics::leader(cluster.bootstrap(), "compras", 0).expect("a leader");
    let has = raft_index(&cluster, away, "last_log_index");
    assert!(has > 0.0);
    cluster.signal(away, "KILL");
    until(SOON, "another leader", || topics::leader(cluster.bootstrap(), "compras", 0).is_some_and(|now| now != away));
    produce(&cluster, "compras", 200..600);
    topics::set(
        cluster.bootstrap(),
        "compras",
        &[("internal.segment.bytes", "262144"), ("retention.bytes", "1048576")],
    );
    until(SOON, "what the node has to be gone at the others", || begins_at(&cluster, "compras") > 400);
    produce(&cluster, "compras", 600..620);
    // A MiB and a segment at most; then nothing more goes.
    let most = (1_048_576 + 262_144) / RECORD_BYTES as i64 + 2;
    until(SOON, "retention to have come to its end", || {
        ends(&cluster, "compras").is_some_and(|(start, end)| end - start <= most)
    });
    let (start, end) = ends(&cluster, "compras").expect("the ends");
    let expected = records(&cluster, "compras");
    assert_eq!((end, expected.len() as i64), (620, end - start));
    // So that nobody can send it the entries that it lacks: it has to begin with a checkpoint.
    for node in cluster.nodes().filter(|node| *node != away) {
        until(SOON, "the others to have purged what the node has", || raft_index(&cluster, node, "purged_index") > has);
    }

    cluster.start_node(away);
    until(SOON, "a checkpoint in place of what the node had", || raft_index(&cluster, away, "purged_index") > has);
    until(SOON, "the node to lead again", || topics::leader(cluster.bootstrap(), "compras", 0) == Some(away));
    let found = records(&cluster, "compras");
    assert_same("the records at the node that was away", &found, &expected);
    let name = "caudal_partition_log_start_offset{topic=\"compras\",partition=\"0\"}";
    for node in cluster.nodes() {
        until(SOON, "all replicas to begin at the same offset", || {
            Metrics::of(&cluster, node).get(name) == start as f64
        });
    }
    produce(&cluster, "compras", 620..640);
    until(SOON, "retention to go on", || begins_at(&cluster, "compras") >= start);
    assert!(records(&cluster, "compras").iter().all(|(offset, _, found)| *found == value(offset.unsigned_abs())));
}

#[test]
fn a_deleted_topic_gives_its_space_back_and_leaves_the_next_of_its_name_alone() {
    let cluster = Cluster::start(1, &[]);
    topics::create(cluster.bootstrap(), "compras", 1, 1, &[]);
    produce(&cluster, "compras", 0..6_000);
    let before = blob_bytes(&cluster, 1);
    assert!(before > 60 * MIB, "{before} bytes of records are in files");
    cluster.must(&["topic", "delete", "compras"]);
    topics::create(cluster.bootstrap(), "compras", 1, 1, &[]);
    produce(&cluster, "compras", 10_000..10_010);
    until(SOON, "the space of the deleted topic", || blob_bytes(&cluster, 1) < 8 * MIB);
    let read = records(&cluster, "compras");
    assert_eq!((read.len(), read[0].0), (10, 0));
    assert!(read.iter().all(|(offset, _, found)| *found == value(10_000 + offset.unsigned_abs())));
    cluster.signal(1, "KILL");
    cluster.start_node(1);
    assert_eq!(records(&cluster, "compras"), read, "after a restart");
}
