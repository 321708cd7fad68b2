//! Finding offsets (ListOffsets) and the ends of epochs (OffsetForLeaderEpoch).

use std::sync::Arc;

use caudal_raft::{ProposeError, RaftGroup};
use caudal_storage::{Engine, StorageError};
use caudal_types::{LeaderEpoch, mutant};

use crate::machine::leader_epoch;
use crate::read::fetch::storage;
use crate::read::time::TimeSearch;
use crate::view::Published;
use crate::{EpochEnd, FoundOffset, OffsetQuery, Partition, ReadError};

impl Partition {
    /// `leads`: this node answers for the cluster, and not only for itself.
    pub(crate) async fn find(&self, query: OffsetQuery, leads: bool) -> Result<Option<FoundOffset>, ReadError> {
        match query {
            OffsetQuery::Earliest => Ok(Some(self.earliest())),
            OffsetQuery::Latest { committed_only } if leads => self.latest(committed_only).await.map(Some),
            OffsetQuery::Latest { committed_only } => Ok(Some(self.end_here(committed_only))),
            OffsetQuery::Timestamp { at, committed_only } => {
                self.search(committed_only, move |search, raft| search.first_from(raft, at)).await
            }
            OffsetQuery::MaxTimestamp { committed_only } => {
                self.search(committed_only, |search, raft| search.largest(raft)).await
            }
        }
    }

    fn earliest(&self) -> FoundOffset {
        let offset = self.published.offsets().log_start;
        let leader_epoch = self.published.view().epochs.epoch_of(offset).unwrap_or(-1);
        FoundOffset { offset, timestamp: -1, leader_epoch }
    }

    /// The end as the whole cluster has it at this moment, which takes a quorum round: this node may have been deposed without knowing.
    async fn latest(&self, committed_only: bool) -> Result<FoundOffset, ReadError> {
        if !mutant::active("stale_leader_answers_latest") {
            self.raft.read_barrier().await.map_err(refusal)?;
        }
        self.check_leader(-1)?;
        Ok(self.end_here(committed_only))
    }

    fn end_here(&self, committed_only: bool) -> FoundOffset {
        let leader_epoch = leader_epoch(self.leadership_now().term);
        let offsets = self.published.offsets();
        let offset = if committed_only { offsets.last_stable } else { offsets.high_watermark };
        FoundOffset { offset, timestamp: -1, leader_epoch }
    }

    async fn search(
        &self,
        committed_only: bool,
        find: impl Fn(&TimeSearch<'_>, &RaftGroup) -> Result<Option<FoundOffset>, StorageError> + Copy + Send + 'static,
    ) -> Result<Option<FoundOffset>, ReadError> {
        loop {
            let (raft, engine) = (Arc::clone(&self.raft), Arc::clone(&self.node.engine));
            let (published, start) = (Arc::clone(&self.published), self.published.offsets().log_start);
            let search = move || find(&time_search(&published, engine.as_ref(), &raft, committed_only), &raft);
            match self.node.disk.run(search).await {
                Ok(found) => return Ok(found),
                // What it was looking at went meanwhile: that is no damage.
                Err(_) if self.published.offsets().log_start > start => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
    }

    pub(crate) fn end_of_epoch(&self, epoch: LeaderEpoch, client_epoch: LeaderEpoch) -> Result<EpochEnd, ReadError> {
        let current = self.check_leader(client_epoch)?;
        let log_end = self.published.offsets().high_watermark;
        if epoch == current {
            return Ok(EpochEnd { epoch, end_offset: log_end });
        }
        let (epoch, end_offset) = self.published.view().epochs.end_of(epoch, log_end);
        Ok(EpochEnd { epoch, end_offset })
    }
}

/// A search over what is published at this moment.
fn time_search<'a>(
    published: &Published,
    engine: &'a dyn Engine,
    raft: &RaftGroup,
    committed_only: bool,
) -> TimeSearch<'a> {
    let (segments, open, block) = {
        let view = published.view();
        (view.segments.clone(), view.open, view.block)
    };
    let offsets = published.offsets();
    TimeSearch {
        engine,
        group: raft.id(),
        segments,
        open,
        block,
        log_start: offsets.log_start,
        end: if committed_only { offsets.last_stable } else { offsets.high_watermark },
        log_end: offsets.high_watermark,
    }
}

pub(crate) fn refusal(error: ProposeError) -> ReadError {
    match error {
        ProposeError::NotLeader { leader } => ReadError::NotLeader { leader },
        ProposeError::Unknown | ProposeError::Refused(_) | ProposeError::Stopped => {
            ReadError::NotLeader { leader: None }
        }
        ProposeError::Storage(error) => storage(error),
    }
}
