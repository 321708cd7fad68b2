//! Which committed offsets and groups have had their time, and which belong to topics that are gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use caudal_metadata::ClusterImage;
use caudal_types::limits::OFFSETS_EXPIRED_AT_ONCE;
use caudal_types::{TimestampMs, TopicId};

use crate::classic::ExpiryBasis;
use crate::command::Command;
use crate::group::Group;
use crate::model::OffsetKey;
use crate::tables::{Stamp, Tables, TopicOffsets};

/// How many offsets one command removes.
const OFFSETS_PER_COMMAND: usize = 1000;

/// Looks through the groups of a shard.
#[derive(Debug)]
pub(crate) struct ExpirySweep<'a> {
    tables: &'a Tables,
    now: TimestampMs,
    retention_ms: i64,
    /// How many offsets may still go.
    budget: usize,
    commands: Vec<Command>,
}

impl<'a> ExpirySweep<'a> {
    pub(crate) fn new(tables: &'a Tables, now: TimestampMs, retention_ms: i64) -> Self {
        Self { tables, now, retention_ms, budget: OFFSETS_EXPIRED_AT_ONCE, commands: Vec::new() }
    }

    /// What of `group` has had its time. A group without members and offsets goes itself.
    pub(crate) fn visit(&mut self, id: &Arc<str>, group: &Group) {
        let expired = self.expired(id, group);
        let kept = self.tables.offsets(id).map_or(0, |topics| topics.values().map(TopicOffsets::len).sum());
        let kept: usize = kept - expired.len() + usize::from(self.tables.pending.has_any(id));
        for chunk in expired.chunks(OFFSETS_PER_COMMAND) {
            self.commands.push(Command::ExpireOffsets { group: id.clone(), offsets: chunk.to_vec() });
        }
        if kept == 0
            && group.is_at_rest()
            && let Some(generation) = self.generation(id)
        {
            self.commands.push(Command::ForgetGroup { group: id.clone(), generation });
        }
    }

    /// The commands that remove it all, and whether there may be more to remove.
    pub(crate) fn finish(self) -> (Vec<Command>, bool) {
        (self.commands, self.budget == 0)
    }

    /// What the group's row has as its generation, or its epoch.
    fn generation(&self, id: &str) -> Option<i32> {
        let classic = self.tables.group(id).map(|row| row.generation);
        classic.or_else(|| self.tables.consumer_group(id).map(|rows| rows.row.epoch))
    }

    fn expired(&mut self, id: &Arc<str>, group: &Group) -> Vec<(OffsetKey, TimestampMs)> {
        let (Some(basis), Some(topics)) = (group.expiry_basis(), self.tables.offsets(id)) else { return Vec::new() };
        let emptied_at = self.tables.group(id).map(|row| row.state_since).filter(|_| basis == ExpiryBasis::Emptied);
        let mut expired = Vec::new();
        for (topic, partitions) in topics.iter().filter(|(topic, _)| !group.is_subscribed(topic)) {
            for stamp in partitions.stamps() {
                let is_pending = || self.tables.pending.has(id, topic, stamp.partition);
                if self.budget > 0 && self.is_expired(stamp, emptied_at) && !is_pending() {
                    self.budget -= 1;
                    expired.push(((topic.clone(), stamp.partition), stamp.committed_at));
                }
            }
        }
        expired
    }

    fn is_expired(&self, stamp: Stamp, emptied_at: Option<TimestampMs>) -> bool {
        match stamp.expires_at {
            Some(expires_at) => self.now >= expires_at,
            None => self.now.saturating_sub(emptied_at.unwrap_or(stamp.committed_at)) >= self.retention_ms,
        }
    }
}

/// The command that removes the offsets of topics that are gone. An image older than what the shard has seen may not know topics *yet*, and
/// says nothing.
pub(crate) fn deleted_topics(tables: &Tables, image: &ClusterImage) -> Option<Command> {
    if image.version < tables.meta.image_version {
        return None;
    }
    let is_gone = |(topic, id): &(&Arc<str>, TopicId)| match image.topic(topic) {
        None => true,
        Some(current) => *id != TopicId::NIL && current.id != *id,
    };
    let committed = tables.topics().map(|(topic, id)| (topic, *id));
    let gone: BTreeSet<_> = committed.chain(tables.pending.topics()).filter(is_gone).collect();
    let topics: Vec<_> = gone.into_iter().map(|(topic, id)| (topic.clone(), id)).collect();
    if topics.is_empty() { None } else { Some(Command::RemoveTopics { topics }) }
}
