//! The heartbeats of all Raft groups to one node travel together: what the groups' leaders want to send within a short while goes into
//! one message, and the answers come back in few.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use caudal_types::Tasks;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::transport::peer::Peer;
use crate::wire::{AppendAnswer, Heartbeat, Lane, Request, Response};

/// How long heartbeats wait for company.
pub(crate) const WINDOW: Duration = Duration::from_millis(15);
/// The most heartbeats in one message.
const TOGETHER_MAX: usize = 8192;

/// Gathers the heartbeats to one node.
#[derive(Debug)]
pub(crate) struct Coalescer {
    peer: Arc<Peer>,
    waiting: Mutex<Vec<(Heartbeat, oneshot::Sender<AppendAnswer>)>>,
    some: Notify,
    urgent: Notify,
    messages: AtomicU64,
    heartbeats: AtomicU64,
}

impl Coalescer {
    /// Begins to gather heartbeats to `peer`.
    pub(crate) fn start(peer: Arc<Peer>, tasks: &Tasks) -> Arc<Self> {
        let (waiting, some, urgent) = (Mutex::default(), Notify::new(), Notify::new());
        let coalescer =
            Arc::new(Self { peer, waiting, some, urgent, messages: AtomicU64::new(0), heartbeats: AtomicU64::new(0) });
        let gathering = coalescer.clone();
        tasks.supervise("raft heartbeats", move || gathering.clone().run());
        coalescer
    }

    /// Sends a heartbeat in company, or at once when it is urgent: a read waits for it. The channel closes when no answer will
    /// come.
    pub(crate) fn send(&self, heartbeat: Heartbeat, urgent: bool) -> oneshot::Receiver<AppendAnswer> {
        let (tx, rx) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() < TOGETHER_MAX * 4 && self.peer.lane(Lane::Control).is_connected() {
            waiting.push((heartbeat, tx));
        }
        drop(waiting);
        self.some.notify_one();
        if urgent {
            self.urgent.notify_one();
        }
        rx
    }

    /// How many messages were sent, with how many heartbeats.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.heartbeats.load(Ordering::Relaxed))
    }

    async fn run(self: Arc<Self>) {
        loop {
            self.some.notified().await;
            let departure = Instant::now() + WINDOW;
            tokio::select! {
                () = tokio::time::sleep_until(departure) => {}
                () = self.urgent.notified() => {}
            }
            while self.send_some().await {}
        }
    }

    /// Sends what has gathered; whether there is more.
    async fn send_some(&self) -> bool {
        let (batch, more) = {
            let mut waiting = self.waiting.lock();
            let count = waiting.len().min(TOGETHER_MAX);
            (waiting.drain(..count).collect::<Vec<_>>(), !waiting.is_empty())
        };
        if batch.is_empty() {
            return false;
        }
        let (heartbeats, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.heartbeats.fetch_add(heartbeats.len() as u64, Ordering::Relaxed);
        let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
        let listener = Box::new(move |response| hand_out(response, &mut answers));
        let sent = self.peer.lane(Lane::Control).request_parts(&Request::Heartbeats(heartbeats), listener).await;
        if let Err(error) = sent {
            tracing::debug!(node = %self.peer.node(), %error, "heartbeats could not be sent");
        }
        more
    }
}

fn hand_out(response: Response, waiting: &mut [Option<oneshot::Sender<AppendAnswer>>]) {
    let Response::Heartbeats(answers) = response else { return };
    for (place, answer) in answers {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(sender) = waiting.get_mut(place).and_then(Option::take) {
            // A leader that has stepped down meanwhile does not wait any more.
            let _ = sender.send(answer);
        }
    }
}
