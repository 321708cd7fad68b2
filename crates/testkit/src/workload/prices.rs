//! A compacted topic: its one writer knows what must be there, and reads it all again and again.
//!
//! Whatever was cleaned meanwhile, and wherever: for each key the newest value is there, and what is there is where it was acknowledged.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record, RecordBatch, split};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_protocol::messages::{BrokerId, InitProducerIdRequest, TopicName};
use caudal_types::{Offset, ProducerId};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Setting, latest, pause};
use crate::client::Client;
use crate::net::Host;

/// The topic.
pub const PRICES: &str = "prices";
/// In every so many runs old segments go, too.
const DELETES_EVERY: u64 = 3;
const KEYS: u64 = 5;
/// The most bytes of one read.
const BYTES: i32 = 4096;

/// A key, and its value unless it is gone.
type Price = (Bytes, Option<Bytes>);

/// The topic's settings in the run of a seed: cleaned as soon as there is something to clean, and deleted keys forgotten soon.
pub fn settings(seed: u64) -> Vec<(&'static str, &'static str)> {
    let soon = [("min.cleanable.dirty.ratio", "0.01"), ("delete.retention.ms", "500")];
    let policy: &[_] = if deletes(seed) {
        &[("cleanup.policy", "compact,delete"), ("retention.bytes", "3000")]
    } else {
        &[("cleanup.policy", "compact")]
    };
    [policy, &soon[..]].concat()
}

fn deletes(seed: u64) -> bool {
    seed.is_multiple_of(DELETES_EVERY)
}

struct Prices {
    setting: Setting,
    client: Client,
    chance: StdRng,
    id: ProducerId,
    sequence: i32,
    numbers: u64,
    /// The newest of each key, and where it is.
    newest: BTreeMap<Bytes, (Offset, Option<Bytes>)>,
    /// What was acknowledged or read, by its offset; and the other way round, for values, of which none comes twice.
    there: BTreeMap<Offset, Price>,
    places: BTreeMap<Bytes, Offset>,
    /// One past the last offset that was acknowledged.
    end: Offset,
}

/// Writes and reads until the run ends, and then reads once more.
pub async fn run(setting: Setting, host: Host) {
    let (client, chance) = setting.client(host);
    let mut prices = Prices {
        setting,
        client,
        chance,
        id: -1,
        sequence: 0,
        numbers: 0,
        newest: BTreeMap::new(),
        there: BTreeMap::new(),
        places: BTreeMap::new(),
        end: 0,
    };
    prices.init().await;
    while prices.setting.works() {
        prices.write().await;
        if prices.chance.random_bool(0.1) {
            prices.read().await;
        }
        pause(&mut prices.chance, 40).await;
    }
    while !prices.read().await {
        pause(&mut prices.chance, 100).await;
    }
}

impl Prices {
    async fn init(&mut self) {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        loop {
            match self.client.call(1, &request).await {
                Ok(response) if response.error_code == 0 => {
                    self.id = response.producer_id.0;
                    return;
                }
                _ => {
                    self.client.give_up();
                    pause(&mut self.chance, 200).await;
                }
            }
        }
    }

    /// Writes some prices, and returns once they are acknowledged.
    async fn write(&mut self) {
        let count = self.chance.random_range(1..=4);
        let prices: Vec<Price> = (0..count).map(|_| self.price()).collect();
        let record = |(key, value): &Price| Record {
            timestamp: 1000,
            key: Some(key.clone()),
            value: value.clone(),
            ..Record::default()
        };
        let records: Vec<Record> = prices.iter().map(record).collect();
        let batch = BatchBuilder::new().producer(self.id, 0, self.sequence).build(&records);
        let request = produce(batch.expect("the batch is small and its records are in order").bytes().clone());
        let base = loop {
            match self.attempt(&request).await {
                Some(base) => break base,
                None => {
                    pause(&mut self.chance, 50).await;
                    self.client.find_leader(PRICES, 0).await;
                }
            }
        };
        self.sequence += count;
        // Nobody else writes here. Where a duplicate lies that is too old to be remembered is not told.
        if base >= 0 && base != self.end {
            let text = format!("prices: a batch behind offset {} was given {base}", self.end);
            self.setting.history.report("compaction", text);
        }
        for (offset, price) in (self.end..).zip(prices) {
            self.is_at(offset, &price);
            self.newest.insert(price.0, (offset, price.1));
        }
        self.end += i64::from(count);
        self.setting.history.progressed("prices written");
    }

    fn price(&mut self) -> Price {
        self.numbers += 1;
        let key = format!("key-{}", self.chance.random_range(0..KEYS));
        let value = self.chance.random_bool(0.85).then(|| format!("{:0>60}", self.numbers).into());
        (key.into(), value)
    }

