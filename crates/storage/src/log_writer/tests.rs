//! The writer over engines that wait, fail or panic when they are told to.

use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use caudal_types::limits::{LOG_WRITER_BATCH_BYTES, LOG_WRITER_QUEUE_BYTES};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::*;
use crate::engine::Row;
use crate::{ColumnFamily, Durability, MemEngine, ScanLimit};

/// Stops in each write until the test lets it go on, in the way that it says.
#[derive(Debug)]
struct GatedEngine {
    disk: MemEngine,
    entered: mpsc::Sender<usize>,
    verdicts: Mutex<mpsc::Receiver<Verdict>>,
}

#[derive(Debug)]
enum Verdict {
    Write,
    Fail(&'static str),
    Panic,
}

impl Engine for GatedEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.disk.get(cf, key)
    }

    fn get_many(&self, cf: ColumnFamily, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.disk.get_many(cf, keys)
    }

    fn scan(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        self.disk.scan(cf, range, limit)
    }

    fn scan_back(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        self.disk.scan_back(cf, range, limit)
    }

    fn boot(&self) -> u128 {
        self.disk.boot()
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StorageError> {
        assert_eq!(durability, Durability::Synced);
        self.entered.send(batch.ops().len()).unwrap();
        match self.verdicts.lock().recv().unwrap() {
            Verdict::Write => self.disk.write(batch, durability),
            Verdict::Fail(reason) => Err(StorageError::Io(reason.to_owned())),
            Verdict::Panic => panic!("the engine was told to panic"),
        }
    }
}

/// A writer whose disk obeys the test.
struct Rig {
    writer: LogWriter,
    engine: Arc<GatedEngine>,
    entered: mpsc::Receiver<usize>,
    verdicts: mpsc::Sender<Verdict>,
    done_sender: mpsc::Sender<(u8, Result<(), String>)>,
    done: mpsc::Receiver<(u8, Result<(), String>)>,
}

impl Rig {
    fn new() -> Self {
        let (entered_sender, entered) = mpsc::channel();
        let (verdicts, verdict_receiver) = mpsc::channel();
        let (done_sender, done) = mpsc::channel();
        let engine = Arc::new(GatedEngine {
            disk: MemEngine::new(),
            entered: entered_sender,
            verdicts: Mutex::new(verdict_receiver),
        });
        let writer = LogWriter::start(Arc::clone(&engine) as Arc<dyn Engine>);
        Self { writer, engine, entered, verdicts, done_sender, done }
    }

    /// A completion that reports itself as `number`.
    fn report(&self, number: u8) -> Completion {
        let sender = self.done_sender.clone();
        Box::new(move |result| sender.send((number, result.map_err(|error| error.to_string()))).unwrap())
    }

    async fn append(&self, number: u8, bytes: usize) -> Result<(), StorageError> {
        timeout(DEADLINE, self.writer.append(batch(number, bytes), self.report(number))).await.unwrap()
    }

    /// Waits until the thread is in a write, and gives the number of operations in it.
    fn entered(&self) -> usize {
        self.entered.recv_timeout(DEADLINE).unwrap()
    }

    fn verdict(&self, verdict: Verdict) {
        self.verdicts.send(verdict).unwrap();
    }

    fn next_done(&self) -> (u8, Result<(), String>) {
        self.done.recv_timeout(DEADLINE).unwrap()
    }

    /// Begins the first write and leaves it waiting, so that whatever follows is queued.
    async fn block(&self) {
        self.append(0, 1).await.unwrap();
        assert_eq!(self.entered(), 1);
    }
}

#[tokio::test]
async fn what_queues_up_during_a_sync_shares_the_next_one_in_order() {
    let rig = Rig::new();
    rig.block().await;
    for number in 1..=50 {
        rig.append(number, 100).await.unwrap();
    }
    assert!(rig.done.try_recv().is_err(), "nothing is acknowledged before it is synced");
    rig.verdict(Verdict::Write);
    assert_eq!(rig.entered(), 50);
    rig.verdict(Verdict::Write);
    for number in 0..=50 {
        assert_eq!(rig.next_done(), (number, Ok(())));
    }
    let stats = rig.writer.stats();
    assert_eq!((stats.syncs, stats.appends, stats.queued_bytes), (2, 51, 0));
    assert_eq!(stats.bytes, 51 + 1 + 50 * 100);
}

#[tokio::test]
async fn a_group_is_bounded_by_bytes() {
    let rig = Rig::new();
    rig.block().await;
    for number in 1..=5 {
        rig.append(number, LOG_WRITER_BATCH_BYTES / 4).await.unwrap();
    }
    rig.append(6, LOG_WRITER_BATCH_BYTES * 2).await.unwrap();
    rig.append(7, 1).await.unwrap();
    for group in [3, 2, 1, 1] {
        rig.verdict(Verdict::Write);
        assert_eq!(rig.entered(), group);
    }
    rig.verdict(Verdict::Write);
    (0..=7).for_each(|number| assert_eq!(rig.next_done(), (number, Ok(()))));
}

