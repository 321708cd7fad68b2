//! Whether this node has lost its data: which of the Raft groups that have left no trace here are new, and which may have been here before.
//!
//! A node that finds nothing on its disk asks the others, before it takes part in the metadata group, whether the cluster is as new as it is. If it is
//! not, this node came late, or has lost its disk: no group that exists by now is new to it, and its replicas of them are doubtful (see
//! [`recovery`](super::recovery)). Which ones exist by now it learns from the metadata group, once it has caught up there; until then it opens
//! no replica that has left no trace.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::keys::raft::{self as raft_keys, RaftField};
use caudal_storage::{ColumnFamily, Engine, StorageError, WriteBatch};
use caudal_types::{NodeId, RaftGroupId, off_thread};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::codec;
use crate::log::group_log;
use crate::manage::Shared;
use crate::wire::{Request, Response};

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// The pause before the others are asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The Raft groups that may have been on this node and left no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgotten {
    /// Not known yet: the metadata group has to catch up first.
    Unknown,
    /// Those below this one.
    Below(RaftGroupId),
}

/// What is known of them, as it changes.
#[derive(Debug)]
pub(crate) struct Memory(watch::Sender<Forgotten>);

impl Memory {
    /// Reads from the disk what is known. Blocks.
    pub(crate) fn open(engine: &dyn Engine) -> Result<Self, StorageError> {
        let stored = engine.get(ColumnFamily::Raft, &key())?;
        let forgotten = stored.map(|value| codec::decode_forgotten(&value)).transpose()?;
        Ok(Self(watch::Sender::new(forgotten.unwrap_or(Forgotten::Below(RaftGroupId::METADATA)))))
    }

    /// Whether `group`, which has left no trace here, may have been here before. Waits until that is known.
    pub(crate) async fn may_have_had(&self, group: RaftGroupId) -> Result<bool, StorageError> {
        let mut forgotten = self.0.subscribe();
        let known = forgotten.wait_for(|forgotten| *forgotten != Forgotten::Unknown).await;
        let known = known.map_err(|_| StorageError::Closed)?;
        Ok(matches!(*known, Forgotten::Below(bound) if group < bound))
    }

    pub(crate) fn is_unknown(&self) -> bool {
        *self.0.borrow() == Forgotten::Unknown
    }

    pub(crate) async fn set(&self, shared: &Shared, forgotten: Forgotten) -> Result<(), StorageError> {
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Raft, key(), codec::encode_forgotten(forgotten));
        shared.writer.write(batch).await?;
        self.0.send_replace(forgotten);
        Ok(())
    }
}

fn key() -> bytes::Bytes {
    raft_keys::key(RaftGroupId::METADATA, RaftField::Forgotten)
}

/// Whether the cluster is as new as this node, of whose metadata group nothing is on the disk. Asks the other voters until a majority, this node included,
/// is new, or until one of them is not.
pub(crate) async fn is_cluster_new(shared: &Shared, voters: &[NodeId]) -> bool {
    let others: Vec<_> = voters.iter().copied().filter(|node| *node != shared.me()).collect();
    loop {
        let mut new = usize::from(voters.contains(&shared.me()));
        let mut answers: FuturesUnordered<_> = others.iter().map(|node| ask(shared, *node)).collect();
        loop {
            if new * 2 > voters.len() {
                return true;
            }
            match answers.next().await {
                Some(Some(true)) => new += 1,
                Some(Some(false)) => return false,
                Some(None) => {}
                None => break,
            }
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
}

async fn ask(shared: &Shared, node: NodeId) -> Option<bool> {
    match shared.ask(node, &Request::IsNew { group: RaftGroupId::METADATA.0 }, ANSWER_WITHIN).await? {
        Response::IsNew(new) => Some(new),
        _ => None,
    }
}

/// Whether this node has never taken part in `group`, whether or not it is open: it has neither voted nor taken an entry from a leader.
pub(crate) async fn is_new_here(shared: &Arc<Shared>, group: RaftGroupId) -> Option<bool> {
    if let Some(open) = shared.get(group) {
        return Some(open.log.is_unused() && open.trust.may_vote());
    }
    let engine = Arc::clone(&shared.engine);
    let looked = off_thread::run(move || group_log::is_unused_on_disk(group, engine.as_ref())).await;
    looked.ok()?.ok()
}
