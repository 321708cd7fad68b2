//! What the leader makes of a wish: refusals, and the command that does the rest. Pure functions of the image and of what the leader knows
//! about the nodes.
//!
//! # Layout
//! - `create_topics`: new topics: names, numbers, settings, replicas
//! - `create_partitions`: more partitions for topics
//! - `alter_configs`: changes of topics' settings
//! - `alter_group_configs`: changes of consumer groups' settings
//! - `alter_resource_configs`: changes of the settings of nodes and of subscriptions to clients' metrics
//! - `alter_client_quotas`: changes of what clients may use
//! - `charge`: what topics and partitions cost whoever wants them
//! - `replicas`: where replicas go: the client's choice checked, or ours made

mod alter_client_quotas;
mod alter_configs;
mod alter_group_configs;
mod alter_resource_configs;
mod charge;
mod create_partitions;
mod create_topics;
mod replicas;

use caudal_types::{NodeId, TopicId};
use rand::Rng;

pub(crate) use self::charge::{Charge, MutationMeters};
use crate::command::{Command, FormCluster, Outcome, Reply};
use crate::controller::ControllerConfig;
use crate::controller::wish::{Request, Results, Wish};
use crate::placement::{Candidate, place};
use crate::{ClusterImage, MetadataError};

/// What a decision rests on.
pub(crate) struct Facts<'a> {
    pub(crate) image: &'a ClusterImage,
    pub(crate) config: &'a ControllerConfig,
    /// Whether a node is alive, as the leader sees it.
    pub(crate) alive: &'a dyn Fn(NodeId) -> bool,
    /// The account of whoever pays, if someone does.
    pub(crate) charge: Option<&'a Charge<'a>>,
}

impl Facts<'_> {
    /// Has partitions that are made or taken away paid for.
    fn pay(&self, partitions: usize) -> Result<(), MetadataError> {
        self.charge.map_or(Ok(()), |charge| charge.pay(partitions))
    }
}

/// A decision: results as they will be if the command is applied as meant.
#[derive(Debug)]
pub(crate) struct Decision {
    results: Results,
    /// `None` when there is nothing to do.
    pub(crate) command: Option<Command>,
    /// The positions in the results of the command's parts.
    parts: Vec<usize>,
}

/// Decides about a wish.
pub(crate) fn decide(request: Request, facts: &Facts<'_>, rng: &mut impl Rng) -> Decision {
    let again = request.again;
    match request.wish {
        Wish::RegisterNode(node) if facts.image.nodes.get(&node.id).is_some_and(|known| **known == node) => nothing(),
        Wish::RegisterNode(node) => single(Command::RegisterNode(node)),
        Wish::CreateTopics(wish) => create_topics::decide(wish, facts, rng),
        Wish::DeleteTopics(topics) => delete_topics(topics, again, facts),
        Wish::CreatePartitions(wish) => create_partitions::decide(wish, again, facts, rng),
        Wish::AlterTopicConfigs(wish) => alter_configs::decide(wish, facts),
        Wish::AlterGroupConfigs(wish) => alter_group_configs::decide(wish, facts),
        Wish::AlterResourceConfigs(wish) => alter_resource_configs::decide(wish, facts),
        Wish::AlterClientQuotas(wish) => alter_client_quotas::decide(wish, facts),
        // The worker has opened the account.
        Wish::Charged(_, wish) => decide(Request { again, wish: *wish }, facts, rng),
        Wish::AllocateProducerIds(count) => Decision {
            results: Results::ProducerIds(Err(exhausted())),
            command: Some(Command::AllocateProducerIds(count.max(1))),
            parts: Vec::new(),
        },
        Wish::FormCluster => form_cluster(facts, rng),
    }
}

fn nothing() -> Decision {
    Decision { results: Results::Each(vec![Ok(())]), command: None, parts: Vec::new() }
}

fn single(command: Command) -> Decision {
    Decision { results: Results::Each(vec![Ok(())]), command: Some(command), parts: vec![0] }
}

