//! A producer that sends each record once, whatever the answer: librdkafka tries again by itself after NOT_LEADER_OR_FOLLOWER even when it is told
//! not to, and then a record may be there twice through no fault of the cluster. It reads with librdkafka.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::client::{Client, Outcome, Records, Sent, parse_key};
use super::drain::Leaders;
use super::rdkafka::Rdkafka;
use super::request::Requests;
use crate::history::{Key, Offset, Value};

/// The producer's own requests, and librdkafka's consumer.
pub(crate) struct Plain {
    requests: Requests,
    leaders: BTreeMap<Key, u32>,
    asked: u32,
    reader: Rdkafka,
}

impl Plain {
    pub(crate) fn new(requests: Requests, reader: Rdkafka) -> Self {
        Self { requests, leaders: BTreeMap::new(), asked: 0, reader }
    }

    fn send_one(&mut self, key: &Key, value: Value) -> Sent {
        if !self.leaders.contains_key(key) {
            self.find_leaders();
        }
        let Some(leader) = self.leaders.get(key) else { return Sent::Refused(format!("nobody leads {key}")) };
        let (topic, partition) = parse_key(key);
        match self.requests.produce(*leader, topic, partition, value) {
            Outcome::Ok(offset) => Sent::Ok((offset >= 0).then_some(offset)),
            Outcome::Fail(error) => {
                self.leaders.clear();
                Sent::Refused(error)
            }
            Outcome::Info(error) => {
                self.leaders.clear();
                Sent::Unknown(error)
            }
        }
    }

    /// Asks one node after the other, a node for each call.
    fn find_leaders(&mut self) {
        self.asked = self.asked % self.requests.nodes() + 1;
        if let Ok(leaders) = Leaders::ask(&self.requests, self.asked) {
            self.leaders = leaders.iter().filter_map(|(key, leader, _)| Some((key, leader?))).collect();
        }
    }
}

impl Client for Plain {
    fn send(&mut self, records: &[(Key, Value)]) -> Vec<Sent> {
        records.iter().map(|(key, value)| self.send_one(key, *value)).collect()
    }

    fn poll(&mut self) -> Result<Records> {
        self.reader.poll()
    }

    fn assign(&mut self, from: &BTreeMap<Key, Option<Offset>>) -> Result<()> {
        self.reader.assign(from)
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.reader.subscribe(topics)
    }

    fn rebalanced(&mut self) -> Vec<Key> {
        self.reader.rebalanced()
    }

    fn begin(&mut self) -> Result<()> {
        bail!("this producer has no transactions")
    }

    fn end(&mut self, _: bool, _: &BTreeMap<Key, Offset>) -> Outcome<()> {
        Outcome::Fail("this producer has no transactions".to_owned())
    }

    fn commit(&mut self, offsets: &BTreeMap<Key, Offset>) -> Outcome<()> {
        self.reader.commit(offsets)
    }

    fn committed(&mut self, keys: &[Key]) -> Result<BTreeMap<Key, Offset>> {
        self.reader.committed(keys)
    }
}
