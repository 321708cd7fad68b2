//! MirrorMaker 2 with exactly-once support, from a cluster of Caudal and from Apache Kafka to Caudal: records arrive as they are and once, settings and
//! partitions follow, and groups go on in the copy from where they were, although a node of the target or MirrorMaker itself dies.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use caudal_tests::apache_kafka::ApacheKafka;
use caudal_tests::jvm::Jvm;
use caudal_tests::load::Load;
use caudal_tests::{Cluster, assert_same, committed, reader, topics, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tempfile::TempDir;

const TOPIC: &str = "compras";
const COPY: &str = "source.compras";
/// A second topic, which is written all the time.
const BUSY: &str = "carga";
const COPY_OF_BUSY: &str = "source.carga";
const GROUP: &str = "faturas";
const PARTITIONS: i32 = 3;
const HALF: usize = 600;
const SOON: Duration = Duration::from_secs(60);

/// What is copied of a record.
#[derive(Debug, PartialEq)]
struct Content {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

impl Content {
    fn of(record: &OwnedMessage) -> Self {
        let header = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: record.headers().into_iter().flat_map(|headers| headers.iter().map(header)).collect(),
            timestamp: record.timestamp().to_millis(),
        }
    }
}

/// The contents of the records of each partition.
fn contents(records: &[Vec<OwnedMessage>]) -> Vec<Vec<Content>> {
    records.iter().map(|records| records.iter().map(Content::of).collect()).collect()
}

fn same_in_each_partition(what: &str, found: &[Vec<Content>], wanted: &[Vec<Content>]) {
    for (partition, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_same(&format!("{what} in partition {partition}"), found, wanted);
    }
}

/// Writes numbered records with all that may be odd: no key, no value, an empty one, headers that repeat or have no value, old timestamps.
fn produce(bootstrap: &str, numbers: Range<usize>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .create()
        .expect("a producer");
    for number in numbers {
        let (key, value) = (format!("cartao-{}", number % 50), format!("compra {number}"));
        let time = i64::try_from(number).expect("fits");
        let partition = i32::try_from(number).expect("fits") % PARTITIONS;
        let mut record = BaseRecord::to(TOPIC).partition(partition).timestamp(1_700_000_000_000 + time);
        if number % 7 != 1 {
            record = record.key(&key);
        }
        match number % 11 {
            9 => {}
            5 => record = record.payload(""),
            _ => record = record.payload(&value),
        }
        if number % 3 != 0 {
            let repeated = |value| Header { key: "loja", value };
            let headers = OwnedHeaders::new().insert(repeated(Some(&value))).insert(repeated(None));
            record = record.headers(headers.insert(repeated(Some(&key))));
        }
        producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
    }
    producer.flush(SOON).expect("all are written");
}

/// Reads `count` records in the group from where it is, and commits.
fn read_in_group(bootstrap: &str, topic: &str, count: usize) -> Vec<Vec<OwnedMessage>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let mut read: Vec<_> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    for _ in 0..count {
        // Errors that librdkafka shows meanwhile are passing ones: it tries again.
        let next = || consumer.poll(Duration::from_millis(100))?.ok().map(|message| message.detach());
        let message = until_some(SOON, "the group to read a record", next);
        read[usize::try_from(message.partition()).expect("partitions count from 0")].push(message);
    }
    consumer.commit_consumer_state(CommitMode::Sync).expect("committed");
    read
}

/// The offsets of a topic so far, over its partitions.
fn end(bootstrap: &str, topic: &str) -> Option<i64> {
    let consumer = reader::consumer(bootstrap, "reader");
    let end = |partition| Some(consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).ok()?.1);
    (0..PARTITIONS).map(end).sum()
}

/// MirrorMaker between two clusters.
struct Mirror<'a> {
    source: &'a str,
    target: Cluster,
    dir: TempDir,
}

impl Mirror<'_> {
    fn properties(&self) -> String {
        let (source, target, factor) = (self.source, self.target.bootstrap(), self.target.nodes().count());
        let port = caudal_testing::port_block(&[]);
        format!(
            "clusters = source,target
            source.bootstrap.servers = {source}
            target.bootstrap.servers = {target}
            source->target.enabled = true
            topics = {TOPIC},{BUSY}
            groups = {GROUP}
            # Of the other direction nothing is wanted, not even heartbeats.
            emit.heartbeats.enabled = false
            source->target.emit.heartbeats.enabled = true
            # Exactly once.
            target.exactly.once.source.support = enabled
            source.consumer.isolation.level = read_committed
            dedicated.mode.enable.internal.rest = true
            listeners = http://127.0.0.1:{port}
            # As exact, as often and as soon as it can.
            sync.group.offsets.enabled = true
            offset.lag.max = 0
            refresh.topics.interval.seconds = 1
            refresh.groups.interval.seconds = 1
            sync.topic.configs.interval.seconds = 1
            sync.group.offsets.interval.seconds = 1
            emit.checkpoints.interval.seconds = 1
            target.offset.flush.interval.ms = 1000
            target.session.timeout.ms = 6000
            target.heartbeat.interval.ms = 1000
            target.scheduled.rebalance.max.delay.ms = 0
            # One that starts waits for the transaction in which its predecessor was killed.
            target.producer.transaction.timeout.ms = 10000
            plugin.discovery = service_load
            target.plugin.discovery = service_load
            offset.storage.partitions = 5
            replication.factor = {factor}
            checkpoints.topic.replication.factor = {factor}
            heartbeats.topic.replication.factor = {factor}
            config.storage.replication.factor = {factor}
            offset.storage.replication.factor = {factor}
            status.storage.replication.factor = {factor}
            # This one is in the source, which has one node.
            offset-syncs.topic.replication.factor = 1
            "
        )
    }

    fn start(&self) -> Jvm {
        let path = self.dir.path().join("mm2.properties");
        fs::write(&path, self.properties()).expect("the configuration is written");
        Jvm::start("org.apache.kafka.connect.mirror.MirrorMaker", &[path.to_str().expect("a path of text")])
    }

    /// Waits until more records are copied.
    fn until_more(&self, what: &str) {
        const MORE: i64 = 1000;
        let end = || end(self.target.bootstrap(), COPY_OF_BUSY);
        let before = until_some(SOON, "the copy's offsets", end);
        until(SOON, &format!("more records {what}"), || end().is_some_and(|end| end >= before + MORE));
    }
}

