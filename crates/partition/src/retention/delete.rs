//! Where a log begins, told by its leader: for DeleteRecords, and for retention.

use caudal_raft::ProposeError;
use caudal_storage::StorageError;
use caudal_types::{Offset, mutant};

use crate::command::{Command, Stamped};
use crate::reply::Reply;
use crate::{DeleteRecordsError, Partition};

impl Partition {
    /// Deletes the records before `before`, or all there are where it is `None`, and answers where the log begins: there, or later if it did already. They
    /// are hidden at once; their space goes with the whole segments that they are in.
    ///
    /// Returns when a majority has it and this node has applied it: no later leader shows them again. It may wait for a majority for ever.
    ///
    /// # Errors
    /// See [`DeleteRecordsError`].
    pub async fn delete_records(&self, before: Option<Offset>) -> Result<Offset, DeleteRecordsError> {
        let leadership = self.leadership_now();
        if !leadership.serving {
            return Err(DeleteRecordsError::NotLeader { leader: leadership.leader });
        }
        {
            let topic = &self.config.load().topic;
            if topic.compact && !topic.delete {
                return Err(DeleteRecordsError::Policy);
            }
        }
        let end = self.published.offsets().high_watermark;
        let before = before.unwrap_or(end);
        if !(0..=end).contains(&before) {
            return Err(DeleteRecordsError::OutOfRange { offset: before, end });
        }
        self.advance_log_start(before).await
    }

    /// Lets the log begin at `offset`, unless it begins later already.
    pub(crate) async fn advance_log_start(&self, offset: Offset) -> Result<Offset, DeleteRecordsError> {
        if mutant::active("log_start_advanced_before_it_is_committed") {
            self.published.pretend_log_start(offset);
        }
        let time = self.published.stamp(self.node.clock.now_ms());
        let command = Stamped { time, command: Command::AdvanceLogStart(offset) }.encode();
        let applied = self.raft.propose(command).await.map_err(refusal)?;
        Reply::into_log_start(&applied.reply).ok_or(DeleteRecordsError::Unknown)
    }
}

fn refusal(error: ProposeError) -> DeleteRecordsError {
    match error {
        ProposeError::NotLeader { leader } => DeleteRecordsError::NotLeader { leader },
        ProposeError::Stopped => DeleteRecordsError::NotLeader { leader: None },
        ProposeError::Unknown | ProposeError::Refused(_) => DeleteRecordsError::Unknown,
        ProposeError::Storage(error) => storage(&error),
    }
}

fn storage(error: &StorageError) -> DeleteRecordsError {
    DeleteRecordsError::Storage(error.to_string())
}
