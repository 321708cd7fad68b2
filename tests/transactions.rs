//! Transactions of clients that others wrote: what is read, committed offsets, fencing, and nodes that die in the middle.

use std::collections::BTreeMap;
use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_tests::{Cluster, reader, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const SOON: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;

fn cluster(nodes: u32) -> Cluster {
    let cluster = Cluster::start(nodes, &["group.initial.rebalance.delay.ms=0"]);
    for topic in ["compras", "faturas"] {
        cluster.must(&["topic", "create", topic, "--partitions", "3"]);
    }
    cluster
}

fn producer(cluster: &Cluster, id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "60000")
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("the transactional id is taken over");
    producer
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let record: BaseRecord<'_, (), str> = BaseRecord::to(topic).partition(partition).payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
}

/// What a reader of a topic sees within the offsets that it is told: (partition, offset, value).
fn read(cluster: &Cluster, topic: &str, isolation: &str) -> Vec<(i32, i64, String)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "reader")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut seen = Vec::new();
    for partition in 0..PARTITIONS {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
        consumer.assign(&place).expect("assigned");
        loop {
            match consumer.poll(SOON).expect("a record or the end in time") {
                Ok(message) => {
                    let value = String::from_utf8_lossy(message.payload().expect("a value")).into_owned();
                    seen.push((partition, message.offset(), value));
                }
                Err(KafkaError::PartitionEOF(_)) => break,
                // Passing ones: the client tries again.
                Err(_) => {}
            }
        }
    }
    seen
}

fn values(cluster: &Cluster, topic: &str, isolation: &str) -> Vec<String> {
    let mut values: Vec<_> = read(cluster, topic, isolation).into_iter().map(|(.., value)| value).collect();
    values.sort();
    values
}

fn what_is_read(nodes: u32) {
    let cluster = cluster(nodes);
    let producer = producer(&cluster, "billing");
    for (round, commit) in [(0, true), (1, false), (2, true)] {
        producer.begin_transaction().expect("a transaction begins");
        for partition in 0..PARTITIONS {
            send(&producer, "compras", partition, &format!("round {round}"));
        }
        if commit {
            producer.commit_transaction(SOON).expect("committed");
        } else {
            producer.flush(SOON).expect("all records are there before the abort");
            producer.abort_transaction(SOON).expect("aborted");
        }
    }
    let rounds = |rounds: &[i32]| -> Vec<String> {
        rounds.iter().flat_map(|round| std::iter::repeat_n(format!("round {round}"), PARTITIONS as usize)).collect()
    };
    // The markers may be written a moment after the client is told.
    until(SOON, "the last transaction to be seen", || values(&cluster, "compras", "read_committed") == rounds(&[0, 2]));
    assert_eq!(values(&cluster, "compras", "read_uncommitted"), rounds(&[0, 1, 2]));
    // Each transaction takes one offset for its marker, as in Kafka.
    let offsets: Vec<_> =
        read(&cluster, "compras", "read_committed").into_iter().filter(|(partition, ..)| *partition == 0).collect();
    assert_eq!(offsets.iter().map(|(_, offset, _)| *offset).collect::<Vec<_>>(), [0, 4]);
}

#[test]
fn readers_of_committed_records_see_no_others() {
    what_is_read(3);
}

#[test]
fn readers_of_committed_records_see_no_others_on_one_node() {
    what_is_read(1);
}

#[test]
fn an_open_transaction_holds_readers_back_and_is_shown() {
    let cluster = cluster(3);
    let producer = producer(&cluster, "billing");
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, "compras", 0, "open");
    producer.flush(SOON).expect("it is written");
    assert_eq!(values(&cluster, "compras", "read_committed"), Vec::<String>::new());
    assert_eq!(values(&cluster, "compras", "read_uncommitted"), ["open"]);
    let shown = |args: &[&str]| String::from_utf8_lossy(&cluster.caudal(args).stdout).into_owned();
    let blocking = shown(&["transactions", "list", "--blocking"]);
    let line = blocking.lines().find(|line| line.starts_with("compras")).unwrap_or_else(|| panic!("{blocking}"));
    assert!(line.contains("billing") && line.contains("Ongoing"), "{blocking}");
    producer.commit_transaction(SOON).expect("committed");
    until(SOON, "the record to be seen", || values(&cluster, "compras", "read_committed") == ["open"]);
    until(SOON, "nothing to be open", || shown(&["transactions", "list", "--blocking"]).contains("No transaction"));
    until(SOON, "the transaction to be complete", || shown(&["transactions", "list"]).contains("CompleteCommit"));
}

