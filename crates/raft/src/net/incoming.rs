//! Snapshots that are being received.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_types::NodeId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::codec;
use crate::net::convert::vote_in;
use crate::types::{Snapshot, SnapshotData, SnapshotMeta, Vote};
use crate::wire::SnapshotPart;

/// The most bytes that all snapshots being received may have together.
const BYTES_MAX: u64 = 1 << 30;
/// The most snapshots being received.
const TRANSFERS_MAX: usize = 256;
/// A transfer that has not moved for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// What has arrived of snapshots.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    transfers: Mutex<HashMap<(NodeId, u64), Transfer>>,
}

#[derive(Debug)]
struct Transfer {
    meta: SnapshotMeta,
    data: BytesMut,
    total: u64,
    moved: Instant,
}

/// A snapshot that has arrived, with the vote under which it was sent.
pub(crate) type Arrived = (Vote, Snapshot);

impl Incoming {
    /// Adds a part; answers the snapshot with the last one.
    pub(crate) fn add(&self, from: NodeId, part: &SnapshotPart, data: &Bytes) -> Result<Option<Arrived>, String> {
        let mut transfers = self.transfers.lock();
        let key = (from, part.transfer);
        if part.offset == 0 {
            transfers.retain(|_, transfer| transfer.moved.elapsed() < FORGOTTEN_AFTER);
            let transfer = begin(&transfers, part)?;
            transfers.insert(key, transfer);
        }
        let Some(transfer) = transfers.get_mut(&key) else {
            return Err("the snapshot's beginning is missing".to_owned());
        };
        let have = transfer.data.len() as u64;
        if part.offset != have || part.total != transfer.total || have + data.len() as u64 > transfer.total {
            transfers.remove(&key);
            return Err(format!("a part at {} of a snapshot came after {have} bytes", part.offset));
        }
        transfer.data.extend_from_slice(data);
        transfer.moved = Instant::now();
        if (transfer.data.len() as u64) < transfer.total {
            return Ok(None);
        }
        let whole = transfers.remove(&key);
        Ok(whole.map(|transfer| {
            let snapshot = Snapshot { meta: transfer.meta, snapshot: SnapshotData(transfer.data.freeze()) };
            (vote_in(part.vote), snapshot)
        }))
    }
}

fn begin(others: &HashMap<(NodeId, u64), Transfer>, part: &SnapshotPart) -> Result<Transfer, String> {
    let promised: u64 = others.values().map(|transfer| transfer.total).sum();
    if others.len() >= TRANSFERS_MAX || part.total > BYTES_MAX - promised.min(BYTES_MAX) {
        return Err("too many snapshots are being received; it can be tried again".to_owned());
    }
    let (meta, used) = codec::decode_snapshot_meta(&part.meta).map_err(|error| error.to_string())?;
    if used != part.meta.len() {
        return Err("the snapshot's description is too long".to_owned());
    }
    Ok(Transfer { meta, data: BytesMut::new(), total: part.total, moved: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;
    use crate::wire::WireVote;

    fn part(offset: u64, total: u64) -> SnapshotPart {
        let meta = SnapshotMeta { last_log_id: Some(log_id(1, 9)), ..SnapshotMeta::default() };
        let meta = codec::encode_snapshot_meta(&meta).to_vec();
        let vote = WireVote { term: 1, node: 1, committed: true };
        SnapshotPart { group: 1, transfer: 5, vote, meta, offset, total }
    }

    #[test]
    fn parts_become_a_snapshot() {
        let incoming = Incoming::default();
        let (node, one, two) = (NodeId(1), Bytes::from_static(b"ab"), Bytes::from_static(b"c"));
        assert!(matches!(incoming.add(node, &part(0, 3), &one), Ok(None)));
        let (vote, snapshot) = incoming.add(node, &part(2, 3), &two).unwrap().unwrap();
        assert_eq!(vote, Vote::new_committed(1, 1));
        assert_eq!(snapshot.snapshot.0[..], b"abc"[..]);
        assert_eq!(snapshot.meta.last_log_id, Some(log_id(1, 9)));
        assert!(incoming.add(node, &part(2, 3), &two).is_err(), "the transfer is over");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let incoming = Incoming::default();
        let (node, bytes) = (NodeId(1), Bytes::from_static(b"ab"));
        assert!(incoming.add(node, &part(0, 1), &bytes).is_err(), "more than promised");
        assert!(incoming.add(node, &part(0, u64::MAX), &bytes).is_err(), "more than there may be");
        assert!(matches!(incoming.add(node, &part(0, 5), &bytes), Ok(None)));
        assert!(incoming.add(node, &part(3, 5), &bytes).is_err(), "a gap");
    }
}
