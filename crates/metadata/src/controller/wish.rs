//! Wishes and answers as they travel between nodes (`Service::Controller`), with their layouts.

use bytes::Bytes;
use caudal_types::{NodeId, ProducerId, TopicId};

use super::model::{
    AlterClientQuotas, AlterGroupConfigs, AlterTopicConfigs, ConfigOp, CreatePartitions, CreateTopic, CreatedTopic,
};
use crate::command::tagged;
use crate::layout::{Layout, Malformed, Reader, decode, encode, layout};
use crate::quotas::Payer;
use crate::resources::AlterResourceConfigs;
use crate::{MetadataError, NodeImage};

const VERSION: u8 = 1;

/// A wish on its way to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The same wish was sent before, and nobody knows what came of it: what is already as wished was done by it.
    pub(crate) again: bool,
    pub(crate) wish: Wish,
}
layout!(Request { again, wish });

/// What is wished. Each can be asked again without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    RegisterNode(NodeImage),
    CreateTopics(CreateTopics),
    DeleteTopics(Vec<TopicId>),
    CreatePartitions(MorePartitions),
    AlterTopicConfigs(AlterConfigs),
    AllocateProducerIds(u32),
    FormCluster,
    AlterGroupConfigs(AlterGroups),
    AlterResourceConfigs(AlterResources),
    AlterClientQuotas(AlterQuotas),
    /// One of the others, for which someone pays.
    Charged(Payer, Box<Self>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreateTopics {
    /// Topics with the ids that they shall get. Whoever wishes chooses the id, so that after a failure of unknown outcome a topic of that
    /// name tells whether it came from this wish.
    pub(crate) topics: Vec<(TopicId, CreateTopic)>,
    pub(crate) validate_only: bool,
}
layout!(CreateTopics { topics, validate_only });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MorePartitions {
    pub(crate) topics: Vec<CreatePartitions>,
    pub(crate) validate_only: bool,
}
layout!(MorePartitions { topics, validate_only });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlterConfigs {
    pub(crate) topics: Vec<AlterTopicConfigs>,
    pub(crate) validate_only: bool,
}
layout!(AlterConfigs { topics, validate_only });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlterGroups {
    pub(crate) groups: Vec<AlterGroupConfigs>,
    pub(crate) validate_only: bool,
}
layout!(AlterGroups { groups, validate_only });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlterResources {
    pub(crate) resources: Vec<AlterResourceConfigs>,
    pub(crate) validate_only: bool,
}
layout!(AlterResources { resources, validate_only });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlterQuotas {
    pub(crate) entities: Vec<AlterClientQuotas>,
    pub(crate) validate_only: bool,
}
layout!(AlterQuotas { entities, validate_only });

layout!(CreateTopic { name, partitions, replication_factor, assignments, configs });
layout!(CreatedTopic { id, partitions, replication_factor, configs });
layout!(CreatePartitions { topic, count, assignments });
layout!(AlterTopicConfigs { topic, replace, ops });
layout!(AlterGroupConfigs { group, replace, ops });
layout!(AlterClientQuotas { entity, ops });

impl Layout for Wish {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::RegisterNode(node) => tagged(1, node, to),
            Self::CreateTopics(wish) => tagged(2, wish, to),
            Self::DeleteTopics(topics) => tagged(3, topics, to),
            Self::CreatePartitions(wish) => tagged(4, wish, to),
            Self::AlterTopicConfigs(wish) => tagged(5, wish, to),
            Self::AllocateProducerIds(count) => tagged(6, count, to),
            Self::FormCluster => tagged(7, &(), to),
            Self::AlterGroupConfigs(wish) => tagged(20, wish, to),
            Self::AlterResourceConfigs(wish) => tagged(50, wish, to),
            Self::AlterClientQuotas(wish) => tagged(40, wish, to),
            Self::Charged(payer, wish) => {
                tagged(41, payer, to);
                wish.put(to);
            }
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            41 => {
                let payer = Layout::get(from)?;
                let kind = u8::get(from)?;
                Ok(Self::Charged(payer, Box::new(Self::get_free(kind, from)?)))
            }
            kind => Self::get_free(kind, from),
        }
    }
}

