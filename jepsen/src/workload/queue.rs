//! Sends and polls of unique integers, after Jepsen's queue: some processes assign themselves partitions, others subscribe as a group; some
//! producers are idempotent, others send each record once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::client::{Client, Records, Sent};
use super::{Run, thread, transactions};
use crate::history::{Key, Kind, Micro, Offset, Op, Value};

/// Starts the workers.
///
/// # Errors
/// When threads cannot be started.
pub fn start(run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
    (0..WORKERS).map(|number| start_worker(run, number, Habits::of(number))).collect()
}

/// Starts one worker.
///
/// # Errors
/// When the thread cannot be started.
pub fn start_worker(run: &Arc<Run>, number: u64, habits: Habits) -> Result<JoinHandle<()>> {
    let run = Arc::clone(run);
    thread("queue", move || {
        let mut worker = Worker::new(run, number, habits);
        while !worker.run.rest(&mut worker.random) {
            worker.step();
        }
    })
}

/// What a worker does.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How it writes.
    pub sends: Sends,
    /// Whether it reads, and how.
    pub reads: Reads,
}

/// How a worker writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    /// Each record once.
    Once,
    /// With an idempotent producer.
    Idempotent,
    /// In transactions, of which its reads are parts.
    InTransactions,
}

impl Sends {
    /// With an idempotent producer, or each record once.
    pub fn with_idempotence(idempotent: bool) -> Self {
        if idempotent { Self::Idempotent } else { Self::Once }
    }
}

/// How a worker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Not at all.
    Nothing,
    /// Partitions of its choice.
    Assigned,
    /// Those that its group gives it.
    Subscribed,
}

impl Habits {
    fn of(number: u64) -> Self {
        let reads = if (number / 2).is_multiple_of(2) { Reads::Assigned } else { Reads::Subscribed };
        Self { sends: Sends::with_idempotence(number.is_multiple_of(2)), reads }
    }
}

pub(super) struct Worker {
    pub(super) run: Arc<Run>,
    pub(super) process: u32,
    number: u64,
    pub(super) habits: Habits,
    pub(super) random: StdRng,
    pub(super) client: Option<Box<dyn Client>>,
    /// Where it reads on, in all partitions that this process has read.
    pub(super) positions: BTreeMap<Key, Offset>,
    pub(super) reading: bool,
}

impl Worker {
    fn new(run: Arc<Run>, number: u64, habits: Habits) -> Self {
        let (process, random) = (run.recorder.new_process(), run.random(number));
        let (client, positions) = (None, BTreeMap::new());
        Self { run, process, number, habits, random, client, positions, reading: false }
    }

    /// Goes on as another process, with another client, since nobody knows what the old one's last operation does.
    fn be_another(&mut self) {
        self.process = self.run.recorder.new_process();
        self.client = None;
        self.positions.clear();
        self.reading = false;
    }

    fn step(&mut self) {
        if self.client.is_none() {
            match self.open() {
                Ok(client) => self.client = Some(client),
                Err(error) => return eprintln!("no client can be made: {error:#}"),
            }
        }
        let reads = self.habits.reads != Reads::Nothing;
        if self.habits.sends == Sends::InTransactions && self.reading && self.random.random_ratio(49, 50) {
            self.transact();
        } else if reads && (!self.reading || self.random.random_ratio(1, 100)) {
            self.choose();
        } else if reads && self.random.random() {
            self.poll();
        } else {
            self.send();
        }
    }

    fn open(&self) -> Result<Box<dyn Client>> {
        match self.habits.sends {
            Sends::InTransactions => self.run.transactional_client(transactions::id(self.number), GROUP),
            sends => self.run.client(sends == Sends::Idempotent, GROUP, true),
        }
    }

    pub(super) fn complete(&mut self, kind: Kind, op: Op, error: Option<String>) {
        self.run.recorder.note(self.process, kind, op, error);
        if kind == Kind::Info {
            self.be_another();
        }
    }

