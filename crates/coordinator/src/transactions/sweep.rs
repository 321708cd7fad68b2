//! Transactions, transactional ids and what is left of ended transactions, once they have had their time.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::{ProducerId, TimestampMs};
use tokio::time::{Instant, sleep_until};

use super::command::{PendingCommand, TransactionCommand};
use super::node::TransactionNode;
use crate::rows::PendingRowKey;
use crate::shard::Shard;

/// How often transactions that have had their time are looked for. Kafka looks every ten seconds.
const TIMEOUTS_EVERY: Duration = Duration::from_secs(1);

/// How often partitions are looked through for transactions whose end they were not told of.
const OVERDUE_EVERY: Duration = Duration::from_secs(10);

/// How often what is idle is looked for.
const IDLE_EVERY: Duration = Duration::from_secs(600);

/// How long it is known that a transaction has ended for a group: much longer than anything may be late.
const ENDED_KEPT_MS: i64 = 3_600_000;

/// How many idle rows of a shard go at once; the next look goes on.
const IDLE_AT_ONCE: usize = 1000;

/// When to look.
#[derive(Debug)]
struct Sweeps {
    timeouts: Instant,
    overdue: Instant,
    idle: Instant,
}

impl Sweeps {
    fn new() -> Self {
        let now = Instant::now();
        Self { timeouts: now + TIMEOUTS_EVERY, overdue: now + OVERDUE_EVERY, idle: now + IDLE_EVERY }
    }

    /// Waits until there is something to look for.
    async fn due(&self) {
        sleep_until(self.timeouts.min(self.overdue).min(self.idle)).await;
    }
}

/// What an idle row belongs to.
enum Idle {
    Id(Arc<str>, TimestampMs),
    Ended(PendingRowKey, u64),
}

impl TransactionNode {
    /// Looks again and again.
    pub(crate) async fn mind_time(self: Arc<Self>) {
        let mut sweeps = Sweeps::new();
        loop {
            sweeps.due().await;
            self.sweep(&mut sweeps).await;
        }
    }

    async fn sweep(&self, sweeps: &mut Sweeps) {
        let now = Instant::now();
        if now >= sweeps.timeouts {
            sweeps.timeouts = now + TIMEOUTS_EVERY;
            self.time_out().await;
        }
        if now >= sweeps.overdue {
            sweeps.overdue = now + OVERDUE_EVERY;
            self.resolve_overdue().await;
        }
        if now >= sweeps.idle {
            sweeps.idle = now + IDLE_EVERY;
            self.forget_idle().await;
        }
    }

    fn led(&self) -> impl Iterator<Item = Arc<Shard>> {
        self.shards.all().into_iter().filter(|shard| *shard.serving().borrow())
    }

    async fn time_out(&self) {
        let mut overdue = Vec::new();
        for shard in self.led() {
            let now = shard.wall_now();
            shard.read(|tables| {
                let is_overdue = |started_at: TimestampMs, timeout: i32| now - started_at >= i64::from(timeout);
                let ongoing = tables.transactions.ongoing();
                let late = ongoing.filter(|(_, row)| is_overdue(row.started_at, row.timeout_ms));
                overdue.extend(late.map(|(id, row)| (id.clone(), row.number)));
            });
        }
        for (id, number) in overdue {
            tracing::info!(%id, number, "the transaction has had its time and is aborted");
            let time_out = |fresh_id: ProducerId| TransactionCommand::TimeOut { number, fresh_id };
            if let Err(error) = self.ask_with_id(&id, time_out).await {
                tracing::warn!(%id, %error, "the transaction cannot be aborted yet");
            }
        }
    }

    async fn forget_idle(&self) {
        for shard in self.led() {
            for idle in self.idle(&shard) {
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

    fn idle(&self, shard: &Shard) -> Vec<Idle> {
        let (now, kept) = (shard.wall_now(), self.shards.config().transactional_id_expiration_ms);
        shard.read(|tables| {
            let ids = tables.transactions.iter().filter(|(_, row)| {
                let rests = !row.state.is_prepared() && row.state != crate::rows::TransactionState::Ongoing;
                rests && now - row.updated_at >= kept
            });
            let ended = tables.pending.iter().filter(|(_, row)| row.ended && now - row.updated_at >= ENDED_KEPT_MS);
            let ids = ids.map(|(id, row)| Idle::Id(id.clone(), row.updated_at));
            ids.chain(ended.map(|(key, row)| Idle::Ended(key, row.number))).take(IDLE_AT_ONCE).collect()
        })
    }
}
