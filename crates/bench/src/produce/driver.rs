//! One producer: its own connections, a thread that sends, and librdkafka's that hears the acknowledgements.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::Args;
use super::control::Control;
use crate::acks::Acks;
use crate::client;
use crate::pace::Pace;
use crate::payload::{self, Origin};

/// How many records are sent between two looks at the clock, without a rate.
const BURST: u64 = 256;
/// How long to wait at most before looking at the clock, or for room in the queue, again.
const TICK: Duration = Duration::from_millis(1);
/// How long records may be on their way after the last was sent.
const DRAIN: Duration = Duration::from_secs(150);

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) acks: Acks,
    pub(super) sent: u64,
    /// How late the generator itself was at most, but for the warm-up; the latencies include it.
    pub(super) late_us: u64,
}

struct Context {
    acks: Mutex<Acks>,
    control: OnceLock<Arc<Control>>,
}

impl Context {
    fn acks(&self) -> MutexGuard<'_, Acks> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn error(&self, _: KafkaError, _: &str) {
        // Nodes are killed on purpose; what fails for good is counted at its delivery.
    }
}

impl ProducerContext for Context {
    /// When the record was due, in microseconds since the start.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, due_us: usize) {
        let Some(control) = self.control.get() else { return };
        match result {
            Ok(message) => {
                let now_us = control.now_us();
                self.acks().acknowledged(message.partition(), due_us as u64, now_us);
                control.acknowledged(message.partition(), now_us);
            }
            Err((error, _)) => {
                let mut acks = self.acks();
                acks.failed += 1;
                if acks.failed == 1 {
                    eprintln!("a record failed: {error}");
                }
            }
        }
    }
}

/// A producer that is about to start.
pub(super) struct Driver {
    producer: ThreadedProducer<Context>,
    args: Args,
    number: u32,
    share: u64,
}

impl Driver {
    /// Connects the `n`th producer.
    pub(super) fn connect(args: &Args, n: u32) -> anyhow::Result<Self> {
        let context = Context { acks: Mutex::new(Acks::new(warm_up_us(args))), control: OnceLock::new() };
        let producer: ThreadedProducer<_> =
            args.config().create_with_context(context).context("cannot make a producer")?;
        producer
            .client()
            .fetch_metadata(Some(&args.at.topic), client::TIMEOUT)
            .context("the cluster does not answer")?;
        Ok(Self { producer, args: args.clone(), number: n, share: args.share(n) })
    }

    /// Sends its share, and waits for the acknowledgements.
    pub(super) fn run(self, control: &Arc<Control>) -> anyhow::Result<Done> {
        let _ = self.producer.context().control.set(Arc::clone(control));
        let (sent, late_us) = self.send_all(control)?;
        let deadline = Instant::now() + DRAIN;
        while self.answered() < sent && Instant::now() < deadline {
            thread::sleep(10 * TICK);
        }
        let acks = std::mem::replace(&mut *self.producer.context().acks(), Acks::new(0));
        Ok(Done { acks, sent, late_us })
    }

    fn answered(&self) -> u64 {
        let acks = self.producer.context().acks();
        acks.acked + acks.failed
    }

    fn send_all(&self, control: &Control) -> anyhow::Result<(u64, u64)> {
        let pace = Pace::new(self.args.rate / f64::from(self.args.producers));
        // Producers take turns instead of all sending at the same moment.
        let phase_us = if pace.is_some() { (f64::from(self.number) * 1e6 / self.args.rate) as u64 } else { 0 };
        let end_us = self.args.seconds.map_or(u64::MAX, |seconds| (seconds * 1e6) as u64);
        let mut record = payload::blank(self.args.size);
        let (mut sent, mut late_us) = (0, 0);
        while sent < self.share && !control.is_stopped() {
            let now_us = control.now_us();
            if now_us >= end_us {
                break;
            }
            let due = match pace {
                Some(pace) if now_us >= phase_us => pace.due_by(Duration::from_micros(now_us - phase_us)),
                Some(_) => 0,
                None => sent + BURST,
            };
            while sent < due.min(self.share) && !control.is_stopped() {
                let now_us = control.now_us();
                let due_us = pace.map_or(now_us, |pace| phase_us + pace.due_at(sent).as_micros() as u64);
                if due_us >= warm_up_us(&self.args) {
                    late_us = late_us.max(now_us.saturating_sub(due_us));
                }
                payload::stamp(
                    &mut record,
                    Origin { producer: self.args.first_producer + self.number, sequence: sent },
                );
                self.send(&record, sent, due_us)?;
                sent += 1;
            }
            let wait = pace.map_or(Duration::ZERO, |pace| {
                let next_us = phase_us + pace.due_at(sent).as_micros() as u64;
                Duration::from_micros(next_us.saturating_sub(control.now_us())).min(TICK)
            });
            if !wait.is_zero() {
                thread::sleep(wait);
            }
        }
        Ok((sent, late_us))
    }

    /// Hands a record over, as soon as there is room for it.
    fn send(&self, payload: &[u8], sequence: u64, due_us: u64) -> anyhow::Result<()> {
        let key = (self.args.keys > 0).then(|| key(sequence, self.number, self.args.keys).to_be_bytes());
        loop {
            let mut record = BaseRecord::with_opaque_to(&self.args.at.topic, due_us as usize).payload(payload);
            record.key = key.as_ref().map(|key| &key[..]);
            record.partition = self.partition(sequence);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => thread::sleep(TICK),
                Err((error, _)) => return Err(error).context("a record was refused"),
            }
        }
    }

    fn partition(&self, sequence: u64) -> Option<i32> {
        let spread = u64::from(self.args.spread);
        let turn = if self.args.stay { 0 } else { sequence };
        (spread > 0).then(|| ((u64::from(self.number) + turn) % spread) as i32)
    }
}

fn warm_up_us(args: &Args) -> u64 {
    (args.warm_up * 1e6) as u64
}

/// Keys come in no order, and every producer has another one at a time.
fn key(sequence: u64, producer: u32, keys: u64) -> u64 {
    let mixed = (sequence ^ (u64::from(producer) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 20) % keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_spread_over_all_that_there_are() {
        let keys: BTreeSet<_> = (0..10_000).map(|n| key(n, 3, 500)).collect();
        assert!(keys.iter().all(|key| *key < 500));
        assert!(keys.len() > 450, "{} of 500 keys", keys.len());
    }
}
