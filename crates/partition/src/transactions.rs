//! What the transactions of a partition's producers need of it: see [`crate::transaction`].

use std::sync::Arc;

use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError};
use caudal_types::{ProducerEpoch, ProducerId, RaftGroupId, TimestampMs};

use crate::append::refusal;
use crate::command::{Command, Stamped};
use crate::reply::Reply;
use crate::state::producers::Producer;
use crate::state::rows::{self, RowKind};
use crate::{AppendError, DescribedProducer, EndMarker, Enlistment, OpenTransaction, Partition, ReadError};

impl Partition {
    /// The transaction that a producer has open here, if it is one of this epoch: more batches of it need not ask the coordinator.
    pub fn enlisted(&self, producer: ProducerId, epoch: ProducerEpoch) -> Option<Enlistment> {
        let view = self.published.view();
        let open = view.open_transactions.get(&producer).filter(|open| open.epoch == epoch)?;
        Some(open.transaction.enlistment.clone())
    }

    /// The transactions that are open here, with their producers.
    pub fn open_transactions(&self) -> Vec<(ProducerId, ProducerEpoch, OpenTransaction)> {
        let view = self.published.view();
        let open = view.open_transactions.iter();
        open.map(|(producer, open)| (*producer, open.epoch, open.transaction.clone())).collect()
    }

    /// How long the oldest open transaction has been open, in milliseconds of this node's clock, which may be off from the clock of the log.
    pub fn oldest_open_ms(&self) -> Option<i64> {
        let now = self.node.clock.now_ms();
        let since = |view: &crate::view::View| view.open_transactions.values().map(|open| open.transaction.since).min();
        since(&self.published.view()).map(|since: TimestampMs| now.saturating_sub(since).max(0))
    }

    /// Ends a transaction: its marker is durable on a majority, or was before. A marker that is late does nothing.
    ///
    /// # Errors
    /// [`AppendError::FencedProducer`] when the producer has a newer epoch; otherwise the marker may be tried again.
    pub async fn end_transaction(&self, marker: EndMarker) -> Result<(), AppendError> {
        let leadership = self.leadership_now();
        if !leadership.serving {
            return Err(AppendError::NotLeader { leader: leadership.leader });
        }
        let time = self.published.stamp(self.node.clock.now_ms());
        let batch = marker.batch(time).map_err(|error| AppendError::InvalidRecord(error.to_string()))?;
        let command = Stamped { time, command: Command::EndTransaction(marker, batch) }.encode();
        let applied = self.raft.propose(command).await.map_err(refusal)?;
        Reply::into_end_outcome(&applied.reply)
    }

    /// The producers that this replica, if it leads, remembers.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn producers(&self) -> Result<Vec<DescribedProducer>, ReadError> {
        self.check_leader(-1)?;
        let (engine, group) = (Arc::clone(&self.node.engine), self.group());
        let read = move || stored_producers(engine.as_ref(), group);
        self.node.disk.run(read).await.map_err(|error| self.unreadable(error))
    }
}

fn stored_producers(engine: &dyn Engine, group: RaftGroupId) -> Result<Vec<DescribedProducer>, StorageError> {
    let (from, to) = RowKind::Producer.range(group);
    let rows = engine.scan(ColumnFamily::State, from.as_ref()..to.as_ref(), ScanLimit::NONE)?;
    rows.iter().map(|(key, value)| Ok(described(rows::number_of(key)?, &rows::decode_producer(value)?))).collect()
}

fn described(producer_id: ProducerId, producer: &Producer) -> DescribedProducer {
    DescribedProducer {
        producer_id,
        epoch: producer.epoch,
        last_sequence: producer.last_sequence(),
        last_time: producer.last_time,
        coordinator_epoch: producer.coordinator_epoch,
        open_since: producer.open.as_ref().map(|open| open.first_offset),
    }
}
