//! Workers of Kafka Connect in distributed mode.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::jvm::Jvm;
use crate::{http, until, until_some};

/// How long a worker may take to start, to agree with the others, and to do what it is told.
const DEADLINE: Duration = Duration::from_secs(60);

/// The internal topics, and how many partitions they are to have.
pub const INTERNAL_TOPICS: [(&str, usize); 3] = [("connect-configs", 1), ("connect-offsets", 5), ("connect-status", 2)];

/// One Connect cluster: workers of one group, and the files that their connectors read and write.
#[derive(Debug)]
pub struct Connect {
    dir: TempDir,
    bootstrap: String,
    replication_factor: u32,
    /// Lines of a worker's configuration.
    topic_settings: String,
    first_port: u16,
    started: AtomicU16,
}

/// A running worker; it is killed when dropped.
#[derive(Debug)]
pub struct Worker {
    jvm: Jvm,
    /// Where it listens, which is also its name.
    address: String,
}

impl Connect {
    /// A Connect cluster without workers, which keeps what it knows in three topics.
    ///
    /// # Panics
    /// When there is no place for its files.
    pub fn of(bootstrap: &str, replication_factor: u32) -> Self {
        let dir = tempfile::Builder::new().prefix("caudal-connect-").tempdir().expect("a folder for the files");
        let first_port = caudal_testing::port_block(&[1, 2, 3, 4]);
        let (topic_settings, started) = (String::new(), AtomicU16::new(0));
        Self { dir, bootstrap: bootstrap.to_owned(), replication_factor, topic_settings, first_port, started }
    }

    /// The same, whose internal topics are created with these settings.
    #[must_use]
    pub fn with_topic_settings(self, settings: &[(&str, &str)]) -> Self {
        let of = |storage: &str| -> String {
            settings.iter().map(|(key, value)| format!("{storage}.storage.{key} = {value}\n")).collect()
        };
        Self { topic_settings: ["config", "offset", "status"].map(of).concat(), ..self }
    }

    /// The path of a file for connectors.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts one more worker. It serves a little later.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn worker(&self) -> Worker {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        let address = format!("127.0.0.1:{}", self.first_port + number);
        let [(configs, _), (offsets, offsets_partitions), (status, status_partitions)] = INTERNAL_TOPICS;
        let (bootstrap, factor, topic_settings) = (&self.bootstrap, self.replication_factor, &self.topic_settings);
        let text = format!(
            "bootstrap.servers = {bootstrap}
            group.id = connect
            listeners = http://{address}
            exactly.once.source.support = enabled
            consumer.isolation.level = read_committed
            key.converter = org.apache.kafka.connect.storage.StringConverter
            value.converter = org.apache.kafka.connect.storage.StringConverter
            config.storage.topic = {configs}
            config.storage.replication.factor = {factor}
            offset.storage.topic = {offsets}
            offset.storage.replication.factor = {factor}
            offset.storage.partitions = {offsets_partitions}
            status.storage.topic = {status}
            status.storage.replication.factor = {factor}
            status.storage.partitions = {status_partitions}
            plugin.discovery = service_load
            # Short, so that whoever was killed is missed, and what it had is given to others, within seconds.
            consumer.session.timeout.ms = 6000
            # A new worker waits for the transaction in which its predecessor was killed.
            producer.transaction.timeout.ms = 10000
            session.timeout.ms = 6000
            heartbeat.interval.ms = 1000
            rebalance.timeout.ms = 10000
            scheduled.rebalance.max.delay.ms = 0
            offset.flush.interval.ms = 1000
            {topic_settings}"
        );
        let path = self.file(&format!("worker-{number}.properties"));
        fs::write(&path, text).expect("the worker's configuration is written");
        let path = path.to_str().expect("a path of text");
        Worker { jvm: Jvm::start("org.apache.kafka.connect.cli.ConnectDistributed", &[path]), address }
    }
}

impl Worker {
    /// The name by which the others know it.
    pub fn name(&self) -> &str {
        &self.address
    }

    /// Asks the worker once: the answer if it is a success.
    pub fn ask(&self, path: &str) -> Option<Value> {
        let (status, body) = http::call(&self.address, "GET", path, None).ok()?;
        (200..300).contains(&status).then_some(body)
    }

    /// Tells the worker to do something. While it starts, or agrees with the others on who does what, it refuses and is told again.
    ///
    /// # Panics
    /// When it refuses for too long.
    pub fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let mut last = None;
        let what = format!("{method} {path} to succeed");
        let answer = until_some(DEADLINE, &what, || {
            let answer = http::call(&self.address, method, path, body);
            let done = answer.as_ref().ok().filter(|(status, _)| (200..300).contains(status)).cloned();
            let refusal = format!("{answer:?}");
            if done.is_none() && last.as_ref() != Some(&refusal) {
                println!("{}: {method} {path}: {refusal}", self.address);
                last = Some(refusal);
            }
            done
        });
        answer.1
    }

    /// Creates a connector, or changes it.
    ///
    /// # Panics
    /// When that is refused for too long.
    pub fn put(&self, connector: &str, config: &Value) {
        self.must("PUT", &format!("/connectors/{connector}/config"), Some(config));
    }

    /// The state of a connector and of its only task, and the worker that has the task.
    pub fn state(&self, connector: &str) -> Option<(String, String, String)> {
        let status = self.ask(&format!("/connectors/{connector}/status"))?;
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let [task] = status["tasks"].as_array()?.as_slice() else { return None };
        Some((text(&status["connector"]["state"])?, text(&task["state"])?, text(&task["worker_id"])?))
    }

    /// The worker that runs a connector's task, if it runs.
    pub fn runner(&self, connector: &str) -> Option<String> {
        let (connector, task, worker) = self.state(connector)?;
        (connector == "RUNNING" && task == "RUNNING").then_some(worker)
    }

    /// Waits until this worker has a connector's task, and both are in a state.
    ///
    /// # Panics
    /// When that is not so in time.
    pub fn until(&self, connector: &str, state: &str) {
        let wanted = (state.to_owned(), state.to_owned(), self.address.clone());
        let what = format!("the connector {connector} and its task to be {state} here");
        until(DEADLINE, &what, || self.state(connector).as_ref() == Some(&wanted));
    }

    /// Waits until a connector is stopped: unlike one that is paused, it has no task.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn until_stopped(&self, connector: &str) {
        until(DEADLINE, &format!("the connector {connector} to be stopped"), || {
            let status = self.ask(&format!("/connectors/{connector}/status"));
            status.is_some_and(|status| status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([]))
        });
    }

    /// Waits until a source has committed that it has read its file up to a position.
    ///
    /// # Panics
    /// When it has not in time.
    pub fn until_position(&self, connector: &str, position: u64) {
        until(DEADLINE, &format!("the connector {connector} to have read {position} bytes"), || {
            let offsets = self.ask(&format!("/connectors/{connector}/offsets"));
            offsets.is_some_and(|offsets| offsets["offsets"][0]["offset"]["position"] == json!(position))
        });
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        self.jvm.kill();
    }
}
