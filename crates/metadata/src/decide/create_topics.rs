//! New topics: names, numbers, settings, replicas.

use std::collections::{BTreeMap, HashMap};

use caudal_types::limits::{PARTITIONS_PER_REQUEST_MAX, PARTITIONS_PER_TOPIC_MAX};
use caudal_types::topic_name::{collision_key, validate_topic_name};
use caudal_types::{NodeId, TopicId};
use rand::Rng;

use super::replicas::Placer;
use super::{Decision, Draft, Facts};
use crate::command::{Command, NewTopic};
use crate::config_defs::validate_topic_configs;
use crate::controller::wish::{CreateTopics, Results};
use crate::{CreateTopic, CreatedTopic, MetadataError, TopicImage};

pub(super) fn decide(wish: CreateTopics, facts: &Facts<'_>, rng: &mut impl Rng) -> Decision {
    let mut draft = Draft::default();
    let mut names = Names::new(facts);
    let mut placer = Placer::new(facts);
    let mut budget = PARTITIONS_PER_REQUEST_MAX;
    for (id, topic) in wish.topics {
        let decided = match ours(id, &topic, facts) {
            Some(existing) => Ok((created(existing.id, &existing.partitions_as_nodes(), &existing.configs), None)),
            None => names
                .check(&topic.name)
                .and_then(|()| new_topic(id, topic, &mut placer, &mut budget, facts, rng))
                .and_then(|topic| facts.pay(topic.partitions.len()).map(|()| topic))
                .map(|topic| {
                    names.add(&topic.name);
                    let id = if wish.validate_only { TopicId::NIL } else { id };
                    (created(id, &topic.partitions, &topic.configs), Some(topic))
                }),
        };
        draft.add(decided);
    }
    draft.into_decision(Results::Topics, Command::CreateTopics, wish.validate_only)
}

/// The topic that an earlier try of the same wish has made.
fn ours<'a>(id: TopicId, topic: &CreateTopic, facts: &'a Facts<'_>) -> Option<&'a TopicImage> {
    facts.image.topic(&topic.name).filter(|existing| existing.id == id).map(AsRef::as_ref)
}

impl TopicImage {
    fn partitions_as_nodes(&self) -> Vec<Vec<NodeId>> {
        self.partitions.iter().map(|partition| partition.replicas.clone()).collect()
    }
}

fn created(id: TopicId, partitions: &[Vec<NodeId>], configs: &BTreeMap<String, String>) -> CreatedTopic {
    CreatedTopic {
        id,
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: partitions.first().map_or(0, |nodes| i16::try_from(nodes.len()).unwrap_or(i16::MAX)),
        configs: configs.clone(),
    }
}

fn new_topic(
    id: TopicId,
    topic: CreateTopic,
    placer: &mut Placer,
    budget: &mut usize,
    facts: &Facts<'_>,
    rng: &mut impl Rng,
) -> Result<NewTopic, MetadataError> {
    let defaults = facts.image.topic_defaults(facts.config.node_id, &facts.config.topic_defaults);
    let configs = configs(topic.configs, &defaults)?;
    let partitions = if topic.assignments.is_empty() {
        let (count, factor) = numbers(&topic.name, topic.partitions, topic.replication_factor, facts)?;
        check_count(&topic.name, count, *budget)?;
        placer.place(&topic.name, None, count, factor, rng)?
    } else {
        if topic.partitions != -1 || topic.replication_factor != -1 {
            return Err(MetadataError::InvalidRequest(format!(
                "The topic '{}' comes with an assignment of replicas and with numbers of partitions or replicas as well; set both numbers to -1",
                topic.name
            )));
        }
        check_count(&topic.name, topic.assignments.len(), *budget)?;
        assigned(topic.assignments, placer)?
    };
    *budget -= partitions.len();
    Ok(NewTopic { id, name: topic.name, configs, partitions })
}

