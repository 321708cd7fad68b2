//! Who shall have what.

use std::sync::Arc;

use super::assignor::{Assignor, Spec, Subscriber};
use super::members::Member;
use super::{ConsumerGroup, Context, Partitions};

impl ConsumerGroup {
    /// Makes the targets of the group's epoch, if there are none yet.
    pub(super) fn update_target(&mut self, ctx: Context<'_>) {
        if self.row.assignment_epoch >= self.row.epoch {
            return;
        }
        let assignor = self.assignor(ctx);
        let shares = self.assign(ctx, assignor);
        let members: Vec<_> = self.members.keys().cloned().collect();
        for (id, share) in members.into_iter().zip(shares) {
            if self.targets.get(&id) != Some(&share) {
                self.changed.targets.insert(id.clone());
                self.targets.insert(id, share);
            }
        }
        self.row.assignment_epoch = self.row.epoch;
        self.changed.group = true;
        tracing::info!(
            group = %self.id, epoch = self.row.epoch, members = self.members.len(), assignor = assignor.name(),
            "the group has a new assignment"
        );
    }

    /// The assignor that most members wish for; the first of the node's if none does.
    pub(super) fn assignor(&self, ctx: Context<'_>) -> Assignor {
        let served =
            |name: &String| Assignor::of_name(name).filter(|assignor| ctx.config.consumer.assignors.contains(assignor));
        let wished = self.wishes.iter().max_by_key(|(_, count)| **count).and_then(|(name, _)| served(name));
        wished.or_else(|| ctx.config.consumer.assignors.first().copied()).unwrap_or(Assignor::Uniform)
    }

    fn assign(&self, ctx: Context<'_>, assignor: Assignor) -> Vec<Partitions> {
        let none = Partitions::new();
        let topics = self.topics_of_members(ctx.image);
        let subscriber = |((id, member), topics)| {
            let (id, member): (&Arc<str>, &Member) = (id, member);
            Subscriber {
                id,
                instance_id: member.row.instance_id.as_deref(),
                rack: member.row.rack_id.as_deref(),
                topics,
                current: self.targets.get(id).unwrap_or(&none),
            }
        };
        let members = self.members.iter().zip(topics).map(subscriber).collect();
        let (topics, racks) = (self.partition_counts(ctx.image), self.partition_racks(ctx.image));
        assignor.assign(&Spec { members, topics, racks })
    }
}
