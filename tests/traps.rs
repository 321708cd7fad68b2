//! Traps that other compatible brokers fell into, each a test, with librdkafka and kcat.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use caudal_tests::{Cluster, Driver, Record};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const WAIT: Duration = Duration::from_secs(30);

fn cluster() -> Cluster {
    Cluster::start(3, &["group.initial.rebalance.delay.ms=0"])
}

fn consumer(cluster: &Cluster, group: &str, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap()).set("group.id", group).set("auto.offset.reset", "earliest");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create().expect("a consumer")
}

fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("an admin client")
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

/// Numbered records with a timestamp each, `per_partition` for each partition, in one batch each.
fn numbered(partitions: i32, per_partition: i64) -> Vec<Record> {
    let record = |partition, number| Record {
        partition,
        offset: None,
        key: Some("aw==".into()),
        value: Some("dg==".into()),
        headers: vec![],
        timestamp: 1_000_000 + number * 1000,
    };
    (0..partitions).flat_map(|partition| (0..per_partition).map(move |number| record(partition, number))).collect()
}

/// Trap 1: a fetch inside of a batch returns the whole batch, and the client skips what it did not ask for.
#[test]
fn fetch_inside_of_a_batch() {
    let cluster = cluster();
    Driver::Librdkafka.create(cluster.bootstrap(), "inside", 1, 3);
    Driver::Librdkafka.produce(cluster.bootstrap(), "inside", "lz4", &numbered(1, 50));
    for offset in [1, 17, 48, 49] {
        let count = usize::try_from(50 - offset).expect("fits");
        let read = Driver::FranzGo.seek(cluster.bootstrap(), "inside", 0, offset, count);
        let offsets: Vec<_> = read.iter().filter_map(|record| record.offset).collect();
        assert_eq!(offsets, (offset..50).collect::<Vec<_>>());
    }
}

/// Trap 6: offsets by time.
#[test]
fn offsets_for_times() {
    let cluster = cluster();
    Driver::Java.create(cluster.bootstrap(), "times", 1, 3);
    Driver::Java.produce(cluster.bootstrap(), "times", "zstd", &numbered(1, 100));
    let consumer = consumer(&cluster, "times", &[]);
    for (time, wanted) in [(0, 0), (1_000_000, 0), (1_000_001, 1), (1_042_000, 42), (1_098_500, 99), (1_099_000, 99)] {
        let mut query = TopicPartitionList::new();
        query.add_partition_offset("times", 0, Offset::Offset(time)).expect("valid");
        let found = consumer.offsets_for_times(query, WAIT).expect("found");
        assert_eq!(found.elements()[0].offset(), Offset::Offset(wanted), "at {time}");
    }
    let mut late = TopicPartitionList::new();
    late.add_partition_offset("times", 0, Offset::Offset(2_000_000)).expect("valid");
    let found = consumer.offsets_for_times(late, WAIT).expect("answered");
    assert_eq!(found.elements()[0].offset(), Offset::End, "after the last record there is none");
}

/// Trap 7: what a client writes into a commit comes back.
#[test]
fn commits_keep_their_metadata() {
    let cluster = cluster();
    Driver::Librdkafka.create(cluster.bootstrap(), "noted", 2, 3);
    let consumer = consumer(&cluster, "noting", &[("enable.auto.commit", "false")]);
    let mut places = TopicPartitionList::new();
    {
        let mut place = places.add_partition("noted", 1);
        place.set_offset(Offset::Offset(7)).expect("valid");
        place.set_metadata("olá, mundo");
    }
    consumer.commit(&places, CommitMode::Sync).expect("committed");
    let committed = consumer.committed_offsets(places, WAIT).expect("fetched");
    let place = &committed.elements()[0];
    assert_eq!((place.offset(), place.metadata()), (Offset::Offset(7), "olá, mundo"));
}

/// Trap 7: configurations have rows, and partitions can be added.
#[test]
fn configurations_and_more_partitions() {
    let cluster = cluster();
    Driver::KafkaPython.create(cluster.bootstrap(), "grown", 1, 3);
    let admin = admin(&cluster);
    let options = AdminOptions::new().operation_timeout(Some(WAIT));
    let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic("grown")], &options)).expect("answered");
    let configs = described.into_iter().next().expect("one resource").expect("described");
    assert!(configs.entries.len() > 20, "Kafka has some thirty keys, here are {}", configs.entries.len());
    let retention = configs.get("retention.ms").expect("retention.ms");
    assert_eq!(retention.value.as_deref(), Some("604800000"));

    let grown = block_on(admin.create_partitions(&[NewPartitions::new("grown", 5)], &options)).expect("answered");
    assert!(grown[0].is_ok(), "{grown:?}");
    let metadata = admin.inner().fetch_metadata(Some("grown"), WAIT).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
    assert!(metadata.topics()[0].partitions().iter().all(|partition| partition.leader() > 0), "all have leaders");

    let fewer = block_on(admin.create_partitions(&[NewPartitions::new("grown", 2)], &options)).expect("answered");
    assert!(fewer[0].is_err(), "a topic cannot shrink");
}

