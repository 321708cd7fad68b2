//! Compacted topics: of each key the newest record stays, at its offset, on every node, whatever happens meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use caudal_protocol::batch::{RecordBatch, whole_batches};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::{FetchRequest, FetchResponse};
use caudal_tests::disk::{blob_bytes, data_bytes};
use caudal_tests::metrics::Metrics;
use caudal_tests::raw::{Raw, name};
use caudal_tests::{Cluster, reader, topics, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const SOON: Duration = Duration::from_secs(120);
const TOPIC: &str = "prices";
const UPDATES: usize = 20_000;
const KEYS: usize = 100;
/// The keys, the open segment, and what is not dirty enough.
const FEW: usize = 1500;

fn cluster(nodes: u32) -> Cluster {
    // Leaderships stay where a test has brought them.
    Cluster::start(nodes, &["log.cleaner.backoff.ms=100", "raft.rebalance.after.ms=86400000"])
}

fn settings(policy: &str) -> [(&str, &str); 3] {
    [("cleanup.policy", policy), ("internal.segment.bytes", "65536"), ("min.cleanable.dirty.ratio", "0.01")]
}

fn create(cluster: &Cluster, replicas: i32, more: &[(&str, &str)]) {
    topics::create(cluster.bootstrap(), TOPIC, 1, replicas, &[&settings("compact")[..], more].concat());
}

fn producer(cluster: &Cluster, more: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap()).set("enable.idempotence", "true");
    config.set("linger.ms", "5").set("batch.num.messages", "50").set("compression.type", "lz4");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create().expect("a producer")
}

/// A record: its key, and its value unless it says that the key is gone.
type Sent = (String, Option<String>);

