//! openraft's way to write a group's log. Everything goes through the node's one [`LogWriter`](caudal_storage::LogWriter), whose queue
//! keeps the order of appends, truncations and votes.

use std::io;
use std::sync::Arc;

use caudal_storage::keys::raft as raft_keys;
use caudal_storage::{ColumnFamily, Completion, WriteBatch};
use caudal_types::mutant;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend};

use crate::codec;
use crate::log::GroupLog;
use crate::log::reader::LogReader;
use crate::types::{LogEntry, LogId, TypeConfig, Vote};

/// Writes a group's log.
#[derive(Debug)]
pub(crate) struct LogStore(pub(crate) Arc<GroupLog>);

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        Ok(LogState { last_purged_log_id: self.0.purged(), last_log_id: self.0.last() })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        LogReader::new(self.0.clone())
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut batch = WriteBatch::new();
        let key = raft_keys::key(self.0.group, raft_keys::RaftField::Vote);
        batch.put(ColumnFamily::Raft, key, codec::encode_vote(vote));
        if !mutant::active("vote_not_persisted") {
            self.0.writer.write(batch).await?;
        }
        self.0.set_vote(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.0.set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(if mutant::active("follower_serves_uncommitted") { self.0.last() } else { self.0.committed() })
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        if mutant::active("ack_before_fsync") {
            let (batch, last) = self.0.push(entries);
            self.0.flushed(last, true);
            callback.io_completed(Ok(()));
            return Ok(self.0.writer.append(batch, Box::new(|_| {})).await?);
        }
        let done = |log: &Arc<GroupLog>, last| -> Completion {
            let log = Arc::clone(log);
            Box::new(move |result| {
                log.flushed(last, result.is_ok());
                callback.io_completed(result.map_err(io::Error::from));
            })
        };
        Ok(self.0.append(entries, done).await?)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.0.check_truncation(last_log_id)?;
        let batch = self.0.truncate_after(last_log_id);
        if !batch.is_empty() {
            self.0.writer.write(batch).await?;
            self.0.truncated(last_log_id);
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let _first = self.0.changing.lock().await;
        // Not waited for: until it is durable, a crash only leaves more of the log than needed.
        let batch = self.0.purge(log_id);
        Ok(self.0.writer.append(batch, Box::new(|_| {})).await?)
    }
}
