//! The invoice service: a consumer group that turns each purchase into a line of its card's invoice.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use caudal_demo::CompraEfetuada;
use caudal_demo::kafka::{self, TOPIC};
use caudal_demo::latency::Latencies;
use caudal_demo::ledger::{Entry, Ledger};
use caudal_demo::report::{self, Invoiced};
use caudal_demo::screen::{Voice, count, exit_code, money};
use clap::Parser;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How long the last purchases may take to arrive once the publisher is done.
const LAST_PURCHASES: Duration = Duration::from_secs(60);

/// Turns the purchases of the topic `compras` into invoices.
#[derive(Parser)]
struct Args {
    /// Where the cluster is.
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Stop when this file is there (the publisher writes it at its end) and everything in the topic has its line. Without it the service
    /// runs until it is interrupted.
    #[arg(long)]
    until: Option<PathBuf>,
    /// Where to write down what was invoiced.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(Args::parse()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    kafka::ensure_topic(&args.bootstrap).await?;
    let consumer = kafka::consumer(&args.bootstrap)?;
    consumer.subscribe(&[TOPIC])?;
    let mut service = Service::new(consumer);
    service.serve(&args).await?;
    service.finish().await?;
    let invoiced = service.invoiced();
    Voice::Invoices.say(&format!(
        "done: {} lines, {}; from purchase to line: p50 {:.1} ms, p99 {:.1} ms",
        count(invoiced.lines),
        money(invoiced.cents),
        invoiced.p50_ms,
        invoiced.p99_ms
    ));
    if let Some(path) = &args.report {
        report::save(path, &invoiced)?;
    }
    Ok(())
}

struct Service {
    consumer: StreamConsumer,
    ledger: Ledger,
    /// Since the last line on the screen.
    recent: Latencies,
    all: Latencies,
}

impl Service {
    fn new(consumer: StreamConsumer) -> Self {
        Self { consumer, ledger: Ledger::default(), recent: Latencies::default(), all: Latencies::default() }
    }

    /// Reads until there is a reason to stop.
    async fn serve(&mut self, args: &Args) -> anyhow::Result<()> {
        let mut every_second = interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                record = self.consumer.recv() => {
                    Self::take(record, &self.consumer, &mut self.ledger, &mut self.recent)?;
                }
                _ = every_second.tick() => {
                    self.say_how_it_goes();
                    if args.until.as_deref().is_some_and(|file| file.try_exists().unwrap_or(false)) {
                        return Ok(());
                    }
                }
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }

    /// Reads on until everything that the topic holds now has its line, and commits.
    async fn finish(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + LAST_PURCHASES;
        for partition in 0..kafka::PARTITIONS {
            let (_, end) = self.consumer.fetch_watermarks(TOPIC, partition, LAST_PURCHASES)?;
            while self.ledger.next_offset(partition) < end {
                let Ok(record) = timeout_at(deadline, self.consumer.recv()).await else {
                    bail!(
                        "partition {partition} ends at {end}, but nothing came behind {}",
                        self.ledger.next_offset(partition)
                    );
                };
                Self::take(record, &self.consumer, &mut self.ledger, &mut self.recent)?;
            }
        }
        self.say_how_it_goes();
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            // NoOffset: all that is dealt with has been committed already.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(error) => Err(error).context("cannot commit the last offsets"),
        }
    }

    /// Writes the line of one record, and then tells librdkafka that it is dealt with; what is dealt with is committed every second.
    fn take(
        record: Result<BorrowedMessage<'_>, KafkaError>,
        consumer: &StreamConsumer,
        ledger: &mut Ledger,
        latencies: &mut Latencies,
    ) -> anyhow::Result<()> {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                // librdkafka tells what it meets and mends it by itself: a broker that is gone, a leader that has moved.
                Voice::Invoices.say(&format!("{error}; going on"));
                return Ok(());
            }
        };
        let (partition, offset) = (record.partition(), record.offset());
        let payload = record.payload().with_context(|| format!("the record {partition}/{offset} is empty"))?;
        let purchase: CompraEfetuada = serde_json::from_slice(payload)
            .with_context(|| format!("the record {partition}/{offset} is no purchase"))?;
        if ledger.write(partition, offset, &purchase) == Entry::Written {
            latencies.add(purchase.age_us());
        }
        consumer.store_offset_from_message(&record).context("cannot store the offset")
    }

    fn say_how_it_goes(&mut self) {
        let mut recent = self.recent.take();
        let speed = if recent.is_empty() {
            "nothing new".to_owned()
        } else {
            format!("p50 {:.1} ms, p99 {:.1} ms", recent.percentile_ms(50.0), recent.percentile_ms(99.0))
        };
        let (lines, total) = (count(self.ledger.lines), money(self.ledger.cents));
        Voice::Invoices.say(&format!("{lines:>7} lines, {total}; in the last second: {speed}"));
        self.all.extend(recent);
    }

    fn invoiced(&mut self) -> Invoiced {
        let ledger = &self.ledger;
        Invoiced {
            lines: ledger.lines,
            cents: ledger.cents,
            cards: ledger.totals(),
            duplicates: ledger.duplicates,
            out_of_order: ledger.out_of_order,
            redelivered: ledger.redelivered,
            p50_ms: self.all.percentile_ms(50.0),
            p99_ms: self.all.percentile_ms(99.0),
        }
    }
}