/// A first produce to a topic that is not there creates it, and meets no error.
#[test]
fn topics_come_into_being() {
    let cluster = Cluster::start(3, &["num.partitions=4"]);
    let mut child = Command::new("kcat")
        .args(["-b", cluster.bootstrap(), "-P", "-t", "by-itself", "-K:", "-H", "origem=teste"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat runs");
    child.stdin.take().expect("piped").write_all(b"a:1\nb:2\nc:3\n").expect("written");
    let output = child.wait_with_output().expect("kcat ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let kcat = |args: &[&str]| {
        let output = Command::new("kcat").args(["-b", cluster.bootstrap()]).args(args).output().expect("kcat runs");
        assert!(output.status.success(), "kcat {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = kcat(&["-L", "-t", "by-itself"]);
    assert!(listed.contains("topic \"by-itself\" with 4 partitions"), "{listed}");
    let read = kcat(&["-C", "-t", "by-itself", "-o", "beginning", "-e", "-q", "-f", "%k=%s %h\n"]);
    let lines: BTreeSet<_> = read.lines().collect();
    assert_eq!(lines, BTreeSet::from(["a=1 origem=teste", "b=2 origem=teste", "c=3 origem=teste"]));
    let in_group =
        kcat(&["-G", "kcat-group", "-c", "3", "-q", "-f", "%k\n", "-X", "auto.offset.reset=earliest", "by-itself"]);
    assert_eq!(in_group.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["a", "b", "c"]));
    let typo = ["-C", "-t", "typo", "-e", "-X", "allow.auto.create.topics=false"];
    let output = Command::new("kcat").args(["-b", cluster.bootstrap()]).args(typo).output().expect("kcat runs");
    assert!(!output.status.success(), "a reader does not create topics unless it asks to");
}

/// Trap 2: groups that rebalance at the same time, with static and dynamic members coming and going, read everything and forget no member.
#[test]
fn many_members_come_and_go() {
    const PARTITIONS: i32 = 6;
    const PER_PARTITION: i64 = 300;
    let cluster = cluster();
    Driver::Librdkafka.create(cluster.bootstrap(), "busy", PARTITIONS.unsigned_abs(), 3);
    Driver::Librdkafka.produce(cluster.bootstrap(), "busy", "none", &numbered(PARTITIONS, PER_PARTITION));
    let groups = ["etl-1", "etl-2", "etl-3"];
    thread::scope(|scope| {
        for group in groups {
            let cluster = &cluster;
            scope.spawn(move || read_with_changing_members(cluster, group, PARTITIONS, PER_PARTITION));
        }
    });
}

fn read_with_changing_members(cluster: &Cluster, group: &str, partitions: i32, per_partition: i64) {
    let seen = Mutex::new(BTreeSet::new());
    let done = AtomicBool::new(false);
    let total = usize::try_from(i64::from(partitions) * per_partition).expect("fits");
    thread::scope(|scope| {
        for member in 0..3 {
            let (seen, done) = (&seen, &done);
            scope.spawn(move || {
                let instance = format!("{group}-static-{member}");
                let end = Instant::now() + Duration::from_secs(90);
                for life in 0_u32.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    assert!(Instant::now() < end, "{group}: not all records in time");
                    // The first member is static; the others are dynamic and leave after a while.
                    let static_member = [("group.instance.id", instance.as_str())];
                    let consumer = consumer(cluster, group, if member == 0 { &static_member } else { &[] });
                    consumer.subscribe(&["busy"]).expect("subscribed");
                    let life_end =
                        Instant::now() + Duration::from_secs(if member == 0 { 90 } else { 3 + u64::from(life % 3) });
                    while Instant::now() < life_end && !done.load(Ordering::SeqCst) {
                        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                            let message = message.expect("no error");
                            let mut seen = seen.lock().expect("no panic while locked");
                            seen.insert((message.partition(), message.offset()));
                            if seen.len() == total {
                                done.store(true, Ordering::SeqCst);
                            }
                        }
                    }
                    if let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
                        // Nothing read since the last commit, or a rebalance under way: both are answered by reading again.
                        eprintln!("{group}/{member}: {error}");
                    }
                }
            });
        }
    });
    assert_eq!(seen.into_inner().expect("no panic").len(), total, "{group} read every record");
}
