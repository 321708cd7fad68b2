//! What transactional producers were told, and what a reader of committed records may see of it; and that reader.
//!
//! Each transaction writes one value to each partition of a topic of its own. A value of a transaction that committed is seen in every partition, once; of one
//! that aborted, nowhere; of one whose end nobody knows, everywhere or nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{RecordBatch, split};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use caudal_protocol::messages::fetch_response::PartitionData;
use caudal_protocol::messages::{BrokerId, TopicName};
use caudal_types::Offset;
use parking_lot::Mutex;

use super::{History, Partition, Setting, latest, pause};
use crate::client::Client;
use crate::net::Host;

/// The topic that transactions write to.
pub const LEDGER: &str = "ledger";
/// How many partitions it has.
pub const PARTITIONS: Partition = 2;
/// The most bytes of one read.
const BYTES: i32 = 4096;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It committed.
    Committed,
    /// It aborted.
    Aborted,
    /// Nobody knows.
    Unknown,
}

/// What is known of all transactions; clones are the same.
#[derive(Clone, Debug)]
pub struct Ledger {
    history: History,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ends: BTreeMap<Bytes, End>,
    /// Where each value was seen.
    seen: BTreeMap<(Partition, Bytes), Offset>,
    /// How far each partition was read.
    read: BTreeMap<Partition, Offset>,
}

impl Ledger {
    /// An empty one.
    pub fn new(history: History) -> Self {
        Self { history, state: Arc::default() }
    }

    /// A producer knows how its transaction ended, or never will.
    pub fn ended(&self, value: &Bytes, end: End) {
        self.history.noted(&format_args!("transaction {value:?}: {end:?}"));
        self.history.progressed("transaction");
        let mut state = self.state.lock();
        let is_seen = (0..PARTITIONS).any(|partition| state.seen.contains_key(&(partition, value.clone())));
        if end == End::Aborted && is_seen {
            self.history.report("aborted-read", format!("{value:?} was read, and its transaction aborted"));
        }
        state.ends.insert(value.clone(), end);
    }

    fn read(&self, partition: Partition, offset: Offset, value: Bytes) {
        let mut state = self.state.lock();
        if state.ends.get(&value) == Some(&End::Aborted) {
            let text =
                format!("partition {partition}: {value:?} was read at {offset}, and its transaction had aborted");
            self.history.report("aborted-read", text);
        }
        match state.seen.insert((partition, value.clone()), offset) {
            Some(before) if before != offset => {
                let text = format!("ledger {partition}: {value:?} is at {before} and at {offset}");
                self.history.report("duplicate", text);
            }
            Some(_) | None => {}
        }
    }

    /// How far a partition was read.
    pub fn read_up_to(&self, partition: Partition) -> Offset {
        self.state.lock().read.get(&partition).copied().unwrap_or_default()
    }

    fn was_read(&self, partition: Partition, next: Offset) {
        let mut state = self.state.lock();
        let read = state.read.entry(partition).or_default();
        *read = next.max(*read);
    }

    /// Once everything was read to its end: whether each transaction is there whole, or not at all.
    pub fn settle(&self) {
        let state = self.state.lock();
        for (value, end) in &state.ends {
            let places: BTreeSet<_> =
                (0..PARTITIONS).filter(|partition| state.seen.contains_key(&(*partition, value.clone()))).collect();
            let is_whole = places.len() == PARTITIONS as usize;
            let (rule, is_right) = match end {
                End::Committed => ("lost-transaction", is_whole),
                End::Aborted => ("aborted-read", places.is_empty()),
                End::Unknown => ("torn-transaction", is_whole || places.is_empty()),
            };
            if !is_right {
                self.history.report(rule, format!("{value:?} ({end:?}) was read in the partitions {places:?} only"));
            }
        }
    }
}

/// Reads committed records until the run ends.
pub async fn run(setting: Setting, ledger: Ledger, host: Host) {
    let (mut client, mut chance) = setting.client(host);
    while setting.works() {
        for partition in 0..PARTITIONS {
            client.find_leader(LEDGER, partition).await;
            if read_all(&setting, &ledger, &mut client, partition).await.is_some() {
                setting.history.progressed("committed fetch");
            }
        }
        pause(&mut chance, 300).await;
    }
}

/// Reads a partition from its start to where it is stable, and answers whether that is its end; `None` when it cannot be read now.
pub async fn read_all(setting: &Setting, ledger: &Ledger, client: &mut Client, partition: Partition) -> Option<bool> {
    let mut next = 0;
    loop {
        let response = client.call(12, &request(partition, next)).await.ok()?;
        let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next()?;
        match ErrorCode(data.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::OFFSET_OUT_OF_RANGE if next < ledger.read_up_to(partition) => {
                next = latest::earliest(client, LEDGER, partition).await.filter(|start| *start > next)?;
                continue;
            }
            ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::OFFSET_OUT_OF_RANGE => {
                client.give_up();
                return None;
            }
            ErrorCode::OFFSET_NOT_AVAILABLE => return None,
            code => {
                setting.history.report("fetch-refused", format!("ledger {partition}, offset {next}: {code}"));
                return None;
            }
        }
        let after = take(setting, ledger, partition, next, &data);
        ledger.was_read(partition, after);
        if after == next || after >= data.last_stable_offset {
            return Some(data.last_stable_offset == data.high_watermark);
        }
        next = after;
    }
}

/// Takes what clients take: no control batches, and nothing of transactions that aborted. Answers where to go on.
fn take(setting: &Setting, ledger: &Ledger, partition: Partition, from: Offset, data: &PartitionData) -> Offset {
    let corrupt = |what: String| setting.history.report("corrupt-read", format!("ledger {partition}: {what}"));
    let aborted = data.aborted_transactions.as_deref().unwrap_or_default();
    let mut aborted: Vec<_> = aborted.iter().map(|gone| (gone.first_offset, gone.producer_id.0)).collect();
    aborted.sort_unstable_by(|left, right| right.cmp(left));
    let (mut skipped, mut next) = (BTreeSet::new(), from);
    let batches = split(&data.records.clone().unwrap_or_default()).unwrap_or_else(|error| {
        corrupt(error.to_string());
        Vec::new()
    });
    for bytes in batches {
        let Ok(batch) = RecordBatch::parse_stored(bytes).inspect_err(|error| corrupt(error.to_string())) else { break };
        let (producer, last) = (batch.producer_id(), batch.base_offset() + i64::from(batch.last_offset_delta()));
        while aborted.last().is_some_and(|(first, _)| *first <= last) {
            skipped.extend(aborted.pop().map(|(_, producer)| producer));
        }
        if last >= data.last_stable_offset {
            corrupt(format!("{last} was given to a reader of what is stable up to {}", data.last_stable_offset));
        }
        if batch.is_control() {
            skipped.remove(&producer);
        } else if !(batch.is_transactional() && skipped.contains(&producer)) {
            let visited = batch.for_each_record(&mut |record| {
                let offset = batch.base_offset() + i64::from(record.offset_delta);
                ledger.read(partition, offset, Bytes::copy_from_slice(record.value.unwrap_or_default()));
                ControlFlow::Continue(())
            });
            if let Err(error) = visited {
                corrupt(error.to_string());
            }
        }
        next = last + 1;
    }
    next
}

fn request(partition: Partition, offset: Offset) -> FetchRequest {
    let wanted =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(BYTES);
    let wanted = FetchTopic::default().with_topic(TopicName(LEDGER.to_owned().into())).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(BYTES)
        .with_isolation_level(1)
        .with_session_epoch(-1)
        .with_topics(vec![wanted])
}
