//! `min.insync.replicas` beyond the majority: who asks for all copies gets them or an error, and others go on.

use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::ProduceResponse;
use caudal_tests::raw::{Raw, batch, produce_request};
use caudal_tests::{Cluster, topics, until};

const SOON: Duration = Duration::from_secs(60);

fn produce(raw: &mut Raw, topic: &str, acks: i16) -> (ErrorCode, Option<String>) {
    let answer: ProduceResponse = raw.call(0, 9, true, &produce_request(topic, 0, batch(b"x")).with_acks(acks));
    let part = &answer.responses[0].partition_responses[0];
    (ErrorCode(part.error_code), part.error_message.as_ref().map(ToString::to_string))
}

fn count(cluster: &Cluster, node: u32, topic: &str) -> i64 {
    Raw::connect(cluster.address(node)).fetch(topic, 0, 0).high_watermark
}

#[test]
fn all_copies_or_an_error() {
    let cluster = Cluster::start(3, &[]);
    topics::create(cluster.bootstrap(), "all", 1, 3, &[("min.insync.replicas", "3")]);
    topics::create(cluster.bootstrap(), "most", 1, 3, &[("min.insync.replicas", "2")]);
    let leader = topics::leader(cluster.bootstrap(), "all", 0).expect("a leader");
    let follower = cluster.nodes().find(|node| *node != leader).expect("a follower");
    let mut raw = Raw::connect(cluster.address(leader));
    assert_eq!(produce(&mut raw, "all", -1), (ErrorCode::NONE, None));

    cluster.signal(follower, "KILL");
    until(SOON, "the leader to miss the follower", || {
        let (code, message) = produce(&mut raw, "all", -1);
        let refused = code == ErrorCode::NOT_ENOUGH_REPLICAS;
        assert!(refused || code == ErrorCode::NONE || code == ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND, "{code}");
        assert!(!refused || message.is_some_and(|text| text.contains("min.insync.replicas")));
        refused
    });
    let before = count(&cluster, leader, "all");
    assert_eq!(produce(&mut raw, "all", -1).0, ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(count(&cluster, leader, "all"), before, "nothing was written");
    assert_eq!(produce(&mut raw, "all", 1), (ErrorCode::NONE, None), "acks=1 asks for no more than the leader");
    assert_eq!(count(&cluster, leader, "all"), before + 1);
    // Another topic's leader may be elsewhere, or have moved.
    let other = topics::leader(cluster.bootstrap(), "most", 0).expect("a leader");
    if other != follower {
        assert_eq!(produce(&mut Raw::connect(cluster.address(other)), "most", -1), (ErrorCode::NONE, None));
    }

    cluster.start_node(follower);
    until(SOON, "writes to be taken again", || produce(&mut raw, "all", -1).0 == ErrorCode::NONE);
}

#[test]
fn a_copy_that_is_missing_after_the_append_is_told() {
    let cluster = Cluster::start(3, &["raft.suspect.after.ms=3000"]);
    topics::create(cluster.bootstrap(), "all", 1, 3, &[("min.insync.replicas", "3")]);
    let leader = topics::leader(cluster.bootstrap(), "all", 0).expect("a leader");
    let follower = cluster.nodes().find(|node| *node != leader).expect("a follower");
    let mut raw = Raw::connect(cluster.address(leader));
    assert_eq!(produce(&mut raw, "all", -1), (ErrorCode::NONE, None));
    // It stands still, and is not suspect yet: two of three have the batch, which is a majority and not what was asked for.
    cluster.signal(follower, "STOP");
    let (code, message) = produce(&mut raw, "all", -1);
    cluster.signal(follower, "CONT");
    assert_eq!(code, ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND, "{message:?}");
    assert_eq!(count(&cluster, leader, "all"), 2, "it is committed all the same");
    until(SOON, "writes to be taken again", || produce(&mut raw, "all", -1).0 == ErrorCode::NONE);
}
