//! Log compaction: what is left, whatever came between, and that applying the log anew leads to where it led before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Codec, Record, RecordBatch};
use caudal_raft::CommittedEntry;
use caudal_storage::keys::{index, state};
use caudal_storage::{ColumnFamily, MemEngine, ScanLimit};
use caudal_types::Offset;
use proptest::prelude::*;

use crate::compaction::Workshop;
use crate::state::orders::Order;
use crate::state::rows::RowKind;
use crate::testing::cleaning::{Seen, clean_all, clean_some, compacted, entries_behind, order, progress, workshop};
use crate::testing::{Replica, TestNode, advance, dump, from, read_all};
use crate::{Acks, CompactionLag, EndMarker, Enlistment, OffsetQuery, Partition, ReadRequest};

const WHOLE: usize = usize::MAX;

fn record(key: Option<&str>, value: Option<&str>) -> Record {
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Record { timestamp: 5, key: key.map(copy), value: value.map(copy), headers: vec![] }
}

fn batch(records: &[Record]) -> RecordBatch {
    BatchBuilder::new().build(records).unwrap()
}

async fn append(partition: &Partition, batch: &RecordBatch) -> Offset {
    partition.append(batch.bytes().clone(), None, Acks::InSync).await.unwrap().await.unwrap().base_offset
}

