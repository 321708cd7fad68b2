//! A member's next step from what it holds to what it shall have.

use caudal_types::TopicId;

use super::partitions::{holds, put};
use super::{Held, Partitions};
use crate::rows::{MemberState, Progress};

/// What the step depends on beside the member's progress.
pub(super) struct Step<'a> {
    /// The epoch of the targets.
    pub(super) epoch: i32,
    /// What the member shall have.
    pub(super) target: &'a Partitions,
    /// Whether the member subscribes to a topic. The target may be older than the subscription.
    pub(super) subscribes: &'a dyn Fn(TopicId) -> bool,
    /// Whether nobody holds a partition.
    pub(super) is_free: &'a dyn Fn(TopicId, i32) -> bool,
    /// The subscription has just changed.
    pub(super) resubscribed: bool,
    /// What the member says that it has; it does not say so in every heartbeat.
    pub(super) owned: Option<&'a Partitions>,
}

impl Step<'_> {
    /// Where the member is after the step.
    pub(super) fn from(&self, now: &Progress) -> Progress {
        match now.state {
            MemberState::Stable if now.epoch == self.epoch && !self.resubscribed => now.clone(),
            MemberState::Stable if now.epoch == self.epoch => self.without_unsubscribed(now),
            MemberState::UnrevokedPartitions if !self.has_given_up(&now.revoking) => {
                if self.resubscribed {
                    self.without_unsubscribed(now)
                } else {
                    now.clone()
                }
            }
            MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.towards_target(now)
            }
        }
    }

    /// A member that says nothing has given up nothing.
    fn has_given_up(&self, revoking: &Held) -> bool {
        self.owned.is_some_and(|owned| {
            owned.iter().all(|(topic, partitions)| partitions.iter().all(|p| !holds(revoking, *topic, *p)))
        })
    }

    /// Keeps what the target has, too; gives up the rest first, and takes what is free afterwards.
    fn towards_target(&self, now: &Progress) -> Progress {
        let wanted = |topic: TopicId, partition: i32| {
            (self.subscribes)(topic) && self.target.get(&topic).is_some_and(|target| target.contains(&partition))
        };
        let (mut held, revoking) = split(&now.held, wanted);
        if !revoking.is_empty() && !self.has_given_up(&revoking) {
            return Progress {
                epoch: now.epoch,
                previous_epoch: now.epoch,
                state: MemberState::UnrevokedPartitions,
                held,
                revoking,
            };
        }
        let mut state = MemberState::Stable;
        for (topic, partitions) in self.target.iter().filter(|(topic, _)| (self.subscribes)(**topic)) {
            for partition in partitions.iter().filter(|partition| !holds(&now.held, *topic, **partition)) {
                // What the member itself has just given up is free for it.
                if (self.is_free)(*topic, *partition) || holds(&now.revoking, *topic, *partition) {
                    put(&mut held, *topic, *partition, self.epoch);
                } else {
                    state = MemberState::UnreleasedPartitions;
                }
            }
        }
        Progress { epoch: self.epoch, previous_epoch: now.epoch, state, held, revoking: Held::new() }
    }

    /// The targets are not made anew yet, or the member is not done with the last ones: but what it has unsubscribed from goes at once.
    fn without_unsubscribed(&self, now: &Progress) -> Progress {
        let (held, gone) = split(&now.held, |topic, _| (self.subscribes)(topic));
        if gone.is_empty() {
            return now.clone();
        }
        let mut revoking = now.revoking.clone();
        for (topic, partitions) in gone {
            revoking.entry(topic).or_default().extend(partitions);
        }
        let given_up = self.has_given_up(&revoking);
        Progress {
            epoch: now.epoch,
            previous_epoch: now.epoch,
            state: if given_up { now.state } else { MemberState::UnrevokedPartitions },
            held,
            revoking: if given_up { now.revoking.clone() } else { revoking },
        }
    }
}

/// Divides partitions into those that `stays` says and the others.
fn split(held: &Held, stays: impl Fn(TopicId, i32) -> bool) -> (Held, Held) {
    let (mut kept, mut gone) = (Held::new(), Held::new());
    for (topic, partitions) in held {
        for (partition, epoch) in partitions {
            let side = if stays(*topic, *partition) { &mut kept } else { &mut gone };
            put(side, *topic, *partition, *epoch);
        }
    }
    (kept, gone)
}
