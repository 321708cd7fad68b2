//! The committed offsets of one group in one topic, packed: a coordinator may hold millions of them.

use caudal_types::{LeaderEpoch, Offset, TimestampMs, TopicId};

use crate::rows::OffsetRow;

/// Rows by partition. A sorted list takes a third of what a tree of whole rows does; a row is put in its middle once for each partition, and only changed
/// from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicOffsets(Vec<Packed>);

/// An [`OffsetRow`] and its partition, in 48 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packed {
    offset: Offset,
    committed_at: TimestampMs,
    rare: Option<Box<Rare>>,
    topic_id: TopicId,
    leader_epoch: LeaderEpoch,
    partition: i32,
}

/// What most commits do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rare {
    expires_at: Option<TimestampMs>,
    metadata: Box<str>,
}

/// What is looked at in a row to see whether it has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) partition: i32,
    pub(crate) committed_at: TimestampMs,
    pub(crate) expires_at: Option<TimestampMs>,
    pub(crate) topic_id: TopicId,
}

impl TopicOffsets {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, partition: i32) -> Option<OffsetRow> {
        self.find(partition).ok().map(|at| self.0[at].row())
    }

    pub(super) fn stamp(&self, partition: i32) -> Option<Stamp> {
        self.find(partition).ok().map(|at| self.0[at].stamp())
    }

    /// What there is, in the order of partitions.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> {
        self.0.iter().map(Packed::stamp)
    }

    /// Rows with their partitions, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, OffsetRow)> {
        self.0.iter().map(|packed| (packed.partition, packed.row()))
    }

    /// Puts a row, and answers the one before.
    pub(super) fn insert(&mut self, partition: i32, row: OffsetRow) -> Option<OffsetRow> {
        let packed = Packed::new(partition, row);
        match self.find(partition) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at], packed).into_row()),
            Err(at) => {
                self.0.insert(at, packed);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, partition: i32) -> Option<OffsetRow> {
        self.find(partition).ok().map(|at| self.0.remove(at).into_row())
    }

    fn find(&self, partition: i32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&partition, |packed| packed.partition)
    }
}

impl Packed {
    fn new(partition: i32, row: OffsetRow) -> Self {
        let OffsetRow { offset, leader_epoch, committed_at, expires_at, topic_id, metadata } = row;
        let is_rare = expires_at.is_some() || !metadata.is_empty();
        let rare = is_rare.then(|| Box::new(Rare { expires_at, metadata }));
        Self { offset, committed_at, rare, topic_id, leader_epoch, partition }
    }

    fn row(&self) -> OffsetRow {
        let metadata = self.rare.as_ref().map(|rare| rare.metadata.clone());
        self.row_with(metadata.unwrap_or_default())
    }

    fn into_row(mut self) -> OffsetRow {
        let metadata = self.rare.as_mut().map(|rare| std::mem::take(&mut rare.metadata));
        self.row_with(metadata.unwrap_or_default())
    }

    fn row_with(&self, metadata: Box<str>) -> OffsetRow {
        OffsetRow {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            committed_at: self.committed_at,
            expires_at: self.stamp().expires_at,
            topic_id: self.topic_id,
            metadata,
        }
    }

    fn stamp(&self) -> Stamp {
        let expires_at = self.rare.as_ref().and_then(|rare| rare.expires_at);
        Stamp { partition: self.partition, committed_at: self.committed_at, expires_at, topic_id: self.topic_id }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_row_takes_48_bytes() {
        assert_eq!(size_of::<Packed>(), 48);
    }

    prop_compose! {
        fn any_row()(
            (offset, leader_epoch, committed_at, id) in any::<(i64, i32, i64, u128)>(),
            expires_at in any::<Option<i64>>(),
            metadata in ".{0,3}",
        ) -> OffsetRow {
            let topic_id = TopicId(Uuid::from_u128(id));
            OffsetRow { offset, leader_epoch, committed_at, expires_at, topic_id, metadata: metadata.into() }
        }
    }

    proptest! {
        #[test]
        fn they_are_a_map(changes in prop::collection::vec((0..20, prop::option::of(any_row())), 0..60)) {
            let (mut offsets, mut map) = (TopicOffsets::default(), BTreeMap::new());
            for (partition, row) in changes {
                match row {
                    Some(row) => prop_assert_eq!(offsets.insert(partition, row.clone()), map.insert(partition, row)),
                    None => prop_assert_eq!(offsets.remove(partition), map.remove(&partition)),
                }
                prop_assert_eq!(offsets.get(partition), map.get(&partition).cloned());
                prop_assert_eq!((offsets.len(), offsets.is_empty()), (map.len(), map.is_empty()));
            }
            let stamp = |(&partition, row): (&i32, &OffsetRow)| {
                let OffsetRow { committed_at, expires_at, topic_id, .. } = *row;
                Stamp { partition, committed_at, expires_at, topic_id }
            };
            prop_assert!(offsets.stamps().eq(map.iter().map(stamp)));
            for partition in 0..20 {
                let expected = map.get_key_value(&partition).map(stamp);
                prop_assert_eq!(offsets.stamp(partition), expected);
            }
            prop_assert!(offsets.iter().eq(map));
        }
    }
}