fn records(batches: &[RecordBatch]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for batch in batches.iter().filter(|batch| !batch.is_control()) {
        batch
            .for_each_record(&mut |record| {
                let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
                let offset = batch.base_offset() + i64::from(record.offset_delta);
                seen.push(Seen { offset, key: copy(record.key), value: copy(record.value) });
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    seen
}

fn markers(batches: &[RecordBatch]) -> Vec<Offset> {
    batches.iter().filter(|batch| batch.is_control()).map(RecordBatch::base_offset).collect()
}

fn texts(seen: &[Seen]) -> Vec<String> {
    let text =
        |bytes: &Option<Bytes>| bytes.as_ref().map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    seen.iter().map(|one| format!("{}:{}={}", one.offset, text(&one.key), text(&one.value))).collect()
}

async fn read(partition: &Arc<Partition>) -> Vec<String> {
    texts(&records(&read_all(partition, WHOLE).await))
}

/// Begins another segment, so that what came before is in closed ones.
async fn close_segment(partition: &Partition) {
    let filler = "f".repeat(500);
    append(partition, &batch(&[record(Some("filler"), Some(&filler))])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_record_of_each_key_stays_at_its_offset() {
    let engine = Arc::new(MemEngine::new());
    let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
    let partition = node.partition(compacted()).await;
    append(&partition, &batch(&[record(Some("a"), Some("1")), record(Some("b"), Some("1"))])).await;
    append(&partition, &batch(&[record(Some("a"), Some("2"))])).await;
    append(&partition, &batch(&[record(Some("b"), None), record(Some("c"), Some("1")), record(Some("a"), Some("3"))]))
        .await;
    assert_eq!(order(&partition, 0).await, None, "the open segment is not cleaned");
    close_segment(&partition).await;
    let filler = format!("=f{}", "f".repeat(499));
    let tidy = |seen: Vec<String>| -> Vec<String> { seen.iter().map(|one| one.replace(&filler, "")).collect() };

    assert_eq!(order(&partition, i64::MAX).await, Some(Order { upto: 6, tombstones_before: 0 }));
    let lag = partition.compaction_lag().unwrap();
    assert!(lag.waiting_bytes > 0 && lag.waiting_bytes == lag.dirty_bytes, "{lag:?}");
    assert_eq!((lag.clean_upto, lag.dirty_ratio), (0, 1.0));
    let shop = workshop(1 << 20, None);
    clean_all(&partition, &shop).await;
    let clean = CompactionLag { clean_upto: 6, ..CompactionLag::default() };
    assert_eq!(partition.compaction_lag(), Some(clean));
    let expected = ["3:b=-", "4:c=1", "5:a=3", "6:filler"];
    assert_eq!(tidy(read(&partition).await), expected);
    let stats = shop.counters.read();
    assert_eq!((stats.removed_records, stats.bad_batches), (3, 0));
    assert_eq!(progress(&partition).upto, 6);
    assert_eq!(partition.offsets().borrow().high_watermark, 7);

    // The same from the disk, after a power cut that takes all that was not synced.
    drop(partition);
    node.stop().await;
    engine.crash();
    let node = TestNode::start(engine).await;
    let partition = node.partition(compacted()).await;
    clean_all(&partition, &shop).await;
    assert_eq!(tidy(read(&partition).await), expected);

    // Now the tombstone's time is up.
    close_segment(&partition).await;
    assert_eq!(order(&partition, 0).await, Some(Order { upto: 7, tombstones_before: 6 }));
    clean_all(&partition, &shop).await;
    assert_eq!(tidy(read(&partition).await), ["4:c=1", "5:a=3", "6:filler", "7:filler"]);
    drop(partition);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_by_time_finds_what_is_left() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(compacted()).await;
    let at = |timestamp, key| Record { timestamp, ..record(Some(key), Some("value")) };
    append(&partition, &batch(&[at(100, "a"), at(50, "b")])).await;
    append(&partition, &batch(&[at(70, "a")])).await;
    append(&partition, &batch(&[at(10, "a"), at(50, "c")])).await;
    close_segment(&partition).await;
    let find = async |query| {
        let found = partition.find_offset(query, -1).await.unwrap();
        found.map(|found| (found.offset, found.timestamp))
    };
    assert_eq!(find(OffsetQuery::MaxTimestamp { committed_only: false }).await, Some((0, 100)));
    order(&partition, 0).await.unwrap();
    clean_all(&partition, &workshop(1 << 20, None)).await;
    assert_eq!(
        find(OffsetQuery::MaxTimestamp { committed_only: false }).await,
        Some((1, 50)),
        "the first of those that are left"
    );
    assert_eq!(find(OffsetQuery::Timestamp { at: 51, committed_only: false }).await, None);
    assert_eq!(find(OffsetQuery::Timestamp { at: 11, committed_only: false }).await, Some((1, 50)));
    drop(partition);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_keys_have_no_room_for_is_cleaned_in_parts() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(compacted()).await;
    for round in 0..2 {
        for number in 0..150 {
            let keys: Vec<_> = (0..10).map(|key| format!("key {number} {key}")).collect();
            let records: Vec<_> = keys.iter().map(|key| record(Some(key), Some(&round.to_string()))).collect();
            append(&partition, &batch(&records)).await;
        }
    }
    close_segment(&partition).await;
    let order = order(&partition, 0).await.unwrap();
    assert_eq!(order.upto, 3000);
    let shop = workshop(0, None);
    clean_all(&partition, &shop).await;
    let seen = records(&read_all(&partition, WHOLE).await);
    assert_eq!(seen.len(), 1501);
    assert!(seen[..1500].iter().all(|seen| seen.offset >= 1500 && seen.value == Some("1".into())));
    assert_eq!(shop.counters.read().removed_records, 1500);
    drop(partition);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_read_stays_and_stops_nothing() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let mut plain = compacted();
    plain.compact = false;
    let partition = node.partition(plain).await;
    append(&partition, &batch(&[record(Some("a"), Some("1"))])).await;
    let bad = {
        let good = BatchBuilder::new().codec(Codec::Zstd).build(&[record(Some("a"), Some("2"))]).unwrap();
        let mut bytes = good.bytes().to_vec();
        let last = bytes.len() - 1;
        bytes[last - 4..].fill(0xee);
        bytes[61..65].fill(0xee);
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    partition.append(bad.clone().into(), None, Acks::InSync).await.unwrap().await.unwrap();
    append(&partition, &batch(&[record(Some("b"), Some("1")), record(None, Some("no key"))])).await;
    append(&partition, &batch(&[record(Some("b"), Some("2"))])).await;
    close_segment(&partition).await;
    partition.update(&partition.replicas(), &Arc::new(crate::config::PartitionConfig::new(compacted(), 86_400_000)));
    order(&partition, 0).await.unwrap();
    let shop = workshop(1 << 20, None);
    clean_all(&partition, &shop).await;
    let left = read_all(&partition, WHOLE).await;
    let bases: Vec<_> = left.iter().map(|batch| (batch.base_offset(), batch.record_count())).collect();
    assert_eq!(bases[..3], [(0, 1), (1, 1), (4, 1)], "what may be the only readable record of its key stays");
    assert_eq!(left[1].bytes()[16..], bad[16..]);
    assert_eq!(shop.counters.read().bad_batches, 1);
    // The next pass meets it again.
    close_segment(&partition).await;
    order(&partition, 0).await.unwrap();
    clean_all(&partition, &shop).await;
    assert_eq!((shop.counters.read().bad_batches, progress(&partition).upto), (1, 6), "it is counted once");
    drop(partition);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_goes_when_its_records_are_gone_and_its_time_is_up() {
    let mut history = History::new().await;
    let append = |producer, key| Op::Append { producer, keys: vec![(key, false)], codec: Codec::None };
    let end = |producer, commit| Op::End { producer, commit };
    // The markers lie at 1, 3 and 5. Of the first transaction the record is superseded, of the second one it stays.
    for op in [append(3, 0), end(3, true), append(3, 1), end(3, true), append(4, 2), end(4, false), append(0, 0)] {
        history.run(&op).await;
    }
    close_segment(history.partition()).await;
    let shop = workshop(1 << 20, None);
    let aborted = async |history: &History| {
        let committed = ReadRequest { committed_only: true, ..from(0) };
        history.partition().read(committed).await.unwrap().aborted.len()
    };
    for (delete_retention_ms, left, told) in [(i64::MAX, vec![1, 3, 5], 1), (0, vec![3], 0)] {
        order(history.partition(), delete_retention_ms).await.unwrap();
        clean_all(history.partition(), &shop).await;
        assert_eq!(markers(&read_all(history.partition(), WHOLE).await), left);
        assert_eq!(aborted(&history).await, told, "who is told of a transaction finds its marker");
        close_segment(history.partition()).await;
    }
    // It stays so after a power cut, and the producers go on.
    history.restart(true).await;
    clean_all(history.partition(), &shop).await;
    assert_eq!(markers(&read_all(history.partition(), WHOLE).await), [3]);
    assert_eq!(aborted(&history).await, 0);
    let before = history.partition().offsets().borrow().high_watermark;
    history.run(&append(3, 1)).await;
    history.run(&end(3, true)).await;
    assert_eq!(history.partition().offsets().borrow().high_watermark, before + 2);
    history.partition = None;
    history.node.take().unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_later_or_a_policy_that_changes_ends_a_pass_well() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(compacted()).await;
    for number in 0..40 {
        append(&partition, &batch(&[record(Some("a"), Some(&format!("{number:0>99}")))])).await;
    }
    order(&partition, 0).await.unwrap();
    let shop = workshop(1 << 20, None);
    advance(&partition, 17).await;
    partition.raft.purge().await.unwrap();
    clean_all(&partition, &shop).await;
    assert!(records(&read_all(&partition, WHOLE).await).len() < 10);
    advance(&partition, 40).await;
    close_segment(&partition).await;
    close_segment(&partition).await;
    order(&partition, 0).await.unwrap();
    clean_all(&partition, &shop).await;

    close_segment(&partition).await;
    order(&partition, 0).await.unwrap();
    let policy = crate::config::PartitionConfig::new(crate::testing::topic_config(), 86_400_000);
    partition.update(&partition.replicas(), &Arc::new(policy));
    let ended = crate::compaction::clean(&partition, &shop).await.unwrap();
    assert_eq!(ended, crate::compaction::Ended::Pointless);
    drop(partition);
    node.stop().await;
}

#[derive(Clone, Debug)]
enum Op {
    Append { producer: i64, keys: Vec<(u8, bool)>, codec: Codec },
    Resend { producer: i64 },
    End { producer: i64, commit: bool },
    Order { delete_retention_ms: i64 },
    Pass { keys_bytes: usize },
    BrokenPass { bytes: u64 },
    Restart { crash: bool },
}

fn any_op() -> impl Strategy<Value = Op> {
    let keys = prop::collection::vec((0..6_u8, prop::bool::weighted(0.2)), 1..5);
    let append = (0..5_i64, keys, prop::sample::select(Codec::ALL.to_vec()));
    prop_oneof![
        12 => append.prop_map(|(producer, keys, codec)| Op::Append { producer, keys, codec }),
        1 => (1..5_i64).prop_map(|producer| Op::Resend { producer }),
        3 => (3..5_i64, any::<bool>()).prop_map(|(producer, commit)| Op::End { producer, commit }),
        2 => prop::sample::select(vec![0, 50, i64::MAX]).prop_map(|delete_retention_ms| Op::Order { delete_retention_ms }),
        1 => Just(Op::Pass { keys_bytes: 1 << 20 }),
        1 => (1..3000_u64).prop_map(|bytes| Op::BrokenPass { bytes }),
        1 => any::<bool>().prop_map(|crash| Op::Restart { crash }),
    ]
}

/// A record as it was appended.
#[derive(Clone, Debug)]
struct Written {
    seen: Seen,
    aborted: bool,
}

/// The marker of a transaction that has ended.
#[derive(Clone, Debug)]
struct Ended {
    offset: Offset,
    /// The transaction's records.
    records: Vec<usize>,
}

/// A partition, and what must be in it. Producers 1 and 2 are idempotent, 3 and 4 have transactions.
struct History {
    engine: Arc<MemEngine>,
    node: Option<TestNode>,
    partition: Option<Arc<Partition>>,
    written: Vec<Written>,
    last: HashMap<i64, (RecordBatch, Option<Enlistment>)>,
    sequences: HashMap<i64, i32>,
    numbers: HashMap<i64, u64>,
    /// The records of the open transactions.
    open: BTreeMap<i64, Vec<usize>>,
    ended: Vec<Ended>,
    /// The log as it was before anything was cleaned.
    original: Vec<CommittedEntry>,
}

impl History {
    async fn new() -> Self {
        let engine = Arc::new(MemEngine::new());
        let mut history = Self {
            engine,
            node: None,
            partition: None,
            written: Vec::new(),
            last: HashMap::new(),
            sequences: HashMap::new(),
            numbers: HashMap::new(),
            open: BTreeMap::new(),
            ended: Vec::new(),
            original: Vec::new(),
        };
        history.start().await;
        history
    }

    async fn start(&mut self) {
        let node = TestNode::start(Arc::<MemEngine>::clone(&self.engine)).await;
        self.partition = Some(node.partition(compacted()).await);
        self.node = Some(node);
    }

    fn partition(&self) -> &Arc<Partition> {
        self.partition.as_ref().unwrap()
    }

    async fn restart(&mut self, crash: bool) {
        self.partition = None;
        self.node.take().unwrap().stop().await;
        if crash {
            self.engine.crash();
        }
        self.start().await;
    }

    async fn run(&mut self, op: &Op) {
        self.node.as_ref().unwrap().clock.advance(10);
        match op {
            Op::Append { producer, keys, codec } => self.append(*producer, keys, *codec).await,
            Op::Resend { producer } => {
                if let Some((batch, enlistment)) = self.last.get(producer) {
                    let pending =
                        self.partition().append(batch.bytes().clone(), enlistment.clone(), Acks::InSync).await.unwrap();
                    assert!(pending.await.unwrap().duplicate);
                }
            }
            Op::End { producer, commit } => self.end(*producer, *commit).await,
            Op::Order { delete_retention_ms } => drop(order(self.partition(), *delete_retention_ms).await),
            Op::Pass { keys_bytes } => {
                self.capture();
                clean_all(self.partition(), &workshop(*keys_bytes, None)).await;
            }
            Op::BrokenPass { bytes } => {
                self.capture();
                clean_some(self.partition(), *bytes).await;
            }
            Op::Restart { crash } => self.restart(*crash).await,
        }
    }

    async fn append(&mut self, producer: i64, keys: &[(u8, bool)], codec: Codec) {
        let at = self.written.len();
        let value = |number: usize| format!("value {} of {producer}", at + number);
        let records: Vec<_> = (0..)
            .zip(keys)
            .map(|(number, (key, tombstone))| {
                let value = (!tombstone).then(|| value(number));
                let timestamp = ((at + number) * 37 % 101) as i64;
                Record { timestamp, ..record(Some(&format!("key {key}")), value.as_deref()) }
            })
            .collect();
        let sequence = self.sequences.entry(producer).or_default();
        let builder = BatchBuilder::new().codec(codec);
        let builder = if producer > 0 { builder.producer(producer, 0, *sequence) } else { builder };
        *sequence += i32::try_from(keys.len()).unwrap();
        let transactional = producer > 2;
        let builder = if transactional { builder.transactional() } else { builder };
        let batch = builder.build(&records).unwrap();
        if transactional && !self.open.contains_key(&producer) {
            *self.numbers.entry(producer).or_default() += 1;
            self.open.insert(producer, Vec::new());
        }
        let enlistment = transactional.then(|| Enlistment {
            number: self.numbers[&producer],
            version: 1,
            transactional_id: "t".into(),
        });
        let pending = self.partition().append(batch.bytes().clone(), enlistment.clone(), Acks::InSync).await.unwrap();
        let base = pending.await.unwrap().base_offset;
        for (delta, record) in (0..).zip(records) {
            if let Some(open) = self.open.get_mut(&producer) {
                open.push(self.written.len());
            }
            let seen = Seen { offset: base + delta, key: record.key, value: record.value };
            self.written.push(Written { seen, aborted: false });
        }
        self.last.insert(producer, (batch, enlistment));
    }

    async fn end(&mut self, producer_id: i64, commit: bool) {
        let Some(records) = self.open.remove(&producer_id) else { return };
        let number = self.numbers[&producer_id];
        let marker = EndMarker { producer_id, epoch: 0, number, coordinator_epoch: 1, commit };
        self.partition().end_transaction(marker).await.unwrap();
        for record in &records {
            self.written[*record].aborted = !commit;
        }
        let offset = self.partition().offsets().borrow().high_watermark - 1;
        self.ended.push(Ended { offset, records });
        // A batch of before would be late now.
        self.last.remove(&producer_id);
    }

    /// Remembers what has come into the log, before it is cleaned.
    fn capture(&mut self) {
        let last = self.original.last().map_or(0, |entry| entry.index);
        let more = entries_behind(self.partition(), last);
        self.original.extend(more);
    }

    /// What is to be there once all is cleaned as `order` says.
    fn expected(&self, order: Order) -> Vec<Seen> {
        let mut newest = HashMap::new();
        for written in self.written.iter().filter(|one| !one.aborted && one.seen.offset < order.upto) {
            newest.insert(&written.seen.key, written.seen.offset);
        }
        let stays = |written: &&Written| {
            let Seen { offset, key, value } = &written.seen;
            let superseded = written.aborted || newest.get(key) != Some(offset);
            let expired = value.is_none() && *offset < order.tombstones_before;
            *offset >= order.upto || !(superseded || expired)
        };
        self.written.iter().filter(stays).map(|written| written.seen.clone()).collect()
    }

    /// The markers that are to be there then.
    fn expected_markers(&self, order: Order) -> Vec<Offset> {
        let left: HashSet<_> = self.expected(order).iter().map(|seen| seen.offset).collect();
        let stays = |ended: &&Ended| {
            let has_records = ended.records.iter().any(|at| left.contains(&self.written[*at].seen.offset));
            ended.offset >= order.tombstones_before || has_records
        };
        self.ended.iter().filter(stays).map(|ended| ended.offset).collect()
    }

    /// The keys of the rows that tell of the other ones, without the group.
    fn rows_of_gone_markers(&self, order: Order) -> HashSet<Bytes> {
        let left = self.expected_markers(order);
        let gone = self.ended.iter().map(|ended| ended.offset).filter(|offset| !left.contains(offset));
        let keys = gone
            .flat_map(|offset| [RowKind::Aborted.key_at(TestNode::GROUP, offset), index::key(TestNode::GROUP, offset)]);
        keys.map(|key| key.slice(8..)).collect()
    }

    async fn check(&mut self) {
        self.capture();
        let shop: Workshop = workshop(1 << 20, None);
        clean_all(self.partition(), &shop).await;
        let partition = self.partition();
        let order = partition.published.view().orders.newest();
        let batches = read_all(partition, WHOLE).await;
        let seen = records(&batches);
        assert_eq!(texts(&seen), texts(&self.expected(order)), "{order:?}");
        assert_eq!(markers(&batches), self.expected_markers(order), "{order:?}");
        assert_eq!(records(&read_all(partition, 1).await), seen);

        let (mut before, mut after) = (Replica::new(), Replica::new());
        before.apply_logged(&self.original);
        after.apply_logged(&entries_behind(partition, 0));
        let engine: &MemEngine = &self.engine;
        assert_eq!(state_rows(&before.engine, Replica::GROUP), state_rows(&after.engine, Replica::GROUP));
        // A replica that is new sees the markers until it has cleaned for itself.
        let gone = self.rows_of_gone_markers(order);
        let without = |mut rows: Vec<(Bytes, Bytes)>| {
            rows.retain(|(key, _)| !gone.contains(key));
            rows
        };
        assert_eq!(without(state_rows(&before.engine, Replica::GROUP)), state_rows(engine, TestNode::GROUP));
        assert_eq!(without(index_rows(&after.engine, Replica::GROUP)), index_rows(engine, TestNode::GROUP));
        assert_eq!(before.offsets(), after.offsets());
    }
}

/// The rows that applying the log makes, without the group in their keys.
fn state_rows(engine: &MemEngine, group: caudal_types::RaftGroupId) -> Vec<(Bytes, Bytes)> {
    let all = dump(engine, group).into_iter();
    let state = all.filter(|(key, _)| !key.is_empty() && key.len() != 16);
    let own = state.filter(|(key, _)| state::split(key).is_some_and(|(kind, _)| kind != RowKind::Cleaned as u8));
    own.map(|(key, value)| (key.slice(8..), value)).collect()
}

fn index_rows(engine: &MemEngine, group: caudal_types::RaftGroupId) -> Vec<(Bytes, Bytes)> {
    use caudal_storage::Engine;
    let (from, to) = index::group_range(group);
    let rows = engine.scan(ColumnFamily::Index, from.as_ref()..to.as_ref(), ScanLimit::NONE).unwrap();
    rows.into_iter().map(|(key, value)| (key.slice(8..), value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_came_between_the_newest_records_stay_and_applying_the_log_does_the_same(
        ops in prop::collection::vec(any_op(), 20..120),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new().await;
            for op in &ops {
                history.run(op).await;
            }
            for producer in [3, 4] {
                history.end(producer, producer == 3).await;
            }
            history.check().await;
            history.restart(true).await;
            history.run(&Op::Append { producer: 0, keys: vec![(0, false)], codec: Codec::None }).await;
            order(history.partition(), 0).await;
            history.check().await;
            history.partition = None;
            history.node.take().unwrap().stop().await;
        });
    }
}