#[tokio::test]
async fn appends_wait_for_room_and_keep_their_order() {
    let rig = Rig::new();
    rig.block().await;
    rig.append(1, LOG_WRITER_QUEUE_BYTES / 2).await.unwrap();
    // Larger than the whole bound: waits until it is alone, and those behind it wait for their turn.
    let mut huge = Box::pin(rig.writer.append(batch(2, LOG_WRITER_QUEUE_BYTES * 2), rig.report(2)));
    let mut small = Box::pin(rig.writer.append(batch(3, 1), rig.report(3)));
    assert!(futures_pending(&mut huge).await && futures_pending(&mut small).await);
    rig.verdict(Verdict::Write);
    rig.entered();
    assert!(futures_pending(&mut huge).await && futures_pending(&mut small).await);
    rig.verdict(Verdict::Write);
    timeout(DEADLINE, huge).await.unwrap().unwrap();
    assert_eq!(rig.entered(), 1);
    assert!(rig.writer.stats().queued_bytes == LOG_WRITER_QUEUE_BYTES && futures_pending(&mut small).await);
    rig.verdict(Verdict::Write);
    timeout(DEADLINE, small).await.unwrap().unwrap();
    rig.entered();
    rig.verdict(Verdict::Write);
    (0..=3).for_each(|number| assert_eq!(rig.next_done(), (number, Ok(()))));
}

#[tokio::test]
async fn an_append_given_up_while_it_waits_is_answered_and_not_written() {
    let rig = Rig::new();
    rig.block().await;
    rig.append(1, NEARLY_ALL).await.unwrap();
    let mut given_up = Box::pin(rig.writer.append(batch(2, LOG_WRITER_QUEUE_BYTES - NEARLY_ALL), rig.report(2)));
    assert!(futures_pending(&mut given_up).await);
    drop(given_up);
    assert_eq!(rig.next_done(), (2, Err("the store is closed".to_owned())));
    rig.verdict(Verdict::Write);
    rig.verdict(Verdict::Write);
    assert_eq!((rig.next_done().0, rig.next_done().0), (0, 1));
    rig.writer.close().await;
    assert_eq!(rig.engine.get(ColumnFamily::Log, &[2]).unwrap(), None);
}

#[tokio::test]
async fn after_a_failure_nothing_is_acknowledged_and_the_first_reason_stays() {
    let rig = Rig::new();
    let mut state = rig.writer.state();
    assert_eq!(*state.borrow(), StoreState::Writable);
    rig.block().await;
    rig.append(1, LOG_WRITER_QUEUE_BYTES / 2).await.unwrap();
    let waiting = rig.writer.append(batch(2, LOG_WRITER_QUEUE_BYTES), rig.report(2));
    rig.verdict(Verdict::Fail("no space left"));
    let read_only = "the store is read-only since: storage I/O failed: no space left";
    assert_eq!(timeout(DEADLINE, waiting).await.unwrap().unwrap_err().to_string(), read_only);
    assert_eq!(rig.append(3, 1).await.unwrap_err().to_string(), read_only);
    let mut answers: Vec<_> = (0..=3).map(|_| rig.next_done()).collect();
    answers.sort();
    let io = "storage I/O failed: no space left";
    let expected = [(0, io), (1, read_only), (2, read_only), (3, read_only)];
    assert_eq!(answers, expected.map(|(number, text)| (number, Err(text.to_owned()))));
    assert_eq!(rig.writer.write(batch(4, 1)).await.unwrap_err().to_string(), read_only);
    let failed =
        timeout(DEADLINE, state.wait_for(|state| *state != StoreState::Writable)).await.unwrap().unwrap().clone();
    assert_eq!(failed, StoreState::Failed(io.to_owned()));
    rig.writer.close().await;
    assert_eq!((rig.writer.stats().syncs, rig.writer.stats().appends), (0, 0));
    assert_eq!(rig.append(5, 1).await.unwrap_err().to_string(), read_only, "the first reason outlives closing");
}

#[tokio::test]
async fn the_store_is_failed_before_anybody_hears_of_the_failure() {
    let rig = Rig::new();
    let (sender, receiver) = oneshot::channel();
    let state = rig.writer.state();
    let done = move |_| sender.send(state.borrow().clone()).unwrap();
    rig.writer.append(batch(0, 1), Box::new(done)).await.unwrap();
    rig.verdict(Verdict::Fail("broken"));
    assert_eq!(
        timeout(DEADLINE, receiver).await.unwrap().unwrap(),
        StoreState::Failed("storage I/O failed: broken".into())
    );
}

