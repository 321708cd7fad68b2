//! Which offset stands for what: by time and by name as Apache Kafka answers it, and the ends of leader epochs after failovers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Codec, Record, RecordBatch, split};
use caudal_protocol::messages::list_offsets_request::{self, ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use caudal_protocol::messages::{
    BrokerId, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    ProduceResponse,
};
use caudal_tests::apache_kafka::ApacheKafka;
use caudal_tests::jvm::Jvm;
use caudal_tests::metrics::Metrics;
use caudal_tests::raw::{Raw, batch, name, produce_request};
use caudal_tests::{Cluster, reader, topics, until, until_some};
use kafka_protocol::protocol::Decodable;
use rdkafka::ClientConfig;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const SOON: Duration = Duration::from_secs(60);
const CONSUMER: i32 = -1;
const DEBUGGER: i32 = -2;

/// What ListOffsets answers for partition 0: code, timestamp, offset, and whether there is a leader epoch.
type Listed = (i16, i64, i64, bool);

struct Ask {
    version: i16,
    timestamp: i64,
    committed_only: bool,
    replica: i32,
    epoch: i32,
}

impl Ask {
    fn new(timestamp: i64) -> Self {
        Self { version: 11, timestamp, committed_only: false, replica: CONSUMER, epoch: -1 }
    }

    fn of(&self, raw: &mut Raw, topic: &str) -> Listed {
        let partition =
            ListOffsetsPartition::default().with_timestamp(self.timestamp).with_current_leader_epoch(self.epoch);
        let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let mut request = list_offsets_request::ListOffsetsRequest::default()
            .with_replica_id(BrokerId(self.replica))
            .with_topics(vec![topic]);
        if self.version >= 2 {
            request = request.with_isolation_level(i8::from(self.committed_only));
        }
        if self.version >= 10 {
            request = request.with_timeout_ms(10_000);
        }
        let request = ListOffsetsRequest::from(request);
        let answer: ListOffsetsResponse = raw.call(2, self.version, self.version >= 6, &request);
        let part = &answer.topics[0].partitions[0];
        (part.error_code, part.timestamp, part.offset, part.leader_epoch >= 0)
    }
}

fn records(times: &[i64], codec: Codec) -> Bytes {
    let records: Vec<_> = times.iter().map(|time| Record { timestamp: *time, ..Record::default() }).collect();
    BatchBuilder::new().codec(codec).build(&records).expect("a batch").bytes().clone()
}

/// Fills topics with the same records on any cluster: one stays empty, one has times that jump, one has transactions, of which the last is open.
fn fill(bootstrap: &str) -> BaseProducer {
    for topic in ["empty", "jumping", "atomic"] {
        // Kept although the records are from 1970: the brokers look for what is past its retention 30 seconds after their start.
        let settings = [("message.timestamp.after.max.ms", "9223372036854775807"), ("retention.ms", "-1")];
        topics::create(bootstrap, topic, 1, 1, &settings);
    }
    let mut raw = Raw::connect(bootstrap);
    for (times, codec) in [
        (&[100, 300, 200][..], Codec::None),
        (&[50], Codec::Gzip),
        (&[400, 900, 350], Codec::Zstd),
        (&[900, 10], Codec::Lz4),
        (&[-1], Codec::None),
        (&[500], Codec::Snappy),
    ] {
        assert_eq!(raw.produce("jumping", records(times, codec)).0, 0);
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "writer")
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("the transactional id is taken over");
    // Far in the future, so that the markers, which the brokers' clocks stamp, are not the latest.
    for (round, times) in
        [[4_000_000_000_000, 4_000_000_000_500], [4_000_000_000_200, 4_000_000_000_300]].iter().enumerate()
    {
        producer.begin_transaction().expect("a transaction begins");
        send(&producer, times);
        if round == 0 { producer.commit_transaction(SOON) } else { producer.abort_transaction(SOON) }.expect("ended");
    }
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, &[4_000_000_000_100, 4_000_000_000_800]);
    producer
}

fn send(producer: &BaseProducer, times: &[i64]) {
    for time in times {
        let record: BaseRecord<'_, (), str> = BaseRecord::to("atomic").partition(0).payload("x").timestamp(*time);
        producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
        // One batch each.
        producer.flush(SOON).expect("delivered");
    }
}

