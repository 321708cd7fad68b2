//! The clients of `tests/clients`, all with the same commands.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::root;

/// A client library that others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Apache Kafka's own.
    Java,
    /// The same with the consumer protocol (KIP-848).
    JavaConsumer,
    /// librdkafka.
    Librdkafka,
    /// The same with the consumer protocol (KIP-848).
    LibrdkafkaConsumer,
    /// franz-go.
    FranzGo,
    /// The same with the consumer protocol (KIP-848).
    FranzGoConsumer,
    /// kafka-python.
    KafkaPython,
    /// kafkajs.
    KafkaJs,
}

/// A record as the drivers read and write it; key and values in Base64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// The key.
    pub key: Option<String>,
    /// The value.
    pub value: Option<String>,
    /// Names and values.
    pub headers: Vec<(String, Option<String>)>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

impl Driver {
    /// All of them, each once.
    pub const ALL: [Self; 5] = [Self::Java, Self::Librdkafka, Self::FranzGo, Self::KafkaPython, Self::KafkaJs];

    /// The name that `scripts/clients` knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::JavaConsumer => "java-consumer",
            Self::Librdkafka => "librdkafka",
            Self::LibrdkafkaConsumer => "librdkafka-consumer",
            Self::FranzGo => "franz-go",
            Self::FranzGoConsumer => "franz-go-consumer",
            Self::KafkaPython => "kafka-python",
            Self::KafkaJs => "kafkajs",
        }
    }

    /// The codecs that it can write; all of them can read all.
    pub fn codecs(self) -> &'static [&'static str] {
        match self {
            Self::KafkaJs => &["none", "gzip", "snappy"],
            _ => &["none", "gzip", "snappy", "lz4", "zstd"],
        }
    }

    /// Creates a topic.
    pub fn create(self, bootstrap: &str, topic: &str, partitions: u32, replication_factor: usize) {
        self.run(bootstrap, &["create", topic, &partitions.to_string(), &replication_factor.to_string()], &[]);
    }

    /// Produces records, and returns when all are acknowledged.
    pub fn produce(self, bootstrap: &str, topic: &str, codec: &str, records: &[Record]) {
        self.run(bootstrap, &["produce", topic, codec], records);
    }

    /// Reads `count` records in a group.
    pub fn consume(self, bootstrap: &str, topic: &str, group: &str, count: usize) -> Vec<Record> {
        parse(&self.run(bootstrap, &["consume", topic, group, &count.to_string()], &[]))
    }

    /// Reads `count` records in a group, as a client in a rack. The drivers of Java, librdkafka and franz-go know this.
    pub fn consume_in(self, rack: &str, bootstrap: &str, topic: &str, group: &str, count: usize) -> Vec<Record> {
        let args = ["consume", topic, group, &count.to_string()];
        parse(&self.feed(self.command(bootstrap, &args).env("CLIENT_RACK", rack), &args, &[]))
    }

    /// Reads `count` records of a partition from an offset on.
    pub fn seek(self, bootstrap: &str, topic: &str, partition: i32, offset: i64, count: usize) -> Vec<Record> {
        let numbers = [partition.to_string(), offset.to_string(), count.to_string()];
        parse(&self.run(bootstrap, &["seek", topic, &numbers[0], &numbers[1], &numbers[2]], &[]))
    }

    /// One member, then two, then one again: the partitions that each had.
    ///
    /// # Panics
    /// When the driver prints no JSON.
    pub fn rebalance(self, bootstrap: &str, topic: &str, group: &str) -> Value {
        serde_json::from_str(&self.run(bootstrap, &["rebalance", topic, group], &[])).expect("one line of JSON")
    }

    /// Starts numbered records at a steady rate; the process prints `partition offset number` for each acknowledgement, and ends with
    /// its input. Java's driver alone knows this.
    pub fn load(self, bootstrap: &str, topic: &str, partitions: i32, per_second: u32) -> Child {
        self.spawn(bootstrap, &["load", topic, &partitions.to_string(), &per_second.to_string()])
    }

    /// Starts a member of a group, which processes and commits until its input ends. The drivers of Java and franz-go know this; what the environment
    /// says of a member (`tests/clients/README.md`), Java's alone.
    ///
    /// # Panics
    /// When there is no `scripts/clients`.
    pub fn member(self, bootstrap: &str, topic: &str, group: &str, environment: &[(&str, &str)]) -> Child {
        let mut command = self.command(bootstrap, &["member", topic, group]);
        command.envs(environment.iter().copied()).spawn().expect("scripts/clients runs")
    }

    fn command(self, bootstrap: &str, args: &[&str]) -> Command {
        let mut command = Command::new(root().join("scripts/clients"));
        command.args(["run", self.name(), bootstrap]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn spawn(self, bootstrap: &str, args: &[&str]) -> Child {
        self.command(bootstrap, args).spawn().expect("scripts/clients runs")
    }

    fn run(self, bootstrap: &str, args: &[&str], input: &[Record]) -> String {
        self.feed(&mut self.command(bootstrap, args), args, input)
    }

    fn feed(self, command: &mut Command, args: &[&str], input: &[Record]) -> String {
        let mut child = command.spawn().expect("scripts/clients runs");
        let mut stdin = child.stdin.take().expect("piped");
        for record in input {
            let line = serde_json::to_string(record).expect("a record is JSON");
            // A driver that has failed reads no more; what it says of that is shown below.
            if writeln!(stdin, "{line}").is_err() {
                break;
            }
        }
        drop(stdin);
        let output = child.wait_with_output().expect("the driver ends");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} {args:?} failed:\n{err}", self.name());
        out.into_owned()
    }
}

fn parse(lines: &str) -> Vec<Record> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}
