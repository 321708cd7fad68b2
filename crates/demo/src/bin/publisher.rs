//! Publishes card purchases, and writes down what was acknowledged.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use caudal_demo::CompraEfetuada;
use caudal_demo::gaps::Gaps;
use caudal_demo::kafka::{self, TOPIC};
use caudal_demo::report::{self, Published};
use caudal_demo::screen::{Voice, count, exit_code, money};
use clap::Parser;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::{MissedTickBehavior, interval};

/// More purchases than this are never under way; then the publisher waits for acknowledgements.
const UNDER_WAY_MAX: usize = 50_000;

/// Publishes card purchases to the topic `compras`.
#[derive(Parser)]
struct Args {
    /// Where the cluster is.
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Purchases a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Where to write down what was published.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What the cluster said about a purchase: the partition that it is in, or that the publisher gave up.
type Outcome = (CompraEfetuada, Result<i32, String>);

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(Args::parse()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    kafka::ensure_topic(&args.bootstrap).await?;
    let producer = kafka::producer(&args.bootstrap)?;
    let published = publish_all(&args, &producer).await?;
    Voice::Publisher.say(&format!(
        "done: {} purchases acknowledged, {}; the longest wait of a partition for an acknowledgement was {} ms",
        count(published.purchases),
        money(published.cents),
        count(published.longest_gap_ms)
    ));
    if let Some(path) = &args.report {
        report::save(path, &published)?;
    }
    Ok(())
}

async fn publish_all(args: &Args, producer: &FutureProducer) -> anyhow::Result<Published> {
    let purchases = u64::from(args.rate) * u64::from(args.seconds);
    let mut random = rand::rng();
    let mut under_way = FuturesUnordered::new();
    let (mut published, mut gaps) = (Published::default(), Gaps::default());
    let mut next_id = 1;
    let mut next_purchase = interval(Duration::from_secs(1) / args.rate);
    let mut next_line = interval(Duration::from_secs(1));
    next_line.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while next_id <= purchases || !under_way.is_empty() {
        tokio::select! {
            _ = next_purchase.tick(), if next_id <= purchases && under_way.len() < UNDER_WAY_MAX => {
                let purchase = CompraEfetuada::random(next_id, &mut random);
                under_way.push(publish(producer, purchase)?);
                next_id += 1;
            }
            Some((purchase, outcome)) = under_way.next() => book(&mut published, &mut gaps, &purchase, outcome),
            _ = next_line.tick() => say_how_it_goes(&published, under_way.len()),
        }
    }
    published.longest_gap_ms = u64::try_from(gaps.longest().as_millis())?;
    Ok(published)
}

/// Hands a purchase to librdkafka, which sends it in the background; the outcome comes with the returned future.
fn publish(
    producer: &FutureProducer,
    purchase: CompraEfetuada,
) -> anyhow::Result<impl Future<Output = Outcome> + use<>> {
    let payload = serde_json::to_vec(&purchase)?;
    let time_ms = i64::try_from(purchase.time / 1000)?;
    let record = FutureRecord::to(TOPIC).key(&purchase.card).payload(&payload).timestamp(time_ms);
    let acknowledgement = producer.send_result(record).map_err(|(error, _)| error).context("cannot publish")?;
    Ok(async move {
        let outcome = match acknowledgement.await {
            Ok(Ok(delivery)) => Ok(delivery.partition),
            Ok(Err((error, _))) => Err(error.to_string()),
            Err(_) => Err("the producer is gone".to_owned()),
        };
        (purchase, outcome)
    })
}

fn book(published: &mut Published, gaps: &mut Gaps, purchase: &CompraEfetuada, outcome: Result<i32, String>) {
    match outcome {
        Ok(partition) => {
            gaps.acknowledged(partition, Instant::now());
            published.purchases += 1;
            published.cents += purchase.cents;
            *published.cards.entry(purchase.card.clone()).or_default() += purchase.cents;
        }
        Err(error) => {
            published.failed += 1;
            Voice::Publisher.say(&format!("gave up on purchase {}: {error}", purchase.id));
        }
    }
}

fn say_how_it_goes(published: &Published, under_way: usize) {
    Voice::Publisher.say(&format!(
        "{:>7} purchases acknowledged, {}, {} under way",
        count(published.purchases),
        money(published.cents),
        count(under_way as u64)
    ));
}
