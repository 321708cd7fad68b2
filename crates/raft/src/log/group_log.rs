//! One Raft group's log: the newest entries in memory, everything else on the disk.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caudal_storage::engine::ScanLimit;
use caudal_storage::keys::{log as log_keys, raft as raft_keys};
use caudal_storage::{ColumnFamily, Engine, LogWriter, StorageError, WriteBatch};
use caudal_types::{RaftGroupId, mutant, off_thread};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::codec;
use crate::log::flush::{Flush, Unflushed};
use crate::log::patience::Patience;
use crate::log::{Damage, LogCache};
use crate::manage::recovery::Doubt;
use crate::types::{LogEntry, LogId, Vote, log_id, payload_bytes, term_of};

#[cfg(test)]
mod tests;

/// What an entry in memory costs beside its payload.
const ENTRY_OVERHEAD: usize = 128;
/// Entries read from the disk in one go: RocksDB reads no more keys together.
const ENTRIES_AT_ONCE: usize = 32;
/// And as long as it is not known how large they are.
const FIRST_ENTRIES: usize = 4;

/// How far the log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Flushed {
    /// The last durable index.
    pub(crate) upto: Option<u64>,
    /// A write failed: nothing more becomes durable.
    pub(crate) failed: bool,
}

/// The log of one group, shared by openraft's log store, its readers, and the readers of the partition above.
pub(crate) struct GroupLog {
    pub(crate) group: RaftGroupId,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) writer: LogWriter,
    cache: Arc<LogCache>,
    damage: Damage,
    state: Mutex<State>,
    flushed: watch::Sender<Flushed>,
    /// Held by who takes entries away or writes some anew, until the writer has it in its queue: so it reaches the disk in the order in which it was
    /// decided, and nothing is written anew that was taken away before.
    pub(crate) changing: AsyncMutex<()>,
    pub(super) flush: Flush,
    pub(crate) patience: Patience,
    /// The replica has stopped, and its data may be removed: what is not found is no damage any more.
    pub(super) stopped: AtomicBool,
}

/// What is known of the log without a look at the disk.
#[derive(Default)]
struct State {
    /// The newest entries, without a gap, up to `last`.
    tail: VecDeque<LogEntry>,
    tail_bytes: usize,
    /// The first index that the log has, or will have.
    first: u64,
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// What is on the disk of `committed`.
    committed_saved: Option<LogId>,
    /// The replica may have forgotten what it promised.
    doubtful: Option<Doubt>,
    /// In which run of the machine the log was not synced at once.
    relaxed_in: Option<u128>,
}

impl fmt::Debug for GroupLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupLog").field("group", &self.group).field("last", &self.last()).finish_non_exhaustive()
    }
}

impl Drop for GroupLog {
    fn drop(&mut self) {
        self.cache.removed(self.state.get_mut().tail_bytes);
    }
}

impl GroupLog {
    /// Reads from the disk what must be known at once. Blocks.
    pub(crate) fn open(
        group: RaftGroupId,
        engine: Arc<dyn Engine>,
        writer: LogWriter,
        cache: Arc<LogCache>,
        damage: Damage,
    ) -> Result<Arc<Self>, StorageError> {
        let state = load(group, engine.as_ref())?;
        let upto = state.last.map(|id| id.index);
        let flushed = watch::Sender::new(Flushed { upto, failed: false });
        let (state, changing, stopped) = (Mutex::new(state), AsyncMutex::default(), AtomicBool::new(false));
        let (flush, patience) = (Flush::default(), Patience::default());
        Ok(Arc::new(Self { group, engine, writer, cache, damage, state, flushed, changing, flush, patience, stopped }))
    }

    /// Whether the group has left no trace on this disk.
    pub(crate) fn is_pristine(&self) -> bool {
        let state = self.state.lock();
        state.vote.is_none() && state.last.is_none() && state.purged.is_none() && state.doubtful.is_none()
    }

    /// Whether this replica has taken no part in the group: it has at most its first entry, which it wrote itself.
    pub(crate) fn is_unused(&self) -> bool {
        self.state.lock().is_unused()
    }

