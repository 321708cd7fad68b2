//! Incremental fetch sessions (KIP-227): their rules, by hand, and a consumer of thousands of partitions.

use std::collections::BTreeSet;
use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::fetch_request::ForgottenTopic;
use caudal_protocol::messages::{FetchRequest, FetchResponse, ProduceResponse};
use caudal_tests::metrics::Metrics;
use caudal_tests::raw::{Raw, batch, fetch_request, name, produce_request};
use caudal_tests::tools::InputFile;
use caudal_tests::verifiable::VerifiableConsumer;
use caudal_tests::{Cluster, until_some};

const TOPIC: &str = "wide";
const MANY: i32 = 3000;
const FETCHES: &str = "caudal_requests_total{api=\"Fetch\"}";

fn fetch(raw: &mut Raw, request: &FetchRequest) -> FetchResponse {
    raw.call(1, 12, true, request)
}

/// The code of the whole answer, and the partitions in it.
fn answered(raw: &mut Raw, request: &FetchRequest) -> (ErrorCode, Vec<i32>) {
    let answer = fetch(raw, request);
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    (ErrorCode(answer.error_code), partitions.map(|partition| partition.partition_index).collect())
}

fn open(raw: &mut Raw, partitions: &[(i32, i64)]) -> i32 {
    fetch(raw, &fetch_request(TOPIC, partitions).with_session_epoch(0)).session_id
}

/// A request within a session, with what changes.
fn within(session: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let request = fetch_request(TOPIC, partitions).with_session_id(session).with_session_epoch(epoch);
    if partitions.is_empty() { request.with_topics(vec![]) } else { request }
}

fn cluster(partitions: i32, set: &[&str]) -> Cluster {
    let cluster = Cluster::start(1, set);
    cluster.must(&["topic", "create", TOPIC, "--partitions", &partitions.to_string()]);
    cluster
}

