//! What request handlers ask for.

use std::sync::Arc;

use caudal_types::{ProducerId, mutant};

use super::command::{PendingCommand, TransactionCommand};
use super::reply::Reply;
use super::{DescribedTransaction, JoinTransaction, Participant, ProducerIdentity, TransactionError};
use crate::Coordinator;
use crate::command::TopicCommit;
use crate::leader::Leader;
use crate::model::{MemberIdentity, OffsetToCommit};
use crate::rows::TransactionRow;
use crate::tables::Tables;

impl Coordinator {
    /// Lets a producer take over a transactional id: it gets a producer id and an epoch that fences all before it. A transaction that goes on is
    /// aborted first, and the client asks again.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn init_producer(
        &self,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
    ) -> Result<ProducerIdentity, TransactionError> {
        check_id(transactional_id)?;
        let max = self.config.transaction_max_timeout_ms;
        if !(1..=max).contains(&timeout_ms) {
            return Err(TransactionError::InvalidTimeout { got: timeout_ms, max });
        }
        let init = |fresh_id: ProducerId| TransactionCommand::Init { timeout_ms, expected, fresh_id };
        match self.transactions.ask_with_id(&transactional_id.into(), init).await? {
            Reply::Producer(producer) => Ok(producer),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Done | Reply::Joined(_) | Reply::NeedsId => Err(TransactionError::InvalidState),
        }
    }

    /// Lets participants join a transaction, which begins it if there is none, or looks whether they have; answers the transaction's number.
    /// Goes to the coordinator, wherever that is.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn join_transaction(
        &self,
        join: &JoinTransaction,
        participants: Vec<Participant>,
    ) -> Result<u64, TransactionError> {
        check_id(&join.transactional_id)?;
        self.transactions.join(join, participants).await
    }

    /// Like [`join_transaction`](Self::join_transaction), for a client that must have come to the coordinator itself.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn join_transaction_here(
        &self,
        join: &JoinTransaction,
        participants: Vec<Participant>,
    ) -> Result<u64, TransactionError> {
        check_id(&join.transactional_id)?;
        self.transactions.join_here(join, participants).await
    }

    /// Looks which participants take part in a transaction; answers each for itself, in order. Adds none, and waits for nothing.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn verify_transaction_here(
        &self,
        join: &JoinTransaction,
        participants: &[Participant],
    ) -> Result<Vec<bool>, TransactionError> {
        check_id(&join.transactional_id)?;
        self.transactions.verify_here(join, participants).await
    }

    /// Ends a transaction; answers when the outcome is durable. All that take part are told meanwhile. With version 2 the producer goes on as the one
    /// that is answered.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn end_transaction(
        &self,
        transactional_id: &str,
        producer: ProducerIdentity,
        protocol: u8,
        commit: bool,
    ) -> Result<Option<ProducerIdentity>, TransactionError> {
        check_id(transactional_id)?;
        if mutant::active("marker_before_prepare_is_durable") {
            self.transactions.tell_before_it_is_decided(transactional_id, producer, protocol, commit).await;
        }
        let end = |fresh_id: ProducerId| TransactionCommand::End { producer, protocol, commit, fresh_id };
        match self.transactions.ask_with_id(&transactional_id.into(), end).await? {
            Reply::Done => Ok(None),
            Reply::Producer(producer) => Ok(Some(producer)),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Joined(_) | Reply::NeedsId => Err(TransactionError::InvalidState),
        }
    }

    /// Commits offsets with a transaction: they become visible with it. One result each, in order.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn commit_in_transaction(
        &self,
        group_id: &str,
        member: &MemberIdentity,
        join: &JoinTransaction,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<Vec<Result<(), crate::GroupError>>, TransactionError> {
        check_id(&join.transactional_id)?;
        let group: Arc<str> = group_id.into();
        let check = |leader: &mut Leader, tables: &Tables, _now| {
            leader.check_transactional_commit(tables, &group, member, &offsets)
        };
        self.lead(group_id, check).await??;
        let (topics, results) = self.topics_to_commit(offsets);
        if !topics.is_empty() {
            self.add_pending(&group, join, topics).await?;
        }
        Ok(results)
    }

    async fn add_pending(
        &self,
        group: &Arc<str>,
        join: &JoinTransaction,
        topics: Vec<TopicCommit>,
    ) -> Result<(), TransactionError> {
        let number = self.transactions.join(join, vec![Participant::Group(group.clone())]).await?;
        let add = PendingCommand::Add { producer: join.producer, number, topics };
        match self.transactions.ask_about_pending(group, add).await? {
            Reply::Done => Ok(()),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Producer(_) | Reply::Joined(_) | Reply::NeedsId => Err(TransactionError::InvalidState),
        }
    }

    /// A transactional id, at its coordinator.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn describe_transaction(&self, transactional_id: &str) -> Result<DescribedTransaction, TransactionError> {
        check_id(transactional_id)?;
        let shard = self.transactions.serving(transactional_id).await?;
        let id: Arc<str> = transactional_id.into();
        let described = shard.read(|tables| tables.transactions.get(&id).map(|row| described(&id, row)));
        described.ok_or_else(|| TransactionError::NotFound(transactional_id.to_owned()))
    }

    /// The transactional ids of the shards that this node leads.
    pub fn list_transactions(&self) -> Vec<DescribedTransaction> {
        let led = self.shards.all().into_iter().filter(|shard| *shard.serving().borrow());
        led.flat_map(|shard| {
            shard.read(|tables| tables.transactions.iter().map(|(id, row)| described(id, row)).collect::<Vec<_>>())
        })
        .collect()
    }
}

fn check_id(transactional_id: &str) -> Result<(), TransactionError> {
    let reason = "the transactional id is empty; set transactional.id";
    if transactional_id.is_empty() { Err(TransactionError::InvalidRequest(reason.to_owned())) } else { Ok(()) }
}

fn described(id: &Arc<str>, row: &TransactionRow) -> DescribedTransaction {
    DescribedTransaction {
        transactional_id: id.clone(),
        producer: row.producer(),
        state: row.state.name(),
        timeout_ms: row.timeout_ms,
        started_at: row.started_at,
        participants: row.participants.iter().cloned().collect(),
    }
}
