//! The metadata group's state machine, as every replica runs it.

use std::sync::Arc;

use bytes::Bytes;
use caudal_raft::{ApplyError, CommittedEntry, SnapshotContent, StateMachine};
use caudal_storage::keys::state;
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError, WriteBatch};
use caudal_types::RaftGroupId;
use tokio::sync::watch;

use crate::ClusterImage;
use crate::command::Proposal;
use crate::layout::Malformed;
use crate::rows::{PARTITION, Row, TOPIC, decode_snapshot, encode_snapshot, topic_key};
use crate::table::{RowChange, Table};

const GROUP: RaftGroupId = RaftGroupId::METADATA;

/// The table, and where it is published.
#[derive(Debug)]
pub(crate) struct MetadataStateMachine {
    table: Table,
    images: watch::Sender<Arc<ClusterImage>>,
}

impl MetadataStateMachine {
    /// Rebuilds the table from the rows on the disk.
    ///
    /// # Errors
    /// When the disk refuses or rows are damaged.
    pub(crate) fn open(engine: &dyn Engine) -> Result<(Self, watch::Receiver<Arc<ClusterImage>>), StorageError> {
        let (from, to) = state::user_range(GROUP);
        let stored = engine.scan(ColumnFamily::State, &from..&to, ScanLimit::NONE)?;
        let rows: Option<Vec<Row>> = stored
            .into_iter()
            .map(|(key, value)| state::split(&key).map(|(kind, key)| Row { kind, key, value }))
            .collect();
        let rows = rows.ok_or(Malformed::Broken("a key has no row kind"));
        let table = rows
            .and_then(Table::from_rows)
            .map_err(|reason| StorageError::Corrupt(format!("the cluster's metadata cannot be read: {reason}")))?;
        let (images, receiver) = watch::channel(Arc::clone(table.image()));
        Ok((Self { table, images }, receiver))
    }
}

fn put(row: Row, batch: &mut WriteBatch) {
    batch.put(ColumnFamily::State, state::key(GROUP, row.kind, &row.key), row.value);
}

fn write(change: RowChange, batch: &mut WriteBatch) {
    match change {
        RowChange::Put(row) => put(row, batch),
        RowChange::DeleteTopic(id) => {
            let key = topic_key(id);
            batch.delete(ColumnFamily::State, state::key(GROUP, TOPIC, &key));
            // Behind the last possible partition of this topic, before the first of any other.
            let behind = [key.as_ref(), &[0xff; 5]].concat();
            batch.delete_range(
                ColumnFamily::State,
                state::key(GROUP, PARTITION, &key),
                state::key(GROUP, PARTITION, &behind),
            );
        }
    }
}

impl StateMachine for MetadataStateMachine {
    fn apply(&mut self, entries: &[CommittedEntry], batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError> {
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            if !entry.command {
                self.table.advance(entry.index);
                replies.push(Bytes::new());
                continue;
            }
            let proposal = Proposal::decode(&entry.payload)
                .map_err(|reason| ApplyError::Undecodable { index: entry.index, reason: reason.to_string() })?;
            let (changes, reply) = self.table.apply(entry.index, proposal.command);
            for change in changes {
                write(change, batch);
            }
            replies.push(reply.encode());
        }
        put(self.table.position_row(), batch);
        Ok(replies)
    }

    fn applied(&mut self) {
        let image = self.table.image();
        self.images.send_if_modified(|published| {
            let newer = !Arc::ptr_eq(published, image);
            if newer {
                *published = Arc::clone(image);
            }
            newer
        });
    }

    fn snapshot(&mut self) -> Result<SnapshotContent, ApplyError> {
        Ok(SnapshotContent { index: self.table.applied(), data: encode_snapshot(&self.table.rows()) })
    }

    fn install(&mut self, snapshot: &SnapshotContent, batch: &mut WriteBatch) -> Result<(), ApplyError> {
        let undecodable =
            |reason: Malformed| ApplyError::Undecodable { index: snapshot.index, reason: reason.to_string() };
        let rows = decode_snapshot(&snapshot.data).map_err(undecodable)?;
        self.table = Table::from_rows(rows.iter().cloned()).map_err(undecodable)?;
        let (from, to) = state::user_range(GROUP);
        batch.delete_range(ColumnFamily::State, from, to);
        for row in rows {
            put(row, batch);
        }
        // Readers look at the image only, so that it can be shown before the rows can be read.
        self.applied();
        Ok(())
    }
}
