//! The rows of the metadata group in the column family `state`, with their layouts. Kinds and layouts are persisted: keep them stable.

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_types::{NodeId, ProducerId, RaftGroupId, TopicId};

use crate::layout::{Layout, Malformed, decode, encode, layout};
use crate::quotas::{QuotaEntity, QuotaValues};
use crate::resources::{ConfigResource, Configs};
use crate::{NodeImage, RaftGroupImage};

const VERSION: u8 = 1;

/// How far this replica has come. Key: empty. Written with every applied batch.
pub(crate) const POSITION: u8 = 16;
/// What is given away in order. Key: empty.
pub(crate) const COUNTERS: u8 = 17;
/// The cluster. Key: empty.
pub(crate) const CLUSTER: u8 = 18;
/// A node. Key: node id (u32).
pub(crate) const NODE: u8 = 19;
/// A topic without its partitions. Key: topic id (16 bytes).
pub(crate) const TOPIC: u8 = 20;
/// A partition. Key: topic id (16 bytes), partition (u32).
pub(crate) const PARTITION: u8 = 21;

/// A consumer group's own settings. Key: the group's id.
pub(crate) const GROUP: u8 = 30;
/// The own settings of a node, of all nodes, or of a subscription to clients' metrics. Key: whose they are.
pub(crate) const RESOURCE: u8 = 50;
/// The quotas of an entity. Key: user, client id, address.
pub(crate) const CLIENT_QUOTAS: u8 = 40;

/// A row, without the Raft group that stands before its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: u8,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// A row, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Position(Position),
    Counters(Counters),
    Cluster(Cluster),
    Node(NodeImage),
    Topic(TopicId, Topic),
    Partition(TopicId, u32, RaftGroupImage),
    Group(String, BTreeMap<String, String>),
    Resource(ConfigResource, Configs),
    ClientQuotas(QuotaEntity, QuotaValues),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last Raft log index applied.
    pub(crate) applied: u64,
    /// The index of the last command.
    pub(crate) version: u64,
}
layout!(Position { applied, version });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) next_group: u64,
    pub(crate) next_producer_id: ProducerId,
}
layout!(Counters { next_group, next_producer_id });

impl Default for Counters {
    fn default() -> Self {
        Self { next_group: RaftGroupId::METADATA.0 + 1, next_producer_id: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) coordinator_shards: Vec<RaftGroupImage>,
}
layout!(Cluster { id, coordinator_shards });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) configs: BTreeMap<String, String>,
}
layout!(Topic { name, configs });

layout!(NodeImage { id, host, port, rack });
layout!(RaftGroupImage { group, replicas });

fn row(kind: u8, key: &impl Layout, value: &impl Layout) -> Row {
    let mut key_bytes = Vec::new();
    key.put(&mut key_bytes);
    Row { kind, key: Bytes::from(key_bytes), value: encode(VERSION, value) }
}

impl Position {
    pub(crate) fn row(&self) -> Row {
        row(POSITION, &(), self)
    }
}

impl Counters {
    pub(crate) fn row(&self) -> Row {
        row(COUNTERS, &(), self)
    }
}

impl Cluster {
    pub(crate) fn row(&self) -> Row {
        row(CLUSTER, &(), self)
    }
}

impl Topic {
    pub(crate) fn row(&self, id: TopicId) -> Row {
        row(TOPIC, &id, self)
    }
}

pub(crate) fn node_row(node: &NodeImage) -> Row {
    row(NODE, &node.id, node)
}

pub(crate) fn partition_row(topic: TopicId, partition: u32, replicas: &RaftGroupImage) -> Row {
    row(PARTITION, &(topic, partition), replicas)
}

pub(crate) fn group_row(group: &String, configs: &BTreeMap<String, String>) -> Row {
    row(GROUP, group, configs)
}

/// The key of a group's row.
pub(crate) fn group_key(group: &String) -> Bytes {
    let mut key = Vec::new();
    group.put(&mut key);
    key.into()
}

pub(crate) fn resource_row(resource: &ConfigResource, configs: &Configs) -> Row {
    row(RESOURCE, resource, configs)
}

/// The key of the row with a resource's settings.
pub(crate) fn resource_key(resource: &ConfigResource) -> Bytes {
    let mut key = Vec::new();
    resource.put(&mut key);
    key.into()
}

