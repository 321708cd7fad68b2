//! Kafka Connect on Caudal: distributed workers, a source with exactly-once support, a sink, and their three internal topics, while nodes and workers die.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use caudal_tests::connect::{Connect, INTERNAL_TOPICS, Worker};
use caudal_tests::{Cluster, assert_same, committed, topics, until, until_some};
use rdkafka::message::Message;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const PER_SECOND: u32 = 200;
/// Of topics from which something goes within seconds.
const CLEANED: [(&str, &str); 5] = [
    ("internal.segment.bytes", "16384"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("max.compaction.lag.ms", "2000"),
    ("delete.retention.ms", "1000"),
];

fn cluster(nodes: u32) -> Cluster {
    Cluster::start(nodes, &["group.initial.rebalance.delay.ms=0"])
}

fn lines(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("compra {number:06}")).collect()
}

/// A file to which numbered lines are added at a steady rate.
struct Growing {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    writer: JoinHandle<usize>,
}

impl Growing {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (mut file, stopped) = (File::create(&path).expect("the file is created"), Arc::clone(&stop));
        let write = move || {
            let (start, mut number) = (Instant::now(), 0);
            while !stopped.load(Ordering::SeqCst) {
                let due = (start.elapsed().as_secs_f64() * f64::from(PER_SECOND)) as usize;
                append(&mut file, number..due.max(number));
                number = due.max(number);
                thread::park_timeout(Duration::from_millis(20));
            }
            number
        };
        let writer = thread::Builder::new().name("lines".to_owned()).spawn(write).expect("a thread");
        Self { path, stop, writer }
    }

    /// Stops it: how many lines the file has, and how many bytes.
    fn finish(self) -> (usize, u64) {
        self.stop.store(true, Ordering::SeqCst);
        let count = self.writer.join().expect("the writer does not panic");
        (count, size(&self.path))
    }
}

fn append(file: &mut File, numbers: Range<usize>) {
    let text: String = lines(numbers).into_iter().map(|line| line + "\n").collect();
    file.write_all(text.as_bytes()).expect("the lines are written");
}

fn append_to(path: &Path, numbers: Range<usize>) {
    append(&mut OpenOptions::new().create(true).append(true).open(path).expect("the file is opened"), numbers);
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("the file is there").len()
}

/// The lines of a file that a sink writes, without those that are there again: it promises at least once.
fn written(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut seen = HashSet::new();
    // Without what may be half of a line.
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter(|line| seen.insert(*line)).map(str::to_owned).collect()
}

fn source(file: &Path, topic: &str, replication_factor: u32) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
        "tasks.max": "1",
        "file": file,
        "topic": topic,
        // More than there ever are: a task that has as many lines leaves the rest of what it has read until the file grows again.
        "batch.size": "1000000",
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": replication_factor.to_string(),
    })
}

fn sink(file: &Path, topics: &str) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "tasks.max": "1",
        "file": file,
        "topics": topics,
    })
}

/// What a reader of committed records sees of a topic with one partition.
fn read(cluster: &Cluster, topic: &str, count: usize) -> Vec<String> {
    let records = committed::read(cluster.bootstrap(), topic, 1, count).remove(0);
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.expect("a value")).into_owned();
    records.iter().map(|record| text(record.payload())).collect()
}

/// Kills a worker, and returns those that are left with a new one.
fn replace(connect: &Connect, mut workers: Vec<Worker>, victim: &str) -> Vec<Worker> {
    let index = workers.iter().position(|worker| worker.name() == victim).expect("a worker of this name");
    workers.remove(index).kill();
    workers.push(connect.worker());
    workers
}

/// Waits until each of two workers has one of the two tasks: the worker of a connector's.
fn until_shared(worker: &Worker, connector: &str) -> String {
    until_some(SOON, "each worker to have a task", || {
        let (source, sink) = (worker.runner("source")?, worker.runner("sink")?);
        (source != sink).then_some(if connector == "source" { source } else { sink })
    })
}