impl Wish {
    /// Reads one that nobody pays for.
    fn get_free(kind: u8, from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match kind {
            1 => Layout::get(from).map(Self::RegisterNode),
            2 => Layout::get(from).map(Self::CreateTopics),
            3 => Layout::get(from).map(Self::DeleteTopics),
            4 => Layout::get(from).map(Self::CreatePartitions),
            5 => Layout::get(from).map(Self::AlterTopicConfigs),
            6 => Layout::get(from).map(Self::AllocateProducerIds),
            7 => Ok(Self::FormCluster),
            20 => Layout::get(from).map(Self::AlterGroupConfigs),
            50 => Layout::get(from).map(Self::AlterResourceConfigs),
            40 => Layout::get(from).map(Self::AlterClientQuotas),
            other => Err(Malformed::Kind(other, "wish")),
        }
    }
}

impl Layout for ConfigOp {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Set(key, value) => pair(0, key, value, to),
            Self::Delete(key) => tagged(1, key, to),
            Self::Append(key, value) => pair(2, key, value, to),
            Self::Subtract(key, value) => pair(3, key, value, to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            0 => Ok(Self::Set(Layout::get(from)?, Layout::get(from)?)),
            1 => Ok(Self::Delete(Layout::get(from)?)),
            2 => Ok(Self::Append(Layout::get(from)?, Layout::get(from)?)),
            3 => Ok(Self::Subtract(Layout::get(from)?, Layout::get(from)?)),
            other => Err(Malformed::Kind(other, "change of a setting")),
        }
    }
}

fn pair(kind: u8, key: &String, value: &String, to: &mut Vec<u8>) {
    kind.put(to);
    key.put(to);
    value.put(to);
}

/// What the leader says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done: whoever has applied `version` sees it.
    Done { version: u64, results: Results },
    /// Not done: this node does not lead, perhaps that one does.
    NotLeader(Option<NodeId>),
    /// Not done, for a reason that may pass.
    NotTaken(String),
    /// Nobody knows.
    Unknown,
}

/// What became of the parts of a wish, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Results {
    Topics(Vec<Result<CreatedTopic, MetadataError>>),
    Each(Vec<Result<(), MetadataError>>),
    /// The first of a block of producer ids.
    ProducerIds(Result<ProducerId, MetadataError>),
    /// Those of a wish that someone pays for, and how long that one has to wait, in milliseconds.
    Charged(i32, Box<Self>),
}

impl Layout for Answer {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Done { version, results } => {
                tagged(1, version, to);
                results.put(to);
            }
            Self::NotLeader(leader) => tagged(2, leader, to),
            Self::NotTaken(reason) => tagged(3, reason, to),
            Self::Unknown => tagged(4, &(), to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            1 => Ok(Self::Done { version: Layout::get(from)?, results: Layout::get(from)? }),
            2 => Layout::get(from).map(Self::NotLeader),
            3 => Layout::get(from).map(Self::NotTaken),
            4 => Ok(Self::Unknown),
            other => Err(Malformed::Kind(other, "answer")),
        }
    }
}

impl Layout for Results {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Topics(results) => tagged(1, results, to),
            Self::Each(results) => tagged(2, results, to),
            Self::ProducerIds(first) => tagged(3, first, to),
            Self::Charged(throttle_ms, results) => {
                tagged(40, throttle_ms, to);
                results.put(to);
            }
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            40 => {
                let throttle_ms = Layout::get(from)?;
                let kind = u8::get(from)?;
                Ok(Self::Charged(throttle_ms, Box::new(Self::get_free(kind, from)?)))
            }
            kind => Self::get_free(kind, from),
        }
    }
}

impl Results {
    /// Reads those of a wish that nobody pays for.
    fn get_free(kind: u8, from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match kind {
            1 => Layout::get(from).map(Self::Topics),
            2 => Layout::get(from).map(Self::Each),
            3 => Layout::get(from).map(Self::ProducerIds),
            other => Err(Malformed::Kind(other, "results")),
        }
    }
}

