//! From a producer's batch to a place in the log.

use bytes::Bytes;
use caudal_protocol::batch::RecordBatch;
use caudal_raft::{Leadership, ProposeError};
use caudal_types::topic_config::TimestampType;
use caudal_types::{TimestampMs, mutant};

use crate::command::{Command, Stamped};
use crate::machine::leader_epoch;
use crate::reply::Reply;
use crate::validate;
use crate::{AppendError, Appended, Enlistment, Partition, PendingAppend};

impl Partition {
    pub(crate) async fn enqueue(
        &self,
        bytes: Bytes,
        enlistment: Option<Enlistment>,
    ) -> Result<PendingAppend, AppendError> {
        let leadership = self.leadership_now();
        if !leadership.serving {
            return Err(AppendError::NotLeader { leader: leadership.leader });
        }
        let now = self.node.clock.now_ms();
        let batch = self.check(bytes, now).await?;
        self.tell_settings(leadership, now).await?;
        let command = append(batch, enlistment)?;
        let command = Stamped { time: self.published.stamp(now), command }.encode();
        let guess = self.published.offsets();
        let pending = self.raft.enqueue(command).await.map_err(refusal)?;
        Ok(Box::pin(async move {
            let applied = pending.await.map_err(refusal)?;
            let outcome = Reply::into_append_outcome(&applied.reply);
            if mutant::active("offsets_from_the_leaders_guess") {
                return outcome.map(|appended| Appended { base_offset: guess.high_watermark, ..appended });
            }
            outcome
        }))
    }

    async fn check(&self, bytes: Bytes, now: TimestampMs) -> Result<RecordBatch, AppendError> {
        if !self.raft.has_space() {
            return Err(AppendError::Full);
        }
        let config = self.config.load_full();
        let batch = validate::check(bytes, &config.topic, now)?;
        self.check_in_sync(config.topic.min_insync_replicas, now)?;
        let batch = self.node.recompressions.fit(batch, &config.topic).await?;
        Ok(match config.topic.timestamp_type {
            TimestampType::CreateTime => batch,
            TimestampType::LogAppendTime => batch.with_log_append_time(self.published.stamp(now)),
        })
    }

    /// What is committed is on a majority; only a setting beyond that needs a look at the followers. As in Kafka, no more replicas are asked for than there are.
    fn check_in_sync(&self, min_insync_replicas: usize, now: TimestampMs) -> Result<(), AppendError> {
        let replicas = self.replica_count();
        let needed = min_insync_replicas.min(replicas);
        if needed <= replicas / 2 + 1 {
            return Ok(());
        }
        let alive = |node| self.node.liveness.is_alive(node);
        let live = self.in_sync.count(self.node.node_id, &self.raft.status(), now, alive);
        if live < needed { Err(AppendError::NotEnoughReplicas { live, needed }) } else { Ok(()) }
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
