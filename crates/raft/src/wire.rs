//! What nodes say to each other, byte for byte. The only module that knows bincode, behind [`encode`] and [`decode`]: headers are
//! small and live as long as a message, payloads are never touched by it.
//!
//! A frame: length of the rest (u32), message id (u64), flags (u8), length of the header (u32), header, payload. Integers big-endian.

use bincode::{Decode, Encode};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use caudal_types::limits;

/// The first bytes of every connection.
pub(crate) const MAGIC: u32 = 0x4341_5544;
/// Nodes of another version are refused.
pub(crate) const PROTOCOL_VERSION: u16 = 1;
/// The bytes before the header, without the length of the frame.
const FIXED: usize = 13;
/// The most bytes that decoding one header may take.
const HEADER_BYTES_MAX: usize = 16 << 20;
/// A flag: more answers to the same message follow.
const MORE: u8 = 1;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message from another node cannot be read: {0}")]
pub(crate) struct WireError(String);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub(crate) enum Lane {
    /// Votes, pings, heartbeats, calls.
    Control,
    /// Log entries.
    Append,
    /// Snapshots.
    Bulk,
}

/// The first message on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Hello {
    pub(crate) magic: u32,
    pub(crate) version: u16,
    pub(crate) cluster_id: String,
    pub(crate) node: u32,
    /// The node that the caller means to reach.
    pub(crate) to: u32,
    /// Differs from one start of the process to the next.
    pub(crate) incarnation: u64,
    pub(crate) lane: Lane,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Welcome {
    /// The connection may be used.
    Accepted { incarnation: u64 },
    /// It may not, for this reason.
    Refused { reason: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct WireVote {
    pub(crate) term: u64,
    pub(crate) node: u64,
    pub(crate) committed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct WireLogId {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

/// An entry of an append; its payload lies in the frame's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct EntryHead {
    pub(crate) term: u64,
    pub(crate) kind: u8,
    pub(crate) bytes: u32,
}

/// One Raft group's heartbeat among those that travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Heartbeat {
    pub(crate) group: u64,
    pub(crate) vote: WireVote,
    pub(crate) matching: Option<WireLogId>,
    pub(crate) commit: Option<WireLogId>,
}

/// Entries for a Raft group, consecutive from behind `prev`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Append {
    pub(crate) group: u64,
    pub(crate) vote: WireVote,
    pub(crate) prev: Option<WireLogId>,
    pub(crate) commit: Option<WireLogId>,
    pub(crate) entries: Vec<EntryHead>,
    /// Within how many milliseconds they have to be synced, and answered; 0 is at once.
    pub(crate) sync_within_ms: u32,
}

/// A part of a snapshot; the parts of one transfer come in order on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SnapshotPart {
    pub(crate) group: u64,
    /// Tells transfers of the sender apart.
    pub(crate) transfer: u64,
    pub(crate) vote: WireVote,
    /// What the snapshot is about, as `codec` lays it out.
    pub(crate) meta: Vec<u8>,
    pub(crate) offset: u64,
    pub(crate) total: u64,
}

/// What a node believes of the leader of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Believed {
    pub(crate) group: u64,
    pub(crate) term: u64,
    /// What the node that asks has applied.
    pub(crate) applied: u64,
}

/// What one node asks of another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Request {
    Ping,
    Call {
        service: u8,
    },
    Vote {
        group: u64,
        vote: WireVote,
        last: Option<WireLogId>,
        transfer: bool,
    },
    TransferLeader {
        group: u64,
        from: WireVote,
        to: u64,
        last: Option<WireLogId>,
    },
    Heartbeats(Vec<Heartbeat>),
    Append(Append),
    Snapshot(SnapshotPart),
    /// Would the node vote for this one, whose last entry is `last`?
    Canvass {
        group: u64,
        last: Option<WireLogId>,
    },
    /// Does the node lead these groups?
    Confirm(Vec<Believed>),
    /// What has the node promised in this group, and how far does its log reach? Asked by a replica that may have forgotten it.
    Recall {
        group: u64,
    },
    /// Has the node never taken part in this group?
    IsNew {
        group: u64,
    },
}

