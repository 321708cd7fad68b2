//! From a producer's batch to a place in the log.

use bytes::Bytes;
use caudal_protocol::batch::RecordBatch;
use caudal_raft::{Leadership, ProposeError};
use caudal_types::topic_config::TimestampType;
use caudal_types::{TimestampMs, mutant};

use crate::command::{Command, Stamped};
use crate::copies::Acks;
use crate::machine::leader_epoch;
use crate::reply::Reply;
use crate::validate;
use crate::{AppendError, Appended, Enlistment, Partition, PendingAppend};

impl Partition {
    pub(crate) async fn enqueue(
        &self,
        bytes: Bytes,
        enlistment: Option<Enlistment>,
        acks: Acks,
    ) -> Result<PendingAppend, AppendError> {
        let leadership = self.leadership_now();
        if !leadership.serving {
            return Err(AppendError::NotLeader { leader: leadership.leader });
        }
        let now = self.node.clock.now_ms();
        let copies = self.copies_for(acks);
        let batch = self.check(bytes, copies, now).await?;
        self.tell_settings(leadership, now).await?;
        let command = append(batch, enlistment)?;
        let command = Stamped { time: self.published.stamp(now), command }.encode();
        let guess = self.published.offsets();
        let pending = self.raft.enqueue(command).await.map_err(refusal)?;
        let copied = copies.map(|copies| self.await_copies(copies));
        Ok(Box::pin(async move {
            let applied = pending.await.map_err(refusal)?;
            let outcome = Reply::into_append_outcome(&applied.reply);
            if let Some(copied) = copied.filter(|_| outcome.is_ok()) {
                copied.of(applied.index).await?;
            }
            if mutant::active("offsets_from_the_leaders_guess") {
                return outcome.map(|appended| Appended { base_offset: guess.high_watermark, ..appended });
            }
            outcome
        }))
    }

    async fn check(&self, bytes: Bytes, copies: Option<usize>, now: TimestampMs) -> Result<RecordBatch, AppendError> {
        if !self.raft.has_space() {
            return Err(AppendError::Full);
        }
        let config = self.config.load_full();
        let batch = validate::check(bytes, &config.topic, now)?;
        self.check_in_sync(copies, now)?;
        let batch = self.node.recompressions.fit(batch, &config.topic).await?;
        Ok(match config.topic.timestamp_type {
            TimestampType::CreateTime => batch,
            TimestampType::LogAppendTime => batch.with_log_append_time(self.published.stamp(now)),
        })
    }

    /// Puts the settings into the log when they are not those that the log is applied by.
    async fn tell_settings(&self, leadership: Leadership, now: TimestampMs) -> Result<(), AppendError> {
        let Some(settings) = self.config.unseen(leader_epoch(leadership.term)) else {
            return Ok(());
        };
        if self.published.view().settings == settings {
            return Ok(());
        }
        let command = Stamped { time: self.published.stamp(now), command: Command::Configure(settings) }.encode();
        match self.raft.enqueue(command).await {
            // Its outcome is of no interest: should it get lost with the leadership, the next leader looks again.
            Ok(_outcome) => Ok(()),
            Err(error) => {
                self.config.forget_seen();
                Err(refusal(error))
            }
        }
    }
}

fn append(batch: RecordBatch, enlistment: Option<Enlistment>) -> Result<Command, AppendError> {
    match enlistment {
        Some(enlistment) if batch.is_transactional() => Ok(Command::AppendToTransaction(enlistment, batch)),
        None if batch.is_transactional() => Err(AppendError::NotInTransaction),
        Some(_) | None => Ok(Command::Append(batch)),
    }
}

pub(crate) fn refusal(error: ProposeError) -> AppendError {
    match error {
        ProposeError::NotLeader { leader } => AppendError::NotLeader { leader },
        ProposeError::Stopped => AppendError::NotLeader { leader: None },
        // Refused is the answer to changes of members alone; whatever it was, retrying is right.
        ProposeError::Unknown | ProposeError::Refused(_) => AppendError::Unknown,
        ProposeError::Storage(error) => AppendError::Storage(error.to_string()),
    }
}
