//! Consume, transform, produce: each worker reads one partition, writes what it read to another topic, and commits both as one transaction, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use crate::client::{self, TIMEOUT, TopicAt};
use crate::latency::Latencies;
use crate::produce::control::Control;
use crate::seen::Seen;

/// The library waits for whole milliseconds: what is left of one it spends turning in a loop, and takes the machine from the brokers.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Of the command `transact`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: TopicAt,
    /// The topic that is written to, with as many partitions
    #[arg(long)]
    to: String,
    /// How long a transaction gathers records, in milliseconds
    #[arg(long)]
    every_ms: u64,
    /// How many workers, each with a partition of its own
    #[arg(long)]
    workers: i32,
}

#[derive(Debug)]
struct Done {
    commits: Latencies,
    records: u64,
    seconds: f64,
}

/// Says `ready`, works until the standard input ends and then up to the end of what there is, reads back what it wrote, and tells the figures.
///
/// # Errors
/// When a transaction fails, or nothing comes any more.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let control = Arc::new(Control::start(args.workers.unsigned_abs() as usize));
    control.listen(true)?;
    let ended = Arc::new(AtomicU64::new(0));
    let start = |partition| {
        let (args, control, ended) = (args.clone(), Arc::clone(&control), Arc::clone(&ended));
        let worker = Worker::open(&args, partition)?;
        let work = move || worker.work(&control, &ended);
        Ok(thread::Builder::new().name(format!("worker-{partition}")).spawn(work)?)
    };
    let threads = (0..args.workers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    println!("ready");
    watch(&threads, &ended)?;
    let done = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a worker panicked"))?);
    let done = done.collect::<anyhow::Result<Vec<Done>>>()?;
    let mut commits = Latencies::whole();
    done.iter().for_each(|one| commits.merge(&one.commits));
    let rates = done.iter().map(|one| one.commits.len() as f64 / one.seconds);
    let mut figures = read_back(args)?.figures();
    figures.extend(commits.figures());
    figures.insert("transactions/s".to_owned(), json!(rates.sum::<f64>()));
    figures.insert("transactions".to_owned(), json!(commits.len()));
    figures.insert("transformed".to_owned(), json!(done.iter().map(|one| one.records).sum::<u64>()));
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}

/// Waits until all have done their work. The library's `send_offsets_to_transaction` was seen to wait for ever, in spite of its time limit, where the coordinator was away for
/// seconds: a benchmark must end then, too.
///
/// # Errors
/// When no transaction has ended for long.
fn watch<T>(threads: &[JoinHandle<T>], ended: &AtomicU64) -> anyhow::Result<()> {
    let (mut known, mut since) = (0, Instant::now());
    while threads.iter().any(|thread| !thread.is_finished()) {
        thread::sleep(Duration::from_millis(50));
        let now = ended.load(Ordering::Relaxed);
        if now != known {
            (known, since) = (now, Instant::now());
        }
        if since.elapsed() > 2 * TIMEOUT {
            bail!("no transaction has ended for {:?}", 2 * TIMEOUT);
        }
    }
    Ok(())
}

struct Worker {
    consumer: BaseConsumer,
    producer: BaseProducer,
    args: Args,
    partition: i32,
}

impl Worker {
    fn open(args: &Args, partition: i32) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = client::config(&args.at.bootstrap)
            .set("group.id", format!("{}-{partition}", args.to))
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .context("cannot make a consumer")?;
        consumer.assign(&place(&args.at.topic, partition, Offset::Beginning)?)?;
        let producer: BaseProducer = client::config(&args.at.bootstrap)
            .set("transactional.id", format!("{}-{partition}", args.to))
            .set("linger.ms", "5")
            .create()
            .context("cannot make a producer")?;
        producer.init_transactions(TIMEOUT).context("no transactional id")?;
        Ok(Self { consumer, producer, args: args.clone(), partition })
    }

    fn work(self, control: &Control, ended: &AtomicU64) -> anyhow::Result<Done> {
        let (mut commits, mut records, mut next) = (Latencies::whole(), 0, 0);
        let (start, every) = (Instant::now(), Duration::from_millis(self.args.every_ms));
        let mut end = None;
        while end.is_none_or(|end| next < end) {
            if end.is_none() && control.is_stopped() {
                let watermarks = self.consumer.fetch_watermarks(&self.args.at.topic, self.partition, TIMEOUT)?;
                end = Some(watermarks.1);
            }
            let begun = Instant::now();
            let mut count = 0;
            while let Some(rest) = every.checked_sub(begun.elapsed()).filter(|rest| *rest >= SHORTEST_WAIT) {
                let Some(message) = self.consumer.poll(rest) else { continue };
                let message = message.context("reading failed")?;
                if count == 0 {
                    self.producer.begin_transaction().context("no transaction begins")?;
                }
                self.send(message.payload().unwrap_or_default())?;
                (count, next) = (count + 1, message.offset() + 1);
            }
            if count == 0 {
                continue;
            }
            let asked = Instant::now();
            self.commit(next).context("a transaction failed")?;
            commits.add(u64::try_from(asked.elapsed().as_micros())?);
            ended.fetch_add(1, Ordering::Relaxed);
            records += count;
        }
        Ok(Done { commits, records, seconds: start.elapsed().as_secs_f64() })
    }

    fn send(&self, payload: &[u8]) -> anyhow::Result<()> {
        let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.args.to).partition(self.partition).payload(payload);
        self.producer.send(record).map_err(|(error, _)| error).context("a record is refused")
    }

    fn commit(&self, next: i64) -> anyhow::Result<()> {
        let group = self.consumer.group_metadata().context("no group")?;
        let offset = place(&self.args.at.topic, self.partition, Offset::Offset(next))?;
        // A transaction's end begins with a flush, and the library's looks for answers only every 100 ms.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::ZERO);
            thread::sleep(SHORTEST_WAIT / 2);
        }
        self.producer.send_offsets_to_transaction(&offset, &group, TIMEOUT)?;
        Ok(self.producer.commit_transaction(TIMEOUT)?)
    }
}

fn place(topic: &str, partition: i32, offset: Offset) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset)?;
    Ok(list)
}

/// All that is committed. Where a partition ends, its last transaction's marker is behind the last record: only the client's own word tells.
fn read_back(args: &Args) -> anyhow::Result<Seen> {
    let consumer: BaseConsumer = client::config(&args.at.bootstrap)
        .set("group.id", "caudal-bench-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .context("cannot make a consumer")?;
    let mut seen = Seen::default();
    for partition in 0..args.workers {
        consumer.assign(&place(&args.to, partition, Offset::Beginning)?)?;
        loop {
            match consumer.poll(TIMEOUT) {
                Some(Ok(message)) => seen.add(partition, message.payload().unwrap_or_default()),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(error).context("reading back failed"),
                None => bail!("nothing came for {TIMEOUT:?}, and no end"),
            }
        }
    }
    Ok(seen)
}
