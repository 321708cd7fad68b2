//! The commands of the metadata group and its replies, with their layouts.

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_types::{NodeId, ProducerId, TimestampMs, TopicId};

use crate::NodeImage;
use crate::layout::{Layout, Malformed, Reader, decode, encode, layout};
use crate::quotas::{QuotaEntity, QuotaValues};
use crate::resources::ResourceConfigs;

const VERSION: u8 = 1;

/// A command and when it was proposed, by the proposer's clock: the only time that [`crate::table::Table::apply`] may know.
/// No command of today rests on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) at: TimestampMs,
    pub(crate) command: Command,
}
layout!(Proposal { at, command });

impl Proposal {
    pub(crate) fn encode(&self) -> Bytes {
        encode(VERSION, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(VERSION, bytes)
    }
}

/// The nodes of one replicated thing; the first is the preferred leader.
pub(crate) type Replicas = Vec<NodeId>;

/// A topic to be made, with everything decided but the ids of its Raft groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTopic {
    pub(crate) id: TopicId,
    pub(crate) name: String,
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) partitions: Vec<Replicas>,
}
layout!(NewTopic { id, name, configs, partitions });

/// Partitions to be added to a topic that has `from` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MorePartitions {
    pub(crate) topic: TopicId,
    pub(crate) from: u32,
    pub(crate) partitions: Vec<Replicas>,
}
layout!(MorePartitions { topic, from, partitions });

/// Settings to be changed: keys with their new values, or with `None` to take them away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewConfigs {
    pub(crate) topic: TopicId,
    /// Whether all other settings go.
    pub(crate) replace: bool,
    pub(crate) changes: Vec<(String, Option<String>)>,
}
layout!(NewConfigs { topic, replace, changes });

/// A consumer group's own settings, all of them; a group without any is not named further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupConfigs {
    pub(crate) group: String,
    pub(crate) configs: BTreeMap<String, String>,
}
layout!(GroupConfigs { group, configs });

/// The quotas of an entity, all of them; an entity without any is not named further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewQuotas {
    pub(crate) entity: QuotaEntity,
    pub(crate) values: QuotaValues,
}
layout!(NewQuotas { entity, values });

/// What the metadata group does. Kinds are persisted, keep them stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A node shows itself, or shows itself anew.
    RegisterNode(NodeImage),
    CreateTopics(Vec<NewTopic>),
    DeleteTopics(Vec<TopicId>),
    CreatePartitions(Vec<MorePartitions>),
    AlterTopicConfigs(Vec<NewConfigs>),
    /// Gives away as many producer ids.
    AllocateProducerIds(u32),
    /// Names the cluster and makes its coordinator shards; once.
    FormCluster(FormCluster),
    AlterGroupConfigs(Vec<GroupConfigs>),
    AlterResourceConfigs(Vec<ResourceConfigs>),
    AlterClientQuotas(Vec<NewQuotas>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormCluster {
    pub(crate) cluster_id: String,
    pub(crate) shards: Vec<Replicas>,
}
layout!(FormCluster { cluster_id, shards });

impl Layout for Command {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::RegisterNode(node) => tagged(1, node, to),
            Self::CreateTopics(topics) => tagged(2, topics, to),
            Self::DeleteTopics(topics) => tagged(3, topics, to),
            Self::CreatePartitions(topics) => tagged(4, topics, to),
            Self::AlterTopicConfigs(topics) => tagged(5, topics, to),
            Self::AllocateProducerIds(count) => tagged(6, count, to),
            Self::FormCluster(form) => tagged(7, form, to),
            Self::AlterGroupConfigs(groups) => tagged(20, groups, to),
            Self::AlterResourceConfigs(resources) => tagged(50, resources, to),
            Self::AlterClientQuotas(entities) => tagged(40, entities, to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            1 => Layout::get(from).map(Self::RegisterNode),
            2 => Layout::get(from).map(Self::CreateTopics),
            3 => Layout::get(from).map(Self::DeleteTopics),
            4 => Layout::get(from).map(Self::CreatePartitions),
            5 => Layout::get(from).map(Self::AlterTopicConfigs),
            6 => Layout::get(from).map(Self::AllocateProducerIds),
            7 => Layout::get(from).map(Self::FormCluster),
            20 => Layout::get(from).map(Self::AlterGroupConfigs),
            50 => Layout::get(from).map(Self::AlterResourceConfigs),
            40 => Layout::get(from).map(Self::AlterClientQuotas),
            other => Err(Malformed::Kind(other, "metadata command")),
        }
    }
}

