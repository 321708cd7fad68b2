//! Hears the peers.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use caudal_raft::CallHandler;
use caudal_types::NodeId;
use tokio::time::Instant;

use super::LeaderTable;
use super::announcer::Restarts;
use super::message::{Answer, Message, Sync, groups_of};
use crate::arrival::{Arrival, SYNC_WITHIN};

/// The most groups that one call may ask about.
const SYNC_GROUPS_MAX: usize = 1 << 20;

/// Serves `Service::Leaders`.
pub(super) struct LeadersHandler {
    table: LeaderTable,
    restarts: Restarts,
    arrival: Arrival,
}

impl LeadersHandler {
    pub(super) fn new(table: LeaderTable, restarts: Restarts, arrival: Arrival) -> Self {
        Self { table, restarts, arrival }
    }

    async fn answer(&self, from: NodeId, body: &[u8]) -> Answer {
        match Message::decode(body) {
            Ok(Message::Announce(announcement)) => {
                let heard = self.table.hear(from, &announcement);
                if heard.new_incarnation {
                    self.restarts.note(from);
                }
                if heard.incomplete { Answer::SendAll } else { Answer::Taken }
            }
            Ok(Message::Sync(sync)) => self.sync(sync).await,
            Err(reason) => {
                tracing::warn!(%from, %reason, "a message about leaders cannot be read");
                Answer::Refused
            }
        }
    }

    async fn sync(&self, sync: Sync) -> Answer {
        let Some(groups) = groups_of(&sync.groups, SYNC_GROUPS_MAX) else { return Answer::Refused };
        let within = Duration::from_millis(sync.within_ms.into()).min(SYNC_WITHIN);
        let deadline = Instant::now() + within;
        if self.arrival.image_at(sync.version, deadline).await.is_none() {
            return Answer::NotYet;
        }
        let missing = self.arrival.leaders_of(groups, deadline).await;
        if missing.is_empty() { Answer::Synced } else { Answer::NotYet }
    }
}

impl CallHandler for LeadersHandler {
    fn call(&self, from: NodeId, body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move { self.answer(from, &body).await.encode() })
    }
}
