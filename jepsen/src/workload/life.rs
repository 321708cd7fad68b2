//! Logs of which parts are taken away while they are written and read: one by retention and DeleteRecords, one by log compaction.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::Rng;
use rand::rngs::StdRng;

use super::client::{Outcome, key, parse_key};
use super::drain::Leaders;
use super::keyed::{self, Writer};
use super::{Run, thread};
use crate::cluster::http;
use crate::history::{Key, Kind, Offset, Op, Put, Start, topic_of};
use crate::stop::Stop;

/// What looks every few minutes by default looks all the time.
pub const SETTINGS: &[&str] = &["log.retention.check.interval.ms=500", "log.cleaner.backoff.ms=200"];

/// Makes both topics.
///
/// # Errors
/// When they cannot be made.
pub fn prepare(run: &Run) -> Result<()> {
    for (topic, settings) in [(TRIMMED, OF_TRIMMED), (COMPACTED, OF_COMPACTED)] {
        match run.requests.create_topic_with(1, topic, 1, settings) {
            Outcome::Ok(()) => {}
            Outcome::Fail(error) | Outcome::Info(error) => bail!("{topic}: {error}"),
        }
    }
    Ok(())
}

/// Whether a partition is one of these, which take only records with names.
#[must_use]
pub fn is_own(key: &str) -> bool {
    [TRIMMED, COMPACTED].contains(&topic_of(key))
}

/// Starts writers, with transactions and without, readers, and who lets go of records.
///
/// # Errors
/// When threads cannot be started.
pub fn start(run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for number in 0..WRITERS {
        let id = is_transactional(number).then(|| id(number));
        let (run, random) = (Arc::clone(run), run.random(40 + number));
        let mut worker = Putter { process: run.recorder.new_process(), run, random, id, writer: None };
        threads.push(thread("put", move || {
            while !worker.run.rest(&mut worker.random) {
                worker.step()
            }
        })?);
    }
    for (number, topic) in (0..).zip([TRIMMED, COMPACTED]) {
        let (run, mut random) = (Arc::clone(run), run.random(50 + number));
        let process = run.recorder.new_process();
        threads.push(thread("scan", move || {
            while !run.stop.wait(Duration::from_millis(random.random_range(100..600))) {
                scan(&run, process, &key(topic, 0), false);
            }
        })?);
    }
    let (run, mut random) = (Arc::clone(run), run.random(60));
    threads.push(thread("trim", move || {
        let mut process = run.recorder.new_process();
        while !run.stop.wait(Duration::from_millis(random.random_range(500..3000))) {
            if trim(&run, process, &mut random) == Some(Kind::Info) {
                process = run.recorder.new_process();
            }
        }
    })?);
    Ok(threads)
}

/// The writers' transactional ids.
pub(super) fn ids() -> impl Iterator<Item = String> {
    (0..WRITERS).filter(|number| is_transactional(*number)).map(id)
}

fn id(writer: u64) -> String {
    format!("life-{writer}")
}

fn is_transactional(writer: u64) -> bool {
    writer % 2 == 1
}

struct Putter {
    run: Arc<Run>,
    process: u32,
    random: StdRng,
    id: Option<String>,
    writer: Option<Writer>,
}

impl Putter {
    fn step(&mut self) {
        if self.writer.is_none() {
            self.writer = Writer::open(&self.run.bootstrap, self.id.as_deref()).ok();
        }
        let Some(writer) = &self.writer else { return };
        let transactional = self.id.is_some();
        let mut puts: Vec<_> =
            (0..self.random.random_range(1..=MOST_PUTS)).map(|_| put(&self.run, &mut self.random)).collect();
        let commit = !self.random.random_ratio(1, 10);
        let op = |puts: &[Put]| Op::Put { puts: puts.to_vec(), transactional };
        self.run.recorder.note(self.process, Kind::Invoke, op(&puts), None);
        let (kind, error) = writer.put(&mut puts, commit);
        self.run.recorder.note(self.process, kind, op(&puts), error);
        if kind != Kind::Ok {
            self.writer = None;
        }
        if kind == Kind::Info {
            self.process = self.run.recorder.new_process();
        }
    }
}

fn put(run: &Run, random: &mut StdRng) -> Put {
    let topic = if random.random_ratio(1, 2) { TRIMMED } else { COMPACTED };
    let value = (!random.random_ratio(1, 8)).then(|| run.recorder.new_value());
    Put { key: key(topic, 0), name: random.random_range(0..NAMES), value, offset: None }
}

/// Reads a partition from its start to its end, and notes it; whether that could be done.
fn scan(run: &Run, process: u32, of: &Key, last: bool) -> bool {
    let compacted = topic_of(of) == COMPACTED;
    let op = |records, end, start| Op::Scan { key: of.clone(), compacted, last, records, end, start };
    run.recorder.note(process, Kind::Invoke, op(Vec::new(), 0, None), None);
    let read = || {
        // Nobody writes any more in the end: what is there then has to be read.
        let end = if last { Some(closed_end(run, of)?) } else { None };
        let records = keyed::read(&run.bootstrap, of, READ_WITHIN)?;
        let end = end.or_else(|| records.last().map(|last| last.offset + 1)).unwrap_or_default();
        anyhow::Ok((records, end))
    };
    match read() {
        Ok((records, end)) => {
            run.recorder.note(process, Kind::Ok, op(records, end, start_of(run, of).ok()), None);
            true
        }
        Err(error) => {
            run.recorder.note(process, Kind::Fail, op(Vec::new(), 0, None), Some(format!("{error:#}")));
            false
        }
    }
}

