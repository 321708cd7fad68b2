//! A cluster that does nothing wrong.

use std::collections::BTreeMap;

use crate::history::{Kind, Micro, Offset, Op, Value};

/// The consumer group.
pub(super) const GROUP: &str = "group";

/// Records that a poll returns of a partition at most.
const POLLED: usize = 100;

/// How far from the end a reader begins: not at the start, or long histories would be read anew by each of many processes.
const BEHIND: usize = 8;

#[derive(Debug)]
pub(super) struct Cluster {
    logs: Vec<Log>,
    /// Which process reads a partition for the group.
    pub(super) owners: Vec<Option<usize>>,
    pub(super) committed: BTreeMap<String, Offset>,
    topics: BTreeMap<String, (u32, Option<Value>)>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    records: Vec<(Offset, Value)>,
    end: Offset,
}

impl Cluster {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            logs: vec![Log::default(); partitions],
            owners: vec![None; partitions],
            committed: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }

    pub(super) fn topics(&self) -> Vec<String> {
        vec![topic_name(0)]
    }

    pub(super) fn end(&self, key: usize) -> Offset {
        self.logs[key].end
    }

    /// The offset at a place of a log.
    pub(super) fn offset(&self, key: usize, place: usize) -> Offset {
        place.checked_sub(1).map_or(0, |before| self.logs[key].records[before].0 + 1)
    }

    /// Where the group goes on in a partition.
    pub(super) fn committed_place(&self, key: usize) -> usize {
        let offset = self.committed.get(&key_name(key)).copied().unwrap_or_default();
        self.logs[key].records.partition_point(|(at, _)| *at < offset)
    }

    pub(super) fn leave(&mut self, member: usize) {
        self.owners.iter_mut().filter(|owner| **owner == Some(member)).for_each(|owner| *owner = None);
    }

    pub(super) fn owns(&self, member: usize, offsets: &BTreeMap<String, Offset>) -> bool {
        offsets.keys().all(|key| self.owners[key_number(key)] == Some(member))
    }

    pub(super) fn assign(&self, keys: &[String], positions: &mut BTreeMap<usize, usize>) {
        let place = |key: usize| {
            let kept = positions.get(&key).copied();
            kept.unwrap_or_else(|| self.logs[key].records.len().saturating_sub(BEHIND))
        };
        *positions = keys.iter().map(|key| key_number(key)).map(|key| (key, place(key))).collect();
    }

    /// Polls first see what was there before; then all sends take effect at once.
    pub(super) fn work(
        &mut self,
        member: usize,
        micros: Vec<Micro>,
        transactional: bool,
        in_group: bool,
        positions: &mut BTreeMap<usize, usize>,
    ) -> Vec<Micro> {
        let ends: Vec<usize> = self.logs.iter().map(|log| log.records.len()).collect();
        let mut sent = Vec::new();
        let mut answers = Vec::new();
        for micro in micros {
            answers.push(match micro {
                Micro::Send { key, value, .. } => {
                    let log = &mut self.logs[key_number(&key)];
                    let offset = log.end;
                    log.records.push((offset, value));
                    log.end += 1;
                    sent.push(key_number(&key));
                    Micro::Send { key, value, offset: Some(offset) }
                }
                Micro::Poll { .. } => {
                    let mine = |key: usize| !in_group || self.owners[key] == Some(member);
                    let mut records = BTreeMap::new();
                    for (key, place) in positions.iter_mut().filter(|(key, _)| mine(**key)) {
                        let to = ends[*key].min(*place + POLLED);
                        if *place < to {
                            records.insert(key_name(*key), self.logs[*key].records[*place..to].to_vec());
                            *place = to;
                        }
                    }
                    Micro::Poll { records }
                }
            });
        }
        if transactional {
            // The markers of a transaction take offsets too.
            sent.sort_unstable();
            sent.dedup();
            sent.into_iter().for_each(|key| self.logs[key].end += 1);
        }
        answers
    }

    /// Topics and settings.
    pub(super) fn administer(&mut self, op: Op) -> (Op, Kind) {
        let done = |happened: bool| if happened { Kind::Ok } else { Kind::Fail };
        match op {
            Op::CreateTopic { ref topic, partitions } => {
                let is_new = !self.topics.contains_key(topic);
                self.topics.entry(topic.clone()).or_insert((partitions, None));
                (op, done(is_new))
            }
            Op::DeleteTopic { ref topic } => {
                let was_there = self.topics.remove(topic).is_some();
                (op, done(was_there))
            }
            Op::GrowTopic { ref topic, partitions } => {
                let grown = self.topics.get_mut(topic).filter(|(before, _)| *before < partitions);
                let kind = done(grown.is_some());
                grown.into_iter().for_each(|(count, _)| *count = partitions);
                (op, kind)
            }
            Op::WriteConfig { ref topic, value } => {
                let held = self.topics.get_mut(topic);
                let kind = done(held.is_some());
                held.into_iter().for_each(|(_, held)| *held = Some(value));
                (op, kind)
            }
            Op::ReadConfig { topic, .. } => {
                let value = self.topics.get(&topic).and_then(|(_, held)| *held);
                (Op::ReadConfig { topic, value }, Kind::Ok)
            }
            Op::ListTopics { .. } => {
                let topics = self.topics.iter().map(|(name, (count, _))| (name.clone(), *count)).collect();
                (Op::ListTopics { topics }, Kind::Ok)
            }
            op => (op, Kind::Ok),
        }
    }
}

pub(super) fn key_name(key: usize) -> String {
    format!("{}-{key}", topic_name(0))
}

pub(super) fn topic_name(topic: u32) -> String {
    format!("topic{topic}")
}

fn key_number(key: &str) -> usize {
    key.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).expect("keys are named by key_name")
}
