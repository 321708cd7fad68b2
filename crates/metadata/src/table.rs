//! The pure heart of the metadata group: `(rows, command) -> (row changes, reply)`. The rows are held as their image, which is changed in place while
//! nobody else looks at it, and copied (shallowly: topics and nodes are shared) when somebody does.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_types::{RaftGroupId, TopicId};

use crate::command::{
    Command, FormCluster, GroupConfigs, MorePartitions, NewConfigs, NewQuotas, NewTopic, Outcome, Replicas, Reply,
};
use crate::layout::Malformed;
use crate::quotas::QuotaEntity;
use crate::resources::{ConfigResource, ResourceConfigs};
use crate::rows::{
    Cluster, Counters, Decoded, Position, Row, Topic, client_quotas_row, group_row, node_row, partition_row,
    resource_row,
};
use crate::{ClusterImage, NodeImage, RaftGroupImage, TopicImage};

/// A change of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    Put(Row),
    /// A topic's row goes with the rows of all its partitions.
    DeleteTopic(TopicId),
    /// A group has no settings of its own.
    DeleteGroup(String),
    /// A node or a subscription has no settings of its own.
    DeleteResource(ConfigResource),
    /// An entity has no quotas.
    DeleteClientQuotas(QuotaEntity),
}

/// All rows of the metadata group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    image: Arc<ClusterImage>,
    counters: Counters,
    applied: u64,
}

impl Table {
    /// The truth as readers see it.
    pub(crate) fn image(&self) -> &Arc<ClusterImage> {
        &self.image
    }

    /// The last index applied.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// Notes that the log was applied up to `index`. To be called with each entry, also with Raft's own.
    pub(crate) fn advance(&mut self, index: u64) {
        self.applied = index;
    }

    /// How far the table has come, as the row that tells it.
    pub(crate) fn position_row(&self) -> Row {
        Position { applied: self.applied, version: self.image.version }.row()
    }

    /// Applies the command at `index`.
    pub(crate) fn apply(&mut self, index: u64, command: Command) -> (Vec<RowChange>, Reply) {
        self.advance(index);
        self.image_mut().version = index;
        let mut changes = Changes::default();
        let reply = match command {
            Command::RegisterNode(node) => Reply::Outcomes(vec![self.register_node(node, &mut changes)]),
            Command::CreateTopics(topics) => each(topics, |topic| self.create_topic(topic, &mut changes)),
            Command::DeleteTopics(topics) => each(topics, |topic| self.delete_topic(topic, &mut changes)),
            Command::CreatePartitions(topics) => each(topics, |more| self.create_partitions(more, &mut changes)),
            Command::AlterTopicConfigs(topics) => each(topics, |new| self.alter_configs(new, &mut changes)),
            Command::AllocateProducerIds(count) => self.allocate_producer_ids(count),
            Command::FormCluster(form) => Reply::Outcomes(vec![self.form_cluster(form, &mut changes)]),
            Command::AlterGroupConfigs(groups) => each(groups, |new| self.alter_group(new, &mut changes)),
            Command::AlterResourceConfigs(resources) => each(resources, |new| self.alter_resource(new, &mut changes)),
            Command::AlterClientQuotas(entities) => each(entities, |new| self.alter_quotas(new, &mut changes)),
        };
        changes.put(self.counters.row());
        (changes.0, reply)
    }

    fn image_mut(&mut self) -> &mut ClusterImage {
        Arc::make_mut(&mut self.image)
    }

    fn register_node(&mut self, node: NodeImage, changes: &mut Changes) -> Outcome {
        changes.put(node_row(&node));
        self.image_mut().nodes.insert(node.id, Arc::new(node));
        Outcome::Done
    }

    fn form_cluster(&mut self, form: FormCluster, changes: &mut Changes) -> Outcome {
        if self.image.is_formed() {
            return Outcome::Exists;
        }
        let coordinator_shards = self.allot_groups(form.shards);
        let image = self.image_mut();
        image.cluster_id = form.cluster_id;
        image.coordinator_shards = coordinator_shards;
        changes.put(cluster_row(image));
        Outcome::Done
    }

