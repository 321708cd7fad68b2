//! `compression.type` of a topic: batches are stored with its codec, whatever their producers sent, and everybody reads what was written.

use std::time::Duration;

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Codec, Record as BatchRecord, RecordBatch, split};
use caudal_tests::raw::Raw;
use caudal_tests::{Cluster, Driver, Record, topics, until};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const SOON: Duration = Duration::from_secs(60);
const TYPES: [(&str, Codec); 5] = [
    ("uncompressed", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];

/// All batches of a partition as they are stored.
fn stored(cluster: &Cluster, topic: &str) -> Vec<RecordBatch> {
    let mut raw = Raw::connect(cluster.bootstrap());
    let (mut batches, mut next) = (Vec::<RecordBatch>::new(), 0);
    loop {
        let part = raw.fetch(topic, 0, next);
        let records = part.records.unwrap_or_default();
        if records.is_empty() {
            return batches;
        }
        for bytes in split(&records).expect("whole batches") {
            batches.push(RecordBatch::parse_stored(bytes).expect("a sound batch"));
        }
        next = batches.last().map_or(0, |last| last.base_offset() + i64::from(last.last_offset_delta()) + 1);
    }
}

fn records(count: usize) -> Vec<Record> {
    let record = |number: usize| Record {
        partition: 0,
        offset: None,
        key: (!number.is_multiple_of(3)).then(|| "aw==".to_owned()),
        value: (!number.is_multiple_of(5)).then(|| "Y2F1ZGFsY2F1ZGFsY2F1ZGFs".to_owned()),
        headers: if number.is_multiple_of(2) { vec![("h".to_owned(), Some("eA==".to_owned()))] } else { vec![] },
        timestamp: 1_700_000_000_000 + i64::try_from(number).expect("fits"),
    };
    (0..count).map(record).collect()
}

#[test]
fn a_topic_has_its_codec_whatever_producers_send() {
    let cluster = Cluster::start(1, &["group.initial.rebalance.delay.ms=0"]);
    for (kind, codec) in TYPES {
        let topic = format!("as-{kind}");
        topics::create(cluster.bootstrap(), &topic, 1, 1, &[("compression.type", kind)]);
        let sent = records(60);
        for (from, part) in TYPES.iter().zip(sent.chunks(12)) {
            let from = if from.0 == "uncompressed" { "none" } else { from.0 };
            Driver::Java.produce(cluster.bootstrap(), &topic, from, part);
        }
        let batches = stored(&cluster, &topic);
        assert!(batches.iter().all(|batch| batch.codec() == codec), "{kind}: {batches:?}");
        for reader in Driver::ALL {
            let read = reader.consume(cluster.bootstrap(), &topic, &format!("{}-reads", reader.name()), sent.len());
            let read: Vec<_> = read.into_iter().map(|record| Record { offset: None, ..record }).collect();
            assert_eq!(read, sent, "{kind}, read by {}", reader.name());
        }
    }
}

#[test]
fn the_setting_follows_its_changes_and_the_node() {
    let cluster = Cluster::start(1, &["compression.type=zstd", "compression.zstd.level=19"]);
    topics::create(cluster.bootstrap(), "changing", 1, 1, &[]);
    let send = || {
        let value = Some(Bytes::from(vec![7; 10_000]));
        let batch = BatchBuilder::new().build(&[BatchRecord { value, ..BatchRecord::default() }]).expect("a batch");
        Raw::connect(cluster.bootstrap()).produce("changing", batch.bytes().clone()).0
    };
    let last = || stored(&cluster, "changing").last().map(RecordBatch::codec);
    assert_eq!((send(), last()), (0, Some(Codec::Zstd)), "the node's own setting");
    topics::set(cluster.bootstrap(), "changing", &[("compression.type", "lz4"), ("compression.lz4.level", "17")]);
    until(SOON, "the topic's setting to count", || send() == 0 && last() == Some(Codec::Lz4));
    topics::set(cluster.bootstrap(), "changing", &[("compression.type", "producer")]);
    until(SOON, "batches to stay as they are", || send() == 0 && last() == Some(Codec::None));
    assert!(stored(&cluster, "changing").iter().any(|batch| batch.codec() == Codec::Zstd), "what is stored stays");
}

#[test]
fn sequences_transactions_and_times_survive_another_codec() {
    let cluster = Cluster::start(3, &[]);
    let settings = [("compression.type", "snappy"), ("message.timestamp.type", "LogAppendTime")];
    topics::create(cluster.bootstrap(), "exact", 1, 3, &settings);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "writer")
        .set("compression.codec", "lz4")
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("the transactional id is taken over");
    for round in 0..4 {
        producer.begin_transaction().expect("a transaction begins");
        for number in 0..50 {
            let value = format!("round {round}, record {number}, caudal caudal caudal caudal");
            let record: BaseRecord<'_, (), str> =
                BaseRecord::to("exact").partition(0).payload(value.as_str()).timestamp(5);
            producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
        }
        producer.flush(SOON).expect("delivered");
        if round % 2 == 0 {
            producer.commit_transaction(SOON).expect("committed");
        } else {
            producer.abort_transaction(SOON).expect("aborted");
        }
    }
    let leader = topics::leader(cluster.bootstrap(), "exact", 0).expect("a leader");
    let mut raw = Raw::connect(cluster.address(leader));
    let part = raw.fetch("exact", 0, 0);
    let batches = split(&part.records.expect("records")).expect("whole batches");
    let mut sequence = 0;
    for batch in batches.into_iter().map(|bytes| RecordBatch::parse_stored(bytes).expect("a sound batch")) {
        assert!(batch.is_transactional());
        if batch.is_control() {
            assert_eq!(batch.codec(), Codec::None, "markers are the broker's own");
            continue;
        }
        assert_eq!((batch.codec(), batch.is_log_append_time()), (Codec::Snappy, true));
        assert!(batch.max_timestamp() > 1_700_000_000_000, "the leader's clock stamps it");
        // With version 2 of transactions each has an epoch of its own, whose sequences begin anew.
        assert!(batch.base_sequence() == sequence || batch.base_sequence() == 0, "{batch:?}");
        sequence = batch.last_sequence() + 1;
    }
    let seen = caudal_tests::committed::read(cluster.bootstrap(), "exact", 1, 100);
    assert_eq!(seen[0].len(), 100);
}

