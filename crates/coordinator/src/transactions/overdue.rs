//! Transactions that are open in a partition of this node's although their coordinator says that they are over. It should not be: their coordinator tells
//! all that take part until they know. But whatever may have gone wrong, readers must not wait for ever: the partition asks, and ends what is over.

use std::sync::Arc;

use caudal_partition::{EndMarker, OpenTransaction, Partition};
use caudal_types::{ProducerEpoch, ProducerId};

use super::ProducerIdentity;
use super::node::TransactionNode;
use super::service::{Answer, Question};

/// How long a transaction is open before its coordinator is asked. Most are over much sooner.
const ASKED_AFTER_MS: i64 = 30_000;

/// How many are asked about at once; the next look goes on.
const ASKED_AT_ONCE: usize = 256;

/// A transaction that has been open for long.
struct Old {
    partition: Arc<Partition>,
    producer: ProducerId,
    epoch: ProducerEpoch,
    open: OpenTransaction,
}

impl TransactionNode {
    /// Asks about the transactions that have been open for long in the partitions that this node leads.
    pub(super) async fn resolve_overdue(&self) {
        for old in self.old() {
            let id = &old.open.enlistment.transactional_id;
            let producer = ProducerIdentity { id: old.producer, epoch: old.epoch };
            let question =
                Question::IsOver { transactional_id: id.clone(), producer, number: old.open.enlistment.number };
            let Some(coordinator) = self.shards.leader_of(id) else { continue };
            if self.question(coordinator, &question).await == Answer::Done {
                self.end(&old).await;
            }
        }
    }

    fn old(&self) -> Vec<Old> {
        let serving = |partition: &Arc<Partition>| partition.leadership().borrow().serving;
        let led = self.partitions.all().into_iter().filter(serving);
        let is_old = |partition: &Arc<Partition>| partition.oldest_open_ms().is_some_and(|ms| ms >= ASKED_AFTER_MS);
        let old = led.filter(is_old).flat_map(|partition| {
            let open = partition.open_transactions().into_iter();
            open.map(move |(producer, epoch, open)| Old { partition: Arc::clone(&partition), producer, epoch, open })
        });
        old.take(ASKED_AT_ONCE).collect()
    }

    async fn end(&self, old: &Old) {
        let (number, name) = (old.open.enlistment.number, old.partition.name());
        tracing::error!(
            partition = %name, id = %old.open.enlistment.transactional_id, producer = old.producer, number,
            "a transaction is over, and the partition was not told; it is aborted here"
        );
        let (producer_id, epoch) = (old.producer, old.epoch);
        let marker = EndMarker { producer_id, epoch, number, coordinator_epoch: -1, commit: false };
        if let Err(error) = old.partition.end_transaction(marker).await {
            tracing::warn!(partition = %name, %error, "the transaction cannot be ended yet");
        }
    }
}
