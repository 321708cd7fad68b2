//! Telling committed offsets, whichever node is asked.
//!
//! Kafka's brokers answer NOT_COORDINATOR when the coordinator has moved. librdkafka does not ask again after that (2.12 and before: the partitions stay
//! assigned, and are never read), and here coordinators move more often: leadership goes back to a node that has come back. So a node that is asked and does
//! not coordinate the group passes the question on, and tells what the coordinator says. That is a read, and the same whoever is asked; commits
//! go to the coordinator only.
//!
//! # Layout
//! - [`question`]: what nodes ask each other, byte for byte

mod question;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use caudal_metadata::LeaderTable;
use caudal_raft::{CallHandler, ProposeError, Service, Transport};
use caudal_types::NodeId;
use tokio::time::{Instant, timeout};

use self::question::Answer;
use crate::coordinator::{REPLICATION_WAIT, not_in_time};
use crate::leader::Leader;
use crate::model::{CommittedOffset, OffsetKey};
use crate::pauses::Pauses;
use crate::rows::OffsetRow;
use crate::shards::Shards;
use crate::tables::Tables;
use crate::{GroupError, OffsetsQuestion};

/// How long the coordinator is sought; a client that asks the wrong node for another reason is not kept longer.
const SEEK_WITHIN: Duration = Duration::from_secs(1);

/// A committed offset, if there is one; or why it is not told.
pub type FetchedOffset = Result<Option<CommittedOffset>, GroupError>;

/// What a group has committed.
pub(crate) type FetchedOffsets = Vec<(OffsetKey, FetchedOffset)>;

/// Tells offsets to clients, and to the other nodes.
#[derive(Debug)]
pub(crate) struct OffsetTeller {
    node_id: NodeId,
    shards: Arc<Shards>,
    leaders: LeaderTable,
    transport: Transport,
}

/// Serves [`Service::Offsets`]. The node may be gone already.
struct OffsetHandler(Weak<OffsetTeller>);

impl OffsetTeller {
    /// Serves the other nodes from now on.
    pub(crate) fn start(node_id: NodeId, shards: Arc<Shards>, leaders: LeaderTable, transport: Transport) -> Arc<Self> {
        let teller = Arc::new(Self { node_id, shards, leaders, transport });
        teller.transport.serve(Service::Offsets, Arc::new(OffsetHandler(Arc::downgrade(&teller))));
        teller
    }

    /// Answers, or has the coordinator answer.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`] when no coordinator was found in time; see [`GroupError`] for what it says itself.
    pub(crate) async fn tell(&self, question: &OffsetsQuestion) -> Result<FetchedOffsets, GroupError> {
        let (deadline, mut pauses) = (Instant::now() + SEEK_WITHIN, Pauses::new());
        loop {
            let mut changes = self.leaders.changes();
            let here = self.tell_here(question).await;
            let Err(GroupError::NotCoordinator { coordinator }) = here else { return here };
            if let Some(node) = coordinator.filter(|node| *node != self.node_id)
                && let Some(answer) = self.pass_on(node, question).await
            {
                return answer;
            }
            if Instant::now() >= deadline {
                return here;
            }
            pauses.pause(&mut changes).await;
        }
    }

    /// What `node` says; `None` when it does not coordinate the group either, or cannot be reached.
    async fn pass_on(&self, node: NodeId, question: &OffsetsQuestion) -> Option<Result<FetchedOffsets, GroupError>> {
        let answer = self.transport.call(node, Service::Offsets, question.encode(), REPLICATION_WAIT).await;
        let answer =
            answer.inspect_err(|error| tracing::debug!(%node, %error, "a question about offsets has no answer"));
        match Answer::decode(answer.ok()?) {
            Ok(Answer::NotHere) => None,
            Ok(Answer::Told(offsets)) => Some(Ok(offsets)),
            Ok(Answer::Refused(refusal)) => Some(Err(refusal)),
            Err(error) => {
                tracing::warn!(%node, %error, "an answer about offsets cannot be read");
                None
            }
        }
    }

    /// Answers for a group of this node's. What is told is never older than a commit that was answered before, by whichever node.
    async fn tell_here(&self, question: &OffsetsQuestion) -> Result<FetchedOffsets, GroupError> {
        let group = question.group_id.as_str();
        let not_here = || GroupError::NotCoordinator { coordinator: self.shards.leader_of(group) };
        let shard = self.shards.serving(group).await?;
        if let Some(member) = &question.member {
            let check = |leader: &mut Leader, tables: &Tables, _| {
                leader.check_fetch(tables, group, member.id.as_deref(), member.epoch)
            };
            shard.lead(check).ok_or_else(not_here)??;
        }
        match timeout(REPLICATION_WAIT, shard.raft.read_barrier()).await {
            Err(_) => Err(not_in_time()),
            Ok(Err(ProposeError::NotLeader { .. } | ProposeError::Unknown)) => Err(not_here()),
            Ok(Err(error)) => Err(GroupError::NotAvailable(error.to_string())),
            Ok(Ok(())) => Ok(shard.read(|tables| fetch(tables, question))),
        }
    }
}

impl CallHandler for OffsetHandler {
    fn call(&self, from: NodeId, body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move {
            let answer = match (self.0.upgrade(), OffsetsQuestion::decode(body)) {
                (Some(teller), Ok(question)) => Answer::from(teller.tell_here(&question).await),
                (None, _) => Answer::NotHere,
                (_, Err(error)) => {
                    tracing::warn!(%from, %error, "a question about offsets cannot be read");
                    Answer::NotHere
                }
            };
            answer.encode()
        })
    }
}

/// What the group has committed of the offsets in question.
pub(crate) fn fetch(tables: &Tables, question: &OffsetsQuestion) -> FetchedOffsets {
    let group = question.group_id.as_str();
    let find = |key: OffsetKey| {
        let is_unstable = question.stable && tables.pending.has(group, &key.0, key.1);
        let row = tables.offset(group, &key.0, key.1).map(OffsetRow::committed);
        (key, if is_unstable { Err(GroupError::UnstableOffset) } else { Ok(row) })
    };
    match &question.keys {
        Some(keys) => keys.iter().cloned().map(find).collect(),
        None => tables.offset_keys(group).map(find).collect(),
    }
}
