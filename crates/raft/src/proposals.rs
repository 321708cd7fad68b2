//! How a proposal's outcome comes back to whoever made it.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{StorageError, StoreState};
use openraft::errors::{ClientWriteError, Fatal, LinearizableReadError, RaftError};
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::group::{Applied, PendingProposal, ProposeError};
use crate::state::GroupState;
use crate::types::{TypeConfig, node_id, term_of};

/// openraft's end of a proposal. It holds the proposal's share of the queue until the outcome is there, though nobody may be
/// waiting for it any more.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    tx: oneshot::Sender<T>,
    _room: Option<OwnedSemaphorePermit>,
}

impl<T> Outcome<T> {
    pub(crate) fn new(room: OwnedSemaphorePermit) -> (Self, oneshot::Receiver<T>) {
        let (tx, rx) = oneshot::channel();
        (Self { tx, _room: Some(room) }, rx)
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for Outcome<T> {
    fn on_complete(self, result: T) {
        // A proposer that does not wait is none of our business.
        let _ = self.tx.send(result);
    }
}

/// Turns openraft's errors into ours.
#[derive(Clone, Debug)]
pub(crate) struct Errors {
    pub(crate) store: watch::Receiver<StoreState>,
}

impl Errors {
    /// The store's error, if it has failed.
    pub(crate) fn storage(&self) -> Option<ProposeError> {
        match &*self.store.borrow() {
            StoreState::Failed(reason) => Some(StorageError::ReadOnly(reason.clone()).into()),
            _ => None,
        }
    }

    /// openraft's core has stopped.
    pub(crate) fn fatal(&self, error: &Fatal<TypeConfig>) -> ProposeError {
        tracing::debug!(%error, "a Raft group is stopped");
        self.storage().unwrap_or(ProposeError::Stopped)
    }

    /// A write was refused.
    pub(crate) fn write(&self, error: ClientWriteError<TypeConfig>) -> ProposeError {
        match error {
            ClientWriteError::ForwardToLeader(forward) => {
                ProposeError::NotLeader { leader: forward.leader_id.map(node_id) }
            }
            // The entry is gone here, but another node may still bring it to a majority.
            ClientWriteError::LogEntryDiscarded(_) => ProposeError::Unknown,
            ClientWriteError::ChangeMembershipError(error) => ProposeError::Refused(error.to_string()),
            ClientWriteError::PreconditionFailed(error) => ProposeError::Refused(error.to_string()),
        }
    }

    /// A blocking write was refused.
    pub(crate) fn raft_write(&self, error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ProposeError {
        match error {
            RaftError::APIError(error) => self.write(error),
            RaftError::Fatal(error) => self.fatal(&error),
        }
    }

    /// A read barrier failed.
    pub(crate) fn read(&self, error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> ProposeError {
        match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                ProposeError::NotLeader { leader: forward.leader_id.map(node_id) }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ProposeError::NotLeader { leader: None },
            RaftError::Fatal(error) => self.fatal(&error),
        }
    }
}

/// The outcome to come of a proposal that openraft has taken. When leadership is lost, the outcome often still comes, from the next
/// leader, so that it is waited for a while longer before it counts as unknown.
pub(crate) fn pending(
    outcome: oneshot::Receiver<ClientWriteResult<TypeConfig>>,
    state: Arc<GroupState>,
    term: u64,
    errors: Errors,
    grace: Duration,
) -> PendingProposal {
    Box::pin(async move {
        tokio::select! {
            biased;
            outcome = outcome => settled(outcome, &errors),
            () = leadership_lost(state, term, grace) => Err(ProposeError::Unknown),
        }
    })
}

fn settled(
    outcome: Result<ClientWriteResult<TypeConfig>, oneshot::error::RecvError>,
    errors: &Errors,
) -> Result<Applied, ProposeError> {
    match outcome {
        Ok(Ok(done)) => Ok(Applied { index: done.log_id.index, term: term_of(&done.log_id), reply: done.data.0 }),
        Ok(Err(error)) => Err(errors.write(error)),
        Err(_) => Err(ProposeError::Unknown),
    }
}

/// Returns some time after this node has lost the leadership of `term`.
async fn leadership_lost(state: Arc<GroupState>, term: u64, grace: Duration) {
    let mut leadership = state.leadership();
    if leadership.wait_for(|now| now.leader != Some(state.me) || now.term != term).await.is_err() {
        // The group is gone; so is the sender of the outcome.
        return std::future::pending().await;
    }
    tokio::time::sleep(grace).await;
}
