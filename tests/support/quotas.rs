//! What clients may use, set by hand, and clients that use as much as they can.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use caudal_protocol::messages::alter_client_quotas_request::{AlterClientQuotasRequest, EntityData, EntryData, OpData};
use caudal_protocol::messages::describe_client_quotas_request::DescribeClientQuotasRequest;
use caudal_protocol::messages::{AlterClientQuotasResponse, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, Statistics, TopicPartitionList};

use crate::raw::Raw;

/// Sets quotas of one entity, written as `[("user", None), ("client-id", Some("a"))]`; a value that is missing is taken away. Returns the error code.
///
/// # Panics
/// When there is no answer.
pub fn alter(bootstrap: &str, entity: &[(&str, Option<&str>)], quotas: &[(&str, Option<f64>)]) -> i16 {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let part = |(kind, name): &(&str, Option<&str>)| {
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text))
    };
    let op = |(key, value): &(&str, Option<f64>)| {
        OpData::default().with_key(text(key)).with_value(value.unwrap_or(0.0)).with_remove(value.is_none())
    };
    let entry =
        EntryData::default().with_entity(entity.iter().map(part).collect()).with_ops(quotas.iter().map(op).collect());
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    let answer: AlterClientQuotasResponse = Raw::connect(bootstrap).call(49, 1, true, &request);
    answer.entries[0].error_code
}

/// All quotas that a node knows: as many lines as entities, in text.
///
/// # Panics
/// When there is no answer.
pub fn all(bootstrap: &str) -> BTreeMap<String, BTreeMap<String, f64>> {
    let request = DescribeClientQuotasRequest::default();
    let answer: DescribeClientQuotasResponse = Raw::connect(bootstrap).call(48, 1, true, &request);
    assert_eq!(answer.error_code, 0);
    let entries = answer.entries.unwrap_or_default().into_iter().map(|entry| {
        let parts = entry.entity.iter().map(|part| {
            let name = part.entity_name.as_deref().unwrap_or("<default>");
            format!("{}={name}", part.entity_type)
        });
        let values = entry.values.iter().map(|value| (value.key.to_string(), value.value));
        (parts.collect::<Vec<_>>().join(","), values.collect())
    });
    entries.collect()
}

/// What a client of librdkafka's has come to.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: AtomicU64,
    records: AtomicU64,
    /// The longest wait that a broker has told, in milliseconds, by the client's own statistics.
    throttled_ms: AtomicI64,
    latencies: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
}

impl Progress {
    /// Bytes of values acknowledged or read.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::SeqCst)
    }

    /// The longest wait that the client was told, in milliseconds.
    pub fn throttled_ms(&self) -> i64 {
        self.0.throttled_ms.load(Ordering::SeqCst)
    }

    /// The latencies of acknowledgements since the last call, sorted.
    ///
    /// # Panics
    /// When a record failed.
    pub fn latencies(&self) -> Vec<Duration> {
        let failures = self.0.failures.lock().expect("no panic while locked");
        assert!(failures.is_empty(), "records failed: {:?}", &failures[..failures.len().min(3)]);
        let mut latencies = std::mem::take(&mut *self.0.latencies.lock().expect("no panic while locked"));
        latencies.sort();
        latencies
    }
}

impl ClientContext for Progress {
    fn stats(&self, statistics: Statistics) {
        let told = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref()).map(|window| window.max);
        self.0.throttled_ms.fetch_max(told.max().unwrap_or(0), Ordering::SeqCst);
    }
}

impl ConsumerContext for Progress {}

impl ProducerContext for Progress {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Instant>) {
        match result {
            Ok(message) => {
                self.0.bytes.fetch_add(message.payload_len() as u64, Ordering::SeqCst);
                self.0.records.fetch_add(1, Ordering::SeqCst);
                self.0.latencies.lock().expect("no panic while locked").push(sent.elapsed());
            }
            Err((error, _)) => self.0.failures.lock().expect("no panic while locked").push(error.to_string()),
        }
    }
}

/// A client that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    /// What it has come to.
    pub progress: Progress,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(progress: Progress, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("client".to_owned()).spawn(move || work(&stopped)).expect("a thread");
        Self { progress, stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let joined = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || joined.is_none_or(|joined| joined.is_ok()), "the client panicked");
    }
}

fn config(bootstrap: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", client_id).set("statistics.interval.ms", "500");
    config
}

/// A producer of records of `size` bytes: `per_second` of them, or as many as it can.
///
/// # Panics
/// When the client cannot be made.
pub fn produce(bootstrap: &str, client_id: &str, topic: &str, size: usize, per_second: Option<u32>) -> Running {
    let progress = Progress::default();
    let producer: ThreadedProducer<Progress> = config(bootstrap, client_id)
        .set("queue.buffering.max.kbytes", "4000")
        .set("linger.ms", if per_second.is_some() { "0" } else { "5" })
        .set("batch.size", "50000")
        .set("message.timeout.ms", "120000")
        .create_with_context(progress.clone())
        .expect("a producer");
    let topic = topic.to_owned();
    Running::start(progress, move |stop| {
        let value = noise(size);
        let (started, mut sent) = (Instant::now(), 0_u32);
        while !stop.load(Ordering::SeqCst) {
            let due = per_second.map_or(u32::MAX, |rate| (started.elapsed().as_secs_f64() * f64::from(rate)) as u32);
            while sent < due {
                let record: BaseRecord<'_, (), [u8], Box<Instant>> =
                    BaseRecord::with_opaque_to(&topic, Box::new(Instant::now())).payload(&value);
                if producer.send(record).is_err() {
                    break;
                }
                sent = sent.wrapping_add(1);
            }
            thread::park_timeout(Duration::from_millis(2));
        }
    })
}

/// A reader of partition 0 of a topic from its beginning, as fast as it can.
///
/// # Panics
/// When the client cannot be made.
pub fn consume(bootstrap: &str, client_id: &str, topic: &str) -> Running {
    let progress = Progress::default();
    let consumer: BaseConsumer<Progress> = config(bootstrap, client_id)
        .set("group.id", client_id)
        .set("fetch.message.max.bytes", "50000")
        .set("queued.max.messages.kbytes", "200")
        .create_with_context(progress.clone())
        .expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&partitions).expect("assigned");
    let read = progress.clone();
    Running::start(progress, move |stop| {
        while !stop.load(Ordering::SeqCst) {
            if let Some(message) = consumer.poll(Duration::from_millis(50)) {
                let message = message.expect("a record");
                read.0.bytes.fetch_add(message.payload_len() as u64, Ordering::SeqCst);
            }
        }
    })
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}
