//! Sends and polls in transactions, after Jepsen's list-append: each of 1 to 4 parts, some aborted on purpose; where a transaction read, it commits the
//! offsets behind for the consumer group. A worker keeps its transactional id for ever: whoever goes on after it lost a client fences the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Result;
use rand::Rng;

use super::Run;
use super::client::{Client, Outcome, Records, Sent};
use super::queue::{Habits, Reads, Sends, Worker, behind, start_worker};
use crate::history::{Key, Kind, Micro, Offset, Op};

/// Starts the workers.
///
/// # Errors
/// When threads cannot be started.
pub fn start(run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
    let habits = |number: u64| {
        let reads = if number.is_multiple_of(2) { Reads::Assigned } else { Reads::Subscribed };
        Habits { sends: Sends::InTransactions, reads }
    };
    (0..WORKERS).map(|number| start_worker(run, number, habits(number))).collect()
}

/// A worker's transactional id.
pub(super) fn id(worker: u64) -> String {
    format!("transactor-{worker}")
}

/// All workers' transactional ids.
pub(super) fn ids() -> impl Iterator<Item = String> {
    (0..WORKERS).map(id)
}

/// A transaction as far as it has come.
struct Progress {
    micros: Vec<Micro>,
    /// Where the reader is behind what was read.
    offsets: BTreeMap<Key, Offset>,
    failure: Option<String>,
}

impl Worker {
    /// One transaction.
    pub(super) fn transact(&mut self) {
        let count = self.random.random_range(1..=4);
        let planned: Vec<_> = (0..count).flat_map(|_| self.part()).collect();
        let commit = self.random.random_ratio(9, 10);
        let Some(client) = &mut self.client else { return };
        if client.begin().is_err() {
            return self.begin_anew();
        }
        let op = |micros| Op::Work { micros, transactional: true };
        self.run.recorder.note(self.process, Kind::Invoke, op(planned.clone()), None);
        let done = perform(&self.run, self.process, client.as_mut(), planned);
        let outcome = client.end(commit && done.failure.is_none(), &done.offsets);
        self.run.note_rebalances(self.process, client.as_mut());
        let (op, read) = (op(done.micros), !done.offsets.is_empty());
        match outcome {
            Outcome::Ok(()) => {
                self.positions.extend(done.offsets);
                self.complete(Kind::Ok, op, None);
            }
            Outcome::Fail(error) => {
                self.complete(Kind::Fail, op, Some(done.failure.unwrap_or(error)));
                if read {
                    // What was read is to be read again.
                    self.begin_anew();
                }
            }
            Outcome::Info(error) => self.complete(Kind::Info, op, Some(error)),
        }
    }

    fn part(&mut self) -> Option<Micro> {
        if self.random.random() {
            return Some(Micro::Poll { records: Records::new() });
        }
        let (key, value) = self.new_records(1).pop()?;
        Some(Micro::Send { key, value, offset: None })
    }

    /// Goes on with another client, from where its committed transactions have come.
    fn begin_anew(&mut self) {
        self.client = None;
        self.reading = false;
    }
}

/// Does the parts of a transaction, until one fails.
fn perform(run: &Run, process: u32, client: &mut dyn Client, planned: Vec<Micro>) -> Progress {
    let mut progress = Progress { micros: Vec::new(), offsets: BTreeMap::new(), failure: None };
    for micro in planned {
        let failed = progress.failure.is_some();
        let done = match micro {
            micro if failed => Ok(micro),
            Micro::Send { key, value, .. } => match client.send(&[(key.clone(), value)]).pop() {
                Some(Sent::Ok(offset)) => Ok(Micro::Send { key, value, offset }),
                Some(Sent::Refused(error) | Sent::Unknown(error)) => {
                    Err((Micro::Send { key, value, offset: None }, error))
                }
                None => Err((Micro::Send { key, value, offset: None }, "no answer".to_owned())),
            },
            Micro::Poll { .. } => match client.poll() {
                Ok(records) => {
                    progress.offsets.extend(behind(&records));
                    Ok(Micro::Poll { records })
                }
                Err(error) => Err((Micro::Poll { records: Records::new() }, error.to_string())),
            },
        };
        run.note_rebalances(process, client);
        let micro = done.unwrap_or_else(|(micro, error)| {
            progress.failure = Some(error);
            micro
        });
        progress.micros.push(micro);
    }
    progress
}

const WORKERS: u64 = 4;
