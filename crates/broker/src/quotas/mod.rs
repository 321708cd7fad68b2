//! What clients may use of this node, and what they have used (KIP-13, KIP-55, KIP-124, KIP-612). When no quota is set, all of it is one look at an empty
//! pointer.
//!
//! # Layout
//! - `limits`: the quotas in force, as they follow from the cluster's metadata
//! - `timer`: the time of the node's threads that a request takes

mod limits;
mod timer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use caudal_metadata::ClusterImage;
use caudal_metadata::quotas::{ClientLimit, Meters, QuotaKey, QuotaWindows, RateWindow, Subject};
use caudal_types::Clock;
use tokio::sync::watch;

use self::limits::Limits;
pub(crate) use self::limits::{AddressRates, address_of};
pub(crate) use self::timer::RequestTimer;
use crate::stats::Counters;

/// The user of whoever does not say who it is.
pub(crate) const ANONYMOUS: &str = "ANONYMOUS";

/// Whose quotas count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    /// The name of its principal.
    pub(crate) user: &'a str,
    /// Who it says that it is.
    pub(crate) client_id: &'a str,
}

/// What becomes of an answer to Fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is sent, and the client waits afterwards for so many milliseconds, mostly none.
    Send(i32),
    /// It is not sent: the client is told to wait so many milliseconds, and asks again.
    Withhold(i32),
}

/// The quotas of this node's clients.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// `None` while no quota for users or client ids is set.
    limits: ArcSwapOption<Limits>,
    /// `None` while no quota for addresses is set.
    addresses: ArcSwapOption<AddressRates>,
    windows: QuotaWindows,
    clock: Arc<dyn Clock>,
    produced: Meters<Subject, RateWindow>,
    fetched: Meters<Subject, RateWindow>,
    requests: Meters<Subject, RateWindow>,
    connections: Meters<Option<IpAddr>, RateWindow>,
    counters: Arc<Counters>,
}

impl Quotas {
    /// Nothing is limited yet.
    pub(crate) fn new(windows: QuotaWindows, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        Self {
            limits: ArcSwapOption::empty(),
            addresses: ArcSwapOption::empty(),
            windows,
            clock,
            produced: Meters::new(windows),
            fetched: Meters::new(windows),
            requests: Meters::new(windows),
            connections: Meters::new(windows),
            counters,
        }
    }

