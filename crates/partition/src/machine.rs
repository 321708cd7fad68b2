//! The partition's state machine as Raft drives it.

use std::sync::Arc;

use bytes::Bytes;
use caudal_raft::{ApplyError, CommittedEntry, SnapshotContent, StateMachine};
use caudal_storage::{Engine, StorageError, WriteBatch};
use caudal_types::{LeaderEpoch, RaftGroupId, mutant};

use crate::command::{Command, Logged, Stamped};
use crate::compaction::Progress;
use crate::retention::Chores;
use crate::state::{Changes, PartitionState, Place, checkpoint, load};
use crate::view::{News, Published};

/// Applies a partition's commands, and publishes what readers wait for.
#[derive(Debug)]
pub(crate) struct PartitionStateMachine {
    group: RaftGroupId,
    engine: Arc<dyn Engine>,
    state: PartitionState,
    /// What readers are to see once its rows can be read.
    news: News,
    published: Arc<Published>,
    chores: Arc<Chores>,
}

impl PartitionStateMachine {
    /// Rebuilds the state from its rows. Blocks.
    pub(crate) fn open(engine: Arc<dyn Engine>, group: RaftGroupId, chores: Arc<Chores>) -> Result<Self, StorageError> {
        let state = load::load(engine.as_ref(), group)?;
        let published = Arc::new(Published::new(&state));
        published.progressed(Progress::read(engine.as_ref(), group)?);
        Ok(Self { group, engine, state, news: News::default(), published, chores })
    }

    /// What readers look at.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }
}

fn apply_one(
    state: &mut PartitionState,
    entry: &CommittedEntry,
    changes: &mut Changes<'_>,
) -> Result<Bytes, ApplyError> {
    let epoch = leader_epoch(entry.term);
    if !entry.command {
        state.begin_epoch(epoch, changes);
        return Ok(Bytes::new());
    }
    let Logged { stamped: Stamped { time: clock, command }, original, position } =
        Logged::decode(&entry.payload).map_err(|reason| ApplyError::Undecodable { index: entry.index, reason })?;
    let original = original.filter(|_| !mutant::active("cleaned_entry_forgets_what_it_was"));
    let bytes = original.map_or(entry.payload.len() as u64, |original| u64::from(original.bytes));
    let max_timestamp = original.map(|original| original.max_timestamp);
    let place = Place { index: entry.index, epoch, bytes, position, max_timestamp };
    let reply = match command {
        Command::Append(batch) => state.append(place, clock, &batch, None, changes),
        Command::AppendToTransaction(enlistment, batch) => {
            state.append(place, clock, &batch, Some(enlistment), changes)
        }
        Command::EndTransaction(marker, batch) => state.end_transaction(place, clock, &marker, &batch, changes),
        Command::AdvanceLogStart(offset) => state.advance_log_start(place, clock, offset, changes),
        Command::Configure(settings) => {
            state.begin_epoch(epoch, changes);
            state.configure(settings, state.time_of(clock), changes);
            crate::reply::Reply::Configured
        }
        Command::Compact(order) => {
            state.begin_epoch(epoch, changes);
            state.order_compaction(order, state.time_of(clock), changes);
            crate::reply::Reply::CompactionOrdered
        }
    };
    Ok(reply.encode())
}

/// The leader epoch of a term.
pub(crate) fn leader_epoch(term: u64) -> LeaderEpoch {
    LeaderEpoch::try_from(term).unwrap_or(LeaderEpoch::MAX)
}

impl StateMachine for PartitionStateMachine {
    fn apply(&mut self, entries: &[CommittedEntry], batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError> {
        let mut changes = Changes::new(self.group, batch);
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            replies.push(apply_one(&mut self.state, entry, &mut changes)?);
        }
        self.news.extend(changes.finish(&self.state));
        Ok(replies)
    }

    fn applied(&mut self) {
        let (shortened, ordered) = (self.news.shortened.take(), self.news.ordered);
        self.published.publish(&self.state, std::mem::take(&mut self.news));
        if let Some(bytes) = shortened {
            self.chores.shortened(self.group, bytes);
        }
        if ordered {
            self.chores.ordered();
        }
    }

    fn snapshot(&mut self) -> Result<SnapshotContent, ApplyError> {
        match load::oldest_checkpoint(self.engine.as_ref(), self.group, &self.state)? {
            Some(data) => Ok(SnapshotContent { index: checkpoint::index_of(&data)?, data }),
            // The oldest segment is the log's first: all of the log is still needed.
            None => Ok(SnapshotContent { index: 0, data: checkpoint::encode(&PartitionState::default(), 0) }),
        }
    }

    fn install(&mut self, snapshot: &SnapshotContent, batch: &mut WriteBatch) -> Result<(), ApplyError> {
        self.state = checkpoint::decode(&snapshot.data)?;
        load::replace(self.group, &self.state, &snapshot.data, batch);
        self.news = News::default();
        self.published.reset(&self.state);
        Ok(())
    }
}