fn each_line_comes_exactly_once(nodes: u32) {
    let cluster = cluster(nodes);
    let connect = Connect::of(cluster.bootstrap(), nodes);
    let mut workers = vec![connect.worker(), connect.worker()];
    let growing = Growing::start(connect.file("in"));
    let out = connect.file("out");
    workers[0].put("source", &source(&growing.path, "linhas", nodes));
    workers[0].put("sink", &sink(&out, "linhas"));
    let until_more = |what: &str| {
        let wanted = written(&out).len() + 2 * PER_SECOND as usize;
        until(SOON, &format!("more lines {what}"), || written(&out).len() >= wanted);
    };
    until_shared(&workers[0], "source");
    until_more("at first");
    let node = until_some(SOON, "a leader", || topics::leader(cluster.bootstrap(), "linhas", 0));
    cluster.signal(node, "KILL");
    if nodes > 1 {
        until_more("without a node");
    }
    cluster.start_node(node);
    until_more("with all nodes");
    for connector in ["source", "sink"] {
        let victim = until_shared(&workers[0], connector);
        workers = replace(&connect, workers, &victim);
        until(SOON, "a survivor to run the task", || {
            workers[0].runner(connector).is_some_and(|runner| runner != victim)
        });
        until_more(&format!("without the worker of the {connector}"));
    }
    let (count, bytes) = growing.finish();
    workers[0].until_position("source", bytes);
    assert_same("the committed lines", &read(&cluster, "linhas", count), &lines(0..count));
    until(SOON, "the sink to write the last line", || written(&out).len() >= count);
    assert_same("the sink's lines", &written(&out), &lines(0..count));
}

#[test]
fn each_line_comes_exactly_once_although_a_node_and_the_workers_die() {
    each_line_comes_exactly_once(3);
}

#[test]
fn each_line_comes_exactly_once_although_the_only_node_and_the_workers_die() {
    each_line_comes_exactly_once(1);
}

fn connectors_outlive_their_workers(nodes: u32) {
    let cluster = cluster(nodes);
    let connect = Connect::of(cluster.bootstrap(), nodes);
    let (input, out) = (connect.file("in"), connect.file("out"));
    for topic in ["linhas", "outras"] {
        topics::create(cluster.bootstrap(), topic, 1, nodes.cast_signed(), &[]);
    }
    let until_written = |count| {
        until(SOON, "the sink to write the lines", || written(&out).len() >= count);
        assert_same("the sink's lines", &written(&out), &lines(0..count));
    };

    let worker = connect.worker();
    append_to(&input, 0..100);
    worker.put("source", &source(&input, "linhas", nodes));
    worker.put("sink", &sink(&out, "linhas,outras"));
    until_written(100);
    for (topic, partitions) in INTERNAL_TOPICS {
        let policy = topics::setting(cluster.bootstrap(), topic, "cleanup.policy");
        assert_eq!(policy.as_deref(), Some("compact"), "of {topic}");
        assert_eq!(topics::replicas(cluster.bootstrap(), topic), vec![nodes as usize; partitions], "of {topic}");
    }

    worker.must("PUT", "/connectors/source/stop", None);
    worker.until_stopped("source");
    let mut config = source(&input, "outras", nodes);
    worker.put("source", &config);
    worker.must("PUT", "/connectors/source/resume", None);
    worker.until("source", "RUNNING");
    append_to(&input, 100..200);
    until_written(200);
    worker.must("PUT", "/connectors/source/pause", None);
    worker.until("source", "PAUSED");
    append_to(&input, 200..300);

    worker.kill();
    let worker = connect.worker();
    worker.until("source", "PAUSED");
    worker.until("sink", "RUNNING");
    config["name"] = "source".into();
    assert_eq!(worker.ask("/connectors/source/config"), Some(config), "it is what it was changed to");
    assert_same("the lines before the pause", &written(&out), &lines(0..200));
    worker.must("PUT", "/connectors/source/resume", None);
    worker.until("source", "RUNNING");
    until_written(300);
    worker.until_position("source", size(&input));
    assert_same("the lines in the first topic", &read(&cluster, "linhas", 100), &lines(0..100));
    assert_same("the lines in the second topic", &read(&cluster, "outras", 200), &lines(100..300));

    worker.must("DELETE", "/connectors/source", None);
    until(SOON, "the sink to be left", || worker.ask("/connectors") == Some(json!(["sink"])));
    worker.must("DELETE", "/connectors/sink", None);
    until(SOON, "no connector to be left", || worker.ask("/connectors") == Some(json!([])));
    assert_eq!(worker.ask("/connectors/source/config"), None);
}