    async fn attempt(&mut self, request: &ProduceRequest) -> Option<Offset> {
        let response = match self.client.call(11, request).await {
            Ok(response) => response,
            Err(error) => {
                self.setting.history.noted(&format_args!("prices: {error}"));
                return None;
            }
        };
        let answer = response.responses.iter().flat_map(|topic| &topic.partition_responses).next()?;
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => Some(answer.base_offset),
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Some(-1),
            code @ (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::INVALID_PRODUCER_EPOCH) => {
                let text = format!("prices: {code} for sequence {}, before which all is acknowledged", self.sequence);
                self.setting.history.report("producer-state", text);
                None
            }
            code => {
                self.setting.history.noted(&format_args!("prices: {code}"));
                None
            }
        }
    }

    /// Learns where a record is.
    fn is_at(&mut self, offset: Offset, price: &Price) {
        let known = self.there.entry(offset).or_insert_with(|| price.clone());
        if known != price {
            let text = format!("prices: offset {offset} has {price:?}, and had {known:?}");
            self.setting.history.report("compaction", text);
        }
        let Some(value) = &price.1 else { return };
        let place = *self.places.entry(value.clone()).or_insert(offset);
        if place != offset {
            self.setting.history.report("duplicate", format!("prices: {value:?} is at {place} and at {offset}"));
        }
    }

    /// Reads all there is, and checks it; false when it cannot be read to its end now.
    async fn read(&mut self) -> bool {
        self.client.find_leader(PRICES, 0).await;
        let Some(start) = self.start().await else {
            self.client.give_up();
            return false;
        };
        let (mut next, mut found) = (start, BTreeMap::new());
        while next < self.end {
            let Some(records) = self.fetch(next).await else {
                self.client.give_up();
                return false;
            };
            let split = split(&records).unwrap_or_default();
            let before = next;
            for bytes in split {
                match RecordBatch::parse_stored(bytes) {
                    Ok(batch) => next = self.take(&batch, &mut found),
                    Err(error) => self.setting.history.report("corrupt-read", format!("prices: {error}")),
                }
            }
            if next == before {
                // A leader that was deposed does not have it all.
                return false;
            }
        }
        for (key, (offset, newest)) in &self.newest {
            let (got, newest) = (found.get(key).cloned().flatten(), newest.as_ref().filter(|_| *offset >= start));
            if got.as_ref() != newest {
                let text = format!("prices: {key:?} is {got:?} for a reader, and was {newest:?} when it began");
                self.setting.history.report("compaction", text);
            }
        }
        self.setting.history.progressed("prices read");
        true
    }

    /// Where the log begins: all of it is there, unless old segments go. Should more of them go during a read, it is not read to its end.
    async fn start(&mut self) -> Option<Offset> {
        if !deletes(self.setting.seed) {
            return Some(0);
        }
        latest::earliest(&mut self.client, PRICES, 0).await
    }

    fn take(&mut self, batch: &RecordBatch, found: &mut BTreeMap<Bytes, Option<Bytes>>) -> Offset {
        let mut prices = Vec::new();
        let visited = batch.for_each_record(&mut |record| {
            let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
            let offset = batch.base_offset() + i64::from(record.offset_delta);
            prices.push((offset, (copy(record.key).unwrap_or_default(), copy(record.value))));
            ControlFlow::Continue(())
        });
        if let Err(error) = visited {
            self.setting.history.report("corrupt-read", format!("prices: {error}"));
        }
        for (offset, price) in prices {
            self.is_at(offset, &price);
            found.insert(price.0, price.1);
        }
        batch.base_offset() + i64::from(batch.last_offset_delta()) + 1
    }

    async fn fetch(&mut self, offset: Offset) -> Option<Bytes> {
        let response = self.client.call(12, &fetch(offset)).await.ok()?;
        let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next()?;
        match ErrorCode(data.error_code) {
            ErrorCode::NONE => Some(data.records.unwrap_or_default()),
            _ => None,
        }
    }
}

fn produce(batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let name = TopicName(PRICES.to_owned().into());
    let data = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(2_000)
        .with_topic_data(vec![data])
}

fn fetch(offset: Offset) -> FetchRequest {
    let wanted = FetchPartition::default().with_partition(0).with_fetch_offset(offset).with_partition_max_bytes(BYTES);
    let wanted = FetchTopic::default().with_topic(TopicName(PRICES.to_owned().into())).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(BYTES)
        .with_session_epoch(-1)
        .with_topics(vec![wanted])
}