pub(crate) fn client_quotas_row(entity: &QuotaEntity, values: &QuotaValues) -> Row {
    row(CLIENT_QUOTAS, entity, values)
}

/// The key of the row of an entity's quotas.
pub(crate) fn client_quotas_key(entity: &QuotaEntity) -> Bytes {
    let mut key = Vec::new();
    entity.put(&mut key);
    key.into()
}

/// The key of a topic's row, and what the keys of its partitions' rows begin with.
pub(crate) fn topic_key(topic: TopicId) -> Bytes {
    Bytes::copy_from_slice(topic.0.as_bytes())
}

impl Row {
    pub(crate) fn decode(&self) -> Result<Decoded, Malformed> {
        match self.kind {
            POSITION => Ok(Decoded::Position(self.parts::<(), _>()?.1)),
            COUNTERS => Ok(Decoded::Counters(self.parts::<(), _>()?.1)),
            CLUSTER => Ok(Decoded::Cluster(self.parts::<(), _>()?.1)),
            NODE => Ok(Decoded::Node(self.parts::<NodeId, _>()?.1)),
            TOPIC => self.parts().map(|(id, topic)| Decoded::Topic(id, topic)),
            PARTITION => self.parts().map(|((id, number), partition)| Decoded::Partition(id, number, partition)),
            RESOURCE => self.parts().map(|(resource, configs)| Decoded::Resource(resource, configs)),
            CLIENT_QUOTAS => self.parts().map(|(entity, values)| Decoded::ClientQuotas(entity, values)),
            GROUP => self.parts().map(|(group, configs)| Decoded::Group(group, configs)),
            other => Err(Malformed::Kind(other, "metadata row")),
        }
    }

    fn parts<K: Layout, V: Layout>(&self) -> Result<(K, V), Malformed> {
        // Keys bear no version: the row's kind stands for it. Putting one before lets the same function read both.
        let mut key = vec![VERSION];
        key.extend_from_slice(&self.key);
        Ok((decode(VERSION, &key)?, decode(VERSION, &self.value)?))
    }
}

impl Layout for Row {
    fn put(&self, to: &mut Vec<u8>) {
        self.kind.put(to);
        self.key.put(to);
        self.value.put(to);
    }

    fn get(from: &mut crate::layout::Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { kind: Layout::get(from)?, key: Layout::get(from)?, value: Layout::get(from)? })
    }
}

/// A snapshot: all rows.
pub(crate) fn encode_snapshot(rows: &Vec<Row>) -> Bytes {
    encode(VERSION, rows)
}