/// What a follower says to entries or a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum AppendAnswer {
    Done,
    Conflict,
    HigherVote(WireVote),
    /// The group is not open there, or its replica has failed.
    NotServed,
}

/// Why leadership was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum TransferAnswer {
    Done,
    VoteChanged { expected: WireVote, actual: WireVote },
    NotFlushed { expected: Option<WireLogId>, actual: Option<WireLogId> },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Response {
    /// The node is alive; it is not `fit` to lead when its disk has failed, and not `keen` to lead when it is about to stop.
    Pong {
        fit: bool,
        keen: bool,
    },
    Called,
    NotServed,
    Vote {
        vote: WireVote,
        granted: bool,
        last: Option<WireLogId>,
    },
    TransferLeader(TransferAnswer),
    /// Answers to some of the heartbeats, by their place in the request.
    Heartbeats(Vec<(u32, AppendAnswer)>),
    Append(AppendAnswer),
    /// A part of a snapshot has arrived.
    SnapshotPart,
    /// The snapshot is installed, or refused for a higher vote.
    Snapshot {
        vote: WireVote,
    },
    Failed {
        reason: String,
    },
    Canvass {
        granted: bool,
    },
    /// The groups that the node does not lead, by their place in the request.
    Denied(Vec<u32>),
    /// The last vote, if any, and the last entry.
    Recall {
        vote: Option<WireVote>,
        last: Option<WireLogId>,
    },
    IsNew(bool),
    /// Like `Recall`, from a replica that is itself doubtful: it may lack entries that it had not synced, or more.
    RecallDoubtful {
        vote: Option<WireVote>,
        last: Option<WireLogId>,
        /// Its disk was lost, and it has not caught up.
        lost: bool,
    },
}

/// What operators want of the node that leads a Raft group; travels in calls.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Errand {
    /// Give these groups to their preferred leaders.
    HandBack(Vec<u64>),
    /// How are the members of this group doing?
    Describe(u64),
}

/// The answer to an [`Errand`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum ErrandAnswer {
    /// What became of each of the groups.
    HandedBack(Vec<HandedBack>),
    /// Nothing when the node does not lead the group.
    Described(Option<Described>),
}

/// What became of a leadership that was to go back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum HandedBack {
    Done,
    NotLeader,
    Unfit(String),
    Failed(String),
}

/// What a group's leader knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Described {
    pub(crate) term: u64,
    pub(crate) last: u64,
    pub(crate) applied: u64,
    pub(crate) members: Vec<DescribedMember>,
}

/// What a group's leader knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct DescribedMember {
    pub(crate) node: u32,
    pub(crate) votes: bool,
    pub(crate) matched: Option<u64>,
    pub(crate) heard_ms_ago: Option<u64>,
}

/// Encodes a header.
pub(crate) fn encode(header: &impl Encode) -> Result<Vec<u8>, WireError> {
    bincode::encode_to_vec(header, bincode::config::standard()).map_err(|error| WireError(error.to_string()))
}

/// Decodes a header, all of it.
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, WireError> {
    let config = bincode::config::standard().with_limit::<HEADER_BYTES_MAX>();
    let (header, used) = bincode::decode_from_slice(bytes, config).map_err(|error| WireError(error.to_string()))?;
    if used != bytes.len() {
        return Err(WireError(format!("{} bytes are left over", bytes.len() - used)));
    }
    Ok(header)
}

/// A message ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct OutFrame {
    /// Everything before the payload.
    pub(crate) head: Bytes,
    /// The payload, in slices that are sent as they are.
    pub(crate) payload: Vec<Bytes>,
}

impl OutFrame {
    /// A message with this header and payload.
    pub(crate) fn new(id: u64, more: bool, header: &impl Encode, payload: Vec<Bytes>) -> Result<Self, WireError> {
        let header = encode(header)?;
        let body: usize = payload.iter().map(Bytes::len).sum();
        let rest = FIXED + header.len() + body;
        if rest > limits::TRANSPORT_FRAME_BYTES {
            return Err(WireError(format!("{rest} bytes are more than a frame may have")));
        }
        let mut head = BytesMut::with_capacity(4 + FIXED + header.len());
        head.put_u32(to_u32(rest));
        head.put_u64(id);
        head.put_u8(if more { MORE } else { 0 });
        head.put_u32(to_u32(header.len()));
        head.put_slice(&header);
        Ok(Self { head: head.freeze(), payload })
    }

