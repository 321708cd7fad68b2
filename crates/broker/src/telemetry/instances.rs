//! The clients that are known, at most so many: the one that was silent for longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Weak;

use caudal_types::TimestampMs;
use uuid::Uuid;

use super::gate::Gate;
use super::series::Series;
use super::subscriptions::{Properties, Subscriptions, Wanted};
use crate::table::Peer;

/// How long a client may be silent at least, in milliseconds (Kafka's number).
const EXPIRY_MS: i64 = 60_000;
/// How many intervals a client may be silent (Kafka's number).
const EXPIRY_INTERVALS: i64 = 3;

/// A client whose metrics are taken.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) properties: Properties,
    pub(super) wanted: Wanted,
    pub(super) gate: Gate,
    pub(super) series: Series,
    /// The version of the subscriptions that `wanted` was made from.
    version: u64,
    /// Where its last request came from; it is gone when the connection is.
    peer: Weak<Peer>,
    expires_at: TimestampMs,
    /// Its place in the order of use.
    used: u64,
}

/// The clients by instance id.
#[derive(Debug)]
pub(super) struct Instances {
    max: usize,
    by_id: HashMap<Uuid, Instance>,
    /// The least recently used first.
    by_use: BTreeMap<u64, Uuid>,
    uses: u64,
    /// Since the start: clients that others took the place of.
    pub(super) evicted: u64,
}

impl Instances {
    pub(super) fn new(max: usize) -> Self {
        Self { max, by_id: HashMap::new(), by_use: BTreeMap::new(), uses: 0, evicted: 0 }
    }

    /// By id.
    pub(super) fn all(&self) -> BTreeMap<Uuid, &Instance> {
        self.by_id.iter().map(|(id, instance)| (*id, instance)).collect()
    }

    /// About how much memory all values take.
    pub(super) fn values_bytes(&self) -> usize {
        self.by_id.values().map(|instance| instance.series.bytes()).sum()
    }

    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Instance> {
        self.by_id.get_mut(&id)
    }

    /// A client from which a request has come, and what the newest subscriptions want of it. `properties` are of a client that was not known.
    pub(super) fn seen(
        &mut self,
        id: Uuid,
        peer: Weak<Peer>,
        now: TimestampMs,
        subscriptions: &Subscriptions,
        properties: impl FnOnce() -> Properties,
    ) -> &mut Instance {
        if !self.by_id.contains_key(&id) {
            self.make_room();
        }
        self.uses += 1;
        let used = self.uses;
        let fresh = || {
            let properties = properties();
            Instance {
                wanted: subscriptions.wanted(id, &properties),
                properties,
                gate: Gate::new(),
                series: Series::default(),
                version: subscriptions.version,
                peer: Weak::new(),
                expires_at: now,
                used,
            }
        };
        let instance = self.by_id.entry(id).or_insert_with(fresh);
        self.by_use.remove(&instance.used);
        self.by_use.insert(used, id);
        instance.used = used;
        instance.peer = peer;
        if instance.version != subscriptions.version {
            instance.version = subscriptions.version;
            instance.wanted = subscriptions.wanted(id, &instance.properties);
            // Whoever does not know it yet may ask at once.
            instance.gate = Gate::new();
        }
        let silent_ms = EXPIRY_MS.max(i64::from(instance.wanted.interval_ms) * EXPIRY_INTERVALS);
        instance.expires_at = now.saturating_add(silent_ms);
        instance
    }

    /// Forgets the clients that are gone: their connection is closed, or they were silent for too long.
    pub(super) fn expire(&mut self, now: TimestampMs) {
        let by_use = &mut self.by_use;
        self.by_id.retain(|_, instance| {
            let stays = now < instance.expires_at && instance.peer.strong_count() > 0;
            if !stays {
                by_use.remove(&instance.used);
            }
            stays
        });
    }

    fn make_room(&mut self) {
        while self.by_id.len() >= self.max
            && let Some((_, id)) = self.by_use.pop_first()
        {
            self.by_id.remove(&id);
            self.evicted += 1;
        }
    }
}