fn all_answers(bootstrap: &str) -> BTreeMap<String, Listed> {
    let mut raw = Raw::connect(bootstrap);
    // The last marker is written a moment after the client is told.
    until(SOON, "the transactions before the open one to end", || {
        let stable = Ask { committed_only: true, ..Ask::new(-1) }.of(&mut raw, "atomic");
        stable.2 == 6
    });
    let named = -7..=0;
    let small = [1, 10, 11, 50, 51, 100, 101, 200, 300, 301, 350, 400, 401, 500, 501, 900, 901];
    let large = [0, 1, 100, 101, 200, 201, 300, 301, 500, 501, 800, 801].map(|after| 4_000_000_000_000 + after);
    let times: Vec<i64> = named.chain(small).chain(large).collect();
    let mut answers = BTreeMap::new();
    for topic in ["empty", "jumping", "atomic", "absent"] {
        for timestamp in &times {
            for (committed_only, replica) in [(false, CONSUMER), (true, CONSUMER), (false, DEBUGGER)] {
                for version in [1, 3, 4, 6, 7, 8, 9, 10, 11] {
                    let ask = Ask { version, timestamp: *timestamp, committed_only, replica, epoch: -1 };
                    let what = format!("{topic} at {timestamp}, v{version}, committed {committed_only}, as {replica}");
                    answers.insert(what, ask.of(&mut raw, topic));
                }
            }
        }
        for epoch in [0, 1000] {
            let ask = Ask { epoch, ..Ask::new(-1) };
            answers.insert(format!("{topic} in epoch {epoch}"), ask.of(&mut raw, topic));
        }
    }
    answers
}

#[test]
fn offsets_are_those_of_apache_kafka() {
    let (kafka, cluster) = (ApacheKafka::start(), Cluster::start(1, &[]));
    let _open = [fill(kafka.bootstrap()), fill(cluster.bootstrap())];
    let (theirs, ours) = (all_answers(kafka.bootstrap()), all_answers(cluster.bootstrap()));
    let differs = |(what, answer): &(&String, &Listed)| {
        // Epoch 0 is Kafka's first one; here the first leader has a later one.
        theirs[*what] != **answer && !what.ends_with("in epoch 0")
    };
    let different: Vec<_> = ours
        .iter()
        .filter(differs)
        .map(|(what, ours)| format!("{what}: {ours:?} instead of {:?}", theirs[what]))
        .collect();
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), ours.len(), different.join("\n"));
    assert!(ours.len() > 3000);
    let fenced = ours["jumping in epoch 0"].0;
    assert_eq!(ErrorCode(fenced), ErrorCode::FENCED_LEADER_EPOCH);
    for time in
        ["earliest", "latest", "max-timestamp", "earliest-local", "latest-tiered", "earliest-pending-upload", "300"]
    {
        let [theirs, ours] = [kafka.bootstrap(), cluster.bootstrap()].map(|bootstrap| shown(bootstrap, time));
        assert_eq!(ours, theirs, "kafka-get-offsets --time {time}");
    }
}

