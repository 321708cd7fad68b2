//! Raft groups on the disk that no topic has any more: the node went down between the deletion of a topic and the removal of its data.

use std::collections::BTreeSet;

use caudal_metadata::ClusterImage;
use caudal_types::RaftGroupId;

/// Groups that were on the disk at the start and that no image has named yet.
///
/// After a start the image may be older than the disk: a group that it does not name may be one that it will name in a moment. Group ids are allotted
/// in rising order and never reused, so a group is certainly deleted once the image names a younger one, and not it.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(BTreeSet<RaftGroupId>);

impl Leftovers {
    pub(crate) fn new(on_disk: BTreeSet<RaftGroupId>) -> Self {
        Self(on_disk)
    }

    /// The groups that `image` shows to be deleted.
    pub(crate) fn doomed_by(&mut self, image: &ClusterImage) -> Vec<RaftGroupId> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let partitions = image.topics.values().flat_map(|topic| &topic.partitions);
        let named: BTreeSet<_> = partitions.chain(&image.coordinator_shards).map(|image| image.group).collect();
        let Some(&youngest) = named.last() else {
            return Vec::new();
        };
        self.0.retain(|group| *group != RaftGroupId::METADATA && !named.contains(group));
        let unsure = self.0.split_off(&youngest);
        std::mem::replace(&mut self.0, unsure).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use caudal_metadata::{RaftGroupImage, TopicImage};
    use caudal_types::TopicId;

    use super::*;

    fn image(partitions: &[u64], shards: &[u64]) -> ClusterImage {
        let groups = |ids: &[u64]| -> Vec<_> {
            ids.iter().map(|&id| RaftGroupImage { group: RaftGroupId(id), replicas: vec![] }).collect()
        };
        let name: Arc<str> = "t".into();
        let topic = TopicImage {
            id: TopicId::NIL,
            name: Arc::clone(&name),
            configs: Default::default(),
            partitions: groups(partitions),
        };
        ClusterImage {
            topics: [(name, Arc::new(topic))].into(),
            coordinator_shards: groups(shards),
            ..ClusterImage::default()
        }
    }

    #[test]
    fn only_what_is_certainly_deleted_goes() {
        let mut leftovers = Leftovers::new([0, 1, 2, 5, 7, 9].map(RaftGroupId).into());
        assert_eq!(leftovers.doomed_by(&ClusterImage::default()), [], "an empty image knows nothing yet");
        assert_eq!(leftovers.doomed_by(&image(&[2, 6], &[1])), [RaftGroupId(5)]);
        assert_eq!(leftovers.doomed_by(&image(&[2, 6, 7], &[1])), []);
        assert_eq!(leftovers.doomed_by(&image(&[10], &[1])), [RaftGroupId(9)], "7 was named, and is the reconciler's");
    }
}