    fn create_topic(&mut self, topic: NewTopic, changes: &mut Changes) -> Outcome {
        // By an earlier try of the same wish, of which nobody knew what would become when it was tried again.
        if self.image.topic_by_id(topic.id).is_some_and(|made| *made.name == *topic.name) {
            return Outcome::Done;
        }
        if self.image.topics.contains_key(topic.name.as_str()) || self.image.topic_names.contains_key(&topic.id) {
            return Outcome::Exists;
        }
        let partitions = self.allot_groups(topic.partitions);
        let topic = TopicImage { id: topic.id, name: topic.name.into(), configs: topic.configs, partitions };
        changes.put(topic_row(&topic));
        changes.put_partitions(&topic, 0);
        self.insert(topic);
        Outcome::Done
    }

    fn delete_topic(&mut self, id: TopicId, changes: &mut Changes) -> Outcome {
        if !self.image.topic_names.contains_key(&id) {
            return Outcome::Unknown;
        }
        let image = self.image_mut();
        if let Some(name) = image.topic_names.remove(&id) {
            image.topics.remove(&name);
        }
        changes.0.push(RowChange::DeleteTopic(id));
        Outcome::Done
    }

    fn create_partitions(&mut self, more: MorePartitions, changes: &mut Changes) -> Outcome {
        let Some(topic) = self.image.topic_by_id(more.topic) else {
            return Outcome::Unknown;
        };
        let from = more.from as usize;
        if topic.partitions.len() != from {
            return Outcome::Changed;
        }
        let mut topic = TopicImage::clone(topic);
        topic.partitions.extend(self.allot_groups(more.partitions));
        changes.put_partitions(&topic, from);
        self.insert(topic);
        Outcome::Done
    }

    fn alter_configs(&mut self, new: NewConfigs, changes: &mut Changes) -> Outcome {
        let Some(topic) = self.image.topic_by_id(new.topic) else {
            return Outcome::Unknown;
        };
        let mut topic = TopicImage::clone(topic);
        if new.replace {
            topic.configs.clear();
        }
        for (key, value) in new.changes {
            match value {
                Some(value) => topic.configs.insert(key, value),
                None => topic.configs.remove(&key),
            };
        }
        changes.put(topic_row(&topic));
        self.insert(topic);
        Outcome::Done
    }

    fn alter_group(&mut self, new: GroupConfigs, changes: &mut Changes) -> Outcome {
        let groups = &mut self.image_mut().group_configs;
        if new.configs.is_empty() {
            groups.remove(new.group.as_str());
            changes.0.push(RowChange::DeleteGroup(new.group));
        } else {
            changes.put(group_row(&new.group, &new.configs));
            groups.insert(new.group.into(), new.configs);
        }
        Outcome::Done
    }

    fn alter_resource(&mut self, new: ResourceConfigs, changes: &mut Changes) -> Outcome {
        if new.configs.is_empty() {
            changes.0.push(RowChange::DeleteResource(new.resource.clone()));
        } else {
            changes.put(resource_row(&new.resource, &new.configs));
        }
        self.image_mut().resources.set(new.resource, new.configs);
        Outcome::Done
    }

    fn alter_quotas(&mut self, new: NewQuotas, changes: &mut Changes) -> Outcome {
        if new.values.is_empty() {
            changes.0.push(RowChange::DeleteClientQuotas(new.entity.clone()));
        } else {
            changes.put(client_quotas_row(&new.entity, &new.values));
        }
        Arc::make_mut(&mut self.image_mut().client_quotas).set(new.entity, new.values);
        Outcome::Done
    }

    fn allocate_producer_ids(&mut self, count: u32) -> Reply {
        let first = self.counters.next_producer_id;
        let next = first.checked_add(i64::from(count));
        Reply::ProducerIds(next.map(|next| {
            self.counters.next_producer_id = next;
            first
        }))
    }

    fn allot_groups(&mut self, replicas: Vec<Replicas>) -> Vec<RaftGroupImage> {
        let allot = |replicas| {
            let group = RaftGroupId(self.counters.next_group);
            self.counters.next_group += 1;
            RaftGroupImage { group, replicas }
        };
        replicas.into_iter().map(allot).collect()
    }

    fn insert(&mut self, topic: TopicImage) {
        let image = self.image_mut();
        image.topic_names.insert(topic.id, Arc::clone(&topic.name));
        image.topics.insert(Arc::clone(&topic.name), Arc::new(topic));
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut changes = Changes::default();
        changes.put(self.position_row());
        changes.put(self.counters.row());
        if self.image.is_formed() {
            changes.put(cluster_row(&self.image));
        }
        for node in self.image.nodes.values() {
            changes.put(node_row(node));
        }
        for (group, configs) in &self.image.group_configs {
            changes.put(group_row(&group.to_string(), configs));
        }
        for (resource, configs) in self.image.resources.all() {
            changes.put(resource_row(&resource, configs));
        }
        for (entity, values) in self.image.client_quotas.iter() {
            changes.put(client_quotas_row(entity, values));
        }
        for topic in self.image.topics.values() {
            changes.put(topic_row(topic));
            changes.put_partitions(topic, 0);
        }
        changes
            .0
            .into_iter()
            .filter_map(|change| if let RowChange::Put(row) = change { Some(row) } else { None })
            .collect()
    }

