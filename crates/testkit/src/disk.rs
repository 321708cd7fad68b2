//! A node's simulated disk: takes its time to sync, fails, and loses at a crash what it had not synced.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::engine::Row;
use caudal_storage::{
    ColumnFamily, Durability, Engine, MemEngine, PacedDisk, ScanLimit, StorageError, WriteBatch, WriteOp,
};
use caudal_types::mutant;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::trace::{Event, Trace};

/// A disk; it outlives the process that uses it.
pub struct Disk {
    number: u64,
    engine: MemEngine,
    trace: Trace,
    chance: Mutex<StdRng>,
    /// Counts the processes that have used it. Those before the current one have no access any more.
    process: AtomicU64,
    state: Mutex<State>,
    /// What was on the disk that was here before.
    lost: Mutex<Option<MemEngine>>,
}

#[derive(Debug)]
struct State {
    /// How long a sync takes, at least and at most.
    pace: Range<Duration>,
    fails: bool,
}

/// How long a sync takes on a disk in good order.
const GOOD: Range<Duration> = Duration::from_micros(100)..Duration::from_millis(3);

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Disk {
    /// An empty disk.
    pub fn new(number: u64, chance: StdRng, trace: Trace) -> Arc<Self> {
        let state = Mutex::new(State { pace: GOOD, fails: false });
        let (engine, process) = (MemEngine::new(), AtomicU64::new(0));
        Arc::new(Self { number, engine, trace, chance: Mutex::new(chance), process, state, lost: Mutex::default() })
    }

    /// Access for a new process.
    pub fn attach(self: &Arc<Self>) -> Attached {
        Attached { disk: Arc::clone(self), process: self.process.load(Ordering::Relaxed) }
    }

    /// The process that has used the disk is gone, with the writes that were not synced but the first `kept` of a thousandth each.
    pub fn crash(&self, kept: usize) {
        self.process.fetch_add(1, Ordering::Relaxed);
        self.engine.crash_keeping(self.engine.unsynced() * kept / 1000);
        self.mend();
    }

    /// Another disk takes its place, an empty one. To be called when no process uses it.
    pub fn lose(&self) {
        *self.lost.lock() = Some(self.engine.replace());
    }

    /// Syncs take up to `longest` from now on.
    pub fn slow_down(&self, longest: Duration) {
        self.state.lock().pace = longest / 2..longest;
    }

    /// Writes fail from now on.
    pub fn fail(&self) {
        self.state.lock().fails = true;
        self.engine.fail_writes(Some("the simulated disk is broken".to_owned()));
    }

    /// The disk is in good order again.
    pub fn mend(&self) {
        *self.state.lock() = State { pace: GOOD, fails: false };
        self.engine.fail_writes(None);
    }

    /// What is under `key` and would survive a crash; or was, until the disk was lost.
    pub fn durable(&self, cf: ColumnFamily, key: &[u8]) -> Option<Bytes> {
        self.engine.get_synced(cf, key).or_else(|| self.lost.lock().as_ref()?.get_synced(cf, key))
    }

    fn sync_time(&self) -> Duration {
        let pace = self.state.lock().pace.clone();
        self.chance.lock().random_range(pace)
    }
}

/// A process's access to its disk, until the process is gone.
#[derive(Clone, Debug)]
pub struct Attached {
    disk: Arc<Disk>,
    process: u64,
}

impl Attached {
    /// The disk, for a process that is still there.
    fn engine(&self) -> Result<&MemEngine, StorageError> {
        let current = self.disk.process.load(Ordering::Relaxed) == self.process;
        if current { Ok(&self.disk.engine) } else { Err(StorageError::Closed) }
    }
}

impl Engine for Attached {
    fn get(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.engine()?.get(cf, key)
    }

    fn get_many(&self, cf: ColumnFamily, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let values = self.engine()?.get_many(cf, keys)?;
        Ok(if cf == ColumnFamily::Log && mutant::active("corrupt_entry_served") { rot(values) } else { values })
    }

    fn boot(&self) -> u128 {
        self.disk.engine.boot()
    }

    fn scan(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        self.engine()?.scan(cf, range, limit)
    }

    fn scan_back(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        self.engine()?.scan_back(cf, range, limit)
    }

    /// Synced writes too are so only when [`PacedDisk::synced`] has returned.
    fn write(&self, batch: WriteBatch, _: Durability) -> Result<(), StorageError> {
        let engine = self.engine()?;
        for op in batch.ops() {
            match op {
                WriteOp::Put { key, head, body, .. } => {
                    let content = [&key[..], head, body].concat();
                    self.disk.trace.add(Event::Written, self.disk.number, &content);
                }
                WriteOp::Delete { key, .. } => self.disk.trace.add(Event::Written, self.disk.number, key),
                WriteOp::DeleteRange { from, .. } => self.disk.trace.add(Event::Written, self.disk.number, from),
            }
        }
        engine.write(batch, Durability::Buffered)
    }
}

/// Damages a byte of one value in sixteen, for the defect of which the system may not notice that.
fn rot(mut values: Vec<Option<Bytes>>) -> Vec<Option<Bytes>> {
    for value in
        values.iter_mut().flatten().filter(|value| value.len() > 80 && crc32c::crc32c(value).is_multiple_of(16))
    {
        let mut damaged = value.to_vec();
        damaged[value.len() - 1] ^= 1;
        *value = damaged.into();
    }
    values
}

impl PacedDisk for Attached {
    fn synced(&self) -> Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send + '_>> {
        Box::pin(async {
            let written = self.engine()?.unsynced();
            sleep(self.disk.sync_time()).await;
            let engine = self.engine()?;
            self.disk.trace.add(Event::Synced, self.disk.number, &[]);
            engine.sync(written)
        })
    }
}
