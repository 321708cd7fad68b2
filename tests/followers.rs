//! Consumers that say where they are read from a replica there (KIP-392), and lose, repeat or see too early nothing for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use caudal_tests::load::Load;
use caudal_tests::metrics::Metrics;
use caudal_tests::{Cluster, Driver, Record, until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const SOON: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const PARTITIONS: i32 = 6;
const SELECTOR: &str = "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector";
/// Many small batches, so that leaders and followers change in the middle of reading.
const SETTINGS: [&str; 3] = ["broker.rack=rack-{node}", SELECTOR, "group.initial.rebalance.delay.ms=0"];

fn cluster(topic: &str) -> Cluster {
    let cluster = Cluster::start(3, &SETTINGS);
    cluster.must(&["topic", "create", topic, "--partitions", "6", "--replication-factor", "3"]);
    cluster
}

/// Bytes of records of `topic` that each node has served, and those of them that it served as a follower of any topic.
fn served(cluster: &Cluster, topic: &str) -> BTreeMap<u32, (f64, f64)> {
    let of = |node| {
        let metrics = Metrics::of(cluster, node);
        let name = format!("caudal_topic_fetched_bytes_total{{topic=\"{topic}\"}}");
        (node, (metrics.get(&name), metrics.get("caudal_follower_fetched_bytes_total")))
    };
    cluster.nodes().map(of).collect()
}

fn numbered(count: usize) -> Vec<Record> {
    let record = |number: usize| Record {
        partition: i32::try_from(number).expect("fits") % PARTITIONS,
        offset: None,
        key: None,
        value: Some("Y2F1ZGFs".to_owned()),
        headers: vec![],
        timestamp: 1_700_000_000_000,
    };
    (0..count).map(record).collect()
}

fn each_in_its_rack(driver: Driver) {
    let cluster = cluster("near");
    driver.produce(cluster.bootstrap(), "near", "none", &numbered(600));
    let mut before = served(&cluster, "near");
    for node in cluster.nodes() {
        let group = format!("in-rack-{node}");
        let read = driver.consume_in(&format!("rack-{node}"), cluster.bootstrap(), "near", &group, 600);
        let places: std::collections::BTreeSet<_> =
            read.iter().map(|record| (record.partition, record.offset)).collect();
        assert_eq!((read.len(), places.len()), (600, 600));
        let after = served(&cluster, "near");
        for (other, (bytes, as_follower)) in &after {
            let (bytes, as_follower) = (bytes - before[other].0, as_follower - before[other].1);
            println!(
                "{} in rack {node}: node {other} served {bytes} bytes, {as_follower} of them as a follower",
                driver.name()
            );
            if *other == node {
                assert!(bytes > 0.0 && as_follower > 0.0 && as_follower < bytes, "it leads some of the partitions");
            } else {
                assert!(bytes == 0.0, "node {other} served a client in rack {node}");
            }
        }
        before = after;
    }
    // Who does not say where it is reads from the leaders.
    driver.consume(cluster.bootstrap(), "near", "nowhere", 600);
    let after = served(&cluster, "near");
    for node in cluster.nodes() {
        assert!(after[&node].0 > before[&node].0 && after[&node].1 == before[&node].1, "node {node}: {after:?}");
    }
}

#[test]
fn the_java_client_reads_in_its_rack() {
    each_in_its_rack(Driver::Java);
}

#[test]
fn librdkafka_reads_in_its_rack() {
    each_in_its_rack(Driver::Librdkafka);
}

#[test]
fn franz_go_reads_in_its_rack() {
    each_in_its_rack(Driver::FranzGo);
}

fn in_rack(cluster: &Cluster, node: u32, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "reader")
        .set("client.rack", format!("rack-{node}"))
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // So that a client that was sent away comes back to its rack within the test.
        .set("topic.metadata.refresh.interval.ms", "2000")
        .create()
        .expect("a consumer")
}

/// Reads all partitions of a topic, and checks that no offset is left out or comes again.
struct Reader {
    consumer: BaseConsumer,
    next: BTreeMap<i32, i64>,
}

