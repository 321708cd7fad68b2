//! librdkafka as a workload's client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::client::{Client, Outcome, POLL_MAX, POLL_WITHIN, REQUEST_WITHIN, Records, Sent, Settings};
use super::client::{Protocol, TRANSACTION_WITHIN, key, parse_key};
use super::{librdkafka, thread};
use crate::history::{Key, Offset, Value};

/// A producer and a consumer, each made when first needed.
pub(crate) struct Rdkafka {
    settings: Settings,
    producer: Option<FutureProducer>,
    consumer: Option<BaseConsumer<Watch>>,
    /// Read before a rebalance was seen, to be returned by the next poll.
    held: Option<(Key, Offset, Value)>,
    rebalanced: Arc<Mutex<BTreeSet<Key>>>,
}

impl Rdkafka {
    pub(crate) fn open(settings: &Settings) -> Self {
        let (producer, consumer, held) = (None, None, None);
        Self { settings: settings.clone(), producer, consumer, held, rebalanced: Arc::default() }
    }

    fn config(&self) -> ClientConfig {
        let mut config = librdkafka::config(&self.settings.bootstrap);
        config.set("socket.timeout.ms", "10000");
        config
    }

    fn producer(&mut self) -> Result<FutureProducer> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let transactional_id = self.settings.transactional_id.as_deref();
        let producer: FutureProducer = librdkafka::producer(self.config(), transactional_id).create()?;
        if transactional_id.is_some() {
            persist(|| producer.init_transactions(REQUEST_WITHIN))?;
        }
        self.producer = Some(producer.clone());
        Ok(producer)
    }

    fn consumer(&mut self) -> Result<&BaseConsumer<Watch>> {
        if self.consumer.is_none() {
            let mut config = self.config();
            config
                .set("group.id", &self.settings.group)
                .set("enable.auto.commit", self.settings.auto_commit.to_string())
                .set("auto.commit.interval.ms", "1000")
                .set("auto.offset.reset", "earliest")
                .set("fetch.wait.max.ms", "100")
                .set("fetch.error.backoff.ms", "100");
            match self.settings.protocol {
                Protocol::Classic => config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "1000"),
                // The coordinator says when a member is to be heard of.
                Protocol::Consumer => config.set("group.protocol", "consumer"),
            };
            let watch = Watch(Arc::clone(&self.rebalanced));
            self.consumer = Some(config.create_with_context(watch)?);
        }
        self.consumer.as_ref().context("just made")
    }

    fn add_offsets(&mut self, producer: &FutureProducer, offsets: &BTreeMap<Key, Offset>) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let (group, list) = (self.consumer()?.group_metadata().context("no group")?, list_of(offsets)?);
        let (producer, (tell, told)) = (producer.clone(), mpsc::sync_channel(1));
        // librdkafka 2.12 waits for a group's coordinator for ever where the one that it waited for did not come back: it looks at its own time-out only
        // when a connection changes. The call cannot be ended, so that a thread of its own waits on.
        thread("send offsets", move || {
            let _ = tell.send(persist(|| producer.send_offsets_to_transaction(&list, &group, REQUEST_WITHIN)));
        })?;
        let Ok(added) = told.recv_timeout(TRANSACTION_WITHIN + REQUEST_WITHIN * 2) else {
            self.producer = None;
            bail!("the client library hangs");
        };
        Ok(added?)
    }
}

/// Tries a step of a transaction again for as long as the library says that this helps.
fn persist(step: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
    let deadline = Instant::now() + TRANSACTION_WITHIN;
    loop {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
            result => return result,
        }
    }
}

fn list_of(offsets: &BTreeMap<Key, Offset>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (key, offset) in offsets {
        let (topic, partition) = parse_key(key);
        list.add_partition_offset(topic, partition, KafkaOffset::Offset(*offset))?;
    }
    Ok(list)
}

fn must_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

