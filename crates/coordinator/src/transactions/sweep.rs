//! Transactions, transactional ids and what is left of ended transactions, once they have had their time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::{ProducerId, TimestampMs};
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::command::{PendingCommand, TransactionCommand};
use super::node::TransactionNode;
use super::turns::{FirstSeen, Turns};
use crate::rows::{PendingRow, PendingRowKey, TransactionRow, TransactionState};
use crate::shard::Shard;
use crate::tables::Tables;

/// How often transactions that have had their time are looked for. Kafka looks every ten seconds.
const TIMEOUTS_EVERY: Duration = Duration::from_secs(1);

/// How many of them are being aborted at a time; the next look goes on with the others.
const TIMED_OUT_AT_ONCE: usize = 256;

/// How often partitions are looked through for transactions whose end they were not told of.
const OVERDUE_EVERY: Duration = Duration::from_secs(10);

/// How often what is idle is looked for.
const IDLE_EVERY: Duration = Duration::from_secs(600);

/// How long it is known that a transaction has ended for a group: much longer than anything may be late.
const ENDED_KEPT_MS: i64 = 3_600_000;

/// How many idle rows of a shard go at once; the next look goes on.
const IDLE_AT_ONCE: usize = 1000;

/// A transaction that goes on. Its producer tells it from one of an id that was forgotten and used again.
type Ongoing = (Arc<str>, ProducerId, u64);

/// What an idle row belongs to.
#[derive(Debug, PartialEq, Eq)]
enum Idle {
    Id(Arc<str>, TimestampMs),
    Ended(PendingRowKey, u64),
}

impl TransactionNode {
    /// Looks again and again; for each kind by itself, so that none waits for another one's answers.
    pub(crate) async fn mind_time(self: Arc<Self>) {
        tokio::join!(self.mind_timeouts(), self.mind_overdue(), self.mind_idle());
    }

    /// Goes on looking while earlier ones are being aborted: a shard that does not answer holds up its own transactions alone.
    async fn mind_timeouts(&self) {
        let (mut seen, mut turns, mut looks) = (FirstSeen::new(), Turns::new(), interval(TIMEOUTS_EVERY));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut under_way, mut aborting) = (HashSet::new(), FuturesUnordered::new());
        loop {
            tokio::select! {
                Some(ended) = aborting.next(), if !aborting.is_empty() => drop(under_way.remove(&ended)),
                _ = looks.tick() => {
                    let mut late = self.late(&mut seen);
                    late.retain(|(ongoing, _)| !under_way.contains(ongoing));
                    for late in turns.pick(late, TIMED_OUT_AT_ONCE - under_way.len()) {
                        under_way.insert(late.clone());
                        aborting.push(self.time_out(late).boxed());
                    }
                }
            }
        }
    }

    async fn mind_overdue(&self) {
        let (mut seen, mut turns) = (FirstSeen::new(), Turns::new());
        loop {
            sleep(OVERDUE_EVERY).await;
            self.resolve_overdue(&mut seen, &mut turns).await;
        }
    }

    async fn mind_idle(&self) {
        loop {
            sleep(IDLE_EVERY).await;
            join_all(self.led().map(|shard| self.forget_idle(shard))).await;
        }
    }

    fn led(&self) -> impl Iterator<Item = Arc<Shard>> {
        self.shards.all().into_iter().filter(|shard| *shard.serving().borrow())
    }

    /// The transactions of this node's that have had their time.
    fn late(&self, seen: &mut FirstSeen<Ongoing>) -> Vec<(Ongoing, Ongoing)> {
        seen.look(Instant::now());
        let mut late = Vec::new();
        for shard in self.led() {
            let now = shard.wall_now();
            shard.read(|tables| {
                for (id, row) in tables.transactions.ongoing() {
                    let ongoing = (id.clone(), row.producer_id, row.number);
                    if is_late(row, now, seen.age(ongoing.clone())) {
                        late.push((ongoing.clone(), ongoing));
                    }
                }
            });
        }
        late
    }

    /// Aborts a transaction, and answers which one it was.
    async fn time_out(&self, late: Ongoing) -> Ongoing {
        let (id, _, number) = &late;
        tracing::info!(%id, number, "the transaction has had its time and is aborted");
        let time_out = |fresh_id: ProducerId| TransactionCommand::TimeOut { number: *number, fresh_id };
        if let Err(error) = self.ask_with_id(id, time_out).await {
            tracing::warn!(%id, %error, "the transaction cannot be aborted yet");
        }
        late
    }

    async fn forget_idle(&self, shard: Arc<Shard>) {
        let (now, kept) = (shard.wall_now(), self.shards.config().transactional_id_expiration_ms);
        for idle in shard.read(|tables| idle_rows(tables, now, kept)) {
            let forgotten = match idle {
                Idle::Id(id, updated_at) => self.ask(&id, TransactionCommand::Forget { updated_at }).await,
                Idle::Ended(PendingRowKey { group, producer_id }, number) => {
                    self.ask_about_pending(&group, PendingCommand::Forget { producer_id, number }).await
                }
            };
            if let Err(error) = forgotten {
                tracing::debug!(%error, "an idle row is not forgotten yet");
                break;
            }
        }
    }
}

/// Whether a transaction has had its time: by the time of day, which its coordinator at its beginning gave it, or by how long this one has `seen` it,
/// whichever comes first. The former may have had a clock that was ahead.
fn is_late(row: &TransactionRow, now: TimestampMs, seen: Duration) -> bool {
    let timeout = Duration::from_millis(u64::try_from(row.timeout_ms).unwrap_or(0));
    now.saturating_sub(row.started_at) >= i64::from(row.timeout_ms) || seen >= timeout
}

/// What of a shard is idle: transactional ids that were not used for `kept` milliseconds (`transactional.id.expiration.ms`), and ends of transactions
/// that need not be known any more.
fn idle_rows(tables: &Tables, now: TimestampMs, kept: i64) -> Vec<Idle> {
    let ids = tables.transactions.iter().filter(|(_, row)| {
        let rests = !row.state.is_prepared() && row.state != TransactionState::Ongoing;
        rests && now.saturating_sub(row.updated_at) >= kept
    });
    let is_old = |row: &PendingRow| row.ended && now.saturating_sub(row.updated_at) >= ENDED_KEPT_MS;
    let ended = tables.pending.iter().filter(|(_, row)| is_old(row));
    let ids = ids.map(|(id, row)| Idle::Id(id.clone(), row.updated_at));
    ids.chain(ended.map(|(key, row)| Idle::Ended(key, row.number))).take(IDLE_AT_ONCE).collect()
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
