//! The open replicas of this node, by topic.

use std::collections::HashMap;
use std::sync::Arc;

use caudal_types::{RaftGroupId, TopicId};
use parking_lot::RwLock;

use crate::Partition;

#[derive(Debug, Default)]
struct Tables {
    by_id: HashMap<TopicId, HashMap<i32, Arc<Partition>>>,
    /// A topic that was deleted and made again has a new id under its old name.
    ids: HashMap<Arc<str>, TopicId>,
    by_group: HashMap<RaftGroupId, Arc<Partition>>,
}

/// The open replicas; looked up by every request, changed rarely.
#[derive(Debug, Default)]
pub(crate) struct Directory(RwLock<Tables>);

impl Directory {
    pub(crate) fn get(&self, topic: TopicId, partition: i32) -> Option<Arc<Partition>> {
        self.0.read().by_id.get(&topic)?.get(&partition).cloned()
    }

    pub(crate) fn get_by_name(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let tables = self.0.read();
        tables.by_id.get(tables.ids.get(topic)?)?.get(&partition).cloned()
    }

    pub(crate) fn by_group(&self, group: RaftGroupId) -> Option<Arc<Partition>> {
        self.0.read().by_group.get(&group).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.0.read().by_group.values().cloned().collect()
    }

    pub(crate) fn insert(&self, partition: Arc<Partition>) {
        let mut tables = self.0.write();
        let (topic, name) = (partition.topic_id(), partition.name());
        tables.ids.insert(Arc::clone(&name.topic), topic);
        tables.by_id.entry(topic).or_default().insert(name.partition, Arc::clone(&partition));
        tables.by_group.insert(partition.group(), partition);
    }

    pub(crate) fn remove(&self, group: RaftGroupId) {
        let mut tables = self.0.write();
        let Some(partition) = tables.by_group.remove(&group) else {
            return;
        };
        let (topic, name) = (partition.topic_id(), partition.name());
        let Some(siblings) = tables.by_id.get_mut(&topic) else {
            return;
        };
        siblings.remove(&name.partition);
        if siblings.is_empty() {
            tables.by_id.remove(&topic);
            if tables.ids.get(&name.topic) == Some(&topic) {
                tables.ids.remove(&name.topic);
            }
        }
    }
}
