//! The end of a run: everything is healed, everything must work again, and everything is read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::{Client, Outcome, Records, Sent, key};
use super::request::Requests;
use super::{Run, Workload, admin, group, life};
use crate::history::{Key, Kind, Micro, NEMESIS, Offset, Op};
use crate::stop::Stop;

/// The topics that there are now, with the leader of each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaders(BTreeMap<String, Vec<(Option<u32>, i32)>>);

impl Leaders {
    /// As a node knows them.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn ask(requests: &Requests, node: u32) -> Result<Self, String> {
        let mut topics = BTreeMap::new();
        for topic in requests.metadata(node)?.topics {
            let Some(name) = topic.name.filter(|_| !topic.is_internal) else { continue };
            let mut partitions = topic.partitions;
            partitions.sort_by_key(|partition| partition.partition_index);
            let leader = |id: i32| u32::try_from(id).ok();
            let leaders = partitions.iter().map(|partition| (leader(partition.leader_id.0), partition.leader_epoch));
            topics.insert(name.to_string(), leaders.collect());
        }
        Ok(Self(topics))
    }

    /// Partitions with their leaders and their leaders' epochs.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Option<u32>, i32)> + '_ {
        let partitions = self.0.iter().flat_map(|(topic, leaders)| (0..).zip(leaders).map(move |pair| (topic, pair)));
        partitions.map(|(topic, (partition, (leader, epoch)))| (key(topic, partition), *leader, *epoch))
    }
}

/// Notes changes of leaders, until the run stops.
pub fn watch_leaders(run: &Run) {
    let mut known = BTreeMap::new();
    let mut node = 0;
    while !run.stop.wait(Duration::from_millis(250)) {
        node = node % run.requests.nodes() + 1;
        let Ok(leaders) = Leaders::ask(&run.requests, node) else { continue };
        for (key, leader, epoch) in leaders.iter() {
            // A node that is behind tells of earlier epochs.
            let news = known.get(&key).is_none_or(|(_, known)| *known < epoch);
            if news {
                known.insert(key.clone(), (leader, epoch));
                let op = Op::Leader { key, node: leader, epoch };
                run.recorder.note(NEMESIS, Kind::Ok, op, None);
            }
        }
    }
}

/// Writes to every partition until it is acknowledged, and answers where.
///
/// # Errors
/// When one takes no write in time: the cluster does not work again.
pub fn write_everywhere(run: &Run, within: Duration) -> Result<BTreeMap<Key, Offset>> {
    let (deadline, look) = (Instant::now() + within, Stop::default());
    let leaders = loop {
        let found = (1..=run.requests.nodes()).find_map(|node| Leaders::ask(&run.requests, node).ok());
        match found {
            Some(leaders) if leaders.iter().all(|(_, leader, _)| leader.is_some()) => break leaders,
            found if Instant::now() > deadline => bail!("not all partitions have leaders after {within:?}: {found:?}"),
            _ => {
                look.wait(Duration::from_millis(100));
            }
        }
    };
    let mut client = run.client(true, "last", false)?;
    let mut offsets = BTreeMap::new();
    // Cleaned topics take no records without names.
    for (key, _, _) in leaders.iter().filter(|(key, _, _)| !life::is_own(key)) {
        while !offsets.contains_key(&key) {
            if let Some(offset) = write(run, client.as_mut(), &key) {
                offsets.insert(key.clone(), offset);
            } else if Instant::now() > deadline {
                bail!("{key} takes no writes {within:?} after everything was healed");
            }
        }
    }
    Ok(offsets)
}

fn write(run: &Run, client: &mut dyn Client, key: &Key) -> Option<Offset> {
    let (process, value) = (run.recorder.new_process(), run.recorder.new_value());
    let op = |offset| {
        let micros = vec![Micro::Send { key: key.clone(), value, offset }];
        Op::Work { micros, transactional: false }
    };
    run.recorder.note(process, Kind::Invoke, op(None), None);
    let (kind, offset, error) = match client.send(&[(key.clone(), value)]).pop() {
        Some(Sent::Ok(offset)) => (Kind::Ok, offset, None),
        Some(Sent::Refused(error)) => (Kind::Fail, None, Some(error)),
        Some(Sent::Unknown(error)) => (Kind::Info, None, Some(error)),
        None => (Kind::Info, None, None),
    };
    run.recorder.note(process, kind, op(offset), error);
    offset
}

