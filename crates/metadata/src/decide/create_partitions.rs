//! More partitions for topics.

use caudal_types::NodeId;
use caudal_types::limits::{PARTITIONS_PER_REQUEST_MAX, PARTITIONS_PER_TOPIC_MAX};
use rand::Rng;

use super::replicas::Placer;
use super::{Decision, Draft, Facts};
use crate::command::{Command, MorePartitions};
use crate::controller::wish::{MorePartitions as Wish, Results};
use crate::{CreatePartitions, MetadataError, TopicImage};

pub(super) fn decide(wish: Wish, again: bool, facts: &Facts<'_>, rng: &mut impl Rng) -> Decision {
    let mut draft = Draft::default();
    let mut placer = Placer::new(facts);
    let mut budget = PARTITIONS_PER_REQUEST_MAX;
    for more in wish.topics {
        let decided = find(&more, facts).and_then(|topic| {
            let done_before = again && usize::try_from(more.count) == Ok(topic.partitions.len());
            if done_before {
                return Ok(None);
            }
            let more = more_partitions(more, topic, &mut placer, &mut budget, rng)?;
            facts.pay(more.partitions.len()).map(|()| Some(more))
        });
        draft.add(decided.map(|part| ((), part)));
    }
    draft.into_decision(Results::Each, Command::CreatePartitions, wish.validate_only)
}

fn find<'a>(more: &CreatePartitions, facts: &'a Facts<'_>) -> Result<&'a TopicImage, MetadataError> {
    facts.image.topic(&more.topic).map(AsRef::as_ref).ok_or_else(|| unknown_topic(&more.topic))
}

pub(super) fn unknown_topic(name: &str) -> MetadataError {
    MetadataError::UnknownTopic(format!("There is no topic '{name}'; check the spelling, or create it first"))
}

fn more_partitions(
    more: CreatePartitions,
    topic: &TopicImage,
    placer: &mut Placer,
    budget: &mut usize,
    rng: &mut impl Rng,
) -> Result<MorePartitions, MetadataError> {
    let from = topic.partitions.len();
    let wished = usize::try_from(more.count).unwrap_or(0);
    if wished <= from {
        return Err(MetadataError::InvalidPartitions(format!(
            "The topic '{}' has {from} partition(s) already; {} would not be an increase, and partitions cannot be taken away",
            more.topic, more.count
        )));
    }
    check_total(&more.topic, wished)?;
    let additional = wished - from;
    if additional > *budget {
        return Err(MetadataError::InvalidPartitions(format!(
            "With {additional} new partitions of '{}' the request would create more than {PARTITIONS_PER_REQUEST_MAX} in all; \
             split it into several requests",
            more.topic
        )));
    }
    let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
    let partitions = match more.assignments {
        Some(assignments) => assigned(&more.topic, assignments, additional, factor, placer)?,
        None => placer.place(&more.topic, Some(topic), additional, factor, rng)?,
    };
    *budget -= additional;
    Ok(MorePartitions { topic: topic.id, from: u32::try_from(from).unwrap_or(u32::MAX), partitions })
}

fn assigned(
    name: &str,
    assignments: Vec<Vec<NodeId>>,
    additional: usize,
    factor: usize,
    placer: &mut Placer,
) -> Result<Vec<Vec<NodeId>>, MetadataError> {
    if assignments.len() != additional {
        return Err(MetadataError::InvalidReplicaAssignment(format!(
            "The topic '{name}' is to get {additional} new partition(s), but the assignment has {}; name the replicas of each new partition",
            assignments.len()
        )));
    }
    for nodes in &assignments {
        placer.check(nodes, Some(factor))?;
    }
    Ok(assignments)
}

/// Refuses more partitions than a topic may have, with the true reason.
pub(super) fn check_total(name: &str, partitions: usize) -> Result<(), MetadataError> {
    let most = usize::try_from(PARTITIONS_PER_TOPIC_MAX).unwrap_or(usize::MAX);
    if partitions > most {
        return Err(MetadataError::InvalidPartitions(format!(
            "{partitions} partitions are too many for the topic '{name}': a topic may have at most {most}"
        )));
    }
    Ok(())
}
