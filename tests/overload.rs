//! More than a cluster can do: it stays within its memory, lets its clients wait, and answers all of them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::{FetchRequest, ProduceResponse};
use caudal_tests::raw::{Raw, batch, name, produce_request};
use caudal_tests::{Cluster, until_some};
use kafka_protocol::protocol::Decodable;

const TOPIC: &str = "overload";
const PARTITIONS: i32 = 12;
const PRODUCERS: usize = 200;
const FETCHERS: usize = 24;
/// Requests that a producer has under way, of nearly a megabyte each: all of them together are as much as the whole limit of a node.
const IN_FLIGHT: usize = 3;
const BATCH_BYTES: usize = 1_000_000;
const FETCH_BYTES: i32 = 64 << 20;
const LIMIT_BYTES: u64 = 512 << 20;
const LASTS: Duration = Duration::from_secs(12);
/// How long an ordinary client may wait for its answer meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn two_hundred_producers_and_fetches_of_64_megabytes() {
    let cluster = Cluster::start(3, &[&format!("memory.limit={LIMIT_BYTES}")]);
    cluster.must(&["topic", "create", TOPIC, "--partitions", &PARTITIONS.to_string()]);
    let leaders = leaders(&cluster);
    let (stop, acked, fetched) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let large = large_batch();
    thread::scope(|scope| {
        let (stop, acked, fetched, leaders) = (&stop, &acked, &fetched, &leaders);
        for partition in (0..PARTITIONS).cycle().take(PRODUCERS) {
            let large = Arc::clone(&large);
            scope.spawn(move || produce(leaders, partition, &large, stop, acked));
        }
        for partition in (0..PARTITIONS).cycle().take(FETCHERS) {
            scope.spawn(move || fetch(leaders, partition, stop, fetched));
        }
        let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
        while begin.elapsed() < LASTS {
            let asked = Instant::now();
            let (code, _) = Raw::connect(&leaders[0]).produce(TOPIC, batch(b"an ordinary client's"));
            assert_eq!(code, 0);
            slowest = slowest.max(asked.elapsed());
        }
        println!("an ordinary client's longest wait: {slowest:?}");
        stop.store(true, Ordering::Relaxed);
        assert!(slowest < PATIENCE);
    });
    let megabytes = |count: &AtomicU64| count.load(Ordering::Relaxed) / 1_000_000;
    println!("acknowledged {} MB, fetched {} MB", megabytes(&acked), megabytes(&fetched));
    for node in cluster.nodes() {
        let peak = peak_bytes(&cluster, node);
        println!("node {node}: at most {} of {} MiB", peak >> 20, LIMIT_BYTES >> 20);
        assert!(peak <= LIMIT_BYTES, "node {node} took {peak} bytes; its limit is {LIMIT_BYTES}");
    }
}

/// The addresses of the partitions' leaders.
fn leaders(cluster: &Cluster) -> Vec<String> {
    until_some(Duration::from_secs(20), "leaders of all partitions", || {
        let metadata = Raw::connect(cluster.bootstrap()).metadata();
        let topic = metadata.topics.iter().find(|topic| topic.name.as_ref() == Some(&name(TOPIC)))?;
        (0..PARTITIONS)
            .map(|index| {
                let partition = topic.partitions.iter().find(|partition| partition.partition_index == index)?;
                let leader = metadata.brokers.iter().find(|broker| broker.node_id == partition.leader_id)?;
                Some(format!("{}:{}", leader.host, leader.port))
            })
            .collect()
    })
}

fn large_batch() -> Arc<Bytes> {
    let record = Record { value: Some(vec![7; BATCH_BYTES].into()), ..Record::default() };
    Arc::new(BatchBuilder::new().build(&[record]).expect("a batch").bytes().clone())
}

/// Sends as fast as it is let, and reads every answer.
fn produce(leaders: &[String], partition: i32, batch: &Bytes, stop: &AtomicBool, acked: &AtomicU64) {
    let mut connection = Raw::connect(&leaders[partition as usize]);
    let request = produce_request(TOPIC, partition, batch.clone()).with_timeout_ms(30_000);
    let mut waiting = 0;
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        while waiting < IN_FLIGHT && !stopping {
            connection.send(0, 9, &request);
            waiting += 1;
        }
        if waiting == 0 {
            return;
        }
        let mut frame = connection.receive().expect("every request is answered");
        // Correlation id and the empty tagged fields of the header.
        let _ = frame.split_to(5);
        let answer = ProduceResponse::decode(&mut frame, 9).expect("an answer to Produce");
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        waiting -= 1;
        acked.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
}

/// Reads the partition from its start again and again, 64 MB a time.
fn fetch(leaders: &[String], partition: i32, stop: &AtomicBool, fetched: &AtomicU64) {
    let mut connection = Raw::connect(&leaders[partition as usize]);
    let wanted = FetchPartition::default().with_partition(partition).with_partition_max_bytes(FETCH_BYTES);
    let topic = FetchTopic::default().with_topic(name(TOPIC)).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_max_wait_ms(100)
        .with_min_bytes(1)
        .with_max_bytes(FETCH_BYTES)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    while !stop.load(Ordering::Relaxed) {
        connection.send(1, 11, &request);
        let frame = connection.receive().expect("every request is answered");
        fetched.fetch_add(frame.len() as u64, Ordering::Relaxed);
    }
}

/// The most memory that a node's process has had resident.
fn peak_bytes(cluster: &Cluster, node: u32) -> u64 {
    let pid = fs::read_to_string(cluster.node_dir(node).join("pid")).expect("the node's pid");
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("the node still runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux tells the peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}
