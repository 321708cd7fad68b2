//! What a node does about transactions: for the transactional ids whose shards it leads, and for its own partitions and groups towards the nodes that
//! lead theirs.

use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, Controller};
use caudal_partition::Partitions;
use caudal_raft::{CallError, ProposeError, Service, Transport};
use caudal_types::{NodeId, ProducerId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::command::{PendingCommand, TransactionCommand};
use super::decide::NO_ID;
use super::reply::Reply;
use super::service::{Answer, Question, TransactionHandler};
use super::{JoinTransaction, Participant, ProducerIdentity, TransactionError};
use crate::command::Command;
use crate::coordinator::REPLICATION_WAIT;
use crate::pauses::Pauses;
use crate::rows::{TransactionRow, TransactionState};
use crate::shard::Shard;
use crate::shards::Shards;
use crate::tables::Tables;

/// How long whoever joins waits for the transaction before to be complete. Kafka's brokers wait as long before they let the client wait.
const COMPLETION_WAIT: Duration = Duration::from_millis(200);

/// How long a question to another node may take before its leader is sought anew.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long a coordinator is sought.
const SEEK_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(crate) struct TransactionNode {
    pub(super) node_id: NodeId,
    pub(super) shards: Arc<Shards>,
    pub(super) partitions: Partitions,
    pub(super) controller: Controller,
    pub(super) transport: Transport,
    /// There may be participants to be told.
    pub(super) work: Arc<Notify>,
    /// Counts the transactions that were completed here.
    pub(super) completions: watch::Sender<u64>,
}

impl TransactionNode {
    /// Serves the other nodes; to be [run](Self::run).
    pub(crate) fn start(
        node_id: NodeId,
        shards: Arc<Shards>,
        partitions: Partitions,
        controller: Controller,
        transport: Transport,
        work: Arc<Notify>,
    ) -> Arc<Self> {
        let (completions, serving) = (watch::Sender::new(0), transport.clone());
        let node = Arc::new(Self { node_id, shards, partitions, controller, transport, work, completions });
        serving.serve(Service::Transactions, Arc::new(TransactionHandler(Arc::downgrade(&node))));
        node
    }

    pub(super) fn image(&self) -> Arc<ClusterImage> {
        self.controller.image()
    }

    /// Has a command about a transactional id of this node's decided.
    ///
    /// # Errors
    /// When this node does not lead its shard, or a majority does not answer in time: then nobody knows what became of it.
    pub(super) async fn ask(&self, id: &Arc<str>, command: TransactionCommand) -> Result<Reply, TransactionError> {
        let reply = self.propose(id, &Command::Transaction { id: id.clone(), command }).await?;
        self.work.notify_one();
        Ok(reply)
    }

    /// Like [`ask`](Self::ask), with a producer id that nobody has should one be needed.
    pub(super) async fn ask_with_id(
        &self,
        id: &Arc<str>,
        command: impl Fn(ProducerId) -> TransactionCommand,
    ) -> Result<Reply, TransactionError> {
        match self.ask(id, command(NO_ID)).await? {
            Reply::NeedsId => {
                let fresh = self.controller.next_producer_id().await;
                let fresh = fresh.map_err(|error| TransactionError::NotAvailable(error.to_string()))?;
                self.ask(id, command(fresh)).await
            }
            reply => Ok(reply),
        }
    }

    /// Has a command about a group of this node's decided.
    ///
    /// # Errors
    /// See [`ask`](Self::ask).
    pub(super) async fn ask_about_pending(
        &self,
        group: &Arc<str>,
        command: PendingCommand,
    ) -> Result<Reply, TransactionError> {
        self.propose(group, &Command::Pending { group: group.clone(), command }).await
    }

    async fn propose(&self, key: &str, command: &Command) -> Result<Reply, TransactionError> {
        let shard = self.serving(key).await?;
        let proposal = shard.raft.propose(shard.entry(&[command.encode()]));
        match timeout(REPLICATION_WAIT, proposal).await {
            Ok(Ok(applied)) => {
                Reply::decode(applied.reply).map_err(|error| TransactionError::NotAvailable(error.to_string()))
            }
            Ok(Err(ProposeError::NotLeader { leader })) => {
                Err(TransactionError::NotCoordinator { coordinator: leader })
            }
            Ok(Err(error)) => Err(TransactionError::NotAvailable(error.to_string())),
            Err(_elapsed) => Err(TransactionError::NotAvailable("a majority did not answer in time".to_owned())),
        }
    }

    /// The shard of a key, which this node leads.
    pub(super) async fn serving(&self, key: &str) -> Result<Arc<Shard>, TransactionError> {
        let not_here = |_| TransactionError::NotCoordinator { coordinator: self.shards.leader_of(key) };
        self.shards.serving(key).await.map_err(not_here)
    }

    /// Lets participants join a transaction of this node's, or looks whether they have. Waits a little for the one before to be complete.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub(super) async fn join_here(
        &self,
        join: &JoinTransaction,
        participants: Vec<Participant>,
    ) -> Result<u64, TransactionError> {
        let deadline = Instant::now() + COMPLETION_WAIT;
        loop {
            let mut completions = self.completions.subscribe();
            let joined = if join.add {
                self.add_here(join, participants.clone()).await
            } else {
                self.look_here(join, &participants).await
            };
            let is_early = joined == Err(TransactionError::Concurrent);
            if !is_early || timeout_at(deadline, completions.changed()).await.is_err() {
                return joined;
            }
        }
    }

    async fn add_here(&self, join: &JoinTransaction, participants: Vec<Participant>) -> Result<u64, TransactionError> {
        // What is known already needs no entry.
        if let Ok(number) = self.look_here(join, &participants).await {
            return Ok(number);
        }
        let (producer, protocol) = (join.producer, join.protocol);
        let command = TransactionCommand::Join { producer, protocol, participants };
        match self.ask(&join.transactional_id, command).await? {
            Reply::Joined(number) => Ok(number),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Done | Reply::Producer(_) | Reply::NeedsId => Err(TransactionError::InvalidState),
        }
    }

    async fn look_here(&self, join: &JoinTransaction, participants: &[Participant]) -> Result<u64, TransactionError> {
        let shard = self.serving(&join.transactional_id).await?;
        shard.read(|tables| {
            let row = row_of(tables, join)?;
            let has_all = participants.iter().all(|participant| row.participants.contains(participant));
            if has_all { Ok(row.number) } else { Err(TransactionError::NotEnlisted) }
        })
    }

    /// Which of the participants take part in a transaction of this node's, in order.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub(super) async fn verify_here(
        &self,
        join: &JoinTransaction,
        participants: &[Participant],
    ) -> Result<Vec<bool>, TransactionError> {
        let shard = self.serving(&join.transactional_id).await?;
        shard.read(|tables| {
            let row = row_of(tables, join)?;
            Ok(participants.iter().map(|participant| row.participants.contains(participant)).collect())
        })
    }

    /// Whether a transaction of this node's is over and all that took part know: it is not the current one, or is complete. An answer that is not
    /// confirmed by a majority would not do: whoever asks acts on it.
    pub(super) async fn is_over(
        &self,
        id: &Arc<str>,
        producer: ProducerIdentity,
        number: u64,
    ) -> Result<bool, TransactionError> {
        let shard = self.serving(id).await?;
        let confirmed = timeout(REPLICATION_WAIT, shard.raft.read_barrier()).await;
        if !matches!(confirmed, Ok(Ok(()))) {
            return Err(TransactionError::NotAvailable("a majority did not confirm that this node leads".to_owned()));
        }
        Ok(shard.read(|tables| {
            tables.transactions.get(id).is_none_or(|row| {
                let is_current = row.number == number && row.had_producer(producer.id);
                !is_current || !(row.state.is_prepared() || row.state == TransactionState::Ongoing)
            })
        }))
    }

    /// Lets participants join a transaction, or looks whether they have, wherever its coordinator is.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub(crate) async fn join(
        &self,
        join: &JoinTransaction,
        participants: Vec<Participant>,
    ) -> Result<u64, TransactionError> {
        let deadline = Instant::now() + SEEK_WITHIN;
        let question = Question::Join { join: join.clone(), participants };
        let (mut pauses, mut reason) = (Pauses::new(), "no node is known to coordinate it".to_owned());
        loop {
            let mut changes = self.controller.leaders().changes();
            if let Some(node) = self.shards.leader_of(&join.transactional_id) {
                match self.question(node, &question).await {
                    Answer::Joined(number) => return Ok(number),
                    Answer::Refused(refusal) => return Err(refusal.into()),
                    Answer::Later(why) => reason = format!("node {node} says: {why}"),
                    Answer::NotHere | Answer::Done => reason = format!("node {node} does not coordinate it"),
                }
            }
            if Instant::now() >= deadline {
                return Err(TransactionError::NotAvailable(reason));
            }
            pauses.pause(&mut changes).await;
        }
    }

    /// Asks another node, or this one.
    pub(super) async fn question(&self, node: NodeId, question: &Question) -> Answer {
        if node == self.node_id {
            return Box::pin(self.answer(question.clone())).await;
        }
        match self.transport.call(node, Service::Transactions, question.encode(), ASK_WITHIN).await {
            Ok(answer) => Answer::decode(answer).unwrap_or_else(|error| Answer::Later(error.to_string())),
            Err(CallError::NotServed(_)) => Answer::NotHere,
            Err(error @ (CallError::Unreachable(_) | CallError::TimedOut(_) | CallError::Broken(_))) => {
                Answer::Later(error.to_string())
            }
        }
    }
}

/// The transactional id, if it is its producer that asks.
fn row_of<'a>(tables: &'a Tables, join: &JoinTransaction) -> Result<&'a TransactionRow, TransactionError> {
    let row = tables.transactions.get(&join.transactional_id).ok_or(TransactionError::UnknownProducer)?;
    match row.check(join.producer) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(row),
    }
}
