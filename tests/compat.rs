//! Clients that others wrote, against three real nodes and against one: each produces, consumes in a group with a rebalance, seeks and creates topics, and what one
//! writes every other reads, byte for byte.

use std::collections::BTreeSet;

use caudal_tests::{Cluster, Driver, Record};

const PARTITIONS: i32 = 4;
const PER_CODEC: usize = 60;

fn cluster(nodes: u32) -> Cluster {
    let quick = [
        "group.initial.rebalance.delay.ms=0",
        "group.consumer.min.heartbeat.interval.ms=100",
        "group.consumer.heartbeat.interval.ms=500",
    ];
    Cluster::start(nodes, &quick)
}

/// Records with all that may be odd: no key, no value, empty values, headers, and one of 900 KB.
fn records() -> Vec<Record> {
    (0..PER_CODEC)
        .map(|i| Record {
            partition: i32::try_from(i).expect("fits") % PARTITIONS,
            offset: None,
            key: (i % 7 != 1).then(|| encode(format!("key-{i}").as_bytes())),
            value: (i % 11 != 9).then(|| match i {
                5 => encode(&pattern(900 * 1024)),
                _ if i % 13 == 2 => String::new(),
                _ => encode(&pattern(i * 10)),
            }),
            headers: match i % 3 {
                0 => vec![],
                _ => vec![
                    ("nome".into(), Some(encode(format!("v{i}").as_bytes()))),
                    ("vazio".into(), Some(String::new())),
                ],
            },
            timestamp: 1_700_000_000_000 + i64::try_from(i).expect("fits"),
        })
        .collect()
}

/// Bytes that do not repeat in a way that a codec would make small.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_u32;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
        .collect()
}

fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for digit in 0..4 {
            let used = digit <= chunk.len();
            text.push(if used { char::from(DIGITS[(word >> (18 - 6 * digit)) as usize & 63]) } else { '=' });
        }
    }
    text
}

/// The content without its place, in an order of its own.
fn contents(records: &[Record]) -> Vec<Record> {
    let mut contents: Vec<_> = records.iter().map(|record| Record { offset: None, ..record.clone() }).collect();
    contents.sort();
    contents
}

fn offsets_are_dense(records: &[Record]) {
    for partition in 0..PARTITIONS {
        let mut offsets: Vec<_> =
            records.iter().filter(|record| record.partition == partition).filter_map(|record| record.offset).collect();
        offsets.sort_unstable();
        let wanted: Vec<_> = (0..i64::try_from(offsets.len()).expect("fits")).collect();
        assert_eq!(offsets, wanted, "partition {partition} has every offset once");
    }
}

/// What `writer` writes with each of its codecs, the readers read.
fn is_read(cluster: &Cluster, writer: Driver, readers: &[Driver]) {
    let (bootstrap, topic) = (cluster.bootstrap(), format!("from-{}", writer.name()));
    writer.create(bootstrap, &topic, PARTITIONS.unsigned_abs(), cluster.nodes().count());
    let batch = records();
    let mut written = Vec::new();
    for codec in writer.codecs() {
        writer.produce(bootstrap, &topic, codec, &batch);
        written.extend(batch.clone());
    }
    for reader in readers {
        let read = reader.consume(bootstrap, &topic, &format!("read-by-{}", reader.name()), written.len());
        offsets_are_dense(&read);
        assert!(contents(&read) == contents(&written), "{reader:?} reads other bytes than {writer:?} wrote");
    }
    let sought = writer.seek(bootstrap, &topic, 1, 7, 5);
    let first = sought.iter().filter_map(|record| record.offset).min();
    assert_eq!(first, Some(7), "{writer:?} seeks");
}

fn shares_partitions(cluster: &Cluster, client: Driver) {
    let (bootstrap, topic) = (cluster.bootstrap(), format!("shared-{}", client.name()));
    client.create(bootstrap, &topic, PARTITIONS.unsigned_abs(), cluster.nodes().count());
    let result = client.rebalance(bootstrap, &topic, &format!("sharing-{}", client.name()));
    let all: BTreeSet<i64> = (0..i64::from(PARTITIONS)).collect();
    let had = |phase: &str| -> Vec<i64> {
        result[phase].as_array().expect("a list").iter().map(|number| number.as_i64().expect("a number")).collect()
    };
    let set = |phase: &str| had(phase).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set("alone"), all);
    assert_eq!(set("survivor"), all);
    assert!(!had("first").is_empty() && !had("second").is_empty(), "both members have partitions: {result}");
    assert_eq!(had("first").len() + had("second").len(), all.len(), "no partition belongs to two members: {result}");
    assert_eq!(&set("first") | &set("second"), all);
}

macro_rules! for_each_client {
    ($($name:ident: $driver:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn writes_what_every_client_reads() {
                is_read(&cluster(3), $driver, &Driver::ALL);
            }

            #[test]
            fn shares_partitions_in_a_group() {
                shares_partitions(&cluster(3), $driver);
            }

            #[test]
            fn is_served_by_a_single_node() {
                let cluster = cluster(1);
                is_read(&cluster, $driver, &[$driver]);
                shares_partitions(&cluster, $driver);
            }
        }
    )*};
}

for_each_client! {
    java: Driver::Java;
    java_consumer: Driver::JavaConsumer;
    librdkafka: Driver::Librdkafka;
    librdkafka_consumer: Driver::LibrdkafkaConsumer;
    franz_go: Driver::FranzGo;
    franz_go_consumer: Driver::FranzGoConsumer;
    kafka_python: Driver::KafkaPython;
    kafkajs: Driver::KafkaJs;
}

#[test]
fn base64_is_the_usual_one() {
    assert_eq!(
        ["", "f", "fo", "foo", "foob"].map(|text| encode(text.as_bytes())),
        ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
    );
}
