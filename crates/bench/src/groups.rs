//! Reads a topic in many consumer groups at once, each of one member.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use serde_json::json;

use crate::MB;
use crate::client::{self, TIMEOUT, TopicAt};
use crate::seen::Seen;

const LOOK: Duration = Duration::from_millis(50);

/// Of the command `groups`. The topic must be empty until `ready` is said.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: TopicAt,
    /// How many groups
    #[arg(long)]
    groups: usize,
    /// How many records each shall read
    #[arg(long)]
    records: u64,
}

struct Done {
    first: Option<Instant>,
    last: Instant,
    seen: Seen,
}

/// Joins all groups, says `ready`, reads, and tells the figures.
///
/// # Errors
/// When a group cannot be joined, or nothing comes any more.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let ready = Arc::new(Barrier::new(args.groups + 1));
    let mut threads = Vec::new();
    for n in 0..args.groups {
        let (args, ready) = (args.clone(), Arc::clone(&ready));
        let work = move || {
            let joined = join(&args, n);
            ready.wait();
            read(&joined?, args.records)
        };
        threads.push(thread::Builder::new().name(format!("group-{n}")).spawn(work)?);
    }
    ready.wait();
    println!("ready");
    let done = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a group's thread panicked"))?);
    let done = done.collect::<anyhow::Result<Vec<_>>>()?;
    let first = done.iter().filter_map(|one| one.first).min().context("nothing was read")?;
    let last = done.iter().map(|one| one.last).max().context("there are no groups")?;
    let seconds = last.duration_since(first).as_secs_f64();
    let bytes: u64 = done.iter().map(|one| one.seen.bytes()).sum();
    let records: u64 = done.iter().map(|one| one.seen.records()).sum();
    let sum = |name: &str| done.iter().filter_map(|one| one.seen.figures()[name].as_u64()).sum::<u64>();
    let figures = json!({
        "MB/s": bytes as f64 / MB / seconds,
        "seconds": seconds,
        "records": records,
        "holes": sum("holes"),
        "duplicated": sum("duplicated"),
        "out of order": sum("out of order"),
        "foreign": sum("foreign"),
    });
    println!("{figures}");
    Ok(())
}

fn join(args: &Args, n: usize) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = client::config(&args.at.bootstrap)
        .set("group.id", format!("{}-group-{n}", args.at.topic))
        .set("auto.offset.reset", "earliest")
        // Twenty groups in one process: each may hold a little less than it would by default.
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .context("cannot make a consumer")?;
    consumer.subscribe(&[&args.at.topic])?;
    let deadline = Instant::now() + TIMEOUT;
    while consumer.assignment()?.count() == 0 {
        if Instant::now() > deadline {
            bail!("group {n} got no partitions");
        }
        if let Some(Ok(_)) = consumer.poll(LOOK) {
            bail!("the topic is not empty yet");
        }
    }
    Ok(consumer)
}

fn read(consumer: &BaseConsumer, records: u64) -> anyhow::Result<Done> {
    let (mut seen, mut first) = (Seen::default(), None);
    let mut deadline = Instant::now() + TIMEOUT;
    while seen.records() < records {
        let Some(message) = consumer.poll(LOOK) else {
            // Not only time ends a poll: so does whatever else librdkafka has to tell, such as a rebalance.
            if Instant::now() > deadline {
                bail!("nothing came for {TIMEOUT:?} after {} of {records} records", seen.records());
            }
            continue;
        };
        let message = message.context("reading failed")?;
        deadline = Instant::now() + TIMEOUT;
        first.get_or_insert_with(Instant::now);
        seen.add(message.partition(), message.payload().unwrap_or_default());
    }
    Ok(Done { first, last: Instant::now(), seen })
}