#[test]
fn whoever_takes_over_fences_and_aborts() {
    let cluster = cluster(3);
    let old = producer(&cluster, "billing");
    old.begin_transaction().expect("a transaction begins");
    send(&old, "compras", 0, "old");
    old.flush(SOON).expect("it is written");
    let new = producer(&cluster, "billing");
    let refused = old.commit_transaction(SOON).expect_err("the old producer is fenced");
    let KafkaError::Transaction(refused) = refused else { panic!("{refused}") };
    assert!(refused.is_fatal(), "{refused}");
    assert_eq!(refused.code(), RDKafkaErrorCode::Fenced);
    new.begin_transaction().expect("a transaction begins");
    send(&new, "compras", 0, "new");
    new.commit_transaction(SOON).expect("committed");
    until(SOON, "the new record to be seen", || values(&cluster, "compras", "read_committed") == ["new"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let cluster = cluster(3);
    let slow: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "slow")
        .set("transaction.timeout.ms", "2000")
        .create()
        .expect("a producer");
    slow.init_transactions(SOON).expect("the transactional id is taken over");
    slow.begin_transaction().expect("a transaction begins");
    send(&slow, "compras", 0, "slow");
    slow.flush(SOON).expect("it is written");
    let mut fast = ClientConfig::new();
    let fast: BaseProducer = fast.set("bootstrap.servers", cluster.bootstrap()).create().expect("a producer");
    send(&fast, "compras", 0, "fast");
    fast.flush(SOON).expect("it is written");
    until(SOON, "readers to go on", || values(&cluster, "compras", "read_committed") == ["fast"]);
    slow.commit_transaction(SOON).expect_err("it was aborted");
}

#[test]
fn a_time_out_that_is_too_long_is_refused() {
    let cluster = cluster(1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "patient")
        .set("transaction.timeout.ms", "900001")
        .create()
        .expect("a producer");
    let refused = producer.init_transactions(SOON).expect_err("it is refused");
    let KafkaError::Transaction(refused) = refused else { panic!("{refused}") };
    let code = ErrorCode::INVALID_TRANSACTION_TIMEOUT.code();
    assert_eq!((refused.code() as i32, refused.is_fatal()), (i32::from(code), true), "{refused}");
}

/// Reads purchases, and writes an invoice for each with its offset, in transactions of a few records.
fn invoice(cluster: &Cluster, count: usize, mut between: impl FnMut(usize)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "invoices")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    consumer.subscribe(&["compras"]).expect("subscribed");
    let producer = producer(cluster, "invoices");
    let (mut done, mut rounds) = (0, 0);
    while done < count {
        producer.begin_transaction().expect("a transaction begins");
        let (mut taken, mut next) = (Vec::new(), BTreeMap::new());
        while taken.len() < 20.min(count - done) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(500)) {
                let value = String::from_utf8_lossy(message.payload().expect("a value")).into_owned();
                next.insert(message.partition(), message.offset() + 1);
                taken.push((message.partition(), value));
            } else if !taken.is_empty() {
                break;
            }
        }
        for (partition, value) in &taken {
            send(&producer, "faturas", *partition, value);
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next {
            offsets.add_partition_offset("compras", partition, Offset::Offset(offset)).expect("a valid offset");
        }
        let member = consumer.group_metadata().expect("a member");
        until_some(SOON, "the offsets to be sent", || {
            producer.send_offsets_to_transaction(&offsets, &member, SOON).ok()
        });
        until_some(SOON, "the commit", || producer.commit_transaction(SOON).ok());
        done += taken.len();
        rounds += 1;
        between(rounds);
    }
}

#[test]
fn each_purchase_is_invoiced_exactly_once_although_every_node_dies() {
    const COUNT: usize = 600;
    let cluster = cluster(3);
    let mut purchases = ClientConfig::new();
    let purchases: BaseProducer = purchases.set("bootstrap.servers", cluster.bootstrap()).create().expect("a producer");
    for number in 0..COUNT {
        let partition = i32::try_from(number).expect("fits") % PARTITIONS;
        send(&purchases, "compras", partition, &format!("{number:05}"));
    }
    purchases.flush(SOON).expect("all purchases are there");
    invoice(&cluster, COUNT, |round| {
        let node = u32::try_from(round / 6).expect("fits");
        if round % 6 == 0 && (1..=3).contains(&node) {
            cluster.signal(node, "KILL");
            cluster.start_node(node);
        }
    });
    let expected: Vec<_> = (0..COUNT).map(|number| format!("{number:05}")).collect();
    until(SOON, "the last transaction to be seen", || values(&cluster, "faturas", "read_committed") == expected);
    let consumer = reader::consumer(cluster.bootstrap(), "invoices");
    let mut places = TopicPartitionList::new();
    places.add_partition_range("compras", 0, PARTITIONS - 1);
    let committed = consumer.committed_offsets(places, SOON).expect("the committed offsets");
    let last = i64::try_from(COUNT).expect("fits") / i64::from(PARTITIONS);
    assert!(committed.elements().iter().all(|place| place.offset() == Offset::Offset(last)), "{committed:?}");
}

#[test]
fn offsets_of_an_aborted_transaction_are_not_committed() {
    let cluster = cluster(3);
    let producer = producer(&cluster, "billing");
    let consumer = reader::consumer(cluster.bootstrap(), "invoices");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset("compras", 0, Offset::Offset(5)).expect("a valid offset");
    consumer.commit(&places, CommitMode::Sync).expect("committed");
    let committed = || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition("compras", 0);
        consumer.committed_offsets(asked, SOON).expect("the committed offset").elements()[0].offset()
    };
    for (offset, commit) in [(7, false), (9, true)] {
        producer.begin_transaction().expect("a transaction begins");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("compras", 0, Offset::Offset(offset)).expect("a valid offset");
        let member = consumer.group_metadata().expect("group metadata");
        producer.send_offsets_to_transaction(&offsets, &member, SOON).expect("the offsets are sent");
        if commit {
            producer.commit_transaction(SOON).expect("committed");
        } else {
            producer.abort_transaction(SOON).expect("aborted");
            assert_eq!(committed(), Offset::Offset(5), "not its offsets");
        }
    }
    assert_eq!(committed(), Offset::Offset(9));
}
