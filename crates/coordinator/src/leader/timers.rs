//! What the leader does by itself.

use std::sync::Arc;

use caudal_metadata::ClusterImage;

use super::{Leader, Now, Slot};
use crate::classic::Millis;
use crate::consumer::Context;
use crate::expiry::{ExpirySweep, deleted_topics};
use crate::group::Group;
use crate::tables::Tables;

/// How soon offsets are looked through again when there was more to remove than one look may.
const NEXT_LOOK_MS: Millis = 1000;

impl Leader {
    /// When [`fire`](Self::fire) has something to do.
    pub(crate) fn next_deadline(&self) -> Millis {
        let group = self.timers.first().map_or(Millis::MAX, |(at, _)| *at);
        group.min(self.cleanup_at)
    }

    /// Whether someone's session, and not just the next look for expired offsets, is waited for.
    pub(crate) fn has_timers(&self) -> bool {
        !self.timers.is_empty()
    }

    /// Does what is due.
    pub(crate) fn fire(&mut self, tables: &Tables, image: &ClusterImage, now: Now) {
        let due: Vec<Arc<str>> =
            self.timers.iter().take_while(|(at, _)| *at <= now.monotonic).map(|(_, id)| id.clone()).collect();
        for id in due {
            self.decide(tables, &id, now.monotonic, |group, ctx, out| match group {
                Group::Classic(group) => group.expire(ctx.classic(), out),
                Group::Consumer(group) => group.expire(ctx),
            });
        }
        if self.cleanup_at <= now.monotonic {
            let more = self.expire_offsets(tables, now);
            let interval = Millis::try_from(self.config.offsets_check_interval_ms).unwrap_or(0).max(1);
            self.cleanup_at = now.monotonic + if more { NEXT_LOOK_MS.min(interval) } else { interval };
            self.sweep_topics(tables, image);
        }
    }

    /// Removes the offsets of deleted topics.
    pub(crate) fn sweep_topics(&mut self, tables: &Tables, image: &ClusterImage) {
        if let Some(command) = deleted_topics(tables, image) {
            self.propose(&command);
        }
    }

    /// This process stood still, and could not hear its members: that is not their fault.
    pub(crate) fn postpone(&mut self, by: Millis) {
        self.timers.clear();
        for (id, slot) in &mut self.groups {
            slot.group.postpone(by);
            slot.armed = slot.group.next_deadline();
            self.timers.extend(slot.armed.map(|at| (at, id.clone())));
        }
    }

    fn expire_offsets(&mut self, tables: &Tables, now: Now) -> bool {
        let mut sweep = ExpirySweep::new(tables, now.wall, self.config.offsets_retention_ms);
        let ctx = Context { config: &self.config, now: now.monotonic, image: &self.image };
        for id in tables.group_ids() {
            match self.groups.get(&id) {
                Some(Slot { group, .. }) => sweep.visit(&id, group),
                None => sweep.visit(&id, &Group::stored(tables, &id, ctx)),
            }
        }
        let (commands, more) = sweep.finish();
        for command in &commands {
            self.propose(command);
        }
        more
    }
}