/// Reads a snapshot back.
pub(crate) fn decode_snapshot(bytes: &[u8]) -> Result<Vec<Row>, Malformed> {
    decode(VERSION, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::command::tests::{client_quotas, node_image};
    use crate::quotas::{EntityName, QuotaKey, QuotaValue};

    proptest! {
        #[test]
        fn rows_survive_the_round_trip(
            applied: u64, next_group: u64, next_producer_id: i64, node in node_image(), id: u128,
            name in "[a-z]{1,9}", number: u32, group: u64, (entity, values) in client_quotas(),
        ) {
            let id = TopicId(Uuid::from_u128(id));
            let position = Position { applied, version: applied / 2 };
            let counters = Counters { next_group, next_producer_id };
            let replicas = RaftGroupImage { group: RaftGroupId(group), replicas: vec![node.id] };
            let cluster = Cluster { id: name.clone(), coordinator_shards: vec![replicas.clone()] };
            let topic = Topic { name: name.clone(), configs: BTreeMap::from([(name, "1".to_owned())]) };
            prop_assert_eq!(
                client_quotas_row(&entity, &values).decode(),
                Ok(Decoded::ClientQuotas(entity, values))
            );
            prop_assert_eq!(position.row().decode(), Ok(Decoded::Position(position)));
            prop_assert_eq!(counters.row().decode(), Ok(Decoded::Counters(counters)));
            prop_assert_eq!(cluster.row().decode(), Ok(Decoded::Cluster(cluster)));
            prop_assert_eq!(node_row(&node).decode(), Ok(Decoded::Node(node)));
            prop_assert_eq!(topic.row(id).decode(), Ok(Decoded::Topic(id, topic)));
            prop_assert_eq!(partition_row(id, number, &replicas).decode(), Ok(Decoded::Partition(id, number, replicas)));
        }

        #[test]
        fn garbage_is_refused_without_panic(
            kind: u8,
            key in proptest::collection::vec(any::<u8>(), 0..24),
            value in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = Row { kind, key: key.into(), value: Bytes::from(value.clone()) }.decode();
            let _ = decode_snapshot(&value);
        }
    }

    #[test]
    fn rows_have_golden_bytes() {
        let position = Position { applied: 5, version: 4 }.row();
        assert_eq!((position.kind, position.key.len()), (16, 0));
        assert_eq!(position.value.as_ref(), [1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4]);

        let counters = Counters::default().row();
        assert_eq!((counters.kind, counters.key.len()), (17, 0));
        assert_eq!(counters.value.as_ref(), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

        let id = TopicId(Uuid::from_u128(0x0a0b));
        let replicas = RaftGroupImage { group: RaftGroupId(9), replicas: vec![NodeId(1)] };
        let partition = partition_row(id, 2, &replicas);
        assert_eq!(partition.kind, 21);
        assert_eq!(partition.key.as_ref(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 11, 0, 0, 0, 2]);
        assert_eq!(partition.value.as_ref(), [1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1]);

        let group = group_row(&"g".to_owned(), &BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        assert_eq!((group.kind, group.key.as_ref()), (30, [0, 0, 0, 1, b'g'].as_ref()));
        assert_eq!(group.value.as_ref(), [1, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v']);
        let decoded = Decoded::Group("g".to_owned(), BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        assert_eq!(group.decode(), Ok(decoded));

        let own = Configs::from([("k".to_owned(), "v".to_owned())]);
        let resources: [(ConfigResource, &[u8]); 3] = [
            (ConfigResource::AllNodes, &[1]),
            (ConfigResource::Node(NodeId(7)), &[2, 0, 0, 0, 7]),
            (ConfigResource::ClientMetrics("m".to_owned()), &[3, 0, 0, 0, 1, b'm']),
        ];
        for (resource, key) in resources {
            let row = resource_row(&resource, &own);
            assert_eq!((row.kind, row.key.as_ref()), (50, key));
            assert_eq!(row.key, resource_key(&resource));
            assert_eq!(row.value.as_ref(), [1, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v']);
            assert_eq!(row.decode(), Ok(Decoded::Resource(resource, own.clone())));
        }
        let entity =
            QuotaEntity { user: Some(EntityName::Named("u".into())), client_id: Some(EntityName::Default), ip: None };
        let values = QuotaValues::from([(QuotaKey::RequestPercentage, QuotaValue::new(0.5))]);
        let quotas = client_quotas_row(&entity, &values);
        assert_eq!((quotas.kind, quotas.key.as_ref()), (40, [1, 1, 0, 0, 0, 1, b'u', 1, 0, 0].as_ref()));
        assert_eq!(quotas.value.as_ref(), [1, 0, 0, 0, 1, 3, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(quotas.decode(), Ok(Decoded::ClientQuotas(entity, values)));

        let topic = Topic { name: "t".into(), configs: BTreeMap::new() }.row(id);
        assert_eq!((topic.kind, topic.key), (20, topic_key(id)));
        assert_eq!(topic.value.as_ref(), [1, 0, 0, 0, 1, b't', 0, 0, 0, 0]);

        let cluster = Cluster { id: "c".into(), coordinator_shards: vec![] }.row();
        assert_eq!((cluster.kind, cluster.value.as_ref()), (18, [1, 0, 0, 0, 1, b'c', 0, 0, 0, 0].as_ref()));

        let node = node_row(&NodeImage { id: NodeId(1), host: "h".into(), port: 1, rack: None });
        assert_eq!((node.kind, node.key.as_ref()), (19, [0, 0, 0, 1].as_ref()));
        assert_eq!(node.value.as_ref(), [1, 0, 0, 0, 1, 0, 0, 0, 1, b'h', 0, 1, 0]);
    }

    #[test]
    fn a_snapshot_has_golden_bytes() {
        let rows = vec![Row { kind: 16, key: Bytes::new(), value: Bytes::from_static(b"v") }];
        let bytes = encode_snapshot(&rows);
        assert_eq!(bytes.as_ref(), [1, 0, 0, 0, 1, 16, 0, 0, 0, 0, 0, 0, 0, 1, b'v']);
        assert_eq!(decode_snapshot(&bytes), Ok(rows));
    }
}