    /// The table with these rows; their order does not matter.
    ///
    /// # Errors
    /// When a row cannot be decoded, or rows contradict each other.
    pub(crate) fn from_rows(rows: impl IntoIterator<Item = Row>) -> Result<Self, Malformed> {
        let mut table = Self::default();
        let mut image = ClusterImage::default();
        let mut topics: BTreeMap<TopicId, TopicImage> = BTreeMap::new();
        let mut partitions = BTreeMap::new();
        for row in rows {
            match row.decode()? {
                Decoded::Position(position) => {
                    table.applied = position.applied;
                    image.version = position.version;
                }
                Decoded::Counters(counters) => table.counters = counters,
                Decoded::Cluster(cluster) => {
                    image.cluster_id = cluster.id;
                    image.coordinator_shards = cluster.coordinator_shards;
                }
                Decoded::Node(node) => {
                    image.nodes.insert(node.id, Arc::new(node));
                }
                Decoded::Group(group, configs) => {
                    image.group_configs.insert(group.into(), configs);
                }
                Decoded::Resource(resource, configs) => image.resources.set(resource, configs),
                Decoded::ClientQuotas(entity, values) => {
                    Arc::make_mut(&mut image.client_quotas).set(entity, values);
                }
                Decoded::Topic(id, Topic { name, configs }) => {
                    topics.insert(id, TopicImage { id, name: name.into(), configs, partitions: Vec::new() });
                }
                Decoded::Partition(id, number, partition) => {
                    partitions.insert((id, number), partition);
                }
            }
        }
        for ((id, number), partition) in partitions {
            let topic = topics.get_mut(&id).ok_or(Malformed::Broken("a partition has no topic"))?;
            if topic.partitions.len() != number as usize {
                return Err(Malformed::Broken("a topic lacks a partition"));
            }
            topic.partitions.push(partition);
        }
        table.image = Arc::new(image);
        for topic in topics.into_values() {
            table.insert(topic);
        }
        Ok(table)
    }
}

fn each<T>(items: Vec<T>, apply: impl FnMut(T) -> Outcome) -> Reply {
    Reply::Outcomes(items.into_iter().map(apply).collect())
}

fn cluster_row(image: &ClusterImage) -> Row {
    Cluster { id: image.cluster_id.clone(), coordinator_shards: image.coordinator_shards.clone() }.row()
}

fn topic_row(topic: &TopicImage) -> Row {
    Topic { name: topic.name.to_string(), configs: topic.configs.clone() }.row(topic.id)
}

#[derive(Default)]
struct Changes(Vec<RowChange>);

impl Changes {
    fn put(&mut self, row: Row) {
        self.0.push(RowChange::Put(row));
    }