    /// What the disk says of how this replica may have forgotten what it promised.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.state.lock().doubtful
    }

    /// Whether the machine was started anew since the log was last written without being synced at once.
    pub(crate) fn may_lack_unsynced(&self) -> bool {
        self.state.lock().relaxed_in.is_some_and(|boot| boot != self.engine.boot())
    }

    pub(super) fn is_marked_relaxed(&self) -> bool {
        self.state.lock().relaxed_in.is_some()
    }

    pub(super) fn forget_relaxed(&self) {
        self.state.lock().relaxed_in = None;
    }

    /// What is written and not synced.
    pub(crate) fn unflushed(&self) -> Unflushed {
        self.flush.unflushed()
    }

    /// Notes it when `error` means that bytes of this replica are damaged.
    pub(crate) fn note_damage(&self, error: &StorageError) {
        if !self.has_stopped() {
            self.damage.note(self.group, error);
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The error of a read, once it is noted.
    fn noted(&self, error: StorageError) -> StorageError {
        self.note_damage(&error);
        if self.has_stopped() { StorageError::Closed } else { error }
    }

    /// Whether bytes of this replica are known to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.watch().borrow().contains(&self.group)
    }

    /// How far the log is durable, as it changes.
    pub(crate) fn flushes(&self) -> watch::Receiver<Flushed> {
        self.flushed.subscribe()
    }

    /// The last entry, or the last purged one when there is none.
    pub(crate) fn last(&self) -> Option<LogId> {
        let state = self.state.lock();
        state.last.or(state.purged)
    }

    /// The last purged entry.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.state.lock().purged
    }

    /// The last saved vote.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.state.lock().vote
    }

    pub(crate) fn set_vote(&self, vote: Vote) {
        self.state.lock().vote = Some(vote);
    }

    /// The last entry known to be committed.
    pub(crate) fn committed(&self) -> Option<LogId> {
        self.state.lock().committed
    }

    /// Remembers that entries up to `id` are committed. It reaches the disk with the next append.
    pub(crate) fn set_committed(&self, id: Option<LogId>) {
        self.state.lock().committed = id;
    }

    /// Adds entries behind the last one, in memory, and returns the rows for the disk.
    pub(crate) fn push(self: &Arc<Self>, entries: impl IntoIterator<Item = LogEntry>) -> (WriteBatch, Option<u64>) {
        let mut batch = WriteBatch::new();
        let mut bytes = 0;
        let mut state = self.state.lock();
        for entry in entries {
            let stored = codec::stored_entry(&entry);
            let head = log_keys::encode_head(self.group, entry.log_id.index, &stored);
            let key = log_keys::key(self.group, entry.log_id.index);
            batch.put_parts(ColumnFamily::Log, key, head, stored.payload);
            bytes += cost(&entry);
            if state.last.is_none() {
                state.first = entry.log_id.index;
            }
            state.last = Some(entry.log_id);
            state.tail.push_back(entry);
        }
        state.tail_bytes += bytes;
        if state.committed != state.committed_saved {
            state.committed_saved = state.committed;
            let key = raft_keys::key(self.group, raft_keys::RaftField::Committed);
            batch.put(ColumnFamily::Raft, key, codec::encode_log_id(state.committed.as_ref()));
        }
        let last = state.last.map(|id| id.index);
        drop(state);
        if let Some(last) = last {
            self.cache.added(self, last, bytes);
        }
        (batch, last)
    }

    /// Refuses to take committed entries away for a leader that lacks them. There is none as long as disks keep what they have synced, and votes are
    /// given as they must be; but a replica whose state goes on from one log while it holds another must not stay in silence.
    pub(crate) fn check_truncation(&self, last: Option<LogId>) -> Result<(), StorageError> {
        let (last, committed) = (last.map(|id| id.index), self.committed().map(|id| id.index));
        if last >= committed {
            return Ok(());
        }
        let group = self.group;
        let error = StorageError::Corrupt(format!(
            "the leader of Raft group {group} lacks entries behind {last:?}, and those up to {committed:?} are committed here"
        ));
        self.note_damage(&error);
        Err(error)
    }

    /// Forgets the entries behind `last`, in memory, and returns the removal for the disk.
    pub(crate) fn truncate_after(&self, last: Option<LogId>) -> WriteBatch {
        let first_gone = last.map_or(0, |id| id.index + u64::from(!mutant::active("truncation_of_committed_entries")));
        let mut freed = 0;
        let mut state = self.state.lock();
        if state.last.is_none_or(|id| id.index < first_gone) {
            return WriteBatch::new();
        }
        while state.tail.back().is_some_and(|entry| entry.log_id.index >= first_gone) {
            freed += state.tail.pop_back().as_ref().map_or(0, cost);
        }
        state.tail_bytes -= freed;
        state.last = last.filter(|id| state.purged.is_none_or(|purged| id.index > purged.index));
        drop(state);
        self.cache.removed(freed);
        let mut batch = WriteBatch::new();
        let (from, to) = (log_keys::key(self.group, first_gone), log_keys::key(self.group, u64::MAX));
        batch.delete_range(ColumnFamily::Log, from, to);
        batch
    }

    /// After a truncation reached the disk: what is behind it is not durable any more.
    pub(crate) fn truncated(&self, last: Option<LogId>) {
        let upto = last.map(|id| id.index);
        self.flushed.send_modify(|flushed| flushed.upto = flushed.upto.min(upto));
    }

    /// Forgets the entries up to `upto`, in memory, and returns the removal for the disk.
    pub(crate) fn purge(&self, upto: LogId) -> WriteBatch {
        let mut freed = 0;
        let mut state = self.state.lock();
        let first = state.first;
        while state.tail.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            freed += state.tail.pop_front().as_ref().map_or(0, cost);
        }
        state.tail_bytes -= freed;
        state.purged = Some(upto);
        state.first = upto.index + 1;
        state.last = state.last.filter(|id| id.index > upto.index);
        drop(state);
        self.cache.removed(freed);
        self.flushed.send_modify(|flushed| flushed.upto = flushed.upto.max(Some(upto.index)));
        let mut batch = WriteBatch::new();
        let kept = upto.index + 1 + 2 * u64::from(mutant::active("purge_above_the_checkpoint"));
        let (from, to) = (log_keys::key(self.group, first), log_keys::key(self.group, kept));
        batch.delete_range(ColumnFamily::Log, from, to);
        let key = raft_keys::key(self.group, raft_keys::RaftField::Purged);
        batch.put(ColumnFamily::Raft, key, codec::encode_log_id(Some(&upto)));
        batch
    }

    /// Puts `entries` in the places of those that the log has at their indexes, in memory, and returns the rows for the disk. What is purged stays so.
    pub(crate) fn replace(&self, entries: impl IntoIterator<Item = LogEntry>) -> WriteBatch {
        let mut batch = WriteBatch::new();
        let (mut more, mut less) = (0, 0);
        let mut state = self.state.lock();
        for entry in entries {
            let index = entry.log_id.index;
            if state.clamp(index, index + 1) != (index, index + 1) {
                continue;
            }
            let stored = codec::stored_entry(&entry);
            let head = log_keys::encode_head(self.group, index, &stored);
            batch.put_parts(ColumnFamily::Log, log_keys::key(self.group, index), head, stored.payload);
            let first = state.tail.front().map(|first| first.log_id.index);
            let place = first.and_then(|first| usize::try_from(index.checked_sub(first)?).ok());
            if let Some(held) = place.and_then(|place| state.tail.get_mut(place)) {
                (more, less) = (more + cost(&entry), less + cost(held));
                *held = entry;
            }
        }
        state.tail_bytes = state.tail_bytes + more - less;
        drop(state);
        self.cache.replaced(more, less);
        batch
    }

    /// Notes that the entries up to `upto` are durable, or never will be.
    pub(crate) fn flushed(&self, upto: Option<u64>, ok: bool) {
        self.flushed.send_modify(|flushed| {
            if ok {
                flushed.upto = flushed.upto.max(upto);
            } else {
                flushed.failed = true;
            }
        });
    }

    /// Waits until the entry at `index` is durable here, if the log has it. openraft applies entries that a majority has made
    /// durable though this replica has not; were their effect stored before the entries, a crash in between would leave a state
    /// ahead of its log, which openraft mends by throwing the log away.
    pub(crate) async fn wait_flushed(&self, index: u64) -> Result<(), StorageError> {
        let Some(last) = self.last() else { return Ok(()) };
        let target = Some(index.min(last.index));
        let mut flushed = self.flushed.subscribe();
        let reached = flushed.wait_for(|flushed| flushed.failed || flushed.upto >= target).await;
        match reached {
            Ok(flushed) if flushed.upto >= target => Ok(()),
            Ok(_) => Err(StorageError::ReadOnly("an append to the Raft log failed".to_owned())),
            Err(_) => Err(StorageError::Closed),
        }
    }

    /// Takes durable entries up to `upto` out of memory until `wanted` bytes are free. Answers how many bytes became free, and whether
    /// there is nothing left to take.
    pub(crate) fn evict(&self, upto: u64, wanted: usize) -> (usize, bool) {
        let durable = self.flushed.borrow().upto;
        let mut freed = 0;
        let mut state = self.state.lock();
        while let Some(first) = state.tail.front() {
            let index = first.log_id.index;
            if index > upto {
                break;
            }
            if freed >= wanted || durable < Some(index) {
                state.tail_bytes -= freed;
                return (freed, false);
            }
            freed += cost(first);
            state.tail.pop_front();
        }
        state.tail_bytes -= freed;
        (freed, true)
    }

    /// Entries from `from` on, before `to`, stopping behind the one that brings the payloads to `max_bytes`; `None` when part of it is
    /// on the disk only.
    pub(crate) fn cached(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<LogEntry>> {
        let state = self.state.lock();
        let (from, to) = state.clamp(from, to);
        if from >= to {
            return Some(Vec::new());
        }
        let first = state.tail.front()?.log_id.index;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        let count = usize::try_from(to - from).ok()?;
        let mut bytes = 0;
        let mut entries = Vec::with_capacity(count.min(64));
        for entry in state.tail.range(skip..).take(count) {
            bytes += payload_bytes(entry);
            entries.push(entry.clone());
            if bytes >= max_bytes {
                break;
            }
        }
        Some(entries)
    }

    /// Like [`cached`](Self::cached), from memory or disk. Blocks.
    pub(crate) fn read(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<LogEntry>, StorageError> {
        let (mut next, to) = self.state.lock().clamp(from, to);
        let mut entries = Vec::new();
        let mut bytes = 0;
        while next < to && bytes < max_bytes {
            let more = match self.cached(next, to, max_bytes - bytes) {
                Some(more) => more,
                None => {
                    let read = self.read_disk(next, self.disk_end(to), max_bytes - bytes);
                    read.map_err(|error| self.noted(error))?
                }
            };
            if more.is_empty() {
                break;
            }
            bytes += more.iter().map(payload_bytes).sum::<usize>();
            next += more.len() as u64;
            entries.extend(more);
        }
        Ok(entries)
    }

    /// Like [`read`](Self::read), off the async threads when the disk is needed.
    pub(crate) async fn read_async(
        self: &Arc<Self>,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, StorageError> {
        if let Some(entries) = self.cached(from, to, max_bytes) {
            return Ok(entries);
        }
        let log = self.clone();
        let read = off_thread::run(move || log.read(from, to, max_bytes)).await;
        read.unwrap_or_else(|error| Err(StorageError::Io(format!("a read of the Raft log broke off: {error}"))))
    }

    /// The id of the entry at `index`, also when it was the last to be purged. Blocks.
    pub(crate) fn id_at(&self, index: u64) -> Result<Option<LogId>, StorageError> {
        if let Some(purged) = self.purged().filter(|id| id.index == index) {
            return Ok(Some(purged));
        }
        Ok(self.read(index, index + 1, usize::MAX)?.first().map(|entry| entry.log_id))
    }

    /// Where the part begins that memory holds.
    fn disk_end(&self, to: u64) -> u64 {
        self.state.lock().tail.front().map_or(to, |first| first.log_id.index.min(to))
    }

    fn read_disk(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<LogEntry>, StorageError> {
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, from);
        while next < to && bytes < max_bytes {
            let end = to.min(next + entries_for(max_bytes, bytes, entries.len()));
            let keys: Vec<_> = (next..end).map(|index| log_keys::key(self.group, index)).collect();
            for (index, value) in (next..end).zip(self.engine.get_many(ColumnFamily::Log, &keys)?) {
                let Some(value) = value else {
                    self.check_missing(index)?;
                    return Ok(entries);
                };
                let entry = codec::entry_of(index, log_keys::decode(self.group, index, &value)?)?;
                bytes += payload_bytes(&entry);
                entries.push(entry);
                if bytes >= max_bytes {
                    return Ok(entries);
                }
            }
            next = end;
        }
        Ok(entries)
    }

    /// An entry that was not on the disk may have been purged or truncated meanwhile, or even have been written anew.
    fn check_missing(&self, index: u64) -> Result<(), StorageError> {
        let belongs_on_disk = {
            let state = self.state.lock();
            let (from, to) = state.clamp(index, index + 1);
            from < to && state.tail.front().is_none_or(|first| index < first.log_id.index)
        };
        let key = log_keys::key(self.group, index);
        if belongs_on_disk && self.engine.get(ColumnFamily::Log, &key)?.is_none() {
            let group = self.group;
            return Err(StorageError::Corrupt(format!("entry {index} of Raft group {group} is missing")));
        }
        Ok(())
    }
}

/// Whether the disk shows that this node has taken no part in a group. Blocks.
pub(crate) fn is_unused_on_disk(group: RaftGroupId, engine: &dyn Engine) -> Result<bool, StorageError> {
    load(group, engine).map(|state| state.is_unused())
}

impl State {
    fn is_unused(&self) -> bool {
        let is_at_its_first = self.last.is_none_or(|last| last.index == 0);
        self.vote.is_none() && self.purged.is_none() && self.doubtful.is_none() && is_at_its_first
    }

    /// The part of `from..to` that the log has.
    fn clamp(&self, from: u64, to: u64) -> (u64, u64) {
        let end = self.last.map_or(self.first, |id| id.index + 1);
        (from.max(self.first), to.min(end))
    }
}

/// How many entries to read next, of a size that is not known yet, so that they reach `max_bytes` and go little beyond: `read` had `bytes` together.
fn entries_for(max_bytes: usize, bytes: usize, read: usize) -> u64 {
    let wanted = match read {
        _ if max_bytes == usize::MAX => ENTRIES_AT_ONCE,
        0 => FIRST_ENTRIES,
        _ => (max_bytes - bytes).div_ceil((bytes / read).max(1)),
    };
    wanted.clamp(1, ENTRIES_AT_ONCE) as u64
}

fn cost(entry: &LogEntry) -> usize {
    payload_bytes(entry) + ENTRY_OVERHEAD
}

fn load(group: RaftGroupId, engine: &dyn Engine) -> Result<State, StorageError> {
    use raft_keys::RaftField::{Committed, Doubtful, Purged, Relaxed, Vote};
    let get = |field| engine.get(ColumnFamily::Raft, &raft_keys::key(group, field));
    let vote = get(Vote)?.map(|value| codec::decode_vote(&value)).transpose()?;
    let committed = get(Committed)?.map(|value| codec::decode_log_id(&value)).transpose()?.flatten();
    let purged = get(Purged)?.map(|value| codec::decode_log_id(&value)).transpose()?.flatten();
    let doubtful = get(Doubtful)?.map(|value| codec::decode_doubt(&value)).transpose()?;
    let relaxed_in = get(Relaxed)?.map(|value| codec::decode_boot(&value)).transpose()?;
    let (from, end) = log_keys::group_range(group);
    let mut last = None;
    if let Some((key, value)) = engine.scan_back(ColumnFamily::Log, &from..&end, ScanLimit::rows(1))?.first() {
        let index = log_keys::index_of(key)?;
        last = Some(log_id(log_keys::decode(group, index, value)?.term, index));
    }
    let last = last.filter(|id| purged.is_none_or(|purged: LogId| id.index > purged.index));
    let first = match purged {
        Some(purged) => purged.index + 1,
        None => {
            let rows = engine.scan(ColumnFamily::Log, &from..&end, ScanLimit::rows(1))?;
            rows.first().map(|(key, _)| log_keys::index_of(key)).transpose()?.unwrap_or_default()
        }
    };
    Ok(State {
        first,
        last,
        purged,
        vote,
        committed,
        committed_saved: committed,
        doubtful,
        relaxed_in,
        ..State::default()
    })
}

/// The term in which the entry `id` was proposed.
pub(crate) fn term(id: Option<LogId>) -> u64 {
    id.as_ref().map_or(0, term_of)
}