/// The number of partitions and the replication factor, defaults filled in.
fn numbers(name: &str, partitions: i32, factor: i16, facts: &Facts<'_>) -> Result<(usize, usize), MetadataError> {
    let factor = if factor == -1 { facts.config.replication_factor() } else { factor };
    let factor = usize::try_from(factor).ok().filter(|factor| *factor > 0).ok_or_else(|| {
        MetadataError::InvalidReplicationFactor(format!(
            "The replication factor {factor} of the topic '{name}' is below 1; ask for at least 1, or for -1 to have the default"
        ))
    })?;
    let partitions = if partitions == -1 { facts.config.num_partitions } else { partitions };
    let partitions = usize::try_from(partitions).ok().filter(|partitions| *partitions > 0).ok_or_else(|| {
        MetadataError::InvalidPartitions(format!(
            "The number of partitions {partitions} of the topic '{name}' is below 1; ask for at least 1, or for -1 to have the default"
        ))
    })?;
    Ok((partitions, factor))
}

fn check_count(name: &str, partitions: usize, budget: usize) -> Result<(), MetadataError> {
    super::create_partitions::check_total(name, partitions)?;
    if partitions > budget {
        return Err(MetadataError::InvalidPartitions(format!(
            "With the {partitions} partitions of '{name}' the request would create more than {PARTITIONS_PER_REQUEST_MAX} in all; \
             split it into several requests"
        )));
    }
    Ok(())
}

/// The client's own assignment, in the order of the partitions.
fn assigned(assignments: BTreeMap<i32, Vec<NodeId>>, placer: &mut Placer) -> Result<Vec<Vec<NodeId>>, MetadataError> {
    let expected = assignments.values().next().map(Vec::len);
    for ((number, nodes), position) in assignments.iter().zip(0..PARTITIONS_PER_TOPIC_MAX) {
        if *number != position {
            return Err(MetadataError::InvalidReplicaAssignment(format!(
                "The assignment names the partition {number} where {position} is due; number the partitions from 0 without gaps"
            )));
        }
        placer.check(nodes, expected)?;
    }
    Ok(assignments.into_values().collect())
}

fn configs(
    wished: Vec<(String, Option<String>)>,
    node_level: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, MetadataError> {
    let mut configs = BTreeMap::new();
    for (key, value) in wished {
        let value = value.ok_or_else(|| {
            MetadataError::InvalidConfig(format!(
                "The topic setting '{key}' has no value; give it one, or leave it out to have the default"
            ))
        })?;
        configs.insert(key, value);
    }
    validate_topic_configs(&configs, node_level).map_err(MetadataError::InvalidConfig)?;
    Ok(configs)
}

/// The names that are taken.
struct Names<'a> {
    facts: &'a Facts<'a>,
    added: HashMap<String, String>,
    /// The existing names by their collision keys; made when first needed.
    colliding: Option<HashMap<String, String>>,
}

impl<'a> Names<'a> {
    fn new(facts: &'a Facts<'_>) -> Self {
        Self { facts, added: HashMap::new(), colliding: None }
    }

    fn check(&mut self, name: &str) -> Result<(), MetadataError> {
        validate_topic_name(name).map_err(|error| MetadataError::InvalidTopic(error.to_string()))?;
        if self.facts.image.topics.contains_key(name) {
            return Err(MetadataError::TopicExists(format!("The topic '{name}' already exists")));
        }
        if let Some(other) = self.collides_with(name) {
            return Err(MetadataError::InvalidTopic(format!(
                "The topic name '{name}' collides with the topic '{other}': in metric names '.' and '_' look the same; choose another name"
            )));
        }
        Ok(())
    }

    fn collides_with(&mut self, name: &str) -> Option<String> {
        let key = collision_key(name);
        if let Some(other) = self.added.get(&key) {
            return Some(other.clone());
        }
        if !name.contains(['.', '_']) {
            return None;
        }
        let existing = self.facts.image.topics.keys();
        let by_key = self
            .colliding
            .get_or_insert_with(|| existing.map(|name| (collision_key(name), name.to_string())).collect());
        by_key.get(&key).cloned()
    }

    fn add(&mut self, name: &str) {
        self.added.insert(collision_key(name), name.to_owned());
    }
}
