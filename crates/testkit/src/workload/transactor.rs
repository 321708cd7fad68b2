//! A transactional producer: each transaction writes the same value to every partition of the ledger, commits an offset for a group of its own, and commits or
//! aborts. Half of them speak version 1 of transactions, the others version 2 (KIP-890).

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use caudal_protocol::messages::offset_fetch_request::{self, OffsetFetchRequestTopic};
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use caudal_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest,
    OffsetFetchRequest, ProducerId, Request, TopicName, TransactionalId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use rand::Rng;
use rand::rngs::StdRng;

use super::ledger::{End, LEDGER, Ledger, PARTITIONS};
use super::{Partition, Setting, pause};
use crate::client::Client;
use crate::net::Host;

/// How long a transaction may take, in milliseconds: some take longer while nodes are gone.
const TIMEOUT_MS: i32 = 5_000;
/// How often a request within a transaction is tried before the transaction is given up.
const TRIES: usize = 8;

/// What a client does after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Again,
    /// The transaction cannot go on.
    Over,
}

struct Transactor {
    setting: Setting,
    ledger: Ledger,
    host: Host,
    client: Client,
    chance: StdRng,
    /// Version 2 of transactions.
    is_2: bool,
    producer: Option<(i64, i16)>,
    /// The next sequence number in each partition.
    sequences: [i32; PARTITIONS as usize],
    number: i64,
    /// The offset that the last transaction committed that did, if that is known.
    committed: Option<i64>,
}

/// Writes until the run ends, and then until its last transaction has ended.
pub async fn run(setting: Setting, ledger: Ledger, host: Host) {
    let (client, chance) = setting.client(host);
    let (is_2, sequences) = (host.is_multiple_of(2), [0; PARTITIONS as usize]);
    let mut transactor = Transactor {
        setting,
        ledger,
        host,
        client,
        chance,
        is_2,
        producer: None,
        sequences,
        number: 0,
        committed: Some(-1),
    };
    while transactor.setting.works() {
        transactor.transact().await;
        pause(&mut transactor.chance, 200).await;
    }
    // What it may have left open is ended by whoever takes over.
    transactor.producer = None;
    transactor.init().await;
}

impl Transactor {
    fn id(&self) -> TransactionalId {
        TransactionalId(format!("ledger-{}", self.host).into())
    }

    async fn transact(&mut self) {
        let (id, epoch) = match self.producer {
            Some(producer) => producer,
            None => self.init().await,
        };
        self.number += 1;
        let value = Bytes::from(format!("{}-{}", self.host, self.number));
        let mut verdict = Verdict::Done;
        for partition in 0..PARTITIONS {
            if verdict == Verdict::Done {
                verdict = self.write(partition, (id, epoch), &value).await;
            }
        }
        if verdict == Verdict::Done {
            verdict = self.commit_offset((id, epoch)).await;
        }
        let commit = verdict == Verdict::Done && self.chance.random_bool(0.7);
        let end = self.end((id, epoch), commit).await;
        if verdict == Verdict::Over && !self.is_2 {
            // Whether its last batch was taken is not known, and so not which sequence comes next.
            self.producer = None;
        }
        self.ledger.ended(&value, end);
        self.check_offset(end).await;
    }

    fn group(&self) -> GroupId {
        GroupId(format!("ledger-{}", self.host).into())
    }

