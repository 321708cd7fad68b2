//! Kafka's verifiable consumer, a member of a group that says in JSON what it does, and the events that it and its like tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::jvm::Jvm;
use crate::until;

/// How long it may take to start, to read, or to become a member.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a verifiable tool has told of, by the names of the events. Other lines are logs.
pub fn events(output: &str, name: &str) -> Vec<Value> {
    let events = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["name"] == name).collect()
}

/// A running consumer that reads a topic from its beginning and commits what it has read; it is killed when dropped.
#[derive(Debug)]
pub struct VerifiableConsumer(Jvm);

impl VerifiableConsumer {
    /// Starts one with further options, such as `--group-protocol consumer`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(bootstrap: &str, topic: &str, group: &str, options: &[&str]) -> Self {
        let servers = ["--bootstrap-server", bootstrap, "--topic", topic, "--group-id", group, "--verbose"];
        Self(Jvm::start("org.apache.kafka.tools.VerifiableConsumer", &[&servers[..], options].concat()))
    }

    /// Where the records lay that it has read so far: partition and offset.
    ///
    /// # Panics
    /// When it tells of a record that lies nowhere.
    pub fn read(&self) -> BTreeSet<(i64, i64)> {
        let place = |event: Value| Some((event["partition"].as_i64()?, event["offset"].as_i64()?));
        let records = events(&self.0.output(), "record_data");
        records.into_iter().map(|event| place(event).expect("a partition and an offset")).collect()
    }

    /// Waits until it has read `count` records since its start.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_read(&self, count: usize) {
        until(DEADLINE, "the consumer to read", || self.read().len() >= count);
    }

    /// Waits until it has committed as many records as its partitions have, which nobody has committed before.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_committed(&self, count: i64) {
        until(DEADLINE, "the consumer to commit", || {
            let mut newest = BTreeMap::new();
            for commit in events(&self.0.output(), "offsets_committed") {
                assert_eq!(commit["success"], true, "{commit}");
                let offsets = commit["offsets"].as_array().into_iter().flatten();
                newest.extend(offsets.map(|part| (part["partition"].as_i64(), part["offset"].as_i64().unwrap_or(0))));
            }
            newest.values().sum::<i64>() == count
        });
    }

    /// Tells it to leave its group and to end, and waits until it has.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn stop(mut self) {
        self.0.stop();
    }
}
