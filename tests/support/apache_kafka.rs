//! Apache Kafka itself, to copy from: one node that is broker and controller.

use std::fs;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use tempfile::TempDir;

use crate::jvm::Jvm;
use crate::{reader, until};

/// How long it may take to start.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running broker; it is killed and its data removed when dropped.
#[derive(Debug)]
pub struct ApacheKafka {
    bootstrap: String,
    _jvm: Jvm,
    _dir: TempDir,
}

impl ApacheKafka {
    /// Starts a broker without data, and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("caudal-kafka-").tempdir().expect("a folder for the broker");
        let port = caudal_testing::port_block(&[1]);
        let (bootstrap, controller) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
        let data = dir.path().join("data");
        let text = format!(
            "process.roles = broker,controller
            node.id = 1
            controller.quorum.voters = 1@{controller}
            listeners = PLAINTEXT://{bootstrap},CONTROLLER://{controller}
            advertised.listeners = PLAINTEXT://{bootstrap}
            controller.listener.names = CONTROLLER
            listener.security.protocol.map = CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
            log.dirs = {}
            offsets.topic.replication.factor = 1
            offsets.topic.num.partitions = 4
            transaction.state.log.replication.factor = 1
            transaction.state.log.min.isr = 1
            transaction.state.log.num.partitions = 4
            group.initial.rebalance.delay.ms = 0
            ",
            data.display()
        );
        let path = dir.path().join("broker.properties");
        fs::write(&path, text).expect("the broker's configuration is written");
        let path = path.to_str().expect("a path of text");
        let format = ["format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk", "--config", path];
        Jvm::start("kafka.tools.StorageTool", &format).succeed();
        let jvm = Jvm::start("kafka.Kafka", &[path]);
        until(DEADLINE, "Apache Kafka to serve", || {
            let metadata = reader::consumer(&bootstrap, "start").fetch_metadata(None, Duration::from_secs(1));
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
        });
        Self { bootstrap, _jvm: jvm, _dir: dir }
    }

    /// What clients are given.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}
