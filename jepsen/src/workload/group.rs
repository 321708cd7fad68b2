//! A consumer group whose members come and go: each polls, processes what it got, and commits the offsets behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::client::{Client, Outcome, Records};
use super::queue::{Habits, Reads, Sends, start_worker};
use super::{Run, thread};
use crate::history::{Key, Kind, Micro, Offset, Op};

/// Starts the producers, the members, and one who asks what is committed.
///
/// # Errors
/// When threads cannot be started.
pub fn start(run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for number in 0..2 {
        threads.push(start_worker(
            run,
            number,
            Habits { sends: Sends::with_idempotence(number == 0), reads: Reads::Nothing },
        )?);
    }
    for number in 10..13 {
        let mut member = Member::new(Arc::clone(run), number);
        threads.push(thread("member", move || {
            while !member.run.rest(&mut member.random) {
                member.step();
            }
        })?);
    }
    let run = Arc::clone(run);
    threads.push(thread("asker", move || ask(&run))?);
    Ok(threads)
}

struct Member {
    run: Arc<Run>,
    process: u32,
    random: StdRng,
    client: Option<Box<dyn Client>>,
}

impl Member {
    fn new(run: Arc<Run>, number: u64) -> Self {
        let (process, random) = (run.recorder.new_process(), run.random(number));
        Self { run, process, random, client: None }
    }

    fn step(&mut self) {
        if self.client.is_some() && self.random.random_ratio(1, 150) {
            self.leave();
        }
        if self.client.is_none() && !self.join() {
            return;
        }
        let offsets = self.poll();
        if !offsets.is_empty() {
            self.commit(offsets);
        }
    }

    /// Closes its client, which leaves the group, and goes on as another process.
    fn leave(&mut self) {
        self.client = None;
        self.process = self.run.recorder.new_process();
    }

    fn join(&mut self) -> bool {
        let topics: Vec<_> = self.run.topics().into_keys().collect();
        let op = Op::Subscribe { topics: topics.clone() };
        self.run.recorder.note(self.process, Kind::Invoke, op.clone(), None);
        let opened = self.run.client(false, GROUP, false);
        let joined = opened.and_then(|mut client| {
            client.subscribe(&topics)?;
            self.client = Some(client);
            Ok(())
        });
        let (kind, error) = joined.map_or_else(|error| (Kind::Fail, Some(error.to_string())), |()| (Kind::Ok, None));
        self.run.recorder.note(self.process, kind, op, error);
        self.client.is_some()
    }

    /// Reads, and returns the offsets behind what was read.
    fn poll(&mut self) -> BTreeMap<Key, Offset> {
        let op = |records| Op::Work { micros: vec![Micro::Poll { records }], transactional: false };
        let Some(client) = &mut self.client else { return BTreeMap::new() };
        self.run.recorder.note(self.process, Kind::Invoke, op(Records::new()), None);
        let polled = client.poll();
        self.run.note_rebalances(self.process, client.as_mut());
        match polled {
            Ok(records) => {
                let behind = |(key, read): (&Key, &Vec<(Offset, u64)>)| Some((key.clone(), read.last()?.0 + 1));
                let offsets = records.iter().filter_map(behind).collect();
                self.run.recorder.note(self.process, Kind::Ok, op(records), None);
                offsets
            }
            Err(error) => {
                self.run.recorder.note(self.process, Kind::Fail, op(Records::new()), Some(error.to_string()));
                BTreeMap::new()
            }
        }
    }

    fn commit(&mut self, offsets: BTreeMap<Key, Offset>) {
        let Some(client) = &mut self.client else { return };
        let op = Op::Commit { group: GROUP.to_owned(), offsets: offsets.clone() };
        self.run.recorder.note(self.process, Kind::Invoke, op.clone(), None);
        match client.commit(&offsets) {
            Outcome::Ok(()) => self.run.recorder.note(self.process, Kind::Ok, op, None),
            Outcome::Fail(error) => self.run.recorder.note(self.process, Kind::Fail, op, Some(error)),
            Outcome::Info(error) => {
                self.run.recorder.note(self.process, Kind::Info, op, Some(error));
                self.leave();
            }
        }
    }
}

/// Asks twice a second what is committed.
fn ask(run: &Run) {
    let process = run.recorder.new_process();
    let mut client = None;
    while !run.stop.wait(ASK_EVERY) {
        if client.is_none() {
            client = run.client(false, GROUP, false).ok();
        }
        if let Some(client) = &mut client {
            committed(run, process, client.as_mut());
        }
    }
}

/// Asks what is committed, and notes the answer; whether there was one.
pub(crate) fn committed(run: &Run, process: u32, client: &mut dyn Client) -> bool {
    let op = |offsets| Op::Committed { group: GROUP.to_owned(), offsets };
    run.recorder.note(process, Kind::Invoke, op(BTreeMap::new()), None);
    match client.committed(&run.keys()) {
        Ok(offsets) => {
            run.recorder.note(process, Kind::Ok, op(offsets), None);
            true
        }
        Err(error) => {
            run.recorder.note(process, Kind::Fail, op(BTreeMap::new()), Some(error.to_string()));
            false
        }
    }
}

/// Members with the consumer protocol are to be heard of as often as those with the classic one.
pub(crate) const CONSUMER_SETTINGS: &[&str] = &[
    "group.consumer.min.heartbeat.interval.ms=1000",
    "group.consumer.heartbeat.interval.ms=1000",
    "group.consumer.min.session.timeout.ms=6000",
    "group.consumer.session.timeout.ms=6000",
];

/// The group.
pub(crate) const GROUP: &str = "members";
const ASK_EVERY: Duration = Duration::from_millis(500);
