//! How tools see a group.

use std::sync::Arc;

use super::members::Member;
use super::partitions::without_epochs;
use super::{ConsumerGroup, Context};
use crate::model::ListedGroup;
use crate::model::consumer::{DescribedConsumer, DescribedConsumerGroup};
use crate::subscription::CONSUMER;

impl ConsumerGroup {
    /// Kafka's word for what it does.
    pub(super) fn state(&self) -> &'static str {
        if self.is_empty() {
            "Empty"
        } else if self.row.epoch > self.row.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_at(self.row.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.to_string(),
            protocol_type: CONSUMER.to_owned(),
            state: self.state(),
            group_type: "consumer",
        }
    }

    pub(crate) fn describe(&self, ctx: Context<'_>) -> DescribedConsumerGroup {
        let describe = |(id, member): (&Arc<str>, &Member)| {
            let row = &member.row;
            // What it shall give up is its own until it says that it has.
            let mut assignment = without_epochs(&row.progress.held);
            for (topic, partitions) in without_epochs(&row.progress.revoking) {
                assignment.entry(topic).or_default().extend(partitions);
            }
            DescribedConsumer {
                member_id: id.to_string(),
                instance_id: row.instance_id.clone(),
                rack_id: row.rack_id.clone(),
                epoch: row.progress.epoch,
                client_id: row.client_id.clone(),
                client_host: row.client_host.clone(),
                topic_names: row.topic_names.iter().cloned().collect(),
                topic_regex: row.topic_regex.clone(),
                assignment,
                target: self.targets.get(id).cloned().unwrap_or_default(),
                is_classic: row.classic.is_some(),
            }
        };
        DescribedConsumerGroup {
            group_id: self.id.to_string(),
            state: self.state(),
            epoch: self.row.epoch,
            assignment_epoch: self.row.assignment_epoch,
            assignor: self.assignor(ctx).name(),
            members: self.members.iter().map(describe).collect(),
        }
    }
}