    /// Keeps to what the cluster's metadata say, from now on.
    pub(crate) async fn follow(self: Arc<Self>, mut images: watch::Receiver<Arc<ClusterImage>>) {
        // Nothing is known at first: when this is started anew, other quotas are in force than at the start of the node.
        let mut known: Option<Arc<_>> = None;
        loop {
            let quotas = Arc::clone(&images.borrow_and_update().client_quotas);
            if known.as_ref().is_none_or(|known| !Arc::ptr_eq(&quotas, known) && quotas != *known) {
                self.limits.store(Limits::of(&quotas).map(Arc::new));
                self.addresses.store(AddressRates::of(&quotas).await.map(Arc::new));
                known = Some(quotas);
            }
            if images.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes down the bytes of a Produce request, and tells how long its client has to wait, in milliseconds.
    pub(crate) fn produce(&self, client: Client<'_>, bytes: usize) -> i32 {
        let Some(limit) = self.limit(QuotaKey::ProducerByteRate, client) else { return 0 };
        let now = self.clock.now_ms();
        let throttle_ms = self
            .produced
            .with(limit.subject, now, |window, windows| window.charge(windows, limit.bound, bytes as f64, now));
        self.throttled(QuotaKey::ProducerByteRate, throttle_ms)
    }

    /// The most bytes of records that one answer to Fetch may have: more could never be sent without a wait.
    pub(crate) fn fetch_at_once(&self, client: Client<'_>) -> Option<usize> {
        let limit = self.limit(QuotaKey::ConsumerByteRate, client)?;
        Some(self.windows.at_once(limit.bound) as usize)
    }

    /// Takes down the bytes of an answer to Fetch and decides what becomes of it. What is withheld is not counted. An answer that is too large for its quota
    /// even when nothing else was fetched for long, because it is a single batch, is sent all the same: otherwise its reader would never get on.
    pub(crate) fn fetch(&self, client: Client<'_>, bytes: usize) -> Verdict {
        if bytes == 0 {
            return Verdict::Send(0);
        }
        let Some(limit) = self.limit(QuotaKey::ConsumerByteRate, client) else { return Verdict::Send(0) };
        let now = self.clock.now_ms();
        let verdict = self.fetched.with(limit.subject, now, |window, windows| {
            let rested = window.sum(windows, now) == 0.0;
            match window.charge(windows, limit.bound, bytes as f64, now) {
                0 => Verdict::Send(0),
                wait if rested => Verdict::Send(clamp(wait)),
                wait => {
                    window.record(windows, -(bytes as f64), now);
                    Verdict::Withhold(clamp(wait))
                }
            }
        });
        let (Verdict::Send(throttle_ms) | Verdict::Withhold(throttle_ms)) = verdict;
        self.throttled(QuotaKey::ConsumerByteRate, i64::from(throttle_ms));
        verdict
    }

    /// Whether the time of requests is limited for anyone.
    pub(crate) fn limits_requests(&self) -> bool {
        self.limits.load().as_ref().is_some_and(|limits| limits.has(QuotaKey::RequestPercentage))
    }

    /// Takes down the time that a request took, and tells how long its client has to wait, in milliseconds: a window at most, as in Kafka.
    pub(crate) fn request(&self, client: Client<'_>, busy: Duration) -> i32 {
        let throttle_ms = self.record_request(client, busy, true).min(self.windows.size_ms());
        self.throttled(QuotaKey::RequestPercentage, throttle_ms)
    }

    /// Takes down the time that a request took after its client was told how long to wait.
    pub(crate) fn request_remainder(&self, client: Client<'_>, busy: Duration) {
        self.record_request(client, busy, false);
    }

    fn record_request(&self, client: Client<'_>, busy: Duration, judge: bool) -> i64 {
        let Some(limit) = self.limit(QuotaKey::RequestPercentage, client) else { return 0 };
        let now = self.clock.now_ms();
        let percents = busy.as_secs_f64() * 100.0;
        self.requests.with(limit.subject, now, |window, windows| {
            window.record(windows, percents, now);
            if judge { window.throttle_ms(windows, limit.bound, now) } else { 0 }
        })
    }

    /// Takes down a connection from an address; tells how long it is to be held before it is closed, if it comes too soon behind the others.
    pub(crate) fn connect(&self, address: IpAddr) -> Option<Duration> {
        let bound = self.addresses.load().as_ref()?.find(address)?;
        self.connection(Some(address), bound)
    }

    /// Takes down a connection from anywhere, of which there may be `bound` a second; tells how long it has to wait.
    pub(crate) fn connect_from_anywhere(&self, bound: f64) -> Option<Duration> {
        let now = self.clock.now_ms();
        let wait = self.connections.with(None, now, |window, windows| window.charge(windows, bound, 1.0, now));
        duration(wait.min(self.windows.size_ms()))
    }

    /// What [`connect_from_anywhere`](Self::connect_from_anywhere) took down was no connection after all.
    pub(crate) fn not_connected(&self) {
        let now = self.clock.now_ms();
        self.connections.with(None, now, |window, windows| window.record(windows, -1.0, now));
    }

    fn connection(&self, address: Option<IpAddr>, bound: f64) -> Option<Duration> {
        let now = self.clock.now_ms();
        let wait = self.connections.with(address, now, |window, windows| {
            let wait = window.charge(windows, bound, 1.0, now);
            if wait > 0 {
                window.record(windows, -1.0, now);
            }
            wait
        });
        let wait = wait.min(self.windows.size_ms());
        self.throttled(QuotaKey::ConnectionCreationRate, wait);
        duration(wait)
    }

    /// Counts a wait that the controller has told.
    pub(crate) fn mutated(&self, throttle_ms: i32) {
        self.throttled(QuotaKey::ControllerMutationRate, i64::from(throttle_ms));
    }

    fn limit(&self, key: QuotaKey, client: Client<'_>) -> Option<ClientLimit> {
        let limits: Guard<Option<Arc<Limits>>> = self.limits.load();
        limits.as_ref()?.find(key, client)
    }

    fn throttled(&self, key: QuotaKey, throttle_ms: i64) -> i32 {
        if throttle_ms > 0 {
            self.counters.throttled(key, throttle_ms);
        }
        clamp(throttle_ms)
    }
}

fn clamp(throttle_ms: i64) -> i32 {
    i32::try_from(throttle_ms).unwrap_or(i32::MAX)
}

fn duration(wait_ms: i64) -> Option<Duration> {
    u64::try_from(wait_ms).ok().filter(|wait| *wait > 0).map(Duration::from_millis)
}

#[cfg(test)]
pub(crate) mod tests;
