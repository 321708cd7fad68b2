//! Kafka Streams with exactly-once processing (`exactly_once_v2`): whatever dies while it runs, what it makes of a stream is what one computes of all of
//! the input at once, each update once and in order.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, UNIX_EPOCH};

use caudal_tests::jvm::Jvm;
use caudal_tests::{Cluster, assert_same, committed, reader, topics, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tempfile::TempDir;

const PARTITIONS: i32 = 4;
const PER_SECOND: u32 = 200;
const SOON: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The application's, see `Streams.java`.
const JOIN_WITHIN: u64 = 10_000;
const COUNTED_WINDOW: i64 = 60_000;

/// A record of the input.
struct Input {
    topic: &'static str,
    key: String,
    value: String,
    time: i64,
}

/// What an application does.
struct Topology {
    name: &'static str,
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    /// The records with a number of a load that has started at a time.
    input: fn(i64, u64) -> Vec<Input>,
    /// How many more records are to be committed to each partition of the output before the next thing happens.
    more: i64,
    /// The name of its table, and how the table's changelog is to be cleaned up.
    table: (&'static str, &'static str),
}

static WORD_COUNT: Topology = Topology {
    name: "word-count",
    inputs: &["linhas"],
    outputs: &["palavras"],
    input: |start, number| vec![Input { topic: "linhas", key: number.to_string(), value: line(number), time: start }],
    more: 400,
    table: ("vezes", "compact"),
};

static WINDOWED_JOIN: Topology = Topology {
    name: "windowed-join",
    inputs: &["compras", "autorizacoes"],
    outputs: &["faturas", "faturas-por-minuto"],
    input: |start, number| Purchase::new(start, number).input(),
    more: 100,
    table: ("por-minuto", "compact,delete"),
};

/// A number that looks random, and is the same each time.
fn random(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn line(number: u64) -> String {
    let words = (0..4).map(|place| format!("palavra-{}", random((number, place)) % 200));
    words.collect::<Vec<_>>().join(" ")
}

/// A purchase, and the times and texts of its authorisations.
struct Purchase {
    number: u64,
    shop: String,
    time: i64,
    authorisations: Vec<(i64, String)>,
}

impl Purchase {
    /// Seconds out of order, with up to two authorisations, up to 15 seconds before or after it. Some of them are exactly as far apart as is allowed.
    fn new(start: i64, number: u64) -> Self {
        let below = |of: &str, end: u64| i64::try_from(random((of, number)) % end).expect("fits");
        let time = start + i64::try_from(number * 20).expect("fits") + below("time", 5000);
        let authorisation = |which: i64| {
            let seconds = below(&format!("authorisation {which}"), 31) - 15;
            (time + seconds * 1000, format!("autorizacao-{number}-{which}"))
        };
        let authorisations = (0..below("authorisations", 3)).map(authorisation).collect();
        Self { number, shop: format!("loja-{}", below("shop", 20)), time, authorisations }
    }

    fn input(self) -> Vec<Input> {
        let key = self.number.to_string();
        let record = |topic, time, value| Input { topic, key: key.clone(), value, time };
        let authorisations = self.authorisations.into_iter();
        let authorisations = authorisations.map(|(time, text)| record("autorizacoes", time, text));
        authorisations.chain([record("compras", self.time, self.shop)]).collect()
    }

    /// The times and texts of what the join makes of it.
    fn invoices(&self) -> impl Iterator<Item = (i64, String)> {
        let together = self.authorisations.iter().filter(|(time, _)| time.abs_diff(self.time) <= JOIN_WITHIN);
        together.map(|(time, text)| (self.time.max(*time), format!("{} {text}", self.shop)))
    }
}

/// A steady load of input.
struct Load {
    start: i64,
    stop: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
}

impl Load {
    fn start(bootstrap: &str, topology: &'static Topology) -> Self {
        // An hour ago, since brokers refuse timestamps that are far in the future, and delete what is old.
        let start = UNIX_EPOCH.elapsed().expect("after 1970") - Duration::from_hours(1);
        let start = i64::try_from(start.as_millis()).expect("fits");
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let work = move || send(&producer, topology, start, &stopped);
        Self { start, stop, sender: thread::Builder::new().name("load".to_owned()).spawn(work).expect("a thread") }
    }

    /// Ends it: when it started, and how many numbers it had.
    fn finish(self) -> (i64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        (self.start, self.sender.join().expect("the sender does not panic"))
    }
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topology: &Topology,
    start: i64,
    stop: &AtomicBool,
) -> u64 {
    let started = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let due = (started.elapsed().as_secs_f64() * f64::from(PER_SECOND)) as u64;
        while number < due {
            for Input { topic, key, value, time } in (topology.input)(start, number) {
                let record = BaseRecord::to(topic).key(&key).payload(&value).timestamp(time);
                producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
            }
            number += 1;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    producer.flush(SOON).expect("all records are answered");
    number
}

/// An application on a cluster.
struct Run {
    topology: &'static Topology,
    cluster: Cluster,
    machines: TempDir,
    start: Instant,
}

impl Run {
    fn start(topology: &'static Topology, nodes: u32) -> Self {
        let cluster = Cluster::start(nodes, &["group.initial.rebalance.delay.ms=0"]);
        let bootstrap = cluster.bootstrap();
        for topic in topology.inputs.iter().chain(topology.outputs) {
            topics::create(bootstrap, topic, PARTITIONS, nodes as i32, &[]);
        }
        let machines = tempfile::Builder::new().prefix("caudal-streams-").tempdir().expect("a folder for the state");
        Self { topology, cluster, machines, start: Instant::now() }
    }

    fn note(&self, what: &str) {
        println!("{:>8.3?} {what}", self.start.elapsed());
    }

    /// Starts the application on a machine: where there is the state, if any, that it has left there.
    fn application(&self, machine: &str) -> Jvm {
        let state = self.machines.path().join(machine);
        let (factor, state) = (self.cluster.nodes().count().to_string(), state.to_str().expect("a path of text"));
        Jvm::start("Streams", &[self.topology.name, self.cluster.bootstrap(), &factor, state])
    }

    /// A new client each time: an old one goes on asking a leader that is gone.
    fn consumer(&self) -> BaseConsumer {
        reader::consumer(self.cluster.bootstrap(), "watcher")
    }

    /// The ends of a topic's partitions for readers of committed records; `None` while one does not answer.
    fn ends(&self, topic: &str) -> Option<Vec<i64>> {
        let consumer = self.consumer();
        let end = |partition| Some(consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN).ok()?.1);
        (0..PARTITIONS).map(end).collect()
    }

    /// Waits until more is committed to each partition of the output.
    fn until_more(&self, when: &str) {
        let what = format!("more output {when}");
        let ends = || self.topology.outputs.iter().map(|topic| self.ends(topic)).collect::<Option<Vec<_>>>();
        let before = until_some(SOON, &what, ends).concat();
        until(SOON, &what, || {
            ends().is_some_and(|ends| {
                ends.concat().iter().zip(&before).all(|(end, before)| *end >= before + self.topology.more)
            })
        });
        self.note(&what);
    }

    /// Waits until all replicas of all partitions are in sync.
    fn until_whole(&self) {
        until(SOON, "all replicas to be in sync", || {
            let Ok(metadata) = self.consumer().fetch_metadata(None, ANSWER_WITHIN) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            partitions.all(|partition| partition.isr().len() == partition.replicas().len())
        });
        self.note("all replicas are in sync");
    }

    /// Kills each node in turn while the application works on a load, and then the application itself. When the load began, how many numbers it
    /// had, and the application, which has read them all.
    fn kill_all(&self) -> (i64, u64, Jvm) {
        let mut application = self.application("first");
        let load = Load::start(self.cluster.bootstrap(), self.topology);
        self.until_more("at first");
        for node in self.cluster.nodes() {
            self.note(&format!("killing node {node}"));
            self.cluster.signal(node, "KILL");
            if self.cluster.nodes().count() > 1 {
                self.until_more("without it");
            }
            self.cluster.start_node(node);
            self.until_whole();
            self.until_more("with it again");
        }
        self.note("killing the application");
        application.kill();
        // On the machine where it was it has its transactional ids again, and fences what it was; on another its transactions have to time out.
        let next = self.application(if self.cluster.nodes().count() > 1 { "second" } else { "first" });
        self.until_more("from the next application");
        let (start, count) = load.finish();
        for topic in self.topology.inputs {
            let read = || committed::offsets(self.cluster.bootstrap(), self.topology.name, topic, PARTITIONS);
            until(SOON, "all input to be read", || read().is_some_and(|read| Some(read) == self.ends(topic)));
        }
        self.note(&format!("all is read of {count} inputs"));
        for output in [application.output(), next.output()] {
            let died: Vec<_> = output.lines().filter(|line| line.starts_with("thread died")).collect();
            assert!(died.is_empty(), "threads of the application had to be replaced: {died:?}");
        }
        (start, count, next)
    }

    /// All records that are committed to a topic of the output, when there are enough.
    fn output(&self, topic: &str, count: usize) -> impl Iterator<Item = (String, String)> {
        let records = committed::read(self.cluster.bootstrap(), topic, PARTITIONS, count);
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.expect("a key and a value")).into_owned();
        records.into_iter().flatten().map(move |record| (text(record.key()), text(record.payload())))
    }

    /// Checks that a topic of the output counts each key up to what is expected, by one each time.
    fn counts(&self, topic: &str, expected: &BTreeMap<String, u64>) {
        let mut counts = BTreeMap::<String, Vec<u64>>::new();
        for (key, count) in self.output(topic, expected.values().sum::<u64>() as usize) {
            counts.entry(key).or_default().push(count.parse().expect("a number"));
        }
        for (key, counts) in &counts {
            let last = expected.get(key).copied().unwrap_or_default();
            assert_same(&format!("the counts of {key}"), counts, &(1..=last).collect::<Vec<_>>());
        }
        assert!(counts.keys().eq(expected.keys()), "each key is counted");
        self.note(&format!("the counts of {topic} are right"));
    }

    /// Checks the topics that Kafka Streams has created for the application's table.
    fn internal_topics(&self) {
        let ((table, policy), bootstrap) = (self.topology.table, self.cluster.bootstrap());
        let changelog = format!("{}-{table}-changelog", self.topology.name);
        assert_eq!(topics::setting(bootstrap, &changelog, "cleanup.policy").as_deref(), Some(policy));
        for topic in [changelog, format!("{}-{table}-repartition", self.topology.name)] {
            assert_eq!(topics::replicas(bootstrap, &topic), [self.cluster.nodes().count(); PARTITIONS as usize]);
        }
    }
}

fn words_are_counted(nodes: u32) {
    let run = Run::start(&WORD_COUNT, nodes);
    let (_, count, _application) = run.kill_all();
    let mut words = BTreeMap::new();
    for number in 0..count {
        line(number).split(' ').for_each(|word| *words.entry(word.to_owned()).or_default() += 1);
    }
    run.counts("palavras", &words);
    run.internal_topics();
}

fn purchases_are_joined(nodes: u32) {
    let run = Run::start(&WINDOWED_JOIN, nodes);
    let (start, count, _application) = run.kill_all();
    let (mut invoices, mut per_minute) = (Vec::new(), BTreeMap::new());
    for purchase in (0..count).map(|number| Purchase::new(start, number)) {
        for (time, invoice) in purchase.invoices() {
            *per_minute.entry(format!("{} {}", purchase.shop, time - time % COUNTED_WINDOW)).or_default() += 1;
            invoices.push((purchase.number.to_string(), invoice));
        }
    }
    invoices.sort();
    let mut written: Vec<_> = run.output("faturas", invoices.len()).collect();
    written.sort();
    assert_same("the invoices", &written, &invoices);
    run.counts("faturas-por-minuto", &per_minute);
    run.internal_topics();
}

#[test]
fn words_are_counted_exactly_once_although_every_node_and_the_application_die() {
    words_are_counted(3);
}

#[test]
fn words_are_counted_exactly_once_although_the_only_node_and_the_application_die() {
    words_are_counted(1);
}

#[test]
fn purchases_are_joined_exactly_once_although_every_node_and_the_application_die() {
    purchases_are_joined(3);
}

#[test]
fn purchases_are_joined_exactly_once_although_the_only_node_and_the_application_die() {
    purchases_are_joined(1);
}
