//! Transactions that are open in a partition of this node's although their coordinator says that they are over. It should not be: their coordinator tells
//! all that take part until they know. But whatever may have gone wrong, readers must not wait for ever: the partition asks, and ends what is over.

use std::sync::Arc;
use std::time::Duration;

use caudal_partition::{EndMarker, OpenTransaction, Partition};
use caudal_types::{ProducerEpoch, ProducerId, RaftGroupId};
use futures::future::join_all;
use tokio::time::timeout;

use super::ProducerIdentity;
use super::node::TransactionNode;
use super::service::{Answer, Question};
use super::turns::{FirstSeen, Turns};
use crate::coordinator::REPLICATION_WAIT;

/// How long a transaction is open before its coordinator is asked. Most are over much sooner.
const ASKED_AFTER: Duration = Duration::from_secs(30);

/// How many are asked about side by side; the next look goes on with the others.
const ASKED_AT_ONCE: usize = 256;

/// Which transaction, in which partition.
pub(super) type Open = (RaftGroupId, ProducerId, u64);

/// A transaction that has been open for long.
struct Old {
    partition: Arc<Partition>,
    producer: ProducerId,
    epoch: ProducerEpoch,
    open: OpenTransaction,
}

impl TransactionNode {
    /// Asks about the transactions that have been open for long in the partitions that this node leads.
    pub(super) async fn resolve_overdue(&self, seen: &mut FirstSeen<Open>, turns: &mut Turns<Open>) {
        let old = turns.pick(self.old(seen), ASKED_AT_ONCE);
        join_all(old.into_iter().map(|old| self.resolve(old))).await;
    }

    async fn resolve(&self, old: Old) {
        let id = &old.open.enlistment.transactional_id;
        let producer = ProducerIdentity { id: old.producer, epoch: old.epoch };
        let number = old.open.enlistment.number;
        let question = Question::IsOver { transactional_id: Arc::clone(id), producer, number };
        let Some(coordinator) = self.shards.leader_of(id) else { return };
        if self.question(coordinator, &question).await == Answer::Done {
            // Those behind it do not wait for a partition without a majority.
            let _ = timeout(REPLICATION_WAIT, self.end(&old)).await;
        }
    }

    /// Those that are old by the time of day of the log, whose writer's clock may have been ahead, or that were seen here for as long.
    fn old(&self, seen: &mut FirstSeen<Open>) -> Vec<(Open, Old)> {
        seen.look(tokio::time::Instant::now());
        let asked_after_ms = i64::try_from(ASKED_AFTER.as_millis()).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        let serving = |partition: &Arc<Partition>| partition.leadership().borrow().serving;
        for partition in self.partitions.all().into_iter().filter(serving) {
            let is_old = partition.oldest_open_ms().is_some_and(|ms| ms >= asked_after_ms);
            for (producer, epoch, open) in partition.open_transactions() {
                let key = (partition.group(), producer, open.enlistment.number);
                if seen.age(key) >= ASKED_AFTER || is_old {
                    found.push((key, Old { partition: Arc::clone(&partition), producer, epoch, open }));
                }
            }
        }
        found
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