#[tokio::test]
async fn a_panic_in_the_engine_fails_the_store_and_hangs_nobody() {
    let rig = Rig::new();
    rig.block().await;
    rig.append(1, 1).await.unwrap();
    rig.verdict(Verdict::Panic);
    assert_eq!(rig.next_done(), (0, Err("the store is closed".to_owned())));
    assert_eq!(rig.next_done().1, Err("the store is read-only since: the log writer panicked".to_owned()));
    timeout(DEADLINE, rig.writer.close()).await.unwrap();
    assert!(matches!(rig.append(2, 1).await, Err(StorageError::ReadOnly(_))));
}

#[tokio::test]
async fn a_panic_in_a_completion_harms_nobody_else() {
    let rig = Rig::new();
    rig.writer.append(batch(0, 1), Box::new(|_| panic!("the completion was told to panic"))).await.unwrap();
    rig.verdict(Verdict::Write);
    rig.append(1, 1).await.unwrap();
    rig.verdict(Verdict::Write);
    assert_eq!(rig.next_done(), (1, Ok(())));
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_refuses_the_rest() {
    let rig = Rig::new();
    rig.block().await;
    rig.append(1, NEARLY_ALL).await.unwrap();
    let mut waiting = Box::pin(rig.writer.append(batch(2, LOG_WRITER_QUEUE_BYTES - NEARLY_ALL), rig.report(2)));
    assert!(futures_pending(&mut waiting).await);
    let other_handle = rig.writer.clone();
    let mut closing = Box::pin(other_handle.close());
    assert!(futures_pending(&mut closing).await, "closing waits for what is queued");
    assert!(matches!(timeout(DEADLINE, waiting).await.unwrap(), Err(StorageError::Closed)));
    assert!(matches!(rig.append(3, 1).await, Err(StorageError::Closed)));
    rig.verdict(Verdict::Write);
    rig.verdict(Verdict::Write);
    timeout(DEADLINE, closing).await.unwrap();
    let mut answers: Vec<_> = (0..=3).map(|_| rig.next_done()).collect();
    answers.sort();
    assert_eq!(answers.iter().map(|(_, result)| result.is_ok()).collect::<Vec<_>>(), [true, true, false, false]);
    assert!(rig.engine.get(ColumnFamily::Log, &[1]).unwrap().is_some());
    assert_eq!(Arc::strong_count(&rig.engine), 1, "the thread has let go of the engine");
    assert_eq!(*rig.writer.state().borrow(), StoreState::Writable, "closing is no failure");
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_thread_after_the_queue() {
    let rig = Rig::new();
    rig.block().await;
    rig.append(1, 1).await.unwrap();
    let Rig { writer, engine, verdicts, done, .. } = rig;
    let mut ended = writer.shared().ended.subscribe();
    drop(writer);
    verdicts.send(Verdict::Write).unwrap();
    verdicts.send(Verdict::Write).unwrap();
    timeout(DEADLINE, ended.wait_for(|ended| *ended)).await.unwrap().unwrap();
    assert_eq!(done.try_iter().collect::<Vec<_>>(), [(0, Ok(())), (1, Ok(()))]);
    assert_eq!(Arc::strong_count(&engine), 1);
}

#[tokio::test]
async fn what_write_acknowledges_survives_a_power_cut() {
    let disk = Arc::new(MemEngine::new());
    let writer = LogWriter::start(Arc::clone(&disk) as Arc<dyn Engine>);
    disk.write(batch(1, 5), Durability::Buffered).unwrap();
    writer.write(batch(2, 5)).await.unwrap();
    disk.write(batch(3, 5), Durability::Buffered).unwrap();
    disk.crash();
    let survivors = [1, 2, 3].map(|key| disk.get(ColumnFamily::Log, &[key]).unwrap().is_some());
    assert_eq!(survivors, [true, true, false]);
    disk.fail_writes(Some("gone".to_owned()));
    assert!(matches!(writer.write(batch(4, 5)).await, Err(StorageError::Io(_))));
    disk.fail_writes(None);
    assert!(matches!(writer.write(batch(5, 5)).await, Err(StorageError::ReadOnly(_))), "a mended disk changes nothing");
}

/// One row whose key is `number`; key and value have `bytes` and one.
fn batch(number: u8, bytes: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(ColumnFamily::Log, vec![number], vec![0; bytes]);
    batch
}

/// Whether `future` is not ready when it is polled once.
async fn futures_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending()))
        .await
}

/// Leaves room for what an append costs beside its bytes.
const NEARLY_ALL: usize = LOG_WRITER_QUEUE_BYTES - 4096;
const DEADLINE: Duration = Duration::from_secs(20);