/// What Kafka's own tool shows of the topics.
fn shown(bootstrap: &str, time: &str) -> Vec<String> {
    let args = ["--bootstrap-server", bootstrap, "--topic-partitions", "empty:0,jumping:0,atomic:0", "--time", time];
    let tool = Jvm::start("org.apache.kafka.tools.GetOffsetShell", &args);
    let output = tool.succeed_with_output();
    // Not every line with ":0": what the tool logs begins with a time.
    let is_shown =
        |line: &&str| ["empty:0", "jumping:0", "atomic:0"].iter().any(|partition| line.starts_with(partition));
    let mut lines: Vec<_> = output.lines().filter(is_shown).map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

/// Epoch and end of `epoch`'s records, as a node answers it to who believes in `current`.
fn end_of(raw: &mut Raw, epoch: i32, current: i32) -> (ErrorCode, i32, i64) {
    let asked = OffsetForLeaderPartition::default().with_leader_epoch(epoch).with_current_leader_epoch(current);
    let topic = OffsetForLeaderTopic::default().with_topic(name("led")).with_partitions(vec![asked]);
    let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let answer: OffsetForLeaderEpochResponse = raw.call(23, 4, true, &request);
    let part = &answer.topics[0].partitions[0];
    (ErrorCode(part.error_code), part.leader_epoch, part.end_offset)
}

/// The offset and epoch of each record from `start` on.
fn history(raw: &mut Raw, start: i64) -> Vec<(i64, i32)> {
    let part = raw.fetch("led", 0, start);
    let batches = split(&part.records.expect("records")).expect("whole batches");
    batches
        .into_iter()
        .map(|bytes| RecordBatch::parse_stored(bytes).expect("a sound batch"))
        .map(|batch| (batch.base_offset(), batch.leader_epoch()))
        .collect()
}

/// Asks the leader for the end of every epoch that there was: it is where the records of the next one begin. Answers the first epoch and the last that have
/// records.
fn assert_ends(raw: &mut Raw, history: &[(i64, i32)]) -> (i32, i32) {
    let (end, last) = history.last().map(|(offset, epoch)| (offset + 1, *epoch)).expect("records");
    let (start, first) = history[0];
    for epoch in first..=last {
        let (code, floor, found) = end_of(raw, epoch, -1);
        let expected_end = history.iter().find(|(_, of)| *of > epoch).map_or(end, |(offset, _)| *offset);
        let expected = history.iter().rev().find(|(_, of)| *of <= epoch).map(|(_, of)| *of);
        assert_eq!(
            (code, Some(floor), found),
            (ErrorCode::NONE, expected, expected_end),
            "epoch {epoch} of {history:?}"
        );
    }
    // Whoever has read a record is not told that it was truncated: the epoch of each reaches beyond it.
    for (offset, epoch) in history {
        let (code, floor, found) = end_of(raw, *epoch, -1);
        assert!(code == ErrorCode::NONE && floor == *epoch && found > *offset, "record {offset} of epoch {epoch}");
    }
    assert_eq!(end_of(raw, last + 1000, -1), (ErrorCode::NONE, -1, -1), "nobody has led then");
    assert_eq!(end_of(raw, -1, -1), (ErrorCode::NONE, -1, -1));
    if first > 0 {
        assert_eq!(end_of(raw, first - 1, -1), (ErrorCode::NONE, first - 1, start), "older than all that are known");
    }
    (first, last)
}

#[test]
fn epochs_end_where_their_records_do_after_failovers() {
    let cluster = Cluster::start(3, &["raft.rebalance.after.ms=600000"]);
    topics::create(cluster.bootstrap(), "led", 1, 3, &[]);
    let mut victim = None;
    for round in 0..4 {
        let leader = until_some(SOON, "a leader that lives", || {
            topics::leader(cluster.bootstrap(), "led", 0).filter(|leader| Some(*leader) != victim)
        });
        // In the third round nobody writes: its epoch has no records.
        for _ in 0..if round == 2 { 0 } else { 3 + round } {
            until(SOON, "the leader to take a record", || {
                topics::leader(cluster.bootstrap(), "led", 0)
                    .is_some_and(|leader| Raw::connect(cluster.address(leader)).produce("led", batch(b"x")).0 == 0)
            });
        }
        if round < 3 {
            cluster.signal(leader, "KILL");
            victim = Some(leader);
            until(SOON, "another leader", || {
                topics::leader(cluster.bootstrap(), "led", 0).is_some_and(|now| now != leader)
            });
            cluster.start_node(leader);
        }
    }
    let leader = topics::leader(cluster.bootstrap(), "led", 0).expect("a leader");
    let mut raw = Raw::connect(cluster.address(leader));
    let history = history(&mut raw, 0);
    let (first, last) = assert_ends(&mut raw, &history);
    let distinct: BTreeSet<_> = history.iter().map(|(_, epoch)| *epoch).collect();
    assert!(distinct.len() >= 3, "there were failovers: {history:?}");
    if first > 0 {
        assert_eq!(end_of(&mut raw, 0, -1), (ErrorCode::NONE, 0, 0), "older than all that are known");
    }
    assert_eq!(end_of(&mut raw, first, first).0, ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(end_of(&mut raw, first, last + 1000).0, ErrorCode::UNKNOWN_LEADER_EPOCH);
    let follower = cluster.nodes().find(|node| *node != leader).expect("a follower");
    assert_eq!(end_of(&mut Raw::connect(cluster.address(follower)), first, -1).0, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

/// Writes records to the topic's leader, as one of the nodes at `bootstrap` tells it.
fn keep(cluster: &Cluster, bootstrap: &str, count: usize) {
    for _ in 0..count {
        until(SOON, "the leader to take a record", || {
            topics::leader(bootstrap, "led", 0)
                .is_some_and(|leader| Raw::connect(cluster.address(leader)).produce("led", batch(b"kept")).0 == 0)
        });
    }
}

fn raft_index(cluster: &Cluster, node: u32, which: &str) -> f64 {
    Metrics::of(cluster, node).raft_index(which, "led")
}

/// What a leader that has lost all others wrote meanwhile is answered with an error, or not at all.
fn assert_refused(raw: &mut Raw, count: usize) {
    for _ in 0..count {
        let Ok(mut frame) = raw.receive() else { return };
        // Correlation id and the empty tagged fields of the header.
        let _ = frame.split_to(5);
        let answer = ProduceResponse::decode(&mut frame, 9).expect("an answer to Produce");
        assert_ne!(answer.responses[0].partition_responses[0].error_code, 0, "nobody else has it");
    }
}

#[test]
fn epochs_end_where_the_records_do_that_outlive_a_deposed_leader_and_a_log_start() {
    const LOST: usize = 5;
    // Time enough for the leader to write what reaches nobody; and later it leads again by itself.
    let cluster = Cluster::start(3, &["raft.suspect.after.ms=5000", "raft.rebalance.after.ms=500"]);
    topics::create(cluster.bootstrap(), "led", 1, 3, &[]);
    keep(&cluster, cluster.bootstrap(), 3);
    let deposed = until_some(SOON, "a leader", || topics::leader(cluster.bootstrap(), "led", 0));
    let others: Vec<u32> = cluster.nodes().filter(|node| *node != deposed).collect();
    let mut alone = Raw::connect(cluster.address(deposed));
    let before = raft_index(&cluster, deposed, "last_log_index");
    for node in &others {
        cluster.signal(*node, "STOP");
    }
    for _ in 0..LOST {
        alone.send(0, 9, &produce_request("led", 0, batch(b"lost")));
    }
    until(SOON, "the leader to have what reaches nobody", || {
        raft_index(&cluster, deposed, "last_log_index") >= before + LOST as f64
    });
    cluster.signal(deposed, "STOP");
    // What lies unread in their sockets is gone with them.
    for node in &others {
        cluster.signal(*node, "KILL");
    }
    std::thread::scope(|scope| {
        let cluster = &cluster;
        for node in others.iter().copied() {
            scope.spawn(move || cluster.start_node(node));
        }
    });
    let alive = cluster.address(others[0]);
    until(SOON, "another leader", || topics::leader(alive, "led", 0).is_some_and(|now| now != deposed));
    keep(&cluster, alive, 4);

    cluster.signal(deposed, "CONT");
    until(SOON, "the deposed leader to have what the others have, and no more", || {
        let indexes = |node: u32| ["applied_index", "last_log_index"].map(|which| raft_index(&cluster, node, which));
        let [applied, last] = indexes(others[0]);
        applied > before && applied == last && cluster.nodes().all(|node| indexes(node) == [applied, last])
    });
    assert_refused(&mut alone, LOST);
    until(SOON, "it to lead again", || topics::leader(cluster.bootstrap(), "led", 0) == Some(deposed));
    keep(&cluster, cluster.bootstrap(), 2);
    let read = reader::read_partition(cluster.bootstrap(), "led", 0);
    assert!(read.len() >= 9 && read.iter().all(|message| message.payload() == Some(&b"kept"[..])), "{read:?}");

    let mut raw = Raw::connect(cluster.address(deposed));
    let whole = history(&mut raw, 0);
    let (written_in, _) = assert_ends(&mut raw, &whole[..]);
    let deposed_at = whole.iter().position(|(_, epoch)| *epoch > written_in).expect("records of a later leader");

    // Into the middle of the next epoch: of the first one nothing is left.
    let start = deposed_at + 1;
    cluster.must(&["log", "delete-records", "led", "--partition", "0", "--before", &start.to_string()]);
    let shorter = history(&mut raw, start as i64);
    assert_eq!(shorter, whole[start..]);
    let (next, _) = assert_ends(&mut raw, &shorter);
    assert!(next > written_in);
    let ends = end_of(&mut raw, written_in, -1);
    assert_eq!(ends, (ErrorCode::NONE, written_in, start as i64), "where the log begins now");
    cluster.signal(deposed, "KILL");
    cluster.start_node(deposed);
    until(SOON, "it to lead once more", || topics::leader(cluster.bootstrap(), "led", 0) == Some(deposed));
    assert_ends(&mut Raw::connect(cluster.address(deposed)), &shorter);
}