/// Reads all partitions to their ends, and asks once more for what else there is to know.
///
/// # Errors
/// When that cannot be done in time.
pub fn drain(run: &Run, workload: Workload, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let reader = run.recorder.new_process();
    let drainer = run.recorder.new_process();
    // Where markers may lie behind the last record, a reader cannot see that it has come to the end: one more record is the end.
    let last = if workload.is_transactional() { Some(write_everywhere(run, within)?) } else { None };
    run.recorder.note(drainer, Kind::Invoke, Op::Drain { ends: BTreeMap::new() }, None);
    let ends = match last {
        Some(last) => last.into_iter().map(|(key, offset)| (key, offset + 1)).collect(),
        None => ends(run, deadline)?,
    };
    let from: BTreeMap<Key, Option<Offset>> = ends.keys().map(|key| (key.clone(), None)).collect();
    let assign = Op::Assign { keys: from.keys().cloned().collect() };
    let mut client = run.client(true, "drain", false)?;
    run.recorder.note(reader, Kind::Invoke, assign.clone(), None);
    client.assign(&from)?;
    run.recorder.note(reader, Kind::Ok, assign, None);
    let mut read: BTreeMap<Key, Offset> = BTreeMap::new();
    let at_end = |read: &BTreeMap<Key, Offset>| {
        ends.iter().all(|(key, end)| *end == 0 || read.get(key).is_some_and(|at| at >= end))
    };
    while !at_end(&read) {
        let op = |records| Op::Work { micros: vec![Micro::Poll { records }], transactional: false };
        run.recorder.note(reader, Kind::Invoke, op(Records::new()), None);
        match client.poll() {
            Ok(records) => {
                let behind = records.iter().filter_map(|(key, read)| Some((key.clone(), read.last()?.0 + 1)));
                read.extend(behind);
                run.recorder.note(reader, Kind::Ok, op(records), None);
            }
            Err(error) => run.recorder.note(reader, Kind::Fail, op(Records::new()), Some(error.to_string())),
        }
        if Instant::now() > deadline {
            bail!("not all is read {within:?} after everything was healed: of {ends:?} up to {read:?}");
        }
    }
    run.recorder.note(drainer, Kind::Ok, Op::Drain { ends }, None);
    ask_again(run, workload, deadline)
}

fn ends(run: &Run, deadline: Instant) -> Result<BTreeMap<Key, Offset>> {
    let look = Stop::default();
    loop {
        let answer = try_ends(run);
        match answer {
            Ok(ends) => return Ok(ends),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the ends of partitions are not known");
            }
            Err(_) => {
                look.wait(Duration::from_millis(200));
            }
        }
    }
}

fn try_ends(run: &Run) -> Result<BTreeMap<Key, Offset>> {
    let node = (1..=run.requests.nodes()).find_map(|node| Leaders::ask(&run.requests, node).ok());
    let leaders = node.context("no node answers")?;
    let end = |(key, leader, _): (Key, Option<u32>, i32)| {
        let leader = leader.with_context(|| format!("{key} has no leader"))?;
        let (topic, partition) = super::client::parse_key(&key);
        let end = run.requests.end(leader, topic, partition).map_err(anyhow::Error::msg)?;
        Ok((key, end))
    };
    leaders.iter().filter(|(key, _, _)| !life::is_own(key)).map(end).collect()
}

/// What is not in partitions: committed offsets, topics and settings.
fn ask_again(run: &Run, workload: Workload, deadline: Instant) -> Result<()> {
    let process = run.recorder.new_process();
    for node in 1..=run.requests.nodes() {
        admin::list(run, process, node);
    }
    if workload == Workload::Register {
        for topic in run.requests.list_topics(1).map_err(anyhow::Error::msg)?.into_keys() {
            for node in 1..=run.requests.nodes() {
                let op = |value| Op::ReadConfig { topic: topic.clone(), value };
                run.recorder.note(process, Kind::Invoke, op(None), None);
                match run.requests.read_config(node, &topic) {
                    Outcome::Ok(value) => run.recorder.note(process, Kind::Ok, op(value), None),
                    Outcome::Fail(error) | Outcome::Info(error) => {
                        run.recorder.note(process, Kind::Fail, op(None), Some(error));
                    }
                }
            }
        }
    }
    if workload == Workload::Life {
        life::finish(run, deadline)?;
    }
    if matches!(workload, Workload::Group | Workload::GroupConsumer) {
        let mut client = run.client(false, group::GROUP, false)?;
        while !group::committed(run, process, client.as_mut()) {
            if Instant::now() > deadline {
                bail!("nobody tells what is committed");
            }
        }
    }
    Ok(())
}