    /// Commits the transaction's number as an offset.
    async fn commit_offset(&mut self, (id, epoch): (i64, i16)) -> Verdict {
        if !self.is_2 {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(self.id())
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch)
                .with_group_id(self.group());
            let joined = self.persist(3, &request, false, |response| response.error_code).await;
            if joined != Verdict::Done {
                return joined;
            }
        }
        let offset = TxnOffsetCommitRequestPartition::default().with_committed_offset(self.number);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(LEDGER.to_owned().into()))
            .with_partitions(vec![offset]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.id())
            .with_group_id(self.group())
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let code = |response: &TxnOffsetCommitResponse| {
            let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
            parts.map(|part| part.error_code).next().unwrap_or_default()
        };
        self.persist(if self.is_2 { 5 } else { 3 }, &request, true, code).await
    }

    /// Sends a request to the coordinator of the group, or of the transactional id, until there is a verdict.
    async fn persist<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        to_group: bool,
        code: impl Fn(&R::Response) -> i16,
    ) -> Verdict {
        for _ in 0..TRIES {
            let group = self.group();
            let found = if to_group { self.client.find_coordinator(&group).await } else { self.aim().await };
            if found && let Ok(response) = self.client.call(version, request).await {
                match verdict(ErrorCode(code(&response))) {
                    Verdict::Done => return Verdict::Done,
                    Verdict::Over => return self.over("offset", ErrorCode(code(&response))),
                    Verdict::Again => {}
                }
            }
            pause(&mut self.chance, 100).await;
        }
        Verdict::Over
    }

    /// Whether the group's offset is what the transaction's end says.
    async fn check_offset(&mut self, end: End) {
        let (number, before) = (self.number, self.committed);
        let Some(offset) = self.fetch_offset().await else {
            self.committed = None;
            return;
        };
        let is_right = match end {
            End::Committed => offset == number,
            End::Aborted => before.is_none_or(|before| offset == before),
            End::Unknown => offset == number || before.is_none_or(|before| offset == before),
        };
        if !is_right {
            let text =
                format!("transactor {}: the offset is {offset} after {before:?} and {number} ({end:?})", self.host);
            self.setting.history.report("transaction-offset", text);
        }
        self.committed = Some(offset);
    }

    /// The group's offset, once no transaction is about to change it.
    async fn fetch_offset(&mut self) -> Option<i64> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(LEDGER.to_owned().into()))
            .with_partition_indexes(vec![0]);
        let request = offset_fetch_request::OffsetFetchRequest::default()
            .with_group_id(self.group())
            .with_topics(Some(vec![topic]))
            .with_require_stable(true);
        let (request, group) = (OffsetFetchRequest::from(request), self.group());
        for _ in 0..TRIES {
            if self.client.find_coordinator(&group).await
                && let Ok(response) = self.client.call(7, &request).await
                && response.error_code == 0
                && let Some(part) = response.topics.iter().flat_map(|topic| &topic.partitions).next()
                && part.error_code == 0
            {
                return Some(part.committed_offset);
            }
            pause(&mut self.chance, 100).await;
        }
        None
    }

    /// Takes the transactional id over, however long it takes.
    async fn init(&mut self) -> (i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id()))
            .with_transaction_timeout_ms(TIMEOUT_MS)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        loop {
            if self.aim().await
                && let Ok(response) = self.client.call(4, &request).await
                && response.error_code == 0
            {
                let producer = (response.producer_id.0, response.producer_epoch);
                (self.producer, self.sequences) = (Some(producer), [0; PARTITIONS as usize]);
                return producer;
            }
            self.client.give_up();
            pause(&mut self.chance, 200).await;
        }
    }

    /// Turns to the coordinator; whether it is known.
    async fn aim(&mut self) -> bool {
        let id = self.id();
        self.client.find_transaction_coordinator(&id).await
    }

    async fn write(&mut self, partition: Partition, producer: (i64, i16), value: &Bytes) -> Verdict {
        if !self.is_2 {
            let added = self.add(partition, producer).await;
            if added != Verdict::Done {
                return added;
            }
        }
        let sequence = self.sequences[partition.unsigned_abs() as usize];
        let record = Record { timestamp: 1000, value: Some(value.clone()), ..Record::default() };
        let batch = BatchBuilder::new().producer(producer.0, producer.1, sequence).transactional().build(&[record]);
        let batch = batch.expect("a batch of one record").bytes().clone();
        let version = if self.is_2 { 12 } else { 11 };
        let request = produce(partition, self.id(), batch);
        for _ in 0..TRIES {
            if self.client.find_leader(LEDGER, partition).await
                && let Ok(response) = self.client.call(version, &request).await
            {
                let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
                let code = answers.last().map_or(ErrorCode::NONE, |answer| ErrorCode(answer.error_code));
                match verdict(code) {
                    Verdict::Done => {
                        self.sequences[partition.unsigned_abs() as usize] += 1;
                        return Verdict::Done;
                    }
                    Verdict::Over => return self.over("produce", code),
                    Verdict::Again => {}
                }
            }
            pause(&mut self.chance, 100).await;
        }
        Verdict::Over
    }

    async fn add(&mut self, partition: Partition, (id, epoch): (i64, i16)) -> Verdict {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(LEDGER.to_owned().into()))
            .with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id())
            .with_v3_and_below_producer_id(ProducerId(id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        for _ in 0..TRIES {
            if self.aim().await
                && let Ok(response) = self.client.call(3, &request).await
            {
                let results = response.results_by_topic_v3_and_below.iter().flat_map(|t| &t.results_by_partition);
                let code = results.last().map_or(ErrorCode::NONE, |result| ErrorCode(result.partition_error_code));
                match verdict(code) {
                    Verdict::Done => return Verdict::Done,
                    Verdict::Over => return self.over("join", code),
                    Verdict::Again => {}
                }
            }
            pause(&mut self.chance, 100).await;
        }
        Verdict::Over
    }

    fn over(&self, what: &str, code: ErrorCode) -> Verdict {
        self.setting.history.noted(&format_args!("transactor {}: {what} was answered with {code}", self.host));
        Verdict::Over
    }

    /// Ends the transaction, however long it takes.
    async fn end(&mut self, (id, epoch): (i64, i16), commit: bool) -> End {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_committed(commit);
        let version = if self.is_2 { 5 } else { 2 };
        let mut unanswered = false;
        loop {
            if self.aim().await {
                match self.client.call(version, &request).await {
                    Ok(response) if response.error_code == 0 => {
                        let next = (response.producer_id.0, response.producer_epoch);
                        self.go_on(next, unanswered);
                        return if commit { End::Committed } else { End::Aborted };
                    }
                    Ok(response) => match verdict(ErrorCode(response.error_code)) {
                        Verdict::Over | Verdict::Done => {
                            let _over = self.over("end", ErrorCode(response.error_code));
                            // It took too long and was aborted, or never began.
                            self.producer = None;
                            return if commit && unanswered { End::Unknown } else { End::Aborted };
                        }
                        Verdict::Again => {}
                    },
                    Err(_) => unanswered = true,
                }
            }
            self.client.give_up();
            pause(&mut self.chance, 100).await;
        }
    }

    /// With version 2 every transaction has an epoch of its own. With version 1 a request that is late would end the next transaction (KAFKA-17754): whoever
    /// had no answer takes a new epoch.
    fn go_on(&mut self, next: (i64, i16), unanswered: bool) {
        if self.is_2 {
            (self.producer, self.sequences) = (Some(next), [0; PARTITIONS as usize]);
        } else if unanswered {
            self.producer = None;
        }
    }
}

fn verdict(code: ErrorCode) -> Verdict {
    let again = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::LEADER_NOT_AVAILABLE,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::CONCURRENT_TRANSACTIONS,
    ];
    match code {
        ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict::Done,
        code if again.contains(&code) => Verdict::Again,
        _ => Verdict::Over,
    }
}

fn produce(partition: Partition, id: TransactionalId, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let name = TopicName(LEDGER.to_owned().into());
    let data = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(Some(id))
        .with_acks(-1)
        .with_timeout_ms(2_000)
        .with_topic_data(vec![data])
}
