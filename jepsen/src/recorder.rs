//! Writes the history of a run, as it happens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use parking_lot::Mutex;

use crate::history::{self, Event, Kind, NEMESIS, Op, Value};

/// The history of a run, shared by all its threads.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    out: Mutex<BufWriter<File>>,
    processes: AtomicU32,
    values: AtomicU64,
}

impl Recorder {
    /// Begins a history.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let out = Mutex::new(BufWriter::new(File::create(path)?));
        Ok(Self { start: Instant::now(), out, processes: AtomicU32::new(0), values: AtomicU64::new(0) })
    }

    /// A number that no process has had.
    pub fn new_process(&self) -> u32 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// A value that nobody has written.
    pub fn new_value(&self) -> Value {
        self.values.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes an event.
    ///
    /// # Panics
    /// When the history cannot be written: a run without it proves nothing.
    pub fn note(&self, process: u32, kind: Kind, op: Op, error: Option<String>) {
        let mut out = self.out.lock();
        // Taken under the lock, so that time never goes back in the file.
        let time = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        history::write(&Event { time, process, kind, op, error }, &mut *out).expect("the history can be written");
    }

    /// Notes what the nemesis does.
    pub fn fault(&self, name: &str, nodes: &[u32], begins: bool, detail: Option<String>) {
        let op = Op::Fault { name: name.to_owned(), nodes: nodes.to_vec(), begins };
        self.note(NEMESIS, Kind::Ok, op, detail);
    }

    /// Writes out what is gathered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> Result<()> {
        Ok(self.out.lock().flush()?)
    }
}
