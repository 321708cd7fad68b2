//! Purges the Raft logs of this node's replicas that are longer than needed, each replica by itself.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::RaftGroupId;
use caudal_types::limits::PURGES_AT_ONCE;
use futures::StreamExt;
use tokio::time::sleep;

use crate::apart::apart_async;
use crate::directory::Directory;
use crate::retention::Chores;

/// How long until it is tried again to purge what could not be purged.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The task's name.
pub(crate) const LOG_PURGER: &str = "log purger";

/// The node's one task for purges. What it forgets in a panic the retention's next look finds again.
#[derive(Clone, Debug)]
pub(crate) struct Purger {
    pub(crate) directory: Arc<Directory>,
    pub(crate) chores: Arc<Chores>,
}

impl Purger {
    /// Purges for ever, some at a time.
    pub(crate) async fn run(self) {
        loop {
            let groups = self.chores.purges().await;
            let purges = futures::stream::iter(groups).map(|group| self.purge(group)).buffer_unordered(PURGES_AT_ONCE);
            let failed: Vec<_> = purges.filter_map(|failed| async move { failed }).collect().await;
            if !failed.is_empty() {
                sleep(RETRY_AFTER).await;
                failed.into_iter().for_each(|group| self.chores.purge(group));
            }
        }
    }

    /// Answers the group if it is to be tried again.
    async fn purge(&self, group: RaftGroupId) -> Option<RaftGroupId> {
        let partition = self.directory.by_group(group).filter(|partition| partition.is_longer_than_needed())?;
        match apart_async(LOG_PURGER, partition.name(), partition.raft.purge()).await {
            None => return Some(group),
            Some(Ok(())) => self.chores.purged(),
            Some(Err(error)) => {
                tracing::warn!(partition = %partition.name(), %error, "what a log begins behind could not be removed; trying again in a while");
                return Some(group);
            }
        }
        None
    }
}
