//! The two tasks of a shard: one proposes what was decided, one minds leadership and time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{Applied, PendingProposal, ProposeError};
use tokio::time;

use crate::classic::Millis;
use crate::outbox::{Batch, Seq};
use crate::shard::Shard;

/// How many entries are on their way at once; what comes meanwhile goes together into the next.
const ENTRIES_IN_FLIGHT: usize = 4;

/// How long the timer sleeps at most while sessions depend on it, so that it notices when the process stands still.
const TICK_MS: Millis = 500;

/// How late the timer must wake to take it that the process stood still.
const STALL_MS: Millis = 500;

/// How long to wait before a failed shard is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// An entry on its way.
struct InFlight {
    reign: u64,
    last: Seq,
    outcome: PendingProposal,
}

/// Proposes commands in order, and reports what has become of them.
pub(crate) async fn propose(shard: Arc<Shard>) {
    let mut in_flight: VecDeque<InFlight> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            outcome = first_outcome(&mut in_flight), if !in_flight.is_empty() => {
                let Some(InFlight { reign, last, .. }) = in_flight.pop_front() else { continue };
                match outcome {
                    Ok(_) => shard.committed(reign, last),
                    Err(error) => shard.proposal_failed(reign, &error),
                }
            }
            (reign, batch) = next_batch(&shard), if in_flight.len() < ENTRIES_IN_FLIGHT => {
                match shard.raft.enqueue(shard.entry(&batch.commands)).await {
                    Ok(outcome) => in_flight.push_back(InFlight { reign, last: batch.last, outcome }),
                    Err(error) => shard.proposal_failed(reign, &error),
                }
            }
        }
    }
}

/// The outcome of the oldest entry; those behind it wait, so that answers keep their order.
async fn first_outcome(in_flight: &mut VecDeque<InFlight>) -> Result<Applied, ProposeError> {
    match in_flight.front_mut() {
        Some(first) => first.outcome.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Dropping it loses nothing: it takes the commands in its last step.
async fn next_batch(shard: &Shard) -> (u64, Batch) {
    loop {
        if let Some(batch) = shard.take_batch() {
            return batch;
        }
        shard.outbox_filled.notified().await;
    }
}

/// Minds leadership, the cluster's image and time.
pub(crate) async fn mind(shard: Arc<Shard>) {
    let mut images = shard.images();
    let mut leadership = shard.raft.leadership();
    let now = *leadership.borrow_and_update();
    shard.follow(now);
    shard.sweep_topics();
    loop {
        tokio::select! {
            biased;
            changed = leadership.changed() => {
                if changed.is_err() {
                    return shard.stop();
                }
                let now = *leadership.borrow_and_update();
                shard.follow(now);
                recover(&shard).await;
                shard.sweep_topics();
            }
            () = shard.failed.notified() => recover(&shard).await,
            () = shard.spoilt.notified() => {
                // What panicked may do so again at once.
                time::sleep(RETRY_AFTER).await;
                recover(&shard).await;
            }
            Ok(()) = images.changed() => {
                images.mark_unchanged();
                shard.sweep_topics();
            }
            () = shard.timers_changed.notified() => {}
            () = until_due(&shard) => shard.fire(),
        }
    }
}

/// Leads again in a term in which the node stopped leading, since a proposal failed or it had lost sight of the other voters, once Raft has shown where
/// what it had proposed has ended: an entry behind it all is committed. While this node does not lead there is nothing to do; it is called again when it does.
async fn recover(shard: &Shard) {
    while let Some(term) = shard.term_in_doubt()
        && shard.leads_in(term)
    {
        match shard.raft.propose(shard.empty_entry()).await {
            Ok(applied) if applied.term == term => return shard.resume(term),
            Ok(_) => return,
            Err(error) => tracing::debug!(group = %shard.raft.id(), %error, "the shard cannot be led yet"),
        }
        time::sleep(RETRY_AFTER).await;
    }
}

/// Returns when something is due; if the process stood still meanwhile, only after the deadlines are put off.
async fn until_due(shard: &Shard) {
    loop {
        let Some((deadline, watched)) = shard.next_deadline() else { return std::future::pending().await };
        let now = shard.now();
        if deadline <= now {
            return;
        }
        let wait = if watched { (deadline - now).min(TICK_MS) } else { deadline - now };
        time::sleep(Duration::from_millis(wait)).await;
        let late = shard.now().saturating_sub(now + wait);
        if late > STALL_MS {
            tracing::warn!(late_ms = late, "this process stood still; group members get that time back");
            shard.postpone(late);
        }
    }
}
