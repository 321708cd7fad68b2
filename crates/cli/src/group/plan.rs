//! Which offset a group shall have in a partition: pure.

use caudal_client::OffsetSpec;

/// Where to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Earliest,
    Latest,
    /// This very offset.
    Offset(i64),
    /// So much further than what is committed.
    Shift(i64),
    /// The first record of this time or later, in milliseconds since 1970.
    Time(i64),
    /// What is committed, or the end where nothing is.
    Current,
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) earliest: i64,
    pub(super) latest: i64,
    pub(super) committed: Option<i64>,
    /// What was found by time; none: no record is so late.
    pub(super) by_time: Option<i64>,
}

/// The new offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct New {
    pub(super) offset: i64,
    /// What was asked for is not in the partition: the nearest offset that is was taken.
    pub(super) clipped: bool,
}

impl Target {
    /// What has to be looked up besides the first offset and the end.
    pub(super) fn by_time(self) -> Option<OffsetSpec> {
        match self {
            Self::Time(time) => Some(OffsetSpec::Timestamp(time)),
            _ => None,
        }
    }

    /// The new offset in a partition; none if it cannot be told because nothing is committed.
    pub(super) fn apply(self, known: Known) -> Option<New> {
        let wanted = match self {
            Self::Earliest => known.earliest,
            Self::Latest => known.latest,
            Self::Offset(offset) => offset,
            Self::Shift(by) => known.committed?.saturating_add(by),
            Self::Time(_) => known.by_time.unwrap_or(known.latest),
            Self::Current => known.committed.unwrap_or(known.latest),
        };
        let offset = wanted.min(known.latest).max(known.earliest);
        Some(New { offset, clipped: offset != wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known { earliest: 10, latest: 100, committed: Some(40), by_time: Some(55) };

    fn offset(target: Target, known: Known) -> Option<(i64, bool)> {
        target.apply(known).map(|new| (new.offset, new.clipped))
    }

    #[test]
    fn each_target_means_an_offset() {
        for (target, expected) in [
            (Target::Earliest, 10),
            (Target::Latest, 100),
            (Target::Offset(77), 77),
            (Target::Shift(-5), 35),
            (Target::Shift(60), 100),
            (Target::Time(0), 55),
            (Target::Current, 40),
        ] {
            assert_eq!(offset(target, KNOWN), Some((expected, false)), "{target:?}");
        }
    }

    #[test]
    fn offsets_outside_are_brought_inside() {
        for (target, expected) in [
            (Target::Offset(0), 10),
            (Target::Offset(101), 100),
            (Target::Shift(i64::MAX), 100),
            (Target::Shift(i64::MIN), 10),
        ] {
            assert_eq!(offset(target, KNOWN), Some((expected, true)), "{target:?}");
        }
        let gone = Known { committed: Some(3), ..KNOWN };
        assert_eq!(offset(Target::Current, gone), Some((10, true)));
    }

    #[test]
    fn what_is_missing_is_the_end_or_no_answer() {
        let nothing = Known { committed: None, by_time: None, ..KNOWN };
        assert_eq!(offset(Target::Time(0), nothing), Some((100, false)));
        assert_eq!(offset(Target::Current, nothing), Some((100, false)));
        assert_eq!(offset(Target::Shift(1), nothing), None);
    }
}