#[test]
fn a_batch_must_fit_as_it_comes_and_as_it_is_stored() {
    let cluster = Cluster::start(1, &[]);
    let settings = [("compression.type", "uncompressed"), ("max.message.bytes", "10000")];
    topics::create(cluster.bootstrap(), "small", 1, 1, &settings);
    let mut raw = Raw::connect(cluster.bootstrap());
    let mut send = |len: usize, codec| {
        let record = BatchRecord { value: Some(Bytes::from(vec![7; len])), ..BatchRecord::default() };
        let batch = BatchBuilder::new().codec(codec).build(&[record]).expect("a batch");
        (batch.bytes().len(), ErrorCode(raw.produce("small", batch.bytes().clone()).0))
    };
    let (len, code) = send(9000, Codec::Zstd);
    assert!(len < 200 && code == ErrorCode::NONE);
    let (len, code) = send(20_000, Codec::Zstd);
    assert!(len < 200 && code == ErrorCode::MESSAGE_TOO_LARGE, "{code}");
    // A bomb takes no more than its place.
    let (len, code) = send(60 << 20, Codec::Zstd);
    assert!(len < 10_000 && code == ErrorCode::MESSAGE_TOO_LARGE, "{len} bytes: {code}");
    assert_eq!(send(9000, Codec::None).1, ErrorCode::NONE);
    assert_eq!(send(20_000, Codec::None).1, ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(stored(&cluster, "small").len(), 2);
}