fn update(number: usize) -> Sent {
    // Values that lz4 cannot make much of, or there would be few segments.
    let noise: String =
        (0..8).map(|part| format!("{:016x}", (number * 8 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    (format!("key {}", number * 7919 % KEYS), Some(format!("{number} {noise}")))
}

/// Sends records to partition 0 in their order; they are durable when it returns.
fn send(producer: &BaseProducer, records: impl IntoIterator<Item = Sent>) {
    for (key, value) in records {
        let mut record = BaseRecord::to(TOPIC).partition(0).key(&key);
        record.payload = value.as_ref();
        while let Err((_, again)) = producer.send(record) {
            record = again;
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(SOON).expect("all is sent");
}

fn newest(sent: &[Sent]) -> BTreeMap<String, String> {
    let all: HashMap<_, _> = sent.iter().cloned().collect();
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The records that there are, each of which must be the one that was sent at its offset.
fn read(cluster: &Cluster, sent: &[Sent]) -> Vec<OwnedMessage> {
    let messages = reader::read_partition(cluster.bootstrap(), TOPIC, 0);
    check(&messages, sent);
    messages
}

fn check(messages: &[OwnedMessage], sent: &[Sent]) {
    for message in messages {
        let (key, value) = &sent[usize::try_from(message.offset()).expect("an offset")];
        assert_eq!(text(message.key()).as_ref(), Some(key), "offset {}", message.offset());
        assert_eq!(text(message.payload()), *value, "offset {}", message.offset());
    }
    assert!(messages.is_sorted_by(|one, next| one.offset() < next.offset()));
}

fn table(messages: &[OwnedMessage]) -> BTreeMap<String, String> {
    let pair = |message: &OwnedMessage| (text(message.key()).expect("a key"), text(message.payload()));
    let all: BTreeMap<_, _> = messages.iter().map(pair).collect();
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// Waits until little more than the newest records is left, and checks them.
fn until_compacted(cluster: &Cluster, sent: &[Sent]) -> Vec<OwnedMessage> {
    let left = until_some(SOON, "a compacted topic", || {
        let messages = read(cluster, sent);
        assert_eq!(table(&messages), newest(sent), "at any time a reader finds the newest value of each key");
        (messages.len() < FEW).then_some(messages)
    });
    assert_eq!(left.last().map(Message::offset), Some(sent.len() as i64 - 1));
    left
}

/// Waits until every node has cleaned what is ordered.
fn until_settled(cluster: &Cluster, nodes: &[u32]) {
    until(SOON, "every node has cleaned its log", || {
        nodes.iter().all(|node| {
            let metrics = Metrics::of(cluster, *node);
            let done = metrics.get("caudal_compaction_passes_total") > 0.0;
            done && metrics.get("caudal_compaction_waiting_bytes") == 0.0
                && metrics.get("caudal_compaction_failures_total") == 0.0
        })
    });
}

/// A figure of the one partition that there is.
fn of_partition(name: &str) -> String {
    format!("{name}{{topic=\"{TOPIC}\",partition=\"0\"}}")
}

/// All that a node which leads the partition has, as it is sent to clients.
fn raw(cluster: &Cluster, node: u32) -> Vec<u8> {
    const BYTES: i32 = 1 << 20;
    let (mut connection, mut all, mut next) = (Raw::connect(cluster.address(node)), Vec::new(), 0);
    loop {
        let wanted =
            FetchPartition::default().with_partition(0).with_fetch_offset(next).with_partition_max_bytes(BYTES);
        let topic = FetchTopic::default().with_topic(name(TOPIC)).with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let answer: FetchResponse = connection.call(1, 11, false, &request);
        let found = &answer.responses[0].partitions[0];
        assert_eq!(found.error_code, 0, "node {node} leads");
        let records = found.records.clone().unwrap_or_default();
        let batches = whole_batches(&records);
        let Some(last) = batches.last() else { return all };
        let field = |at: usize| last[at..at + 4].try_into().map(i32::from_be_bytes).expect("four bytes");
        let base = last[..8].try_into().map(i64::from_be_bytes).expect("eight bytes");
        next = base + i64::from(field(23)) + 1;
        all.extend(batches.concat());
    }
}

/// Whether node 1 still tells readers where an aborted transaction ends.
fn has_abort_marker(cluster: &Cluster) -> bool {
    let aborts = |bytes: Bytes| {
        let batch = RecordBatch::parse_stored(bytes).expect("a batch");
        let mut found = false;
        let read = batch.for_each_record(&mut |record| {
            // Version 0 of a marker's key, of type 0: abort.
            found |= batch.is_control() && record.key == Some(&[0, 0, 0, 0][..]);
            ControlFlow::Continue(())
        });
        read.expect("its records can be read");
        found
    };
    whole_batches(&raw(cluster, 1).into()).into_iter().any(aborts)
}

/// Makes a node lead by killing whoever else does.
fn make_lead(cluster: &Cluster, wanted: u32) {
    let led = || until_some(SOON, "a leader", || topics::leader(cluster.bootstrap(), TOPIC, 0));
    loop {
        let leader = led();
        if leader == wanted {
            return;
        }
        cluster.signal(leader, "KILL");
        until(SOON, "another leader", || {
            topics::leader(cluster.bootstrap(), TOPIC, 0).is_some_and(|now| now != leader)
        });
        cluster.start_node(leader);
    }
}

/// Waits until every node has all of the log.
fn until_level(cluster: &Cluster) {
    until(SOON, "all replicas are level", || {
        let applied = |node: u32| Metrics::of(cluster, node).raft_index("applied_index", TOPIC);
        let first = applied(1);
        first > 0.0 && cluster.nodes().all(|node| applied(node) == first)
    });
}

#[test]
fn one_node_keeps_the_newest_record_of_each_key_and_who_was_reading_goes_on() {
    let cluster = cluster(1);
    create(&cluster, 1, &[]);
    let mut sent: Vec<Sent> = (0..UPDATES).map(update).collect();
    let slow: BaseConsumer = reader::consumer(cluster.bootstrap(), "slow");
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(TOPIC, 0, Offset::Offset(0)).expect("a valid offset");
    slow.assign(&place).expect("assigned");
    let producer = producer(&cluster, &[]);
    send(&producer, sent.clone());
    let mut seen = vec![slow.poll(SOON).expect("a record in time").expect("no error").detach()];

    until_compacted(&cluster, &sent);
    let metrics = Metrics::of(&cluster, 1);
    assert!(metrics.get("caudal_compaction_removed_records_total") > (UPDATES - FEW) as f64);
    assert_eq!(metrics.find("caudal_compaction_bad_batches_total"), Some(0.0));
    until(SOON, "the partition tells that it is clean", || {
        let metrics = Metrics::of(&cluster, 1);
        metrics.find(&of_partition("caudal_partition_compaction_waiting_bytes")) == Some(0.0)
            && metrics.find(&of_partition("caudal_partition_compaction_dirty_bytes")).is_some()
            && metrics.find(&of_partition("caudal_partition_compaction_dirty_ratio")).is_some_and(|ratio| ratio < 0.1)
            && metrics.get(&of_partition("caudal_partition_compacted_offset")) > (UPDATES - FEW) as f64
    });
    while seen.last().map(Message::offset) != Some(UPDATES as i64 - 1) {
        seen.push(slow.poll(SOON).expect("a record in time").expect("no error").detach());
    }
    check(&seen, &sent);
    assert_eq!(table(&seen), newest(&sent));

    // Killed in the middle of it, time and again.
    for round in 1..4 {
        let more: Vec<_> = (0..4000).map(|number| update(round * UPDATES + number)).collect();
        send(&producer, more.clone());
        sent.extend(more);
        cluster.signal(1, "KILL");
        cluster.start_node(1);
        assert_eq!(table(&read(&cluster, &sent)), newest(&sent));
    }
    until_compacted(&cluster, &sent);
    let again = update(9 * UPDATES);
    send(&producer, [again.clone()]);
    sent.push(again);
    assert_eq!(table(&read(&cluster, &sent)), newest(&sent), "the producer's sequence goes on");
}

#[test]
fn the_space_of_small_batches_that_were_cleaned_comes_back() {
    const MIB: u64 = 1 << 20;
    const SMALL: usize = 60_000;
    let cluster = cluster(1);
    topics::create(cluster.bootstrap(), TOPIC, 1, 1, &settings("delete"));
    // Batches of one record, below a KiB: they lie in other files than larger ones.
    let alone = [("enable.idempotence", "false"), ("batch.num.messages", "1"), ("compression.type", "none")];
    let padding = "x".repeat(800);
    let padded = |number: usize| (format!("key {}", number % KEYS), Some(format!("{number} {padding}")));
    let sent: Vec<Sent> = (0..SMALL).map(padded).collect();
    send(&producer(&cluster, &alone), sent.clone());
    until(SOON, "small batches in files", || data_bytes(&cluster, 1) > 24 * MIB);
    let (before, blobs) = (data_bytes(&cluster, 1), blob_bytes(&cluster, 1));
    assert!(blobs < MIB, "{blobs} bytes lie in files for large batches");

    topics::set(cluster.bootstrap(), TOPIC, &settings("compact"));
    let gone = (SMALL - FEW) as f64;
    until(SOON, "the log to be cleaned", || {
        Metrics::of(&cluster, 1).get("caudal_compaction_removed_records_total") > gone
    });
    until(SOON, "the space of what was cleaned", || data_bytes(&cluster, 1) < before / 2);
    until_settled(&cluster, &[1]);
    let left = read(&cluster, &sent);
    assert!(left.len() < FEW, "{} records are left", left.len());
    assert_eq!(table(&left), newest(&sent));
}

#[test]
fn three_nodes_end_with_the_same_bytes_one_of_them_anew() {
    let cluster = cluster(3);
    create(&cluster, 3, &[]);
    let producer = producer(&cluster, &[]);
    let mut sent: Vec<Sent> = Vec::new();
    for round in 0..4 {
        let more: Vec<_> = (0..UPDATES / 4).map(|number| update(round * UPDATES + number)).collect();
        sent.extend(more.clone());
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send(&producer, more));
            let leader = until_some(SOON, "a leader", || topics::leader(cluster.bootstrap(), TOPIC, 0));
            cluster.signal(leader, "KILL");
            cluster.start_node(leader);
            sending.join().expect("all is sent");
        });
    }
    until_compacted(&cluster, &sent);
    // One of them begins anew, from what the others have left.
    let victim = topics::leader(cluster.bootstrap(), TOPIC, 0).map_or(1, |leader| leader % 3 + 1);
    cluster.signal(victim, "KILL");
    fs::remove_dir_all(cluster.node_dir(victim).join("data")).expect("the data can be removed");
    cluster.start_node(victim);
    until_level(&cluster);
    until_settled(&cluster, &[1, 2, 3]);
    let all = [1, 2, 3].map(|node| {
        make_lead(&cluster, node);
        assert_eq!(table(&read(&cluster, &sent)), newest(&sent), "from node {node}");
        raw(&cluster, node)
    });
    assert!(all[0].len() > 10_000);
    assert!(all[0] == all[1] && all[0] == all[2], "{:?} bytes", all.map(|bytes| bytes.len()));
}

#[test]
fn deleted_keys_go_after_their_time_and_aborted_records_at_once() {
    let cluster = cluster(1);
    create(&cluster, 1, &[("delete.retention.ms", "1000")]);
    let producer = producer(&cluster, &[("transactional.id", "prices")]);
    producer.init_transactions(SOON).expect("the transactional id is taken over");
    let mut number = 0;
    let mut updates = |count: usize| -> Vec<Sent> {
        number += count;
        (number - count..number).map(update).collect()
    };
    let transaction = |records: Vec<Sent>, commit: bool| {
        producer.begin_transaction().expect("begun");
        send(&producer, records);
        let ended = if commit { producer.commit_transaction(SOON) } else { producer.abort_transaction(SOON) };
        ended.expect("ended");
    };
    let kept = updates(2000);
    transaction(kept.clone(), true);
    let lost: Vec<Sent> = updates(2000).into_iter().map(|(key, _)| (key, Some("aborted".to_owned()))).collect();
    transaction(lost, false);
    transaction(vec![("key 1".to_owned(), None), ("key 2".to_owned(), None)], true);
    let mut expected = newest(&kept);
    expected.retain(|key, _| key != "key 1" && key != "key 2");

    let seen = |isolation: &str| {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", "reader")
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("a valid offset");
        consumer.assign(&place).expect("assigned");
        let mut messages = Vec::new();
        while let Ok(message) = consumer.poll(SOON).expect("a record or the end in time") {
            messages.push(message.detach());
        }
        messages
    };
    let tombstones = |messages: &[OwnedMessage]| messages.iter().filter(|message| message.payload().is_none()).count();
    // New records close segments, and bring new looks at what is old.
    until(SOON, "what is deleted and aborted is gone", || {
        let more: Vec<Sent> = updates(400).into_iter().map(|(_, value)| ("filler".to_owned(), value)).collect();
        transaction(more, true);
        let mut committed = seen("read_committed");
        let deleted = tombstones(&committed);
        committed.retain(|message| text(message.key()).is_some_and(|key| key != "filler"));
        assert_eq!(table(&committed), expected);
        let all = seen("read_uncommitted");
        let aborted =
            all.iter().filter(|message| text(message.payload()).is_some_and(|value| value == "aborted")).count();
        deleted == 0 && aborted == 0 && all.len() < 2 * FEW && !has_abort_marker(&cluster)
    });
}

#[test]
fn a_topic_may_become_a_compacted_one_and_stop_being_one() {
    let cluster = cluster(1);
    topics::create(cluster.bootstrap(), TOPIC, 1, 1, &settings("delete"));
    let producer = producer(&cluster, &[]);
    let mut sent: Vec<Sent> = (0..UPDATES / 2).map(update).collect();
    send(&producer, sent.clone());
    assert_eq!(read(&cluster, &sent).len(), sent.len(), "it is not compacted");
    topics::set(cluster.bootstrap(), TOPIC, &settings("compact,delete"));
    let left = until_compacted(&cluster, &sent).len();
    topics::set(cluster.bootstrap(), TOPIC, &settings("delete"));
    let more: Vec<_> = (0..UPDATES / 2).map(|number| update(UPDATES + number)).collect();
    send(&producer, more.clone());
    sent.extend(more);
    assert!(read(&cluster, &sent).len() >= UPDATES / 2 + left.min(KEYS), "what is new stays");
}