    fn put_partitions(&mut self, topic: &TopicImage, from: usize) {
        for (number, partition) in (0_u32..).zip(&topic.partitions).skip(from) {
            self.put(partition_row(topic.id, number, partition));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use caudal_types::NodeId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::command::tests::command;
    use crate::rows::{
        CLIENT_QUOTAS, GROUP, PARTITION, RESOURCE, TOPIC, client_quotas_key, group_key, resource_key, topic_key,
    };

    fn topic(id: u128, name: &str, partitions: usize) -> NewTopic {
        NewTopic {
            id: TopicId(Uuid::from_u128(id)),
            name: name.to_owned(),
            configs: BTreeMap::new(),
            partitions: vec![vec![NodeId(1), NodeId(2)]; partitions],
        }
    }

    fn outcomes(reply: Reply) -> Vec<Outcome> {
        match reply {
            Reply::Outcomes(outcomes) => outcomes,
            Reply::ProducerIds(first) => panic!("producer ids from {first:?}"),
        }
    }

    /// What the engine does with changes.
    fn store(rows: &mut BTreeMap<(u8, Bytes), Bytes>, changes: Vec<RowChange>) {
        for change in changes {
            match change {
                RowChange::Put(row) => {
                    rows.insert((row.kind, row.key), row.value);
                }
                RowChange::DeleteGroup(group) => {
                    rows.remove(&(GROUP, group_key(&group)));
                }
                RowChange::DeleteResource(resource) => {
                    rows.remove(&(RESOURCE, resource_key(&resource)));
                }
                RowChange::DeleteClientQuotas(entity) => {
                    rows.remove(&(CLIENT_QUOTAS, client_quotas_key(&entity)));
                }
                RowChange::DeleteTopic(id) => rows
                    .retain(|(kind, key), _| !matches!(*kind, TOPIC | PARTITION) || !key.starts_with(&topic_key(id))),
            }
        }
    }

    fn sorted(table: &Table) -> BTreeMap<(u8, Bytes), Bytes> {
        table.rows().into_iter().map(|row| ((row.kind, row.key), row.value)).collect()
    }

    fn groups(image: &ClusterImage) -> Vec<u64> {
        let topics = image.topics.values().flat_map(|topic| &topic.partitions);
        topics.chain(&image.coordinator_shards).map(|partition| partition.group.0).collect()
    }

    proptest! {
        /// The row changes tell exactly what the image tells; a restart finds the same image; group ids are never given twice.
        #[test]
        fn rows_and_image_agree(commands in vec(command(), 0..40)) {
            let mut table = Table::default();
            let mut rows = BTreeMap::new();
            let mut given = BTreeSet::new();
            let mut known = BTreeSet::new();
            for (index, command) in (1..).zip(commands) {
                let (changes, reply) = table.apply(index, command);
                store(&mut rows, changes);
                store(&mut rows, vec![RowChange::Put(table.position_row())]);
                prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
                let now: BTreeSet<u64> = groups(table.image()).into_iter().collect();
                prop_assert_eq!(now.len(), groups(table.image()).len());
                for group in now.difference(&known) {
                    prop_assert!(*group > 0 && given.insert(*group), "group {} was given twice", group);
                }
                known = now;
            }
            if !rows.is_empty() {
                prop_assert_eq!(&rows, &sorted(&table));
            }
            let reopened = Table::from_rows(table.rows()).unwrap();
            prop_assert_eq!(sorted(&reopened), sorted(&table));
            prop_assert_eq!(reopened.image().version, table.image().version);
            prop_assert_eq!(&reopened.image().topics, &table.image().topics);
            prop_assert_eq!(&reopened.image().topic_names, &table.image().topic_names);
            prop_assert_eq!(&reopened.image().nodes, &table.image().nodes);
            prop_assert_eq!(&reopened.image().resources, &table.image().resources);
            prop_assert_eq!(&reopened.image().client_quotas, &table.image().client_quotas);
        }
    }

    #[test]
    fn a_topic_is_created_once() {
        let mut table = Table::default();
        let (_, reply) =
            table.apply(1, Command::CreateTopics(vec![topic(1, "a", 2), topic(2, "a", 1), topic(3, "b", 1)]));
        assert_eq!(outcomes(reply), [Outcome::Done, Outcome::Exists, Outcome::Done]);
        let image = table.image();
        assert_eq!(image.topic("a").unwrap().partitions[1].group, RaftGroupId(2));
        assert_eq!(image.topic("b").unwrap().partitions[0].group, RaftGroupId(3));
        assert_eq!(image.topic_by_id(TopicId(Uuid::from_u128(2))), None);
    }

    #[test]
    fn a_topic_that_an_earlier_try_has_made_is_no_other() {
        let mut table = Table::default();
        table.apply(1, Command::CreateTopics(vec![topic(1, "a", 2)]));
        let made = table.image().topic("a").unwrap().clone();
        let (_, reply) = table.apply(2, Command::CreateTopics(vec![topic(1, "a", 2), topic(1, "b", 1)]));
        assert_eq!(outcomes(reply), [Outcome::Done, Outcome::Exists]);
        assert_eq!((table.image().topic("a"), table.image().topic("b")), (Some(&made), None));
    }

    #[test]
    fn groups_of_a_deleted_topic_are_not_given_again() {
        let mut table = Table::default();
        table.apply(1, Command::CreateTopics(vec![topic(1, "a", 2)]));
        let (changes, reply) = table.apply(2, Command::DeleteTopics(vec![topic(1, "a", 1).id, topic(9, "x", 1).id]));
        assert_eq!(outcomes(reply), [Outcome::Done, Outcome::Unknown]);
        assert!(changes.contains(&RowChange::DeleteTopic(topic(1, "a", 1).id)));
        table.apply(3, Command::CreateTopics(vec![topic(2, "a", 1)]));
        assert_eq!(table.image().topic("a").unwrap().partitions[0].group, RaftGroupId(3));
        let mut reopened = Table::from_rows(table.rows()).unwrap();
        reopened.apply(4, Command::CreateTopics(vec![topic(3, "b", 1)]));
        assert_eq!(reopened.image().topic("b").unwrap().partitions[0].group, RaftGroupId(4));
    }

    #[test]
    fn partitions_are_added_to_what_the_leader_saw() {
        let mut table = Table::default();
        table.apply(1, Command::CreateTopics(vec![topic(1, "a", 1)]));
        let more = |from| MorePartitions { topic: topic(1, "a", 1).id, from, partitions: vec![vec![NodeId(3)]] };
        let (_, reply) = table.apply(2, Command::CreatePartitions(vec![more(1), more(1)]));
        assert_eq!(outcomes(reply), [Outcome::Done, Outcome::Changed]);
        assert_eq!(table.image().topic("a").unwrap().partitions.len(), 2);
    }

    #[test]
    fn settings_are_amended_or_replaced() {
        let mut table = Table::default();
        table.apply(1, Command::CreateTopics(vec![topic(1, "a", 1)]));
        let mut alter = |index, replace, changes: &[(&str, Option<&str>)]| {
            let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
            let new = NewConfigs { topic: topic(1, "a", 1).id, replace, changes };
            table.apply(index, Command::AlterTopicConfigs(vec![new]));
            table.image().topic("a").unwrap().configs.clone()
        };
        assert_eq!(alter(2, false, &[("k", Some("1")), ("l", Some("2"))]).len(), 2);
        assert_eq!(alter(3, false, &[("k", None)]), BTreeMap::from([("l".to_owned(), "2".to_owned())]));
        assert_eq!(alter(4, true, &[("m", Some("3"))]), BTreeMap::from([("m".to_owned(), "3".to_owned())]));
    }

    #[test]
    fn a_cluster_is_formed_once() {
        let mut table = Table::default();
        let form = |id: &str| {
            Command::FormCluster(FormCluster { cluster_id: id.to_owned(), shards: vec![vec![NodeId(1)]; 2] })
        };
        assert_eq!(outcomes(table.apply(1, form("one")).1), [Outcome::Done]);
        assert_eq!(outcomes(table.apply(2, form("two")).1), [Outcome::Exists]);
        assert_eq!((table.image().cluster_id.as_str(), table.image().coordinator_shards.len()), ("one", 2));
    }

    #[test]
    fn producer_ids_come_in_blocks_until_there_are_none() {
        let mut table = Table::default();
        assert_eq!(table.apply(1, Command::AllocateProducerIds(1000)).1, Reply::ProducerIds(Some(0)));
        assert_eq!(table.apply(2, Command::AllocateProducerIds(1000)).1, Reply::ProducerIds(Some(1000)));
        table.counters.next_producer_id = i64::MAX - 5;
        assert_eq!(table.apply(3, Command::AllocateProducerIds(1000)).1, Reply::ProducerIds(None));
    }

    #[test]
    fn images_that_readers_hold_do_not_change_and_share_what_stays() {
        let mut table = Table::default();
        table.apply(1, Command::CreateTopics(vec![topic(1, "a", 1)]));
        let before = Arc::clone(table.image());
        table.apply(2, Command::CreateTopics(vec![topic(2, "b", 1)]));
        assert_eq!((before.version, before.topics.len()), (1, 1));
        assert!(Arc::ptr_eq(before.topic("a").unwrap(), table.image().topic("a").unwrap()));
    }

    #[test]
    fn contradicting_rows_are_refused() {
        let mut table = Table::default();
        table.apply(1, Command::CreateTopics(vec![topic(1, "a", 3)]));
        let without = |kind, nth| {
            let mut rows = table.rows();
            let position = (0..rows.len()).filter(|at| rows[*at].kind == kind).nth(nth).unwrap();
            rows.remove(position);
            Table::from_rows(rows).unwrap_err()
        };
        assert_eq!(without(PARTITION, 1), Malformed::Broken("a topic lacks a partition"));
        assert_eq!(without(TOPIC, 0), Malformed::Broken("a partition has no topic"));
    }
}
