//! The messages between nodes (`Service::Leaders`), with their layouts.

use bytes::Bytes;
use caudal_types::{LeaderEpoch, RaftGroupId};

use crate::command::tagged;
use crate::layout::{Layout, Malformed, Reader, decode, encode, layout};

const VERSION: u8 = 1;

/// A node's word about its own leadership of a Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) group: RaftGroupId,
    pub(crate) epoch: LeaderEpoch,
    /// Whether it leads in that epoch, or does no longer.
    pub(crate) leads: bool,
}
layout!(Claim { group, epoch, leads });

/// What a node leads, or what changed since its last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Drawn anew whenever the sender starts.
    pub(crate) incarnation: u64,
    /// Grows with each message of an incarnation.
    pub(crate) sequence: u64,
    /// The sender leads nothing but what is claimed here.
    pub(crate) full: bool,
    pub(crate) claims: Vec<Claim>,
}
layout!(Announcement { incarnation, sequence, full, claims });

/// Asks for an answer as soon as the receiver's image has come to a version, and the receiver knows the leaders of some groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) version: u64,
    /// How long to wait at most, in milliseconds.
    pub(crate) within_ms: u32,
    /// Runs of groups: the first and how many.
    pub(crate) groups: Vec<(RaftGroupId, u32)>,
}
layout!(Sync { version, within_ms, groups });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Announce(Announcement),
    Sync(Sync),
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The announcement is taken.
    Taken,
    /// The announcement lacks what came before it: send everything.
    SendAll,
    /// The image and the leaders are there.
    Synced,
    /// They did not come in time.
    NotYet,
    /// The message cannot be read.
    Refused,
}

impl Layout for Message {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Announce(announcement) => tagged(1, announcement, to),
            Self::Sync(sync) => tagged(2, sync, to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            1 => Layout::get(from).map(Self::Announce),
            2 => Layout::get(from).map(Self::Sync),
            other => Err(Malformed::Kind(other, "message about leaders")),
        }
    }
}

impl Layout for Answer {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Taken => 1_u8.put(to),
            Self::SendAll => 2_u8.put(to),
            Self::Synced => 3_u8.put(to),
            Self::NotYet => 4_u8.put(to),
            Self::Refused => 5_u8.put(to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            1 => Ok(Self::Taken),
            2 => Ok(Self::SendAll),
            3 => Ok(Self::Synced),
            4 => Ok(Self::NotYet),
            5 => Ok(Self::Refused),
            other => Err(Malformed::Kind(other, "answer about leaders")),
        }
    }
}

impl Message {
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

/// The groups as runs.
pub(crate) fn runs(groups: &[RaftGroupId]) -> Vec<(RaftGroupId, u32)> {
    let mut runs: Vec<(RaftGroupId, u32)> = Vec::new();
    for group in groups {
        match runs.last_mut() {
            Some((first, count)) if first.0 + u64::from(*count) == group.0 => *count += 1,
            _ => runs.push((*group, 1)),
        }
    }
    runs
}

/// The groups of runs; `None` when there are more than `most`.
pub(crate) fn groups_of(runs: &[(RaftGroupId, u32)], most: usize) -> Option<Vec<RaftGroupId>> {
    let total = runs.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
    if usize::try_from(total).ok()? > most {
        return None;
    }
    let run = |(first, count): &(RaftGroupId, u32)| {
        let first = first.0;
        (0..u64::from(*count)).map(move |offset| RaftGroupId(first.saturating_add(offset)))
    };
    Some(runs.iter().flat_map(run).collect())
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_survive_the_round_trip(
            incarnation: u64, sequence: u64, full: bool,
            claims in vec((any::<u64>(), any::<i32>(), any::<bool>()), 0..5),
            groups in vec((any::<u64>(), any::<u32>()), 0..4), within_ms: u32,
        ) {
            let claim = |(group, epoch, leads)| Claim { group: RaftGroupId(group), epoch, leads };
            let claims = claims.into_iter().map(claim).collect();
            let announce = Message::Announce(Announcement { incarnation, sequence, full, claims });
            prop_assert_eq!(Message::decode(&announce.encode()), Ok(announce));
            let groups = groups.into_iter().map(|(group, count)| (RaftGroupId(group), count)).collect();
            let sync = Message::Sync(Sync { version: sequence, within_ms, groups });
            prop_assert_eq!(Message::decode(&sync.encode()), Ok(sync));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in vec(any::<u8>(), 0..60)) {
            let _ = Message::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }

        #[test]
        fn runs_name_the_same_groups(groups in btree_set(0..200_u64, 0..60)) {
            let groups: Vec<RaftGroupId> = groups.into_iter().map(RaftGroupId).collect();
            prop_assert_eq!(groups_of(&runs(&groups), 200), Some(groups));
        }
    }

    #[test]
    fn messages_have_golden_bytes() {
        let claims = vec![Claim { group: RaftGroupId(3), epoch: 4, leads: true }];
        let announce = Message::Announce(Announcement { incarnation: 1, sequence: 2, full: true, claims });
        let mut expected = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1];
        expected.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 1]);
        assert_eq!(announce.encode().as_ref(), expected);
        let sync = Message::Sync(Sync { version: 7, within_ms: 8, groups: vec![(RaftGroupId(9), 10)] });
        let mut expected = vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8];
        expected.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 10]);
        assert_eq!(sync.encode().as_ref(), expected);
        assert_eq!(Answer::SendAll.encode().as_ref(), [1, 2]);
        assert_eq!(Answer::decode(&[1, 5]), Ok(Answer::Refused));
    }

    #[test]
    fn a_run_without_measure_is_refused() {
        assert_eq!(groups_of(&[(RaftGroupId(1), u32::MAX)], 1000), None);
        assert_eq!(groups_of(&[(RaftGroupId(u64::MAX), 2)], 1000).map(|groups| groups.len()), Some(2));
    }
}