/// Appends the kind of an enum's variant and its content.
pub(crate) fn tagged(kind: u8, content: &impl Layout, to: &mut Vec<u8>) {
    kind.put(to);
    content.put(to);
}

/// What became of one part of a command. The leader has decided beforehand, so that anything but `Done` means that the truth
/// changed between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// There is already such a topic, or the cluster is already formed.
    Exists,
    /// There is no such topic.
    Unknown,
    /// The topic has another number of partitions than expected.
    Changed,
}

impl Layout for Outcome {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Done => 0_u8.put(to),
            Self::Exists => 1_u8.put(to),
            Self::Unknown => 2_u8.put(to),
            Self::Changed => 3_u8.put(to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            0 => Ok(Self::Done),
            1 => Ok(Self::Exists),
            2 => Ok(Self::Unknown),
            3 => Ok(Self::Changed),
            other => Err(Malformed::Kind(other, "outcome")),
        }
    }
}

/// The reply to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// One outcome for each part of the command, in order.
    Outcomes(Vec<Outcome>),
    /// The first of the producer ids given away; `None` when there are no more.
    ProducerIds(Option<ProducerId>),
}

impl Reply {
    pub(crate) fn encode(&self) -> Bytes {
        encode(VERSION, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(VERSION, bytes)
    }
}

impl Layout for Reply {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Outcomes(outcomes) => tagged(1, outcomes, to),
            Self::ProducerIds(first) => tagged(2, first, to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            1 => Layout::get(from).map(Self::Outcomes),
            2 => Layout::get(from).map(Self::ProducerIds),
            other => Err(Malformed::Kind(other, "reply")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::quotas::{EntityName, QuotaKey, QuotaValue};
    use crate::resources::ConfigResource;
    use crate::resources::tests::resource_configs;

    pub(crate) fn node_image() -> impl Strategy<Value = NodeImage> {
        (0..9_u32, ".{0,12}", any::<u16>(), option::of("[a-c]")).prop_map(|(id, host, port, rack)| NodeImage {
            id: NodeId(id),
            host,
            port,
            rack,
        })
    }

    pub(crate) fn topic_id() -> impl Strategy<Value = TopicId> {
        (1..12_u128).prop_map(|id| TopicId(Uuid::from_u128(id)))
    }

    pub(crate) fn client_quotas() -> impl Strategy<Value = (QuotaEntity, QuotaValues)> {
        let part = || option::of(option::of("[a-c]").prop_map(EntityName::new));
        let entity = (part(), part(), part()).prop_map(|(user, client_id, ip)| QuotaEntity { user, client_id, ip });
        let key = (0..QuotaKey::ALL.len()).prop_map(|index| QuotaKey::ALL[index]);
        (entity, btree_map(key, any::<f64>().prop_map(QuotaValue::new), 0..3))
    }

    fn replicas() -> impl Strategy<Value = Replicas> {
        vec((0..5_u32).prop_map(NodeId), 1..4)
    }

    fn new_topic() -> impl Strategy<Value = NewTopic> {
        (topic_id(), "[a-d]", btree_map("[k-m]", ".{0,8}", 0..3), vec(replicas(), 1..4))
            .prop_map(|(id, name, configs, partitions)| NewTopic { id, name, configs, partitions })
    }

    pub(crate) fn command() -> impl Strategy<Value = Command> {
        let more = (topic_id(), 0..4_u32, vec(replicas(), 1..3)).prop_map(|(topic, from, partitions)| MorePartitions {
            topic,
            from,
            partitions,
        });
        let configs = (topic_id(), any::<bool>(), vec(("[k-m]", option::of(".{0,8}")), 0..3))
            .prop_map(|(topic, replace, changes)| NewConfigs { topic, replace, changes });
        let form =
            ("[a-z]{1,8}", vec(replicas(), 1..4)).prop_map(|(cluster_id, shards)| FormCluster { cluster_id, shards });
        let groups =
            ("[a-c]", btree_map("[k-m]", ".{0,8}", 0..3)).prop_map(|(group, configs)| GroupConfigs { group, configs });
        let quotas = client_quotas().prop_map(|(entity, values)| NewQuotas { entity, values });
        prop_oneof![
            1 => vec(quotas, 0..3).prop_map(Command::AlterClientQuotas),
            1 => vec(groups, 0..3).prop_map(Command::AlterGroupConfigs),
            1 => vec(resource_configs(), 0..3).prop_map(Command::AlterResourceConfigs),
            1 => node_image().prop_map(Command::RegisterNode),
            3 => vec(new_topic(), 0..4).prop_map(Command::CreateTopics),
            1 => vec(topic_id(), 0..4).prop_map(Command::DeleteTopics),
            2 => vec(more, 0..3).prop_map(Command::CreatePartitions),
            2 => vec(configs, 0..3).prop_map(Command::AlterTopicConfigs),
            1 => (1..5000_u32).prop_map(Command::AllocateProducerIds),
            1 => form.prop_map(Command::FormCluster),
        ]
    }

    proptest! {
        #[test]
        fn commands_survive_the_round_trip(at: i64, command in command()) {
            let proposal = Proposal { at, command };
            prop_assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in vec(any::<u8>(), 0..80)) {
            let _ = Proposal::decode(&bytes);
            let _ = Reply::decode(&bytes);
        }

        #[test]
        fn what_is_cut_short_is_refused(command in command(), cut in 1..20_usize) {
            let bytes = Proposal { at: 7, command }.encode();
            let shorter = &bytes[..bytes.len().saturating_sub(cut)];
            prop_assert!(Proposal::decode(shorter).is_err());
        }
    }

    #[test]
    fn commands_have_golden_bytes() {
        let node = NodeImage { id: NodeId(3), host: "h".into(), port: 9092, rack: Some("r".into()) };
        let register = Proposal { at: 1, command: Command::RegisterNode(node) }.encode();
        let expected = [1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 3, 0, 0, 0, 1, b'h', 0x23, 0x84, 1, 0, 0, 0, 1, b'r'];
        assert_eq!(register.as_ref(), expected);

        let topic = NewTopic {
            id: TopicId(Uuid::from_u128(0x0102)),
            name: "t".into(),
            configs: BTreeMap::from([("k".into(), "v".into())]),
            partitions: vec![vec![NodeId(1), NodeId(2)]],
        };
        let create = Proposal { at: 0, command: Command::CreateTopics(vec![topic]) }.encode();
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend([0, 0, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v']);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(create.as_ref(), expected);

        let kind = |command| Proposal { at: 0, command }.encode()[9];
        assert_eq!(kind(Command::DeleteTopics(vec![])), 3);
        assert_eq!(kind(Command::CreatePartitions(vec![])), 4);
        assert_eq!(kind(Command::AlterTopicConfigs(vec![])), 5);
        assert_eq!(kind(Command::AllocateProducerIds(1)), 6);
        assert_eq!(kind(Command::AlterGroupConfigs(vec![])), 20);
        let configs = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let resource = ConfigResource::ClientMetrics("m".to_owned());
        let alter = Command::AlterResourceConfigs(vec![ResourceConfigs { resource, configs }]);
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 1, 3, 0, 0, 0, 1, b'm'];
        expected.extend([0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v']);
        assert_eq!(Proposal { at: 0, command: alter }.encode().as_ref(), expected);
        assert_eq!(kind(Command::AlterClientQuotas(vec![])), 40);
        assert_eq!(kind(Command::FormCluster(FormCluster { cluster_id: "c".into(), shards: vec![] })), 7);
    }

    #[test]
    fn replies_have_golden_bytes() {
        let outcomes = vec![Outcome::Done, Outcome::Exists, Outcome::Unknown, Outcome::Changed];
        let reply = Reply::Outcomes(outcomes);
        assert_eq!(reply.encode().as_ref(), [1, 1, 0, 0, 0, 4, 0, 1, 2, 3]);
        assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        let reply = Reply::ProducerIds(Some(1000));
        assert_eq!(reply.encode().as_ref(), [1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0xe8]);
        assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }
}
