//! Telling the participants of a transaction how it ended, until all know.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_partition::EndMarker;
use caudal_types::NodeId;
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use tokio::time::sleep;

use super::command::TransactionCommand;
use super::node::TransactionNode;
use super::service::{Answer, Question};
use super::{Participant, ProducerIdentity};
use crate::pauses::Pauses;
use crate::rows::{TransactionRow, TransactionState};
use crate::shard::Shard;

/// How many transactions are being completed at once on one node; others wait.
const COMPLETED_AT_ONCE: usize = 512;

/// How long until a completion that could not be noted is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How many participants of a transaction are told at once.
const TOLD_AT_ONCE: usize = 64;

/// A transaction whose outcome is decided.
#[derive(Clone, Debug)]
struct Decided {
    id: Arc<str>,
    number: u64,
    producer: ProducerIdentity,
    commit: bool,
    participants: Vec<Participant>,
    shard: Arc<Shard>,
}

impl Decided {
    fn new(id: &Arc<str>, row: &TransactionRow, shard: &Arc<Shard>) -> Self {
        Self {
            id: id.clone(),
            number: row.number,
            producer: row.producer(),
            commit: row.state == TransactionState::PrepareCommit,
            participants: row.participants.iter().cloned().collect(),
            shard: shard.clone(),
        }
    }

    fn key(&self) -> (Arc<str>, u64) {
        (self.id.clone(), self.number)
    }

    /// The leader epoch of the coordinator.
    fn coordinator_epoch(&self) -> i32 {
        i32::try_from(self.shard.raft.leadership().borrow().term).unwrap_or(i32::MAX)
    }

    fn question(&self, participant: &Participant) -> Question {
        let (producer, number, commit) = (self.producer, self.number, self.commit);
        match participant {
            Participant::Partition { id, partition, .. } => {
                let (producer_id, epoch) = (producer.id, producer.epoch);
                let coordinator_epoch = self.coordinator_epoch();
                let marker = EndMarker { producer_id, epoch, number, coordinator_epoch, commit };
                Question::EndInPartition { topic: *id, partition: *partition, marker }
            }
            Participant::Group(group) => Question::EndInGroup { group: group.clone(), producer, number, commit },
        }
    }
}

/// Who has to be told of a participant's transaction.
enum Whom {
    /// This node.
    Node(NodeId),
    /// It is not known yet.
    Unknown,
    /// Nobody: the participant is gone.
    Nobody,
}

impl TransactionNode {
    /// Completes the transactions of the shards that this node leads.
    pub(crate) async fn run(self: Arc<Self>) {
        let (mut under_way, mut completing) = (HashSet::new(), FuturesUnordered::new());
        loop {
            for decided in self.decided(&under_way) {
                under_way.insert(decided.key());
                let node = Arc::clone(&self);
                completing.push(async move { node.complete(decided).await }.boxed());
            }
            tokio::select! {
                Some(key) = completing.next(), if !completing.is_empty() => drop(under_way.remove(&key)),
                () = self.work.notified() => {}
            }
        }
    }

    /// A planted defect: see [`caudal_types::mutant`].
    pub(super) async fn tell_before_it_is_decided(
        &self,
        id: &str,
        producer: ProducerIdentity,
        protocol: u8,
        commit: bool,
    ) {
        let Ok(shard) = self.serving(id).await else { return };
        let going_on = shard.read(|tables| {
            let row = tables.transactions.get(id).filter(|row| row.producer() == producer);
            row.map(|row| Decided::new(&id.into(), row, &shard))
        });
        if let Some(mut decided) = going_on {
            decided.commit = commit;
            decided.producer.epoch += i16::from(protocol >= 2);
            stream::iter(&decided.participants)
                .for_each(|participant| self.tell(&decided, participant).map(drop))
                .await;
        }
    }

    fn decided(&self, under_way: &HashSet<(Arc<str>, u64)>) -> Vec<Decided> {
        let mut found = Vec::new();
        for shard in self.shards.all().into_iter().filter(|shard| *shard.serving().borrow()) {
            shard.read(|tables| {
                let room = COMPLETED_AT_ONCE.saturating_sub(under_way.len() + found.len());
                let new = tables.transactions.prepared().map(|(id, row)| Decided::new(id, row, &shard));
                found.extend(new.filter(|decided| !under_way.contains(&decided.key())).take(room));
            });
        }
        found
    }

    /// Tells all participants, and then notes that they know. If this node ceases to lead meanwhile, its successor begins again.
    async fn complete(&self, decided: Decided) -> (Arc<str>, u64) {
        let telling: Vec<_> = decided.participants.iter().map(|participant| self.tell(&decided, participant)).collect();
        let told = stream::iter(telling).buffer_unordered(TOLD_AT_ONCE).all(|told| async move { told }).await;
        if told {
            let complete = TransactionCommand::Complete { number: decided.number };
            if let Err(error) = self.ask(&decided.id, complete).await {
                tracing::debug!(id = %decided.id, %error, "a transaction's completion is not noted yet");
                sleep(RETRY_AFTER).await;
            }
            self.completions.send_modify(|count| *count += 1);
        }
        decided.key()
    }

    /// Tells a participant, wherever it is; whether it knows. Gives up only when this node leads no longer.
    async fn tell(&self, decided: &Decided, participant: &Participant) -> bool {
        let (serving, mut pauses) = (decided.shard.serving(), Pauses::new());
        while *serving.borrow() {
            let mut changes = self.controller.leaders().changes();
            match self.whom(decided, participant) {
                Whom::Nobody => return true,
                Whom::Unknown => {}
                Whom::Node(node) => match self.question(node, &decided.question(participant)).await {
                    Answer::Done => return true,
                    other => {
                        tracing::debug!(id = %decided.id, ?participant, %node, ?other, "a participant is told again")
                    }
                },
            }
            pauses.pause(&mut changes).await;
        }
        false
    }

    fn whom(&self, decided: &Decided, participant: &Participant) -> Whom {
        let (image, known) = (self.image(), decided.shard.read(|tables| tables.meta.image_version));
        let leader = match participant {
            Participant::Group(group) => self.shards.leader_of(group),
            Participant::Partition { id, partition, .. } => {
                let index = usize::try_from(*partition).unwrap_or(usize::MAX);
                let Some(group) = image.topic_by_id(*id).and_then(|topic| topic.partitions.get(index)) else {
                    // An older image than the one that the participant joined by may not have it *yet*.
                    return if image.version < known { Whom::Unknown } else { Whom::Nobody };
                };
                self.controller.leaders().leader(group.group).map(|leader| leader.node)
            }
        };
        leader.map_or(Whom::Unknown, Whom::Node)
    }
}