/// Of a topic: it keeps everything, since the timestamps are old.
fn settings(largest: &str) -> [(&'static str, &str); 2] {
    [("retention.ms", "-1"), ("max.message.bytes", largest)]
}

fn mirrored(source: &str, nodes: u32, mishap: fn(&Mirror<'_>, &mut Jvm)) {
    for topic in [TOPIC, BUSY] {
        topics::create(source, topic, PARTITIONS, 1, &settings("2000000"));
    }
    produce(source, 0..HALF);
    read_in_group(source, TOPIC, HALF);
    let load = Load::start(source, BUSY, PARTITIONS);
    let dir = tempfile::Builder::new().prefix("caudal-mirror-").tempdir().expect("a folder");
    let target = Cluster::start(nodes, &["group.initial.rebalance.delay.ms=0"]);
    let mirror = Mirror { source, target, dir };
    let target = mirror.target.bootstrap();
    let mut maker = mirror.start();
    until(SOON, "the topic to be there", || topics::replicas(target, COPY).len() == PARTITIONS as usize);

    let first = committed::read(target, COPY, PARTITIONS, HALF);
    let after = |records: &Vec<OwnedMessage>| records.last().expect("each partition has records").offset() + 1;
    let places: Vec<_> = first.iter().map(after).collect();
    until(SOON, "the group to be at the same place in the copy", || {
        committed::offsets(target, GROUP, COPY, PARTITIONS).as_ref() == Some(&places)
    });
    produce(source, HALF..HALF * 3 / 2);
    mirror.until_more("before the mishap");
    mishap(&mirror, &mut maker);
    produce(source, HALF * 3 / 2..HALF * 2);
    mirror.until_more("after the mishap");

    let report = load.finish();
    let originals = |topic, count| contents(&committed::read(source, topic, PARTITIONS, count));
    let copies = |topic, count| contents(&committed::read(target, topic, PARTITIONS, count));
    let all = originals(TOPIC, HALF * 2);
    same_in_each_partition("copies", &copies(COPY, HALF * 2), &all);
    let count = report.acknowledged;
    same_in_each_partition("copies under load", &copies(COPY_OF_BUSY, count), &originals(BUSY, count));
    let rest: Vec<_> = all.into_iter().map(|mut records| records.split_off(records.len() / 2)).collect();
    same_in_each_partition("the group's other half", &contents(&read_in_group(target, COPY, HALF)), &rest);

    assert_eq!(topics::replicas(target, COPY), [nodes as usize; PARTITIONS as usize]);
    let is_set = |largest: &str| {
        settings(largest).into_iter().all(|(key, value)| topics::setting(target, COPY, key).as_deref() == Some(value))
    };
    assert!(is_set("2000000"), "the topic is created with its settings");
    topics::set(source, TOPIC, &settings("3000000"));
    until(SOON, "the settings to follow", || is_set("3000000"));
    topics::grow(source, TOPIC, PARTITIONS as usize + 1);
    until(SOON, "the partitions to follow", || topics::replicas(target, COPY).len() == PARTITIONS as usize + 1);
}

fn a_node_dies(mirror: &Mirror<'_>, _: &mut Jvm) {
    let leader = || topics::leader(mirror.target.bootstrap(), COPY_OF_BUSY, 0);
    let node = until_some(SOON, "a leader", leader);
    mirror.target.signal(node, "KILL");
    mirror.until_more("without a node");
    mirror.target.start_node(node);
}

fn mirror_maker_dies(mirror: &Mirror<'_>, maker: &mut Jvm) {
    maker.kill();
    *maker = mirror.start();
}

fn one_node() -> Cluster {
    Cluster::start(1, &["group.initial.rebalance.delay.ms=0"])
}

#[test]
fn a_cluster_is_copied_to_three_nodes_although_one_dies() {
    mirrored(one_node().bootstrap(), 3, a_node_dies);
}

#[test]
fn a_cluster_is_copied_to_one_node_although_mirror_maker_dies() {
    mirrored(one_node().bootstrap(), 1, mirror_maker_dies);
}

#[test]
fn apache_kafka_is_copied_to_three_nodes_although_one_dies() {
    mirrored(ApacheKafka::start().bootstrap(), 3, a_node_dies);
}

#[test]
fn apache_kafka_is_copied_to_one_node_although_mirror_maker_dies() {
    mirrored(ApacheKafka::start().bootstrap(), 1, mirror_maker_dies);
}