#[test]
fn connectors_outlive_their_workers_and_can_be_changed_and_deleted() {
    connectors_outlive_their_workers(3);
}

#[test]
fn connectors_outlive_their_workers_on_one_node() {
    connectors_outlive_their_workers(1);
}

/// The records that are in the internal topics: topic, partition, offset.
fn kept(cluster: &Cluster) -> BTreeSet<(&'static str, i32, i64)> {
    let of_topic = |(topic, partitions): (&'static str, usize)| {
        let partitions = i32::try_from(partitions).expect("few");
        let records = committed::read(cluster.bootstrap(), topic, partitions, 0).into_iter().flatten();
        records.map(move |record| (topic, record.partition(), record.offset()))
    };
    INTERNAL_TOPICS.into_iter().flat_map(of_topic).collect()
}

/// Whether each of the internal topics is among these.
fn are_all(topics: &BTreeSet<&str>) -> bool {
    INTERNAL_TOPICS.iter().all(|(topic, _)| topics.contains(topic))
}

fn workers_come_up_from_compacted_topics(nodes: u32) {
    let cluster = Cluster::start(nodes, &["group.initial.rebalance.delay.ms=0", "log.cleaner.backoff.ms=100"]);
    let connect = Connect::of(cluster.bootstrap(), nodes).with_topic_settings(&CLEANED);
    let (growing, out) = (Growing::start(connect.file("in")), connect.file("out"));
    let worker = connect.worker();
    let mut config = source(&growing.path, "linhas", nodes);
    worker.put("source", &config);
    worker.put("sink", &sink(&out, "linhas"));
    worker.until("source", "RUNNING");
    worker.until("sink", "RUNNING");
    for (topic, _) in INTERNAL_TOPICS {
        // What is there for tests alone is not shown.
        for (key, value) in CLEANED.into_iter().filter(|(key, _)| !key.starts_with("internal.")) {
            assert_eq!(topics::setting(cluster.bootstrap(), topic, key).as_deref(), Some(value), "{key} of {topic}");
        }
    }
    let first = until_some(SOON, "a record in each of the internal topics", || {
        let kept = kept(&cluster);
        are_all(&kept.iter().map(|(topic, ..)| *topic).collect()).then_some(kept)
    });

    // What is read writes offsets all the time; each change of the source writes its configuration, and its states.
    let mut batch = 1_000_000;
    until(2 * SOON, "log compaction to take records out of each of the internal topics", || {
        batch += 1;
        config["batch.size"] = batch.to_string().into();
        worker.put("source", &config);
        worker.until("source", "RUNNING");
        let now = kept(&cluster);
        are_all(&first.difference(&now).map(|(topic, ..)| *topic).collect())
    });

    worker.kill();
    let worker = connect.worker();
    worker.until("source", "RUNNING");
    worker.until("sink", "RUNNING");
    config["name"] = "source".into();
    assert_eq!(worker.ask("/connectors/source/config"), Some(config), "it is what it was changed to");
    let wanted = written(&out).len() + 2 * PER_SECOND as usize;
    until(SOON, "more lines by the new worker", || written(&out).len() >= wanted);
    let (count, bytes) = growing.finish();
    worker.until_position("source", bytes);
    assert_same("the committed lines", &read(&cluster, "linhas", count), &lines(0..count));
    until(SOON, "the sink to write the last line", || written(&out).len() >= count);
    assert_same("the sink's lines", &written(&out), &lines(0..count));
}

#[test]
fn workers_come_up_from_compacted_topics_on_three_nodes() {
    workers_come_up_from_compacted_topics(3);
}

#[test]
fn workers_come_up_from_compacted_topics_on_one_node() {
    workers_come_up_from_compacted_topics(1);
}
