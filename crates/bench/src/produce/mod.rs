//! An open-loop load: records are sent when they are due, and their latency counts from then, whether or not the broker kept up.
//!
//! Without a rate it sends as fast as librdkafka's queue takes the records, and latency counts from when each was handed over.
//!
//! # Layout
//! - [`control`]: what the harness says while the load runs
//! - `driver`: one producer

pub mod control;

mod driver;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use rdkafka::config::ClientConfig;
use serde_json::json;

use crate::acks::Acks;
use crate::client::TopicAt;
use crate::{MB, client, payload};
use control::Control;
use driver::Driver;

/// Of the command `produce`. It ends after `--records`, after `--seconds`, or with `--until-told` when the standard input says `stop` or
/// ends; a line `mark` there begins the wait for all `--spread` partitions, and is answered with a line `{"recovered s": ...}`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: TopicAt,
    /// How many producers, each with connections of its own
    #[arg(long, default_value_t = 1)]
    producers: u32,
    /// The first producer's number, told in its records: another one than in earlier loads of the same topic
    #[arg(long, default_value_t = 0)]
    first_producer: u32,
    /// How many records all producers send together
    #[arg(long)]
    records: Option<u64>,
    /// For how long they send
    #[arg(long)]
    seconds: Option<f64>,
    /// They send until they are told to stop
    #[arg(long)]
    until_told: bool,
    /// How many bytes a record has
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Records per second of all producers together; 0: as fast as possible
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// So many seconds at the start do not count in the latencies
    #[arg(long, default_value_t = 0.0)]
    warm_up: f64,
    /// `linger.ms`
    #[arg(long, default_value_t = 5.0)]
    linger_ms: f64,
    /// `batch.size`
    #[arg(long, default_value_t = 65536)]
    batch_size: u32,
    /// What a producer holds at most, in KiB: as much as the Java client's `buffer.memory`
    #[arg(long, default_value_t = 32768)]
    queue_kb: u32,
    /// Requests sent ahead of their answers. Up to five it is an idempotent producer, whose retries are never there twice; but librdkafka turns in a
    /// loop while such a one may not send what it has
    #[arg(long, default_value_t = 64)]
    ahead: u32,
    /// How many different keys there are; 0: no keys
    #[arg(long, default_value_t = 0)]
    keys: u64,
    /// Go around so many partitions in turns, and start each producer at another one; 0: the client's own choice
    #[arg(long, default_value_t = 0)]
    spread: u32,
    /// Each producer keeps to its first partition of `--spread`
    #[arg(long)]
    stay: bool,
    /// Where to write the latencies second by second, as JSON
    #[arg(long)]
    timeline: Option<PathBuf>,
}

/// The most requests that an idempotent producer sends ahead.
const IDEMPOTENT_AHEAD: u32 = 5;

impl Args {
    fn config(&self) -> ClientConfig {
        let mut config = client::config(&self.at.bootstrap);
        config
            .set("acks", "all")
            .set("enable.idempotence", (self.ahead <= IDEMPOTENT_AHEAD).to_string())
            .set("max.in.flight.requests.per.connection", self.ahead.to_string())
            .set("partitioner", if self.keys > 0 { "murmur2_random" } else { "consistent_random" })
            .set("linger.ms", self.linger_ms.to_string())
            .set("batch.size", self.batch_size.to_string())
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", self.queue_kb.to_string())
            .set("retry.backoff.max.ms", "100");
        config
    }

    /// How many records producer `n` sends of all.
    fn share(&self, n: u32) -> u64 {
        let all = u64::from(self.producers);
        self.records.map_or(u64::MAX, |records| records / all + u64::from(u64::from(n) < records % all))
    }
}

/// Produces, and tells the figures.
///
/// # Errors
/// When the cluster cannot be reached at all; records that fail later are counted.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.records.is_none() && args.seconds.is_none() && !args.until_told {
        return Err(anyhow!("say when to end: --records, --seconds or --until-told"));
    }
    let drivers = (0..args.producers).map(|n| Driver::connect(args, n)).collect::<anyhow::Result<Vec<_>>>()?;
    let control = Arc::new(Control::start(args.spread as usize));
    control.listen(args.until_told)?;
    println!("{}", json!({"started": args.producers}));
    let mut threads = Vec::new();
    for driver in drivers {
        let control = Arc::clone(&control);
        threads.push(thread::Builder::new().name("driver".to_owned()).spawn(move || driver.run(&control))?);
    }
    let mut all = Acks::new(0);
    let (mut sent, mut late) = (0, 0);
    for thread in threads {
        let done = thread.join().map_err(|_| anyhow!("a producer's thread panicked"))??;
        all.merge(&done.acks);
        sent += done.sent;
        late = late.max(done.late_us);
    }
    report(args, &all, sent, late)
}

fn report(args: &Args, all: &Acks, sent: u64, late_us: u64) -> anyhow::Result<()> {
    let seconds = all.last_us as f64 / 1e6;
    let per_second = if seconds > 0.0 { all.acked as f64 / seconds } else { 0.0 };
    let size = args.size.max(payload::LEAST);
    let mut figures = all.latencies.figures();
    let (first, last) = thirds(args.warm_up as u64, all.timeline.end());
    let more = [
        ("sent", json!(sent)),
        ("acked", json!(all.acked)),
        ("failed", json!(sent - all.acked)),
        ("seconds", json!(seconds)),
        ("k records/s", json!(per_second / 1000.0)),
        ("MB/s", json!(per_second * size as f64 / MB)),
        ("longest time without an ack s", json!(all.longest_gap_us as f64 / 1e6)),
        ("generator late by ms", json!(late_us as f64 / 1000.0)),
        ("p99 ms of the first third", json!(all.timeline.p99_ms(first.0, first.1))),
        ("p99 ms of the last third", json!(all.timeline.p99_ms(last.0, last.1))),
    ];
    figures.extend(more.map(|(name, value)| (name.to_owned(), value)));
    if let Some(path) = &args.timeline {
        fs::write(path, all.timeline.to_json().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}

/// The first and the last third of the whole seconds `from..to`, at least a second each.
fn thirds(from: u64, to: u64) -> ((u64, u64), (u64, u64)) {
    let to = to.max(from + 1);
    let third = ((to - from) / 3).max(1);
    ((from, from + third), (to - third, to))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn every_record_is_some_producers() {
        let line = ["", "--bootstrap=b", "--topic=t", "--producers=7", "--records=100"];
        let args = Line::parse_from(line).args;
        let shares: Vec<_> = (0..7).map(|n| args.share(n)).collect();
        assert_eq!(shares, [15, 15, 14, 14, 14, 14, 14]);
        assert_eq!(shares.iter().sum::<u64>(), 100);
    }
    #[test]
    fn thirds_leave_out_the_warm_up() {
        assert_eq!(thirds(0, 900), ((0, 300), (600, 900)));
        assert_eq!(thirds(5, 905), ((5, 305), (605, 905)));
        assert_eq!(thirds(2, 4), ((2, 3), (3, 4)));
        assert_eq!(thirds(5, 3), ((5, 6), (5, 6)), "a load that ended in its warm-up");
    }
}