impl Reader {
    fn start(cluster: &Cluster, node: u32, topic: &str) -> Self {
        let consumer = in_rack(cluster, node, "read_uncommitted");
        let mut places = TopicPartitionList::new();
        places.add_partition_range(topic, 0, PARTITIONS - 1);
        places.set_all_offsets(Offset::Beginning).expect("a valid offset");
        consumer.assign(&places).expect("assigned");
        Self { consumer, next: (0..PARTITIONS).map(|partition| (partition, 0)).collect() }
    }

    fn poll(&mut self) {
        // Errors that librdkafka shows meanwhile are passing ones: it tries again.
        let Some(Ok(message)) = self.consumer.poll(POLL) else { return };
        let next = self.next.get_mut(&message.partition()).expect("a partition of the topic");
        assert_eq!(message.offset(), *next, "partition {}", message.partition());
        *next += 1;
    }

    fn total(&self) -> usize {
        self.next.values().map(|next| usize::try_from(*next).expect("not negative")).sum()
    }

    fn reads_on(&mut self, what: &str, more: usize) {
        let (wanted, end) = (self.total() + more, Instant::now() + SOON);
        while self.total() < wanted {
            self.poll();
            assert!(Instant::now() < end, "{} of {wanted} records {what}", self.total());
        }
    }
}

#[test]
fn nodes_die_and_consumers_in_their_racks_miss_nothing() {
    let cluster = cluster("dying");
    let load = Load::start(cluster.bootstrap(), "dying", PARTITIONS);
    let mut reader = Reader::start(&cluster, 3, "dying");
    reader.reads_on("before any node dies", 1000);
    for victim in [3, 1, 2] {
        load.note(&format!("killing node {victim}"));
        cluster.signal(victim, "KILL");
        reader.reads_on("while it is dead", 1500);
        cluster.start_node(victim);
        load.note("it serves");
        reader.reads_on("when it is back", 1500);
    }
    let before = served(&cluster, "dying")[&3].1;
    until(SOON, "the reader to come back to its rack", || {
        reader.poll();
        served(&cluster, "dying")[&3].1 > before
    });
    let acknowledged = load.finish().acknowledged;
    let end = Instant::now() + SOON;
    while reader.total() < acknowledged {
        reader.poll();
        assert!(Instant::now() < end, "{} of {acknowledged} records", reader.total());
    }
    assert_eq!(reader.total(), acknowledged);
}

#[test]
fn a_follower_shows_no_record_of_an_open_or_aborted_transaction() {
    let cluster = cluster("atomic");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "writer")
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("the transactional id is taken over");
    for round in 0..30 {
        producer.begin_transaction().expect("a transaction begins");
        for partition in 0..PARTITIONS {
            let value = if round % 3 == 0 { "aborted" } else { "committed" };
            let record: BaseRecord<'_, (), str> = BaseRecord::to("atomic").partition(partition).payload(value);
            producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
        }
        if round % 3 == 0 {
            producer.flush(SOON).expect("all records are there before the abort");
            producer.abort_transaction(SOON).expect("aborted");
        } else {
            producer.commit_transaction(SOON).expect("committed");
        }
    }
    producer.begin_transaction().expect("a transaction begins");
    for partition in 0..PARTITIONS {
        let record: BaseRecord<'_, (), str> = BaseRecord::to("atomic").partition(partition).payload("open");
        producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
    }
    producer.flush(SOON).expect("the open transaction's records are there");

    let before = served(&cluster, "atomic")[&2];
    let (consumer, end) = (in_rack(&cluster, 2, "read_committed"), Instant::now() + SOON);
    let mut places = TopicPartitionList::new();
    places.add_partition_range("atomic", 0, PARTITIONS - 1);
    places.set_all_offsets(Offset::Beginning).expect("a valid offset");
    consumer.assign(&places).expect("assigned");
    let (mut seen, mut ends) = (0, std::collections::BTreeSet::new());
    while seen < 20 * PARTITIONS || ends.len() < 6 {
        assert!(Instant::now() < end, "{seen} records, and the ends of {ends:?}");
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                assert_eq!(message.payload(), Some(&b"committed"[..]));
                seen += 1;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.insert(partition);
            }
            Some(Err(_)) | None => {}
        }
    }
    assert_eq!(seen, 20 * PARTITIONS);
    let after = served(&cluster, "atomic")[&2];
    assert!(after.1 > before.1, "it read from a follower: {after:?}");
    producer.abort_transaction(SOON).expect("aborted");
}