    /// The bytes of the whole frame.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.payload.iter().map(Bytes::len).sum::<usize>()
    }
}

/// A received message, whose header is not decoded yet. Header and payload are slices of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InFrame {
    pub(crate) id: u64,
    pub(crate) more: bool,
    pub(crate) header: Bytes,
    pub(crate) payload: Bytes,
}

impl InFrame {
    /// Takes a frame, without its length, apart.
    pub(crate) fn split(mut frame: Bytes) -> Result<Self, WireError> {
        if frame.len() < FIXED {
            return Err(WireError("the frame is too short".to_owned()));
        }
        let (id, flags, header) = (frame.get_u64(), frame.get_u8(), frame.get_u32());
        if flags > MORE {
            return Err(WireError(format!("the flags {flags} are unknown")));
        }
        let header = usize::try_from(header).unwrap_or(usize::MAX);
        if header > frame.len() {
            return Err(WireError("the header is longer than the frame".to_owned()));
        }
        let header = frame.split_to(header);
        Ok(Self { id, more: flags == MORE, header, payload: frame })
    }
}

/// Lengths that were checked against the limits before.
fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vote() -> impl Strategy<Value = WireVote> {
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(term, node, committed)| WireVote {
            term,
            node,
            committed,
        })
    }

    fn id() -> impl Strategy<Value = Option<WireLogId>> {
        proptest::option::of((any::<u64>(), any::<u64>()).prop_map(|(term, index)| WireLogId { term, index }))
    }

    fn request() -> impl Strategy<Value = Request> {
        let head =
            (any::<u64>(), any::<u8>(), any::<u32>()).prop_map(|(term, kind, bytes)| EntryHead { term, kind, bytes });
        let beat = (any::<u64>(), vote(), id(), id()).prop_map(|(group, vote, matching, commit)| Heartbeat {
            group,
            vote,
            matching,
            commit,
        });
        let believed = (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(group, term, applied)| Believed {
            group,
            term,
            applied,
        });
        let append = (any::<u64>(), vote(), id(), id(), proptest::collection::vec(head, 0..9), any::<u32>()).prop_map(
            |(group, vote, prev, commit, entries, sync_within_ms)| Append {
                group,
                vote,
                prev,
                commit,
                entries,
                sync_within_ms,
            },
        );
        let part = (any::<u64>(), any::<u64>(), vote(), any::<Vec<u8>>(), any::<u64>(), any::<u64>()).prop_map(
            |(group, transfer, vote, meta, offset, total)| SnapshotPart { group, transfer, vote, meta, offset, total },
        );
        prop_oneof![
            Just(Request::Ping),
            any::<u8>().prop_map(|service| Request::Call { service }),
            (any::<u64>(), vote(), id(), any::<bool>()).prop_map(|(group, vote, last, transfer)| Request::Vote {
                group,
                vote,
                last,
                transfer
            }),
            (any::<u64>(), id()).prop_map(|(group, last)| Request::Canvass { group, last }),
            any::<u64>().prop_map(|group| Request::Recall { group }),
            any::<u64>().prop_map(|group| Request::IsNew { group }),
            proptest::collection::vec(believed, 0..9).prop_map(Request::Confirm),
            (any::<u64>(), vote(), any::<u64>(), id()).prop_map(|(group, from, to, last)| Request::TransferLeader {
                group,
                from,
                to,
                last
            }),
            proptest::collection::vec(beat, 0..9).prop_map(Request::Heartbeats),
            append.prop_map(Request::Append),
            part.prop_map(Request::Snapshot),
        ]
    }

    fn answer() -> impl Strategy<Value = AppendAnswer> {
        prop_oneof![
            Just(AppendAnswer::Done),
            Just(AppendAnswer::Conflict),
            vote().prop_map(AppendAnswer::HigherVote),
            Just(AppendAnswer::NotServed),
        ]
    }

    fn response() -> impl Strategy<Value = Response> {
        prop_oneof![
            (any::<bool>(), any::<bool>()).prop_map(|(fit, keen)| Response::Pong { fit, keen }),
            Just(Response::Called),
            Just(Response::NotServed),
            (vote(), any::<bool>(), id()).prop_map(|(vote, granted, last)| Response::Vote { vote, granted, last }),
            (vote(), vote()).prop_map(|(expected, actual)| {
                Response::TransferLeader(TransferAnswer::VoteChanged { expected, actual })
            }),
            (id(), id()).prop_map(|(expected, actual)| {
                Response::TransferLeader(TransferAnswer::NotFlushed { expected, actual })
            }),
            proptest::collection::vec((any::<u32>(), answer()), 0..9).prop_map(Response::Heartbeats),
            answer().prop_map(Response::Append),
            vote().prop_map(|vote| Response::Snapshot { vote }),
            ".*".prop_map(|reason| Response::Failed { reason }),
            any::<bool>().prop_map(|granted| Response::Canvass { granted }),
            any::<Vec<u32>>().prop_map(Response::Denied),
            (proptest::option::of(vote()), id()).prop_map(|(vote, last)| Response::Recall { vote, last }),
            (proptest::option::of(vote()), id(), any::<bool>())
                .prop_map(|(vote, last, lost)| Response::RecallDoubtful { vote, last, lost }),
            any::<bool>().prop_map(Response::IsNew),
        ]
    }

    fn whole(frame: &OutFrame) -> Bytes {
        let mut bytes = BytesMut::from(&frame.head[..]);
        for slice in &frame.payload {
            bytes.extend_from_slice(slice);
        }
        bytes.freeze()
    }

    proptest! {
        #[test]
        fn requests_come_back(id: u64, more: bool, request in request(), payload: Vec<Vec<u8>>) {
            let payload: Vec<Bytes> = payload.into_iter().map(Bytes::from).collect();
            let sent = OutFrame::new(id, more, &request, payload.clone()).unwrap();
            let mut bytes = whole(&sent);
            prop_assert_eq!(bytes.len(), sent.bytes());
            prop_assert_eq!(bytes.get_u32() as usize, bytes.len());
            let got = InFrame::split(bytes).unwrap();
            prop_assert_eq!((got.id, got.more), (id, more));
            prop_assert_eq!(decode::<Request>(&got.header).unwrap(), request);
            prop_assert_eq!(got.payload.to_vec(), payload.concat());
        }

        #[test]
        fn responses_come_back(response in response()) {
            prop_assert_eq!(decode::<Response>(&encode(&response).unwrap()).unwrap(), response);
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes: Vec<u8>) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Response>(&bytes);
            let _ = decode::<Hello>(&bytes);
            let _ = InFrame::split(Bytes::from(bytes));
        }
    }

    #[test]
    fn layouts_are_golden() {
        let vote = WireVote { term: 5, node: 2, committed: true };
        let prev = Some(WireLogId { term: 4, index: 300 });
        let entries = vec![EntryHead { term: 5, kind: 1, bytes: 3 }];
        let append = Request::Append(Append { group: 7, vote, prev, commit: None, entries, sync_within_ms: 5 });
        let frame = OutFrame::new(1, false, &append, vec![Bytes::from_static(b"abc")]).unwrap();
        let want = [
            0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16, 5, 7, 5, 2, 1, 1, 4, 251, 44, 1, 0, 1, 5, 1, 3, 5,
            b'a', b'b', b'c',
        ];
        assert_eq!(whole(&frame)[..], want[..]);
        let hello = Hello {
            magic: MAGIC,
            version: PROTOCOL_VERSION,
            cluster_id: "c".to_owned(),
            node: 1,
            to: 2,
            incarnation: 3,
            lane: Lane::Bulk,
        };
        assert_eq!(encode(&hello).unwrap(), [252, 68, 85, 65, 67, 1, 1, b'c', 1, 2, 3, 2]);
    }

    #[test]
    fn a_header_cannot_make_the_decoder_allocate_without_end() {
        // A list of heartbeats that claims 2^60 elements.
        let bytes = [4, 253, 0, 0, 0, 0, 0, 0, 0, 16];
        assert!(decode::<Request>(&bytes).is_err());
    }
}
