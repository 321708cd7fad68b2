//! What the tests of this crate share.

mod batches;
pub(crate) mod cleaning;
mod node;
mod replica;

pub(crate) use batches::BatchSpec;
pub(crate) use node::{DEADLINE, TestNode};
pub(crate) use replica::{Entry, Replica, dump};

use std::sync::Arc;

use bytes::BytesMut;
use caudal_protocol::batch::RecordBatch;
use caudal_types::Offset;
use caudal_types::topic_config::TopicConfig;

use crate::command::{Command, Stamped};
use crate::{Acks, AppendError, Appended, Partition, ReadOutcome, ReadRequest};

/// Kafka's defaults.
pub(crate) fn topic_config() -> TopicConfig {
    TopicConfig::default()
}

/// Appends a batch and waits for its outcome.
pub(crate) async fn append(partition: &Partition, spec: &BatchSpec) -> Result<Appended, AppendError> {
    partition.append(spec.build().bytes().clone(), None, Acks::InSync).await?.await
}

/// Advances the log's start.
pub(crate) async fn advance(partition: &Partition, offset: Offset) {
    let command = Stamped { time: 0, command: Command::AdvanceLogStart(offset) };
    partition.raft.propose(command.encode()).await.unwrap();
    assert_eq!(partition.offsets().borrow().log_start, offset);
}

/// A read of everything from `offset` on.
pub(crate) fn from(offset: Offset) -> ReadRequest {
    ReadRequest {
        offset,
        max_bytes: usize::MAX,
        at_least_one: true,
        committed_only: false,
        current_leader_epoch: -1,
        leader_only: true,
    }
}

/// The batches of a read, checked as a client checks them.
pub(crate) fn batches(outcome: &ReadOutcome) -> Vec<RecordBatch> {
    let mut all = BytesMut::from(outcome.records.concat().as_slice());
    let mut found = Vec::new();
    while !all.is_empty() {
        let len = 12 + i32::from_be_bytes(all[8..12].try_into().unwrap());
        let one = all.split_to(usize::try_from(len).unwrap()).freeze();
        found.push(RecordBatch::parse_stored(one).unwrap());
    }
    found
}

/// All batches of a partition, read `max_bytes` at a time.
pub(crate) async fn read_all(partition: &Arc<Partition>, max_bytes: usize) -> Vec<RecordBatch> {
    let start = partition.offsets().borrow().log_start;
    let mut all: Vec<RecordBatch> = Vec::new();
    loop {
        let next = all.last().map_or(start, |batch| batch.base_offset() + i64::from(batch.last_offset_delta()) + 1);
        let outcome = partition.read(ReadRequest { max_bytes, ..from(next) }).await.unwrap();
        if outcome.is_empty() {
            assert_eq!(next, outcome.offsets.high_watermark);
            return all;
        }
        all.extend(batches(&outcome));
    }
}