#[test]
fn a_session_is_told_only_of_what_changes() {
    let cluster = cluster(4, &["max.incremental.fetch.session.cache.slots=2"]);
    let mut raw = Raw::connect(cluster.bootstrap());
    let session = open(&mut raw, &[(0, 0), (1, 0), (2, 0)]);
    assert!(session > 0);
    assert_eq!(answered(&mut raw, &within(session, 1, &[])), (ErrorCode::NONE, vec![]));
    let _: ProduceResponse = raw.call(0, 9, true, &produce_request(TOPIC, 1, batch(b"a")));
    assert_eq!(answered(&mut raw, &within(session, 2, &[])), (ErrorCode::NONE, vec![1]));
    // A partition from which nothing was taken is told of again, since it has records.
    assert_eq!(answered(&mut raw, &within(session, 3, &[(3, 0)])), (ErrorCode::NONE, vec![1, 3]));
    assert_eq!(answered(&mut raw, &within(session, 4, &[(1, 1)])), (ErrorCode::NONE, vec![]));
    assert_eq!(answered(&mut raw, &within(session, 5, &[(1, 0)])), (ErrorCode::NONE, vec![1]));
    let forgotten = ForgottenTopic::default().with_topic(name(TOPIC)).with_partitions(vec![1]);
    let forget = within(session, 6, &[]).with_forgotten_topics_data(vec![forgotten]);
    assert_eq!(answered(&mut raw, &forget), (ErrorCode::NONE, vec![]));

    assert_eq!(answered(&mut raw, &within(session, 6, &[])).0, ErrorCode::INVALID_FETCH_SESSION_EPOCH, "used");
    assert_eq!(answered(&mut raw, &within(session, 8, &[])).0, ErrorCode::INVALID_FETCH_SESSION_EPOCH, "too soon");
    assert_eq!(answered(&mut raw, &within(session + 77, 1, &[])).0, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    let by_id: FetchResponse = raw.call(1, 13, true, &within(session, 7, &[]));
    assert_eq!(ErrorCode(by_id.error_code), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    assert_eq!(answered(&mut raw, &within(session, 7, &[])), (ErrorCode::NONE, vec![]), "errors leave it as it was");

    // There are two places: a third client is served without a session, until one is given back.
    let second = open(&mut raw, &[(0, 0)]);
    assert!(second > 0 && second != session);
    assert_eq!(open(&mut raw, &[(0, 0), (1, 0), (2, 0), (3, 0)]), 0);
    let closed = fetch(&mut raw, &within(second, -1, &[]));
    assert_eq!((closed.error_code, closed.session_id), (0, 0));
    assert_eq!(answered(&mut raw, &within(second, 1, &[])).0, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert!(open(&mut raw, &[(0, 0)]) > 0);
}

#[test]
fn thousands_of_partitions_cost_little_while_nothing_comes() {
    let cluster = cluster(MANY, &[]);
    let mut raw = Raw::connect(cluster.bootstrap());
    let all: Vec<_> = (0..MANY).map(|partition| (partition, 0)).collect();
    let session = open(&mut raw, &all);
    assert!(session > 0);
    let cpu = || Metrics::of(&cluster, 1).get("process_cpu_seconds_total");
    let (before, polls) = (cpu(), 200);
    for epoch in 1..=polls {
        raw.send(1, 12, &within(session, epoch, &[]).with_max_wait_ms(10).with_min_bytes(1));
        let answer = raw.receive().expect("an answer");
        assert!(answer.len() < 32, "an answer without news has {} bytes", answer.len());
    }
    println!("an idle poll of {MANY} partitions costs {:.2} ms of CPU", (cpu() - before) * 1000.0 / f64::from(polls));

    // One record wakes the poll, and only its partition is told of.
    raw.send(1, 12, &within(session, polls + 1, &[]).with_max_wait_ms(30_000).with_min_bytes(1));
    let (code, _) = Raw::connect(cluster.bootstrap()).produce(TOPIC, batch(b"news"));
    assert_eq!(code, 0);
    let answer = raw.receive().expect("an answer");
    assert!(answer.len() < 250, "the answer has {} bytes", answer.len());
}

/// What the node has counted once it has answered `more` Fetches more than now.
fn after_fetches(cluster: &Cluster, more: f64) -> Metrics {
    let wanted = Metrics::of(cluster, 1).get(FETCHES) + more;
    let look = || Some(Metrics::of(cluster, 1)).filter(|metrics| metrics.get(FETCHES) >= wanted);
    until_some(Duration::from_secs(60), "the consumer to fetch on", look)
}

#[test]
fn a_consumer_of_thousands_of_partitions_names_only_what_changes_and_misses_nothing() {
    // One that named all its partitions, or was told of all, would need more than 30 bytes for each of them.
    const FEW_BYTES: f64 = 1000.0;
    let cluster = cluster(MANY, &["group.initial.rebalance.delay.ms=0"]);
    let mut raw = Raw::connect(cluster.bootstrap());
    let mut send = |partition| {
        let answer: ProduceResponse = raw.call(0, 9, true, &produce_request(TOPIC, partition, batch(b"v")));
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0);
        (i64::from(partition), answer.base_offset)
    };
    let mut sent: BTreeSet<_> = (0..MANY).step_by(7).map(&mut send).collect();
    let often = InputFile::of("fetch.max.wait.ms=50\n");
    let consumer = VerifiableConsumer::start(cluster.bootstrap(), TOPIC, "all", &["--command-config", often.path()]);
    consumer.wait_read(sent.len());
    consumer.wait_committed(i64::try_from(sent.len()).expect("fits"));

    // It has nothing to read now. The first of its requests may still name where it goes on.
    let (before, after) = (after_fetches(&cluster, 10.0), after_fetches(&cluster, 100.0));
    let grown = |name: &str| after.get(name) - before.get(name);
    for direction in ["caudal_received_bytes_total", "caudal_sent_bytes_total"] {
        let bytes = grown(direction) / grown(FETCHES);
        println!("{direction}: {bytes:.0} for each Fetch of {MANY} partitions");
        assert!(bytes < FEW_BYTES, "{direction}: {bytes} for each Fetch of {MANY} partitions");
    }

    // Partitions that it has had nothing of yet, and such of which it has.
    sent.extend((0..MANY).step_by(30).map(&mut send));
    consumer.wait_read(sent.len());
    assert_eq!(consumer.read(), sent);
}
