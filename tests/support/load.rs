//! A steady idempotent load whose acknowledgements are remembered and checked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::{Driver, reader};

const PER_SECOND: u32 = 600;

/// What was acknowledged: per partition the sequence numbers in the order of their offsets, and when.
#[derive(Debug, Default)]
struct Acks {
    by_partition: HashMap<i32, Vec<(i64, u64, Instant)>>,
    failures: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Context(Arc<Mutex<Acks>>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let mut acks = self.0.lock().expect("no panic while locked");
        match result {
            Ok(message) => acks.by_partition.entry(message.partition()).or_default().push((
                message.offset(),
                *number,
                Instant::now(),
            )),
            Err((error, _)) => acks.failures.push(error.to_string()),
        }
    }
}

/// A running load: numbered records, round robin over the partitions of a topic, with the client's defaults and idempotence.
#[derive(Debug)]
pub struct Load {
    bootstrap: String,
    topic: String,
    partitions: i32,
    acks: Arc<Mutex<Acks>>,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
    start: Instant,
}

impl Load {
    /// Starts a load of librdkafka's.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub fn start(bootstrap: &str, topic: &str, partitions: i32) -> Self {
        let context = Context::default();
        let acks = Arc::clone(&context.0);
        let producer: ThreadedProducer<Context> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .create_with_context(context)
            .expect("a producer");
        let name = topic.to_owned();
        Self::run(bootstrap, topic, partitions, acks, move |stop| send(&producer, &name, partitions, stop))
    }

    /// Starts a load of the Java client's.
    ///
    /// # Panics
    /// When the client cannot be started.
    pub fn start_java(bootstrap: &str, topic: &str, partitions: i32) -> Self {
        let acks = Arc::<Mutex<Acks>>::default();
        let driver = Driver::Java.load(bootstrap, topic, partitions, PER_SECOND);
        let heard = Arc::clone(&acks);
        Self::run(bootstrap, topic, partitions, acks, move |stop| relay(driver, &heard, stop))
    }

    fn run(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        acks: Arc<Mutex<Acks>>,
        work: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::Builder::new().name("load".to_owned()).spawn(move || work(&stopped)).expect("a thread");
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            partitions,
            acks,
            stop,
            sender: Some(sender),
            start: Instant::now(),
        }
    }

    /// Prints what happens now, in the load's own time.
    pub fn note(&self, what: &str) {
        println!("{:?}: {what}", self.start.elapsed());
    }

    /// How many records are acknowledged so far.
    ///
    /// # Panics
    /// When the client's thread panicked.
    pub fn acknowledged(&self) -> usize {
        self.acks.lock().expect("no panic while locked").by_partition.values().map(Vec::len).sum()
    }

    /// Whether every partition was acknowledged since `moment`.
    ///
    /// # Panics
    /// When the client's thread panicked.
    pub fn all_acknowledged_since(&self, moment: Instant) -> bool {
        let acks = self.acks.lock().expect("no panic while locked");
        (0..self.partitions).all(|partition| {
            acks.by_partition.get(&partition).and_then(|list| list.last()).is_some_and(|(.., at)| *at > moment)
        })
    }

    /// Stops sending, waits for all answers, reads everything back and checks it.
    ///
    /// # Panics
    /// When an acknowledged record is lost, duplicated, out of order or not at its offset, or a record failed.
    pub fn finish(mut self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        self.sender.take().expect("finished once").join().expect("the sender does not panic");
        let acks = self.acks.lock().expect("no panic while locked");
        assert!(
            acks.failures.is_empty(),
            "records failed for good: {:?}",
            &acks.failures[..acks.failures.len().min(3)]
        );
        let mut report = Report::default();
        for partition in 0..self.partitions {
            let acked = acks.by_partition.get(&partition).expect("each partition was written");
            let stored = self.read_all(partition);
            check(partition, acked, &stored);
            report.acknowledged += acked.len();
            let (gap, since) = longest_gap(acked);
            println!("partition {partition}: longest gap {gap:?}, from {:?} on", since - self.start);
            report.longest_gap = report.longest_gap.max(gap);
        }
        report
    }

    fn read_all(&self, partition: i32) -> Vec<(i64, u64)> {
        let number = |value: &[u8]| std::str::from_utf8(value).expect("text").parse().expect("a number");
        let messages = reader::read_partition(&self.bootstrap, &self.topic, partition);
        messages.iter().map(|message| (message.offset(), number(message.payload().expect("a value")))).collect()
    }
}

/// What a load went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Records acknowledged.
    pub acknowledged: usize,
    /// The longest time that any partition went without an acknowledgement.
    pub longest_gap: Duration,
}

fn send(producer: &ThreadedProducer<Context>, topic: &str, partitions: i32, stop: &AtomicBool) {
    let start = Instant::now();
    let mut number = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        let due = (start.elapsed().as_secs_f64() * f64::from(PER_SECOND)) as u64;
        while number < due {
            let partition = i32::try_from(number % u64::from(partitions.unsigned_abs())).expect("fits");
            let value = number.to_string();
            let record: BaseRecord<'_, (), str, Box<u64>> =
                BaseRecord::with_opaque_to(topic, Box::new(number)).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
            number += 1;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    producer.flush(Duration::from_secs(120)).expect("all records are answered");
}

/// Takes a driver's acknowledgements down until it is told to stop, and then until it has ended.
fn relay(mut driver: Child, acks: &Mutex<Acks>, stop: &AtomicBool) {
    let mut input = driver.stdin.take();
    for line in BufReader::new(driver.stdout.take().expect("piped")).lines() {
        let line = line.expect("the driver's output can be read");
        let numbers: Vec<i64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [partition, offset, number] = numbers[..] else { panic!("three numbers in {line:?}") };
        let (partition, number) =
            (i32::try_from(partition).expect("a partition"), u64::try_from(number).expect("a number"));
        let mut acks = acks.lock().expect("no panic while locked");
        acks.by_partition.entry(partition).or_default().push((offset, number, Instant::now()));
        if stop.load(Ordering::SeqCst) {
            drop(input.take());
        }
    }
    let output = driver.wait_with_output().expect("the driver ends");
    if !output.status.success() {
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        acks.lock().expect("no panic while locked").failures.push(says);
    }
}

fn check(partition: i32, acked: &[(i64, u64, Instant)], stored: &[(i64, u64)]) {
    let at: HashMap<i64, u64> = stored.iter().copied().collect();
    for (offset, number, _) in acked {
        assert_eq!(at.get(offset), Some(number), "partition {partition}: what was acknowledged at offset {offset}");
    }
    for pair in stored.windows(2) {
        assert_eq!(pair[0].0 + 1, pair[1].0, "partition {partition}: offsets have no gaps");
        assert!(pair[0].1 < pair[1].1, "partition {partition}: {pair:?} are duplicated or out of order");
    }
    assert_eq!(acked.len(), stored.len(), "partition {partition}: every stored record was acknowledged once");
}

/// The longest time without an acknowledgement, and when it began.
fn longest_gap(acked: &[(i64, u64, Instant)]) -> (Duration, Instant) {
    let gaps = acked.windows(2).map(|pair| (pair[1].2.saturating_duration_since(pair[0].2), pair[0].2));
    gaps.max().expect("more than one acknowledgement")
}
