//! Orders compaction, where this node leads.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::limits::COMPACTION_ORDERS_AT_ONCE;
use caudal_types::{Clock, TimestampMs};
use futures::StreamExt;
use tokio::time::timeout;

use crate::Partition;
use crate::apart::{apart, apart_async};
use crate::command::{Command, Stamped};
use crate::compaction::decide::{Log, next_order};
use crate::compaction::{Counters, LiveCompaction};
use crate::directory::Directory;
use crate::state::orders::Order;

/// How long a majority may take to agree on an order; the next look tries again.
const AGREED_WITHIN: Duration = Duration::from_secs(30);

/// The task's name.
pub(crate) const COMPACTION_ORDERS: &str = "compaction orders";

/// The node's one task for it. A look costs nothing where no topic is compacted.
#[derive(Clone, Debug)]
pub(crate) struct Orderer {
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) live: LiveCompaction,
}

impl Orderer {
    /// Looks for ever.
    pub(crate) async fn run(mut self) {
        loop {
            self.look().await;
            self.live.pause().await;
        }
    }

    async fn look(&self) {
        let now = self.clock.now_ms();
        let (mut due, mut dirtiest) = (Vec::new(), 0);
        for partition in self.directory.all() {
            if !partition.config.load().topic.compact || !partition.leadership_now().serving {
                continue;
            }
            let ordered = apart(COMPACTION_ORDERS, partition.name(), || order(&partition, now));
            let Some((order, millionths)) = ordered else { continue };
            dirtiest = dirtiest.max(millionths);
            due.extend(order.map(|order| (partition, order)));
        }
        // In the same order every time: a simulation must be able to do it again.
        due.sort_unstable_by_key(|(partition, _)| partition.group());
        self.counters.set_dirtiest(dirtiest);
        let proposals = futures::stream::iter(due);
        proposals
            .for_each_concurrent(COMPACTION_ORDERS_AT_ONCE, |(partition, order)| async move {
                apart_async(COMPACTION_ORDERS, partition.name(), propose(&partition, order, now)).await;
            })
            .await;
    }
}

/// What to order for a partition now, and how dirty it is.
fn order(partition: &Partition, now: TimestampMs) -> (Option<Order>, u32) {
    let policy = partition.config.load().topic.compaction;
    let last_stable = partition.published.offsets().last_stable;
    let view = partition.published.view();
    let log = Log { segments: &view.segments, last_stable, orders: &view.orders, progress: view.progress };
    let millionths = log.dirt(&policy, now).map_or(0, |dirt| dirt.millionths());
    (next_order(&log, &policy, now), millionths)
}

async fn propose(partition: &Partition, order: Order, now: TimestampMs) {
    let time = partition.published.stamp(now);
    let command = Stamped { time, command: Command::Compact(order) }.encode();
    let name = partition.name();
    match timeout(AGREED_WITHIN, partition.raft.propose(command)).await {
        Ok(Ok(_)) => tracing::debug!(partition = %name, ?order, "a log is to be compacted"),
        Ok(Err(error)) => tracing::warn!(partition = %name, %error, "a log is not to be compacted for now"),
        Err(_) => tracing::warn!(partition = %name, "no majority agreed in time that a log be compacted"),
    }
}
