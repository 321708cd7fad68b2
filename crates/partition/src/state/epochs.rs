//! Which leader epoch begins at which offset (KIP-101).

use std::sync::Arc;

use caudal_types::limits::PARTITION_EPOCHS_MAX;
use caudal_types::{LeaderEpoch, Offset};

/// The first offset of an epoch's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) start: Offset,
}

/// What a change did, so that the rows can follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochChange {
    pub(crate) removed: Vec<LeaderEpoch>,
    pub(crate) added: Option<EpochStart>,
}

/// The epochs of a log, ascending in both epoch and start. Cloned cheaply for readers; copied on a change, which is rare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Arc<Vec<EpochStart>>);

impl Epochs {
    pub(crate) fn new(mut starts: Vec<EpochStart>) -> Self {
        starts.sort_unstable_by_key(|entry| entry.epoch);
        Self(Arc::new(starts))
    }

    pub(crate) fn starts(&self) -> &[EpochStart] {
        &self.0
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|entry| entry.epoch)
    }

    /// The epoch under which `offset` was (or would be) appended.
    pub(crate) fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.0.partition_point(|entry| entry.start <= offset);
        after.checked_sub(1).map(|at| self.0[at].epoch)
    }

    /// Begins `epoch` at `start` unless it has begun. Epochs that got no records make room.
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, start: Offset) -> Option<EpochChange> {
        if self.latest().is_some_and(|latest| latest >= epoch) {
            return None;
        }
        let starts = Arc::make_mut(&mut self.0);
        let kept = starts.partition_point(|entry| entry.start < start);
        let mut removed: Vec<_> = starts.drain(kept..).map(|entry| entry.epoch).collect();
        let added = EpochStart { epoch, start };
        starts.push(added);
        if starts.len() > PARTITION_EPOCHS_MAX {
            removed.push(starts.remove(0).epoch);
        }
        Some(EpochChange { removed, added: Some(added) })
    }

    /// Forgets epochs that end at or before `log_start`; the one that holds it begins there now.
    pub(crate) fn advance_start(&mut self, log_start: Offset) -> Option<EpochChange> {
        let first = self.0.first().copied()?;
        if first.start >= log_start {
            return None;
        }
        let starts = Arc::make_mut(&mut self.0);
        let holding = starts.partition_point(|entry| entry.start <= log_start).saturating_sub(1);
        let removed = starts.drain(..holding).map(|entry| entry.epoch).collect();
        let added = EpochStart { epoch: starts[0].epoch, start: log_start };
        starts[0] = added;
        Some(EpochChange { removed, added: Some(added) })
    }

    /// Where the records of `epoch` end, as Kafka's brokers answer it: `(-1, -1)` for an epoch that is not known yet; for one older than all that are
    /// known, itself and the log's first start.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        if epoch >= 0 && self.latest() == Some(epoch) {
            return (epoch, log_end);
        }
        let above = self.0.partition_point(|entry| entry.epoch <= epoch);
        match (epoch < 0, self.0.get(above)) {
            (true, _) | (false, None) => (-1, -1),
            (false, Some(higher)) => {
                let floor = above.checked_sub(1).map_or(epoch, |at| self.0[at].epoch);
                (floor, higher.start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(pairs: &[(LeaderEpoch, Offset)]) -> Epochs {
        Epochs::new(pairs.iter().map(|&(epoch, start)| EpochStart { epoch, start }).collect())
    }

    #[test]
    fn an_epoch_without_records_makes_room() {
        let mut table = epochs(&[(1, 0), (2, 10), (3, 20)]);
        assert_eq!(table.begin(3, 25), None);
        let change = table.begin(5, 20).unwrap();
        assert_eq!(change, EpochChange { removed: vec![3], added: Some(EpochStart { epoch: 5, start: 20 }) });
        assert_eq!(table, epochs(&[(1, 0), (2, 10), (5, 20)]));
    }

    #[test]
    fn ends_are_kafkas() {
        let table = epochs(&[(2, 5), (3, 10), (7, 20)]);
        assert_eq!(table.end_of(-1, 30), (-1, -1));
        assert_eq!(table.end_of(7, 30), (7, 30));
        assert_eq!(table.end_of(8, 30), (-1, -1));
        assert_eq!(table.end_of(3, 30), (3, 20));
        assert_eq!(table.end_of(5, 30), (3, 20));
        assert_eq!(table.end_of(2, 30), (2, 10));
        assert_eq!(table.end_of(1, 30), (1, 5), "older than all that are known");
        assert_eq!(epochs(&[]).end_of(0, 0), (-1, -1));
    }

    #[test]
    fn the_start_advances_into_an_epoch() {
        let mut table = epochs(&[(1, 0), (2, 10), (5, 20)]);
        assert_eq!(table.advance_start(0), None);
        let change = table.advance_start(15).unwrap();
        assert_eq!(change, EpochChange { removed: vec![1], added: Some(EpochStart { epoch: 2, start: 15 }) });
        assert_eq!(table, epochs(&[(2, 15), (5, 20)]));
        assert_eq!(table.epoch_of(14), None);
        assert_eq!(table.epoch_of(19), Some(2));
        assert_eq!(table.epoch_of(20), Some(5));
        table.advance_start(99);
        assert_eq!(table, epochs(&[(5, 99)]));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Epochs::default();
        for epoch in 0..=PARTITION_EPOCHS_MAX {
            table.begin(i32::try_from(epoch).unwrap(), i64::try_from(epoch).unwrap());
        }
        assert_eq!(table.starts().len(), PARTITION_EPOCHS_MAX);
        assert_eq!(table.starts()[0].epoch, 1);
    }
}
