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
use crate::rows::{
    CLIENT_QUOTAS, GROUP as GROUP_ROW, PARTITION, RESOURCE, Row, TOPIC, client_quotas_key, decode_snapshot,
    encode_snapshot, group_key, resource_key, topic_key,
};
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
        RowChange::DeleteGroup(group) => {
            batch.delete(ColumnFamily::State, state::key(GROUP, GROUP_ROW, &group_key(&group)));
        }
        RowChange::DeleteResource(resource) => {
            batch.delete(ColumnFamily::State, state::key(GROUP, RESOURCE, &resource_key(&resource)));
        }
        RowChange::DeleteClientQuotas(entity) => {
            batch.delete(ColumnFamily::State, state::key(GROUP, CLIENT_QUOTAS, &client_quotas_key(&entity)));
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use caudal_storage::{Durability, MemEngine};
    use caudal_types::{NodeId, TopicId};
    use uuid::Uuid;

    use super::*;
    use crate::command::{Command, FormCluster, MorePartitions, NewTopic, Outcome, Reply};

    /// A replica without Raft.
    struct Replica {
        engine: Arc<MemEngine>,
        machine: MetadataStateMachine,
        images: watch::Receiver<Arc<ClusterImage>>,
    }

    impl Replica {
        fn open(engine: Arc<MemEngine>) -> Self {
            let (machine, images) = MetadataStateMachine::open(&*engine).unwrap();
            Self { engine, machine, images }
        }

        fn apply(&mut self, entries: &[CommittedEntry]) -> Vec<Bytes> {
            let mut batch = WriteBatch::new();
            let replies = self.machine.apply(entries, &mut batch).unwrap();
            self.engine.write(batch, Durability::Buffered).unwrap();
            self.machine.applied();
            replies
        }

        fn image(&self) -> Arc<ClusterImage> {
            Arc::clone(&self.images.borrow())
        }

        fn rows(&self) -> Vec<(Bytes, Bytes)> {
            let (from, to) = state::user_range(GROUP);
            self.engine.scan(ColumnFamily::State, &from..&to, ScanLimit::NONE).unwrap()
        }
    }

    fn entry(index: u64, command: Command) -> CommittedEntry {
        let payload = Proposal { at: 0, command }.encode();
        CommittedEntry { index, term: 1, payload, command: true }
    }

    fn blank(index: u64) -> CommittedEntry {
        CommittedEntry { index, term: 2, payload: Bytes::new(), command: false }
    }

    fn topic(id: u128, name: &str, partitions: usize) -> NewTopic {
        NewTopic {
            id: TopicId(Uuid::from_u128(id)),
            name: name.to_owned(),
            configs: BTreeMap::new(),
            partitions: vec![vec![NodeId(1), NodeId(2), NodeId(3)]; partitions],
        }
    }

    fn some_history() -> Vec<CommittedEntry> {
        let form = FormCluster { cluster_id: "c".into(), shards: vec![vec![NodeId(1)]; 3] };
        let more = MorePartitions { topic: topic(2, "b", 1).id, from: 2, partitions: vec![vec![NodeId(2)]] };
        vec![
            blank(1),
            entry(2, Command::FormCluster(form)),
            entry(3, Command::CreateTopics(vec![topic(1, "a", 3), topic(2, "b", 2)])),
            entry(4, Command::CreatePartitions(vec![more])),
            entry(5, Command::DeleteTopics(vec![topic(1, "a", 1).id])),
            entry(6, Command::AllocateProducerIds(1000)),
            blank(7),
        ]
    }

    #[test]
    fn a_replica_that_is_opened_again_knows_what_it_knew() {
        let mut replica = Replica::open(Arc::default());
        replica.apply(&some_history());
        let reopened = Replica::open(Arc::clone(&replica.engine));
        assert_eq!(reopened.image().topics, replica.image().topics);
        assert_eq!(reopened.image().coordinator_shards, replica.image().coordinator_shards);
        assert_eq!((reopened.image().version, reopened.machine.table.applied()), (6, 7));
        let topic = Arc::clone(reopened.image().topic("b").unwrap());
        assert_eq!(topic.partitions.iter().map(|partition| partition.group.0).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn what_a_crash_took_is_applied_again_to_the_same_effect() {
        let history = some_history();
        let mut replica = Replica::open(Arc::default());
        replica.apply(&history);
        for kept in 0..history.len() {
            let mut crashed = Replica::open(Arc::default());
            crashed.apply(&history[..kept]);
            let mut reopened = Replica::open(Arc::clone(&crashed.engine));
            reopened.apply(&history[kept..]);
            assert_eq!(reopened.rows(), replica.rows(), "after {kept} entries");
        }
    }

    #[test]
    fn a_snapshot_makes_an_equal_replica() {
        let mut replica = Replica::open(Arc::default());
        replica.apply(&some_history());
        let snapshot = replica.machine.snapshot().unwrap();
        assert_eq!(snapshot.index, 7);

        let mut other = Replica::open(Arc::default());
        other.apply(&[entry(1, Command::CreateTopics(vec![topic(9, "stale", 4)]))]);
        let mut batch = WriteBatch::new();
        other.machine.install(&snapshot, &mut batch).unwrap();
        other.engine.write(batch, Durability::Buffered).unwrap();
        assert_eq!(other.rows(), replica.rows());
        assert_eq!(other.image().topics, replica.image().topics);
        let next = entry(8, Command::CreateTopics(vec![topic(3, "c", 1)]));
        assert_eq!(other.apply(std::slice::from_ref(&next)), replica.apply(&[next]));
        assert_eq!(other.rows(), replica.rows());
    }

    #[test]
    fn a_deleted_topic_leaves_no_row_and_takes_no_other() {
        let mut replica = Replica::open(Arc::default());
        replica.apply(&[entry(1, Command::CreateTopics(vec![topic(1, "a", 2), topic(2, "b", 2)]))]);
        let with_both = replica.rows().len();
        replica.apply(&[entry(2, Command::DeleteTopics(vec![topic(1, "a", 1).id]))]);
        assert_eq!(replica.rows().len(), with_both - 3);
        assert_eq!(Replica::open(replica.engine).image().topic("b").map(|topic| topic.partitions.len()), Some(2));
    }

    #[test]
    fn what_cannot_be_read_stops_the_replica() {
        let mut replica = Replica::open(Arc::default());
        let wrong = CommittedEntry { index: 1, term: 1, payload: Bytes::from_static(&[9, 9]), command: true };
        let error = replica.machine.apply(&[wrong], &mut WriteBatch::new()).unwrap_err();
        assert!(error.to_string().contains("index 1"), "{error}");
        let snapshot = SnapshotContent { index: 4, data: Bytes::from_static(&[1, 0]) };
        assert!(replica.machine.install(&snapshot, &mut WriteBatch::new()).is_err());

        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::State, state::key(GROUP, 99, b""), Bytes::from_static(&[1]));
        replica.engine.write(batch, Durability::Synced).unwrap();
        assert!(matches!(MetadataStateMachine::open(&*replica.engine), Err(StorageError::Corrupt(_))));
    }

    #[test]
    fn blank_entries_publish_nothing() {
        let mut replica = Replica::open(Arc::default());
        replica.images.mark_unchanged();
        assert_eq!(replica.apply(&[blank(1)]), [Bytes::new()]);
        assert!(!replica.images.has_changed().unwrap());
        let reply = replica.apply(&[entry(2, Command::DeleteTopics(vec![topic(1, "a", 1).id]))]);
        assert_eq!(Reply::decode(&reply[0]), Ok(Reply::Outcomes(vec![Outcome::Unknown])));
        assert!(replica.images.has_changed().unwrap());
    }

    #[test]
    fn a_topic_of_a_thousand_partitions_among_ten_thousand_is_made_at_once() {
        let mut replica = Replica::open(Arc::default());
        let many = (0..1000).map(|id| topic(10_000 + id, &format!("t{id}"), 10)).collect();
        replica.apply(&[entry(1, Command::CreateTopics(many))]);
        let started = Instant::now();
        replica.apply(&[entry(2, Command::CreateTopics(vec![topic(1, "new", 1000)]))]);
        let took = started.elapsed();
        assert!(took < Duration::from_millis(500), "it took {took:?}");
    }
}