/// Where a log ends, which has no open transaction.
fn closed_end(run: &Run, of: &Key) -> Result<Offset> {
    let ((leader, _), (topic, partition)) = (leader(run, of)?, parse_key(of));
    let end = run.requests.end(leader, topic, partition).map_err(anyhow::Error::msg)?;
    let committed = run.requests.committed_end(leader, topic, partition).map_err(anyhow::Error::msg)?;
    ensure!(committed == end, "a transaction is open at {committed}");
    Ok(end)
}

/// Where a log begins, by who leads it.
fn start_of(run: &Run, of: &Key) -> Result<Start> {
    let ((leader, epoch), (topic, partition)) = (leader(run, of)?, parse_key(of));
    let offset = run.requests.start(leader, epoch, topic, partition).map_err(anyhow::Error::msg)?;
    Ok(Start { epoch, offset })
}

/// Who leads a partition, and in which epoch, if all nodes say the same.
fn leader(run: &Run, of: &Key) -> Result<(u32, i32)> {
    let mut found: Option<(u32, i32)> = None;
    for node in 1..=run.requests.nodes() {
        let leaders = Leaders::ask(&run.requests, node).map_err(anyhow::Error::msg)?;
        let (_, leader, epoch) = leaders.iter().find(|(key, _, _)| key == of).context("a node does not know it")?;
        let leader = (leader.context("nobody leads it")?, epoch);
        ensure!(found.is_none_or(|found| found == leader), "nodes do not agree on who leads it");
        found = Some(leader);
    }
    found.context("there are no nodes")
}

/// Lets go of up to half of the log: how it ended, if it could be asked for.
fn trim(run: &Run, process: u32, random: &mut StdRng) -> Option<Kind> {
    let of = key(TRIMMED, 0);
    let (topic, partition) = parse_key(&of);
    let (leader, epoch) = leader(run, &of).ok()?;
    let start = run.requests.start(leader, epoch, topic, partition).ok()?;
    let end = run.requests.end(leader, topic, partition).ok()?;
    let before = random.random_range(start..=start + (end - start).max(0) / 2);
    let op = |start: Option<Offset>| Op::Trim { key: of.clone(), before, start };
    run.recorder.note(process, Kind::Invoke, op(None), None);
    let (kind, start, error) = match run.requests.delete_records(leader, topic, partition, before) {
        Outcome::Ok(start) => (Kind::Ok, Some(start), None),
        Outcome::Fail(error) => (Kind::Fail, None, Some(error)),
        Outcome::Info(error) => (Kind::Info, None, Some(error)),
    };
    run.recorder.note(process, kind, op(start), error);
    Some(kind)
}

/// Reads everything twice, with time between in which every replica does what it is to do; replicas must agree then, and something must have been
/// taken away at all.
///
/// # Errors
/// When that cannot be done in time, or replicas go on to differ.
pub fn finish(run: &Run, deadline: Instant) -> Result<()> {
    let process = run.recorder.new_process();
    let keys = [TRIMMED, COMPACTED].map(|topic| key(topic, 0));
    for round in 0..2 {
        for of in &keys {
            until(deadline, "a cleaned log can be read", || {
                if scan(run, process, of, true) { Ok(()) } else { bail!("{of}") }
            })?;
        }
        if round == 0 {
            until(deadline, "every replica has cleaned its log", || is_settled(run))?;
        }
    }
    for of in &keys {
        until(deadline, "replicas agree", || agree(run, of))?;
    }
    let begun = start_of(run, &keys[0])?.offset;
    ensure!(begun > 0, "not exercised: nothing went by retention or DeleteRecords");
    let removed = metric(run, "caudal_compaction_removed_records_total")?.iter().sum::<f64>();
    ensure!(removed > 0.0, "not exercised: log compaction took nothing out");
    Ok(())
}

fn until(deadline: Instant, what: &str, mut done: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        match done() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("not so in time: {what}"));
            }
            Err(_) => Stop::default().wait(Duration::from_millis(200)),
        };
    }
}

fn is_settled(run: &Run) -> Result<()> {
    let waiting = metric(run, "caudal_compaction_waiting_bytes")?;
    ensure!(waiting.iter().all(|bytes| *bytes == 0.0), "bytes wait to be compacted: {waiting:?}");
    Ok(())
}

/// A metric of every node.
fn metric(run: &Run, name: &str) -> Result<Vec<f64>> {
    let of_node = |address: &String| {
        let (_, text) = http::get(address, "/metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("{address} has no {name}"))
    };
    run.admins.iter().map(of_node).collect()
}

/// All nodes have the same bytes of a partition, from where its leader says that it begins.
fn agree(run: &Run, of: &Key) -> Result<()> {
    let (start, (topic, partition)) = (start_of(run, of)?.offset, parse_key(of));
    let bytes = |node| run.requests.bytes(node, topic, partition, start).map_err(anyhow::Error::msg);
    let first = bytes(1)?;
    for node in 2..=run.requests.nodes() {
        let other = bytes(node)?;
        let same = first.iter().zip(&other).take_while(|(one, other)| one == other).count();
        ensure!(
            first == other,
            "{of}: nodes 1 and {node} have {} and {} bytes, of which {same} are the same",
            first.len(),
            other.len()
        );
    }
    Ok(())
}

const TRIMMED: &str = "trimmed";
const COMPACTED: &str = "compacted";
/// Segments of some dozens of records.
const OF_TRIMMED: &[(&str, &str)] =
    &[("internal.segment.bytes", "32768"), ("retention.bytes", "131072"), ("retention.ms", "20000")];
const OF_COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "32768"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "3000"),
];
const WRITERS: u64 = 4;
const NAMES: u32 = 24;
const MOST_PUTS: usize = 4;
const READ_WITHIN: Duration = Duration::from_secs(20);
