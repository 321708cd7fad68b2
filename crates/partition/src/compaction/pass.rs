//! One pass over one replica: gather the keys of the part that is not clean, then take out of all that is ordered what these keys and the order's
//! tombstones supersede.
//!
//! The log is written anew from its beginning on, and each part is durable before the next. So a value goes before the tombstone that covers it, and a
//! pass that breaks off at any point leaves a log that the next one can go over as if nothing had happened.

use std::sync::Arc;

use caudal_protocol::batch::BatchError;
use caudal_storage::keys::index::{self, IndexRow};
use caudal_storage::{ColumnFamily, StorageError, WriteBatch};
use caudal_types::{Offset, RaftGroupId};

use crate::Partition;
use crate::compaction::keys::KeyTable;
use crate::compaction::leave::{Ongoing, RowChange, Rules, gather, leave};
use crate::compaction::pace::Pace;
use crate::compaction::stats::Work;
use crate::compaction::walk::{Run, Runs, Walk};
use crate::compaction::{Counters, Progress};
use crate::disk::DiskReads;
use crate::state::orders::Order;
use crate::state::rows::RowKind;
use crate::view::Published;

/// What the passes of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    /// Its own threads, which give way to all others: two for each pass, so that one reads while the other works.
    pub(crate) threads: DiskReads,
    pub(crate) pace: Arc<Pace>,
    pub(crate) counters: Arc<Counters>,
    /// The memory for the keys of one pass.
    pub(crate) keys_bytes: usize,
    /// How many bytes of entries are read, and written anew, at once.
    pub(crate) run_bytes: usize,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The log is clean up to this offset; with so much work.
    Clean(Offset, Work),
    /// The topic's policy has changed meanwhile, or the replica has stopped.
    Pointless,
}

/// A pass.
struct Pass<'a> {
    partition: &'a Partition,
    shop: &'a Workshop,
    walk: Walk,
    work: Work,
}

/// Some of the work, done on the cleaner's threads.
#[derive(Debug, Default)]
struct Part {
    entries: Vec<caudal_raft::LogEntry>,
    /// The rows of batches that are shorter now; none for those of which nothing is left.
    rows: Vec<(Offset, Option<IndexRow>)>,
    /// The markers of aborted transactions that are forgotten.
    forgotten: Vec<Offset>,
    /// The bytes of all its entries from now on.
    left_bytes: u64,
    /// The batches that cannot be read.
    bad: Vec<(Offset, BatchError)>,
    work: Work,
}

/// Cleans a replica by its newest order.
pub(crate) async fn clean(partition: &Partition, shop: &Workshop) -> Result<Ended, StorageError> {
    let walk = Walk {
        raft: Arc::clone(&partition.raft),
        engine: Arc::clone(&partition.node.engine),
        published: Arc::clone(&partition.published),
        run_bytes: shop.run_bytes,
    };
    let mut pass = Pass { partition, shop, walk, work: Work::default() };
    match pass.run().await {
        Ok(Some(upto)) => Ok(Ended::Clean(upto, pass.work)),
        Ok(None) | Err(StorageError::Closed) => Ok(Ended::Pointless),
        Err(error) => {
            // Damage is mended by building the replica anew from the others.
            partition.raft.note_damage(&error);
            Err(error)
        }
    }
}