impl Layout for MetadataError {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::InvalidTopic(text) => tagged(1, text, to),
            Self::TopicExists(text) => tagged(2, text, to),
            Self::UnknownTopic(text) => tagged(3, text, to),
            Self::UnknownTopicId(text) => tagged(4, text, to),
            Self::InvalidPartitions(text) => tagged(5, text, to),
            Self::InvalidReplicationFactor(text) => tagged(6, text, to),
            Self::InvalidReplicaAssignment(text) => tagged(7, text, to),
            Self::InvalidConfig(text) => tagged(8, text, to),
            Self::InvalidRequest(text) => tagged(9, text, to),
            Self::TimedOut(text) => tagged(10, text, to),
            Self::NoController(text) => tagged(11, text, to),
            Self::Throttled(text) => tagged(40, text, to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = u8::get(from)?;
        let text = String::get(from)?;
        match kind {
            1 => Ok(Self::InvalidTopic(text)),
            2 => Ok(Self::TopicExists(text)),
            3 => Ok(Self::UnknownTopic(text)),
            4 => Ok(Self::UnknownTopicId(text)),
            5 => Ok(Self::InvalidPartitions(text)),
            6 => Ok(Self::InvalidReplicationFactor(text)),
            7 => Ok(Self::InvalidReplicaAssignment(text)),
            8 => Ok(Self::InvalidConfig(text)),
            9 => Ok(Self::InvalidRequest(text)),
            10 => Ok(Self::TimedOut(text)),
            11 => Ok(Self::NoController(text)),
            40 => Ok(Self::Throttled(text)),
            other => Err(Malformed::Kind(other, "refusal")),
        }
    }
}