impl Client for Rdkafka {
    fn send(&mut self, records: &[(Key, Value)]) -> Vec<Sent> {
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(error) => return records.iter().map(|_| Sent::Refused(error.to_string())).collect(),
        };
        let start = |(key, value): &(Key, Value)| {
            let ((topic, partition), text) = (parse_key(key), value.to_string());
            let record = FutureRecord::<(), _>::to(topic).partition(partition).payload(&text);
            producer.send_result(record).map_err(|(error, _)| error)
        };
        let started: Vec<_> = records.iter().map(start).collect();
        let finish = |sent: Result<DeliveryFuture, KafkaError>| match sent {
            Err(error) => Sent::Refused(error.to_string()),
            Ok(delivery) => match futures::executor::block_on(delivery) {
                // librdkafka does not know the offset of what the broker had already.
                Ok(Ok(delivery)) => Sent::Ok((delivery.offset >= 0).then_some(delivery.offset)),
                Ok(Err((error, _))) => Sent::Unknown(error.to_string()),
                Err(_) => Sent::Unknown("the client is gone".to_owned()),
            },
        };
        let sent: Vec<_> = started.into_iter().map(finish).collect();
        if producer.client().fatal_error().is_some() {
            self.producer = None;
        }
        sent
    }

    fn poll(&mut self) -> Result<Records> {
        let mut records = Records::new();
        let mut count = 0;
        let mut add = |(key, offset, value): (Key, Offset, Value)| {
            records.entry(key).or_default().push((offset, value));
            count += 1;
            count
        };
        if let Some(held) = self.held.take() {
            add(held);
        }
        let rebalanced = Arc::clone(&self.rebalanced);
        let before = rebalanced.lock().len();
        let mut held = None;
        let consumer = self.consumer()?;
        let (end, mut wait, mut any) = (Instant::now() + POLL_WITHIN, POLL_WITHIN, false);
        let mut failure = None;
        while let Some(result) = consumer.poll(wait) {
            match result.map_err(anyhow::Error::from).and_then(|message| parse(&message)) {
                Err(error) => failure = Some(error),
                // Where a group's partitions change within a poll, so does the place: what comes behind belongs to another poll.
                Ok(record) if rebalanced.lock().len() > before => {
                    held = Some(record);
                    break;
                }
                Ok(record) => {
                    any = true;
                    if add(record) >= POLL_MAX {
                        break;
                    }
                }
            }
            // What has come already is taken; nothing more is waited for.
            wait = if any { std::time::Duration::ZERO } else { end.saturating_duration_since(Instant::now()) };
        }
        self.held = held;
        match failure {
            Some(error) if records.is_empty() => Err(error),
            _ => Ok(records),
        }
    }

    fn assign(&mut self, from: &BTreeMap<Key, Option<Offset>>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (key, offset) in from {
            let (topic, partition) = parse_key(key);
            list.add_partition_offset(topic, partition, offset.map_or(KafkaOffset::Beginning, KafkaOffset::Offset))?;
        }
        self.held = None;
        let consumer = self.consumer()?;
        consumer.unsubscribe();
        Ok(consumer.assign(&list)?)
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.held = None;
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        let consumer = self.consumer()?;
        consumer.unassign()?;
        Ok(consumer.subscribe(&topics)?)
    }

    fn rebalanced(&mut self) -> Vec<Key> {
        std::mem::take(&mut *self.rebalanced.lock()).into_iter().collect()
    }

    fn begin(&mut self) -> Result<()> {
        Ok(self.producer()?.begin_transaction()?)
    }

    fn end(&mut self, commit: bool, offsets: &BTreeMap<Key, Offset>) -> Outcome<()> {
        let Some(producer) = self.producer.clone() else { return Outcome::Fail("the producer is gone".to_owned()) };
        let refused = if commit {
            self.add_offsets(&producer, offsets).err().map(|error| format!("{error:#}"))
        } else {
            Some("aborted".to_owned())
        };
        let was_asked = refused.is_none();
        let (error, must_abort) = match refused {
            Some(error) => (error, true),
            None => match persist(|| producer.commit_transaction(REQUEST_WITHIN)) {
                Ok(()) => return Outcome::Ok(()),
                Err(error) => (error.to_string(), must_abort(&error)),
            },
        };
        // A producer that hangs in a call takes no other one.
        let aborted =
            must_abort && self.producer.is_some() && persist(|| producer.abort_transaction(REQUEST_WITHIN)).is_ok();
        if !aborted {
            // Whoever takes the transactional id over ends it.
            self.producer = None;
        }
        if aborted || !was_asked { Outcome::Fail(error) } else { Outcome::Info(error) }
    }

    fn commit(&mut self, offsets: &BTreeMap<Key, Offset>) -> Outcome<()> {
        let commit = || -> Result<(), KafkaError> {
            let consumer = self.consumer.as_ref().ok_or(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset))?;
            consumer.commit(&list_of(offsets)?, CommitMode::Sync)
        };
        match commit() {
            Ok(()) => Outcome::Ok(()),
            Err(error) if error.rdkafka_error_code().is_some_and(was_not_sent) => Outcome::Fail(error.to_string()),
            Err(error) => Outcome::Info(error.to_string()),
        }
    }

    fn committed(&mut self, keys: &[Key]) -> Result<BTreeMap<Key, Offset>> {
        let mut list = TopicPartitionList::new();
        for key in keys {
            let (topic, partition) = parse_key(key);
            list.add_partition(topic, partition);
        }
        let answer = self.consumer()?.committed_offsets(list, REQUEST_WITHIN)?;
        let mut offsets = BTreeMap::new();
        for element in answer.elements() {
            element.error()?;
            if let KafkaOffset::Offset(offset) = element.offset() {
                offsets.insert(key(element.topic(), element.partition().cast_unsigned()), offset);
            }
        }
        Ok(offsets)
    }
}

/// Whether the client refused by itself. What a coordinator refuses may be a commit's second try: the client tries again by itself when an answer is
/// lost, and the first one may have had its effect.
fn was_not_sent(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::NoOffset | RDKafkaErrorCode::InvalidGroupId)
}

fn parse(message: &BorrowedMessage<'_>) -> Result<(Key, Offset, Value)> {
    let key = key(message.topic(), message.partition().cast_unsigned());
    let text = message.payload_view::<str>().and_then(Result::ok).unwrap_or_default();
    let Ok(value) = text.parse() else { bail!("{key} has '{text}' at {}, which nobody wrote", message.offset()) };
    Ok((key, message.offset(), value))
}

/// Sees rebalances.
struct Watch(Arc<Mutex<BTreeSet<Key>>>);

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let (Rebalance::Assign(list) | Rebalance::Revoke(list)) = rebalance else { return };
        let keys = list.elements().into_iter().map(|place| key(place.topic(), place.partition().cast_unsigned()));
        self.0.lock().extend(keys.collect::<Vec<_>>());
    }
}
