//! Writes and reads records with names, with librdkafka.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::client::{POLL_WITHIN, TRANSACTION_WITHIN, parse_key};
use super::librdkafka;
use crate::history::{Kept, Kind, Put, Value};

/// A producer of records with names.
pub(crate) struct Writer {
    producer: FutureProducer,
    transactional: bool,
}

impl Writer {
    /// Idempotent, or with a transactional id.
    pub(crate) fn open(bootstrap: &str, transactional_id: Option<&str>) -> Result<Self> {
        let producer: FutureProducer =
            librdkafka::producer(librdkafka::config(bootstrap), transactional_id).create()?;
        if transactional_id.is_some() {
            producer.init_transactions(TRANSACTION_WITHIN)?;
        }
        Ok(Self { producer, transactional: transactional_id.is_some() })
    }

    /// Writes records in their order, and notes their offsets: what became of them together. After anything but `ok` the writer is not used any more.
    pub(crate) fn put(&self, puts: &mut [Put], commit: bool) -> (Kind, Option<String>) {
        if !self.transactional {
            return match self.send(puts) {
                Ok(()) => (Kind::Ok, None),
                Err(error) => (Kind::Info, Some(format!("{error:#}"))),
            };
        }
        if let Err(error) = self.producer.begin_transaction() {
            return (Kind::Fail, Some(error.to_string()));
        }
        let sent = self.send(puts);
        if !commit || sent.is_err() {
            // What nobody asked to commit is aborted, by this or by who takes the id over.
            let aborted = self.producer.abort_transaction(TRANSACTION_WITHIN);
            let error = sent.map_err(|error| format!("{error:#}")).err();
            let error = error.or_else(|| aborted.err().map(|error| error.to_string()));
            return (Kind::Fail, error.or_else(|| Some(ABORTED.to_owned())));
        }
        match self.producer.commit_transaction(TRANSACTION_WITHIN) {
            Ok(()) => (Kind::Ok, None),
            Err(error) => (Kind::Info, Some(error.to_string())),
        }
    }

    fn send(&self, puts: &mut [Put]) -> Result<()> {
        let mut sent = Vec::new();
        for put in puts.iter() {
            let (topic, partition) = parse_key(&put.key);
            let (name, value) = (put.name.to_string(), put.value.map(payload));
            let mut record = FutureRecord::<str, str>::to(topic).partition(partition).key(&name);
            record.payload = value.as_deref();
            sent.push(self.producer.send_result(record).map_err(|(error, _)| error)?);
        }
        let mut failed = None;
        for (put, delivery) in puts.iter_mut().zip(sent) {
            match futures::executor::block_on(delivery).context("the producer is gone")? {
                Ok(delivery) => put.offset = (delivery.offset >= 0).then_some(delivery.offset),
                Err((error, _)) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Enough to fill small segments, of what compresses badly.
fn payload(value: Value) -> String {
    let noise = (0..NOISE_WORDS).map(|part| (value * NOISE_WORDS + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    noise.fold(value.to_string(), |text, word| format!("{text} {word:016x}"))
}

fn value_of(payload: &[u8]) -> Option<Value> {
    std::str::from_utf8(payload).ok()?.split(' ').next()?.parse().ok()
}

/// Reads a partition from its start to its end, only what is committed, with a consumer of its own.
///
/// # Errors
/// When the end was not reached in time, or the reader had to begin again.
pub(crate) fn read(bootstrap: &str, key: &str, within: Duration) -> Result<Vec<Kept>> {
    let consumer: BaseConsumer = librdkafka::config(bootstrap)
        .set("group.id", "life")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .create()?;
    let (topic, partition) = parse_key(key);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, KafkaOffset::Beginning)?;
    consumer.assign(&list)?;
    let (deadline, mut records) = (Instant::now() + within, Vec::<Kept>::new());
    loop {
        match consumer.poll(POLL_WITHIN) {
            Some(Ok(message)) => {
                let record = kept(&message)?;
                ensure!(records.last().is_none_or(|last| last.offset < record.offset), "the reader began again");
                records.push(record);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(records),
            // Others are what librdkafka deals with.
            Some(Err(_)) | None => {}
        }
        if Instant::now() > deadline {
            bail!("the end was not reached within {within:?}");
        }
    }
}

fn kept(message: &impl Message) -> Result<Kept> {
    let name = message.key().and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok());
    let value = message.payload().map(|payload| value_of(payload).context("a value that nobody wrote")).transpose()?;
    Ok(Kept { offset: message.offset(), name: name.context("a name that nobody wrote")?, value })
}

const NOISE_WORDS: u64 = 32;
const ABORTED: &str = "aborted on purpose";