impl Request {
    pub(crate) fn encode(&self) -> Bytes {
        encode(VERSION, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(VERSION, bytes)
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        encode(VERSION, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::command::tests::{node_image, topic_id};
    use crate::quotas::QuotaValue;
    use crate::resources::tests::resource;

    fn nodes() -> impl Strategy<Value = Vec<NodeId>> {
        vec(any::<u32>().prop_map(NodeId), 0..4)
    }

    fn create_topic() -> impl Strategy<Value = CreateTopic> {
        let configs = vec((".{0,9}", option::of(".{0,9}")), 0..3);
        (".{0,9}", any::<i32>(), any::<i16>(), btree_map(any::<i32>(), nodes(), 0..3), configs).prop_map(
            |(name, partitions, replication_factor, assignments, configs)| CreateTopic {
                name,
                partitions,
                replication_factor,
                assignments,
                configs,
            },
        )
    }

    fn op() -> impl Strategy<Value = ConfigOp> {
        (0..4_u8, ".{0,9}", ".{0,9}").prop_map(|(kind, key, value)| match kind {
            0 => ConfigOp::Set(key, value),
            1 => ConfigOp::Delete(key),
            2 => ConfigOp::Append(key, value),
            _ => ConfigOp::Subtract(key, value),
        })
    }

    fn wish() -> impl Strategy<Value = Wish> {
        let create = (vec((topic_id(), create_topic()), 0..3), any::<bool>())
            .prop_map(|(topics, validate_only)| CreateTopics { topics, validate_only });
        let more = (".{0,9}", any::<i32>(), option::of(vec(nodes(), 0..3)))
            .prop_map(|(topic, count, assignments)| CreatePartitions { topic, count, assignments });
        let more = (vec(more, 0..3), any::<bool>())
            .prop_map(|(topics, validate_only)| MorePartitions { topics, validate_only });
        let alter = (".{0,9}", any::<bool>(), vec(op(), 0..4)).prop_map(|(topic, replace, ops)| AlterTopicConfigs {
            topic,
            replace,
            ops,
        });
        let alter = (vec(alter, 0..3), any::<bool>())
            .prop_map(|(topics, validate_only)| AlterConfigs { topics, validate_only });
        let groups = (".{0,9}", any::<bool>(), vec(op(), 0..4)).prop_map(|(group, replace, ops)| AlterGroupConfigs {
            group,
            replace,
            ops,
        });
        let groups = (vec(groups, 0..3), any::<bool>())
            .prop_map(|(groups, validate_only)| AlterGroups { groups, validate_only });
        let resources = (resource(), any::<bool>(), vec(op(), 0..4))
            .prop_map(|(resource, replace, ops)| AlterResourceConfigs { resource, replace, ops });
        let resources = (vec(resources, 0..3), any::<bool>())
            .prop_map(|(resources, validate_only)| AlterResources { resources, validate_only });
        let part = (".{0,9}", option::of(".{0,9}"));
        let value = option::of(any::<f64>().prop_map(QuotaValue::new));
        let quotas =
            (vec(part, 0..3), vec((".{0,9}", value), 0..3)).prop_map(|(entity, ops)| AlterClientQuotas { entity, ops });
        let quotas = (vec(quotas, 0..3), any::<bool>())
            .prop_map(|(entities, validate_only)| AlterQuotas { entities, validate_only });
        let charged =
            (".{0,9}", ".{0,9}", any::<bool>(), vec(topic_id(), 0..4)).prop_map(|(user, client_id, strict, topics)| {
                Wish::Charged(Payer { user, client_id, strict }, Box::new(Wish::DeleteTopics(topics)))
            });
        prop_oneof![
            quotas.prop_map(Wish::AlterClientQuotas),
            resources.prop_map(Wish::AlterResourceConfigs),
            charged,
            groups.prop_map(Wish::AlterGroupConfigs),
            node_image().prop_map(Wish::RegisterNode),
            create.prop_map(Wish::CreateTopics),
            vec(topic_id(), 0..4).prop_map(Wish::DeleteTopics),
            more.prop_map(Wish::CreatePartitions),
            alter.prop_map(Wish::AlterTopicConfigs),
            any::<u32>().prop_map(Wish::AllocateProducerIds),
            Just(Wish::FormCluster),
        ]
    }

    proptest! {
        #[test]
        fn wishes_survive_the_round_trip(again: bool, wish in wish()) {
            let request = Request { again, wish };
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in vec(any::<u8>(), 0..80)) {
            let _ = Request::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }
    }

    #[test]
    fn a_wish_has_golden_bytes() {
        let topic = CreateTopic { name: "t".into(), partitions: -1, replication_factor: 3, ..Default::default() };
        let topics = vec![(TopicId(Uuid::from_u128(1)), topic)];
        let bytes = Request { again: true, wish: Wish::CreateTopics(CreateTopics { topics, validate_only: false }) };
        let mut expected = vec![1, 1, 2, 0, 0, 0, 1];
        expected.extend(1_u128.to_be_bytes());
        expected.extend([0, 0, 0, 1, b't', 0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes.encode().as_ref(), expected);
    }

    #[test]
    fn every_answer_survives_the_round_trip() {
        let text = || "why".to_owned();
        let refusals = [
            MetadataError::InvalidTopic(text()),
            MetadataError::TopicExists(text()),
            MetadataError::UnknownTopic(text()),
            MetadataError::UnknownTopicId(text()),
            MetadataError::InvalidPartitions(text()),
            MetadataError::InvalidReplicationFactor(text()),
            MetadataError::InvalidReplicaAssignment(text()),
            MetadataError::InvalidConfig(text()),
            MetadataError::InvalidRequest(text()),
            MetadataError::TimedOut(text()),
            MetadataError::NoController(text()),
            MetadataError::Throttled(text()),
        ];
        let mut results: Vec<Result<(), MetadataError>> = refusals.into_iter().map(Err).collect();
        results.push(Ok(()));
        let created = CreatedTopic {
            id: TopicId(Uuid::from_u128(5)),
            partitions: 6,
            replication_factor: 3,
            configs: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        };
        let answers = [
            Answer::Done { version: 9, results: Results::Each(results) },
            Answer::Done {
                version: 9,
                results: Results::Topics(vec![Ok(created), Err(MetadataError::TimedOut(text()))]),
            },
            Answer::Done { version: 9, results: Results::ProducerIds(Ok(3000)) },
            Answer::Done { version: 9, results: Results::Charged(250, Box::new(Results::Each(vec![Ok(())]))) },
            Answer::NotLeader(Some(NodeId(2))),
            Answer::NotTaken(text()),
            Answer::Unknown,
        ];
        for answer in answers {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }
}