    /// Chooses what to read from now on.
    fn choose(&mut self) {
        let Some(client) = &mut self.client else { return };
        let (op, chosen) = if self.habits.reads == Reads::Subscribed {
            let topics: Vec<_> = self.run.topics().into_keys().collect();
            let op = Op::Subscribe { topics: topics.clone() };
            self.run.recorder.note(self.process, Kind::Invoke, op.clone(), None);
            (op, client.subscribe(&topics))
        } else {
            let keys = self.run.keys();
            let count = self.random.random_range(1..=keys.len().max(1));
            let mut keys = keys.into_iter().choose_multiple(&mut self.random, count);
            keys.sort();
            let op = Op::Assign { keys: keys.clone() };
            self.run.recorder.note(self.process, Kind::Invoke, op.clone(), None);
            let from = keys.into_iter().map(|key| (key.clone(), self.positions.get(&key).copied())).collect();
            (op, client.assign(&from))
        };
        self.run.note_rebalances(self.process, client.as_mut());
        self.reading = chosen.is_ok();
        match chosen {
            Ok(()) => self.complete(Kind::Ok, op, None),
            Err(error) => self.complete(Kind::Info, op, Some(error.to_string())),
        }
    }

    fn poll(&mut self) {
        let op = |records| Op::Work { micros: vec![Micro::Poll { records }], transactional: false };
        self.run.recorder.note(self.process, Kind::Invoke, op(Records::new()), None);
        let Some(client) = &mut self.client else { return };
        let polled = client.poll();
        self.run.note_rebalances(self.process, client.as_mut());
        match polled {
            Ok(records) => {
                self.positions.extend(behind(&records));
                self.complete(Kind::Ok, op(records), None);
            }
            Err(error) => self.complete(Kind::Fail, op(Records::new()), Some(error.to_string())),
        }
    }

    /// So many records that nobody has written, for partitions chosen by lot.
    pub(super) fn new_records(&mut self, count: usize) -> Vec<(Key, Value)> {
        let keys = self.run.keys();
        let chosen = (0..count).filter_map(|_| keys.choose(&mut self.random).cloned());
        chosen.map(|key| (key, self.run.recorder.new_value())).collect()
    }

    fn send(&mut self) {
        let more = if self.random.random_ratio(7, 10) { 0 } else { self.random.random_range(1..=3) };
        let records = self.new_records(1 + more);
        let op = |sent: &[Sent]| {
            let micro = |((key, value), sent): (&(Key, u64), &Sent)| {
                let offset = if let Sent::Ok(offset) = sent { *offset } else { None };
                Micro::Send { key: key.clone(), value: *value, offset }
            };
            Op::Work { micros: records.iter().zip(sent).map(micro).collect(), transactional: false }
        };
        let nothing = vec![Sent::Ok(None); records.len()];
        self.run.recorder.note(self.process, Kind::Invoke, op(&nothing), None);
        let Some(client) = &mut self.client else { return };
        let sent = client.send(&records);
        let (kind, error) = judge(&sent);
        self.complete(kind, op(&sent), error);
    }
}

/// The offsets behind what was read.
pub(super) fn behind(records: &Records) -> impl Iterator<Item = (Key, Offset)> + '_ {
    records.iter().filter_map(|(key, read)| Some((key.clone(), read.last()?.0 + 1)))
}

/// What is said of an operation whose parts had these fates.
fn judge(sent: &[Sent]) -> (Kind, Option<String>) {
    let error = sent.iter().find_map(|sent| match sent {
        Sent::Ok(_) => None,
        Sent::Refused(error) | Sent::Unknown(error) => Some(error.clone()),
    });
    let kind = if error.is_none() {
        Kind::Ok
    } else if sent.iter().all(|sent| matches!(sent, Sent::Refused(_))) {
        Kind::Fail
    } else {
        Kind::Info
    };
    (kind, error)
}

/// The group of those that subscribe.
pub(super) const GROUP: &str = "queue";
const WORKERS: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_fails_only_if_no_part_can_have_happened() {
        let (ok, refused) = (Sent::Ok(Some(1)), Sent::Refused("full".to_owned()));
        let unknown = Sent::Unknown("late".to_owned());
        let kind = |sent: &[&Sent]| judge(&sent.iter().map(|sent| (*sent).clone()).collect::<Vec<_>>()).0;
        assert_eq!(kind(&[&ok, &ok]), Kind::Ok);
        assert_eq!(kind(&[&refused, &refused]), Kind::Fail);
        assert_eq!(kind(&[&ok, &refused]), Kind::Info);
        assert_eq!(kind(&[&refused, &unknown]), Kind::Info);
    }
}