/// The cluster's shards go to configured nodes, registered or not: the list is the same on all nodes and does not change.
fn form_cluster(facts: &Facts<'_>, rng: &mut impl Rng) -> Decision {
    if facts.image.is_formed() {
        return nothing();
    }
    let candidate = |id: NodeId| Candidate {
        id,
        rack: facts.image.nodes.get(&id).and_then(|node| node.rack.clone()),
        alive: true,
        ..Candidate::default()
    };
    let mut candidates: Vec<Candidate> = facts.config.all_nodes().into_iter().map(candidate).collect();
    let shards = place(&mut candidates, facts.config.coordinator_shards.max(1), 3, rng);
    single(Command::FormCluster(FormCluster { cluster_id: facts.config.cluster_id.clone(), shards }))
}

fn delete_topics(topics: Vec<TopicId>, again: bool, facts: &Facts<'_>) -> Decision {
    let check = |id: TopicId| match facts.image.topic_by_id(id) {
        Some(topic) => facts.pay(topic.partitions.len()).map(|()| Some(id)),
        None if again => Ok(None),
        None => Err(unknown_topic_id(id)),
    };
    let mut draft = Draft::default();
    for id in topics {
        draft.add(check(id).map(|part| ((), part)));
    }
    draft.into_decision(Results::Each, Command::DeleteTopics, false)
}

fn unknown_topic_id(id: TopicId) -> MetadataError {
    MetadataError::UnknownTopicId(format!("There is no topic with the id {id}; it may have been deleted"))
}

fn exhausted() -> MetadataError {
    MetadataError::InvalidRequest("The cluster has given away all producer ids that there are".to_owned())
}

/// A decision in the making: results with the parts that the command gets for them.
struct Draft<R, P> {
    results: Vec<Result<R, MetadataError>>,
    parts: Vec<P>,
    positions: Vec<usize>,
}

impl<R, P> Default for Draft<R, P> {
    fn default() -> Self {
        Self { results: Vec::new(), parts: Vec::new(), positions: Vec::new() }
    }
}

impl<R, P> Draft<R, P> {
    /// Adds the result for one part of the wish, with what has to be done for it, if anything.
    fn add(&mut self, decided: Result<(R, Option<P>), MetadataError>) {
        let result = decided.map(|(result, part)| {
            if let Some(part) = part {
                self.parts.push(part);
                self.positions.push(self.results.len());
            }
            result
        });
        self.results.push(result);
    }

    fn into_decision(
        self,
        results: impl FnOnce(Vec<Result<R, MetadataError>>) -> Results,
        command: impl FnOnce(Vec<P>) -> Command,
        validate_only: bool,
    ) -> Decision {
        let nothing_to_do = validate_only || self.parts.is_empty();
        Decision {
            results: results(self.results),
            command: (!nothing_to_do).then(|| command(self.parts)),
            parts: if nothing_to_do { Vec::new() } else { self.positions },
        }
    }
}

impl Decision {
    /// The results when nothing was to be done.
    pub(crate) fn unchanged(self) -> Results {
        self.results
    }

    /// The results after the command's `reply`.
    pub(crate) fn finish(mut self, reply: Reply) -> Results {
        let outcomes = match reply {
            Reply::ProducerIds(first) => return Results::ProducerIds(first.ok_or_else(exhausted)),
            Reply::Outcomes(outcomes) => outcomes,
        };
        for (part, outcome) in self.parts.into_iter().zip(outcomes) {
            let Some(error) = surprise(outcome) else { continue };
            match &mut self.results {
                Results::Topics(results) => results[part] = Err(error),
                Results::Each(results) => results[part] = Err(error),
                Results::ProducerIds(_) | Results::Charged(..) => {}
            }
        }
        self.results
    }
}

/// What is answered when the truth changed between the decision and its application.
fn surprise(outcome: Outcome) -> Option<MetadataError> {
    match outcome {
        Outcome::Done => None,
        Outcome::Exists => {
            Some(MetadataError::TopicExists("The topic was created by someone else just now".to_owned()))
        }
        Outcome::Unknown => Some(MetadataError::UnknownTopicId("The topic was deleted just now".to_owned())),
        Outcome::Changed => {
            Some(MetadataError::InvalidRequest("The topic's partitions were changed just now; look again".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests;
