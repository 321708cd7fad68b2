//! A group of the consumer protocol (KIP-848), as its coordinator holds it: decisions only, without clock, channel or disk.
//!
//! Members say what they subscribe to and what they have; the coordinator gives every member its *target* and leads each from what it *holds* to it,
//! step by step: a member gives up first, and a partition goes to its new owner when the old one has said that it is without it. A change of members,
//! subscriptions or topics raises the group's *epoch*; the next heartbeat makes the targets for it; a member's epoch is that of the target it has come to.
//!
//! A decision changes the group at once and says what must become a command ([`ConsumerGroup::take_change`]). The caller lets the answer wait until the
//! command, and all that came before it, is committed. If it never is, the group is thrown away and made again from the rows.
//!
//! - `heartbeat`: the one request of members, from joining to leaving
//! - `classic_members`: members that still speak the classic protocol
//! - `migration`: from the classic protocol to this one and back
//! - `leave`: members go, or are taken for dead
//! - `members`: what of a group depends on who is in it
//! - `subscription`: from topic names and regular expressions to topics
//! - `target`, `assignor`: who shall have what
//! - `reconcile`: a member's next step towards its target
//! - `offsets`: who may commit and fetch offsets
//! - `timers`: what happens when nobody says anything
//! - `view`: how tools see it
//! - `change`: what must become a command
//! - `config`: its settings
//! - `partitions`: sets of partitions

pub(crate) mod assignor;
mod change;
mod classic_members;
pub(crate) mod config;
mod heartbeat;
mod leave;
mod members;
mod migration;
mod offsets;
mod partitions;
mod reconcile;
mod subscription;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use caudal_metadata::ClusterImage;
use caudal_types::TopicId;

use crate::CoordinatorConfig;
use crate::classic::{self, Millis};
use crate::rows::ConsumerGroupRow;

use change::Changed;
use members::Member;
use subscription::Pattern;

pub(crate) use partitions::{Held, Partitions};

/// What every decision needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) config: &'a CoordinatorConfig,
    pub(crate) now: Millis,
    /// The topics that there are.
    pub(crate) image: &'a ClusterImage,
}

impl<'a> Context<'a> {
    /// What decisions of the classic protocol need.
    pub(crate) fn classic(self) -> classic::Context<'a> {
        classic::Context { config: self.config, now: self.now }
    }
}

/// A group; see the module.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    id: Arc<str>,
    row: ConsumerGroupRow,
    members: BTreeMap<Arc<str>, Member>,
    /// The ids of static members, by their instance ids.
    instances: HashMap<String, Arc<str>>,
    targets: BTreeMap<Arc<str>, Partitions>,
    /// The topics that members subscribe to by name, and how many do.
    names: BTreeMap<String, usize>,
    /// The regular expressions that members subscribe to.
    patterns: BTreeMap<String, Pattern>,
    /// The assignors that members wish for, and how many do.
    wishes: BTreeMap<String, usize>,
    /// The partitions that some member holds or has not given up yet.
    taken: HashSet<(TopicId, i32)>,
    /// The image by which the topics were looked at; `None` when that must be done again whatever the image.
    seen: Option<u64>,
    /// When regular expressions were last matched with all topics.
    matched_at: Option<Millis>,
    changed: Changed,
}

impl ConsumerGroup {
    /// A group that no one knows yet.
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            row: ConsumerGroupRow::default(),
            members: BTreeMap::new(),
            instances: HashMap::new(),
            targets: BTreeMap::new(),
            names: BTreeMap::new(),
            patterns: BTreeMap::new(),
            wishes: BTreeMap::new(),
            taken: HashSet::new(),
            seen: None,
            matched_at: None,
            changed: Changed::default(),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member subscribes to `topic`, or would if it existed.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.names.contains_key(topic) || self.patterns.values().any(|pattern| pattern.matches(topic))
    }

    /// Makes the next heartbeat assign anew.
    fn next_epoch(&mut self, reason: &'static str) {
        self.row.epoch = self.row.epoch.checked_add(1).unwrap_or(1);
        self.changed.group = true;
        tracing::info!(group = %self.id, epoch = self.row.epoch, reason, "the group's epoch rises");
    }
}
