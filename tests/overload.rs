//! More than a cluster can do: it stays within its memory, lets its clients wait, and answers all of them.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::{FetchRequest, FetchResponse, ProduceResponse};
use caudal_tests::raw::{Raw, batch, name, produce_request};
use caudal_tests::{Cluster, until, until_some};
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
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

#[test]
fn two_hundred_producers_and_fetches_of_64_megabytes() {
    let cluster = Cluster::start(3, &[&format!("memory.limit={LIMIT_BYTES}")]);
    cluster.must(&["topic", "create", TOPIC, "--partitions", &PARTITIONS.to_string()]);
    let load = Load::new(cluster.bootstrap());
    let slowest = thread::scope(|scope| {
        // Also when this thread panics: the others would otherwise go on for ever, and the scope wait for them.
        let _stops = StopsAll(&load.stop);
        for partition in (0..PARTITIONS).cycle().take(PRODUCERS) {
            let load = &load;
            scope.spawn(move || load.produce(partition));
        }
        for partition in (0..PARTITIONS).cycle().take(FETCHERS) {
            let load = &load;
            scope.spawn(move || load.fetch(partition));
        }
        load.wait_as_an_ordinary_client()
    });
    println!("an ordinary client's longest wait: {slowest:?}");
    assert!(slowest < PATIENCE);
    let megabytes = |count: &AtomicU64| count.load(Ordering::Relaxed) / 1_000_000;
    println!("acknowledged {} MB, fetched {} MB", megabytes(&load.acked), megabytes(&load.fetched));
    println!("{} requests were refused, since the leadership had moved", load.moved.load(Ordering::Relaxed));
    for node in cluster.nodes() {
        let peak = peak_bytes(&cluster, node);
        println!("node {node}: at most {} of {} MiB", peak >> 20, LIMIT_BYTES >> 20);
        assert!(peak <= LIMIT_BYTES, "node {node} took {peak} bytes; its limit is {LIMIT_BYTES}");
    }
}

struct StopsAll<'a>(&'a AtomicBool);

impl Drop for StopsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// More than the cluster can do, and what has come of it.
struct Load {
    bootstrap: String,
    batch: Bytes,
    stop: AtomicBool,
    acked: AtomicU64,
    fetched: AtomicU64,
    /// Answers that the leadership has moved: where the machine itself is overloaded, nodes may lose sight of each other.
    moved: AtomicU64,
}

impl Load {
    fn new(bootstrap: &str) -> Self {
        let record = Record { value: Some(vec![7; BATCH_BYTES].into()), ..Record::default() };
        let batch = BatchBuilder::new().build(&[record]).expect("a batch").bytes().clone();
        let (acked, fetched, moved) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { bootstrap: bootstrap.to_owned(), batch, stop: AtomicBool::new(false), acked, fetched, moved }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A connection to the partition's leader.
    fn leader(&self, partition: i32) -> Raw {
        let address = until_some(PATIENCE, "a leader", || {
            let metadata = Raw::connect(&self.bootstrap).metadata();
            let topic = metadata.topics.iter().find(|topic| topic.name.as_ref() == Some(&name(TOPIC)))?;
            let partition = topic.partitions.iter().find(|known| known.partition_index == partition)?;
            let leader = metadata.brokers.iter().find(|broker| broker.node_id == partition.leader_id)?;
            Some(format!("{}:{}", leader.host, leader.port))
        });
        Raw::connect(&address)
    }

    /// Whether the answer acknowledges; the only other answer that may be is that the leadership has moved.
    fn is_acked(&self, error_code: i16) -> bool {
        if error_code == NOT_LEADER_OR_FOLLOWER {
            self.moved.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        assert_eq!(error_code, 0);
        true
    }

    /// Sends as fast as it is let, and reads every answer.
    fn produce(&self, partition: i32) {
        let mut connection = self.leader(partition);
        let request = produce_request(TOPIC, partition, self.batch.clone()).with_timeout_ms(30_000);
        let (mut waiting, mut has_moved) = (0, false);
        loop {
            while waiting < IN_FLIGHT && !has_moved && !self.is_over() {
                connection.send(0, 9, &request);
                waiting += 1;
            }
            if waiting == 0 {
                if self.is_over() {
                    return;
                }
                (connection, has_moved) = (self.leader(partition), false);
                continue;
            }
            let mut frame = connection.receive().expect("every request is answered");
            // Correlation id and the empty tagged fields of the header.
            let _ = frame.split_to(5);
            let answer = ProduceResponse::decode(&mut frame, 9).expect("an answer to Produce");
            waiting -= 1;
            if self.is_acked(answer.responses[0].partition_responses[0].error_code) {
                self.acked.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
            } else {
                has_moved = true;
            }
        }
    }

    /// Reads the partition from its start again and again, 64 MB a time.
    fn fetch(&self, partition: i32) {
        let mut connection = self.leader(partition);
        let wanted = FetchPartition::default().with_partition(partition).with_partition_max_bytes(FETCH_BYTES);
        let topic = FetchTopic::default().with_topic(name(TOPIC)).with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        while !self.is_over() {
            let answer: FetchResponse = connection.call(1, 11, false, &request);
            let partition_data = &answer.responses[0].partitions[0];
            if self.is_acked(partition_data.error_code) {
                let bytes = partition_data.records.as_ref().map_or(0, Bytes::len);
                self.fetched.fetch_add(bytes as u64, Ordering::Relaxed);
            } else {
                connection = self.leader(partition);
            }
        }
    }

    /// One small record after the other for as long as the load lasts: the longest that one took, with the search for its leader.
    fn wait_as_an_ordinary_client(&self) -> Duration {
        let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
        while begin.elapsed() < LASTS {
            let asked = Instant::now();
            until(PATIENCE, "an ordinary client's record is acknowledged", || {
                let (code, _) = self.leader(0).produce(TOPIC, batch(b"an ordinary client's"));
                self.is_acked(code)
            });
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    }
}

/// The most memory that a node's process has had resident.
fn peak_bytes(cluster: &Cluster, node: u32) -> u64 {
    let pid = fs::read_to_string(cluster.node_dir(node).join("pid")).expect("the node's pid");
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("the node still runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux tells the peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}