impl Pass<'_> {
    /// Answers how far the log is clean; `None` when that is not wanted any more.
    async fn run(&mut self) -> Result<Option<Offset>, StorageError> {
        let (order, before) = {
            let view = self.partition.published.view();
            (view.orders.newest(), view.progress)
        };
        let Some((keys, upto)) = self.gather(before.upto, order.upto).await? else { return Ok(None) };
        let original_bytes = self.original_bytes(upto);
        // What goes by this must find gone, for good, what it covers: values before tombstones, aborted records before what is known of their transactions.
        // Where another pass has not seen to that yet, this one does, and another one follows.
        let tombstones_before = order.tombstones_before.min(before.upto);
        let Some(bytes) = self.take_out(keys, Order { upto, tombstones_before }).await? else { return Ok(None) };
        // Should a snapshot have taken the place of all this meanwhile, the log begins behind `upto`, and it is true all the same.
        let progress = Progress { upto, bytes, original_bytes, tombstones_before };
        let published = Arc::clone(&self.partition.published);
        let put = move |group, batch: &mut WriteBatch| {
            progress.put(group, batch);
            published.progressed(progress);
        };
        self.write_rows(put).await?;
        Ok(Some(upto))
    }

    fn original_bytes(&self, upto: Offset) -> u64 {
        let view = self.partition.published.view();
        view.segments.iter().take_while(|segment| segment.base < upto).map(|segment| segment.bytes).sum()
    }

    /// Also not on a disk that is nearly full: before compaction gives space back, it takes some.
    fn is_wanted(&self) -> bool {
        self.partition.config.load().topic.compact && self.partition.raft.has_space()
    }

    /// The keys of the records from `from` on, and up to where they are: `to`, or where there is no room for more.
    async fn gather(&mut self, from: Offset, to: Offset) -> Result<Option<(KeyTable, Offset)>, StorageError> {
        let mut keys = KeyTable::new(self.shop.keys_bytes);
        let mut runs = self.runs(from, to);
        while let Some(run) = runs.next().await? {
            if !self.is_wanted() {
                return Ok(None);
            }
            let bytes = run.bytes;
            let gathering = move || {
                let mut noted = run.batches.iter().map(|found| gather(found, &run.aborted, (from, to), &mut keys));
                let full = noted.find_map(Result::err);
                drop(noted);
                Ok((keys, full))
            };
            let (back, full) = self.shop.threads.run(gathering).await?;
            self.account(&Work { read_bytes: bytes, ..Work::default() }).await;
            if let Some(full) = full {
                return Ok(Some((back, full)));
            }
            keys = back;
        }
        Ok(Some((keys, to)))
    }

    /// Takes out what goes; answers the bytes that are left.
    async fn take_out(&mut self, keys: KeyTable, order: Order) -> Result<Option<u64>, StorageError> {
        let keys = Arc::new(keys);
        let (mut bytes, mut ongoing) = (0, Ongoing::default());
        let mut runs = self.runs(0, order.upto);
        while let Some(run) = runs.next().await? {
            if !self.is_wanted() {
                return Ok(None);
            }
            let keys = Arc::clone(&keys);
            let deciding = move || Ok((part(&run, &keys, order, &mut ongoing), ongoing));
            let (mut part, back) = self.shop.threads.run(deciding).await?;
            ongoing = back;
            self.tell_of_bad(&mut part);
            bytes += part.left_bytes;
            if !part.entries.is_empty() {
                self.partition.raft.rewrite(part.entries).await?;
            }
            if !part.forgotten.is_empty() {
                // Before their markers go: whoever is told of an aborted transaction must find where it ends.
                let partition = self.partition;
                let _alone = partition.published.forgetting().await;
                let (published, markers) = (Arc::clone(&self.partition.published), part.forgotten);
                self.write_rows(move |group, batch| forget(&published, group, &markers, batch)).await?;
            }
            if !part.rows.is_empty() {
                let (published, rows) = (Arc::clone(&self.partition.published), part.rows);
                self.write_rows(move |group, batch| put_rows(&published, group, rows, batch)).await?;
            }
            self.account(&part.work).await;
        }
        Ok(Some(bytes))
    }

    fn runs(&self, from: Offset, to: Offset) -> Runs {
        Runs::new(self.walk.clone(), self.shop.threads.clone(), from, to)
    }

    /// Counts the batches that cannot be read, and warns of them, the first time that they are met.
    fn tell_of_bad(&self, part: &mut Part) {
        let partition = self.partition.name();
        for (offset, error) in part.bad.drain(..).filter(|(offset, _)| self.partition.bad_batches.is_new(*offset)) {
            tracing::warn!(%partition, offset, %error, "a batch cannot be read, and is not compacted; clients cannot read it either");
            part.work.bad_batches += 1;
        }
    }

    async fn write_rows(&self, put: impl FnOnce(RaftGroupId, &mut WriteBatch) + Send) -> Result<(), StorageError> {
        let raft = &self.partition.raft;
        let rows = || {
            let mut batch = WriteBatch::new();
            put(raft.id(), &mut batch);
            (!batch.is_empty()).then_some(batch)
        };
        raft.write_beside(rows).await.map(drop)
    }

    async fn account(&mut self, work: &Work) {
        self.work.add(work);
        self.shop.counters.worked(work);
        if work.written_bytes > 0 {
            // What was there before is garbage now.
            self.partition.node.chores.compacted(work.freed_bytes + work.written_bytes);
        }
        self.shop.pace.pay(work.read_bytes + work.written_bytes).await;
    }
}

/// Decides on the batches of a run.
fn part(run: &Run, keys: &KeyTable, order: Order, ongoing: &mut Ongoing) -> Part {
    let rules = Rules { keys, tombstones_before: order.tombstones_before };
    let mut part = Part { work: Work { read_bytes: run.bytes, ..Work::default() }, ..Part::default() };
    for found in &run.batches {
        let before = found.entry.payload.len() as u64;
        let left = match leave(found, &run.aborted, &rules, ongoing) {
            Ok(left) => left,
            Err(error) => {
                part.bad.push((found.row.base_offset, error));
                part.left_bytes += before;
                continue;
            }
        };
        part.left_bytes += left.bytes;
        part.work.removed_records += left.removed;
        if let Some(entry) = left.entry {
            part.work.written_bytes += left.bytes;
            part.work.freed_bytes += before.saturating_sub(left.bytes);
            part.entries.push(entry);
        }
        part.forgotten.extend(left.forgets.then_some(found.row.base_offset));
        match left.row {
            RowChange::Keep => {}
            RowChange::Put(row) => part.rows.push((row.base_offset, Some(row))),
            RowChange::Delete => part.rows.push((found.row.base_offset, None)),
        }
    }
    part
}

/// Forgets aborted transactions, of whose records nothing is there any more, by their markers. Nothing is applied meanwhile.
fn forget(published: &Published, group: RaftGroupId, markers: &[Offset], batch: &mut WriteBatch) {
    published.forget_aborted(markers);
    for marker in markers {
        batch.delete(ColumnFamily::State, RowKind::Aborted.key_at(group, *marker));
    }
}

/// Corrects the rows of batches that lost records, but for those that are gone: the log's start, or a snapshot, may have passed them by. Nothing is applied
/// meanwhile.
fn put_rows(
    published: &Published,
    group: RaftGroupId,
    mut rows: Vec<(Offset, Option<IndexRow>)>,
    batch: &mut WriteBatch,
) {
    let oldest = published.view().oldest_base();
    rows.retain(|(base, _)| *base >= oldest);
    for (base, row) in &rows {
        let key = index::key(group, *base);
        match row {
            Some(row) => batch.put(ColumnFamily::Index, key, index::encode(row)),
            None => batch.delete(ColumnFamily::Index, key),
        }
    }
    published.cleaned(rows);
}
