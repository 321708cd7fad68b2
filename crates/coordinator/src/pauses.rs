//! The pauses between tries to reach whoever leads.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The pause at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// See the module.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(PAUSE.0)
    }

    /// Waits a while, longer each time, or until another leader is known.
    pub(crate) async fn pause(&mut self, changes: &mut watch::Receiver<u64>) {
        let _ = timeout(self.0, changes.changed()).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}
