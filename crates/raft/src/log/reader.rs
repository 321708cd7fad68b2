//! openraft's way to read a group's log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use caudal_types::limits;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use openraft::{OptionalSend, RaftLogReader};

use crate::log::GroupLog;
use crate::types::{LogEntry, TypeConfig, Vote};

/// How many bytes are read for a follower at first. A new leader searches, step by step, for what each follower has, and openraft attaches to every
/// question the entries that would come next: most followers have them already.
const FIRST_BYTES: usize = 16 << 10;
/// How much more each next read has that goes on where the last one ended.
const GROWTH: usize = 4;

/// Reads a group's log for replication and apply.
#[derive(Debug)]
pub(crate) struct LogReader {
    log: Arc<GroupLog>,
    /// Where the last read ended, and how much the next one may have that begins there.
    next: (u64, usize),
}

impl LogReader {
    pub(crate) fn new(log: Arc<GroupLog>) -> Self {
        Self { log, next: (0, FIRST_BYTES) }
    }
}

/// `range` as a half-open one.
fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

/// Entries in chunks of bounded size, so that a long way to catch up does not fill the memory.
fn in_chunks(log: Arc<GroupLog>, from: u64, to: u64) -> impl Stream<Item = Result<LogEntry, io::Error>> + Send {
    let chunks = stream::try_unfold(from, move |next| {
        let log = log.clone();
        async move {
            if next >= to {
                return Ok(None);
            }
            let entries = log.read_async(next, to, limits::APPEND_ENTRIES_BYTES).await?;
            let next = entries.last().map(|entry| entry.log_id.index + 1);
            Ok::<_, io::Error>(next.map(|next| (stream::iter(entries.into_iter().map(Ok)), next)))
        }
    });
    chunks.try_flatten()
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<LogEntry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = half_open(&range);
        in_chunks(self.log.clone(), from, to).boxed()
    }

    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, io::Error> {
        let (from, to) = half_open(&range);
        Ok(self.log.read_async(from, to, usize::MAX).await?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, io::Error> {
        let max_bytes = if start == self.next.0 { self.next.1 } else { FIRST_BYTES };
        let entries = self.log.read_async(start, end, max_bytes).await?;
        let end = entries.last().map_or(start, |last| last.log_id.index + 1);
        self.next = (end, (max_bytes * GROWTH).min(limits::APPEND_ENTRIES_BYTES));
        Ok(entries)
    }
}
