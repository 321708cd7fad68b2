//! Kafka's own command-line tools, run on Caudal and on Apache Kafka side by side.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::apache_kafka::ApacheKafka;
use crate::{Cluster, root};

/// What stands for the option that names the servers.
const SERVERS: &str = "@";
/// What stands for the servers in what a tool says.
const SOMEWHERE: &str = "HOST:PORT";

/// What came of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained.
    pub err: String,
}

impl Ran {
    /// Whether it did what it was told.
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// Its lines, without the empty ones and the spaces at their ends.
    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
    }

    /// The words of its lines, without the first line, which is a head.
    pub fn rows(&self) -> Vec<Vec<&str>> {
        self.lines().iter().skip(1).map(|line| line.split_whitespace().collect()).collect()
    }
}

/// A file for a tool to read; it is removed when dropped.
#[derive(Debug)]
pub struct InputFile(NamedTempFile);

impl InputFile {
    /// Writes one.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn of(text: &str) -> Self {
        let mut file = NamedTempFile::with_prefix("caudal-input-").expect("a file");
        file.write_all(text.as_bytes()).expect("the file is written");
        Self(file)
    }

    /// Where it lies, without spaces.
    ///
    /// # Panics
    /// When that is no text.
    pub fn path(&self) -> &str {
        self.0.path().to_str().expect("a path of text")
    }
}

/// A virtual machine that runs tools one after another; it ends when dropped.
#[derive(Debug)]
pub struct Tools {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Tools {
    /// Starts the machine.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let mut child = Command::new(root().join("scripts/clients"))
            .args(["class", "Tools"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/clients runs");
        let orders = child.stdin.take().expect("a standard input");
        let answers = BufReader::new(child.stdout.take().expect("a standard output"));
        Self { child, orders, answers }
    }

    /// Runs a tool (a class in `org.apache.kafka.tools`, or one with a name that begins with `kafka.`) with the words of `line`, where `@` stands for the option that names the servers, and with `input` as
    /// its standard input.
    ///
    /// # Panics
    /// When the machine is gone.
    pub fn run(&mut self, bootstrap: &str, tool: &str, line: &str, input: &str) -> Ran {
        let words = line.split_whitespace().flat_map(|word| match word {
            SERVERS => vec!["--bootstrap-server", bootstrap],
            word => vec![word],
        });
        let args: Vec<_> = words.collect();
        let class = if tool.starts_with("kafka.") { tool.to_owned() } else { format!("org.apache.kafka.tools.{tool}") };
        let order = json!({ "class": class, "args": args, "input": input });
        writeln!(self.orders, "{order}").expect("the tools' machine takes an order");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the tools' machine answers");
        let ran = serde_json::from_str(&answer);
        ran.unwrap_or_else(|error| panic!("{tool} {line}: the machine is gone or answers strangely: {error}: {answer}"))
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster of Caudal's, Apache Kafka, and the tools for both.
#[derive(Debug)]
pub struct SideBySide {
    /// Caudal.
    pub caudal: Cluster,
    /// Apache Kafka, one node.
    pub kafka: ApacheKafka,
    tools: Tools,
}

impl SideBySide {
    /// Starts one node of Caudal, and Apache Kafka.
    ///
    /// # Panics
    /// When they do not start.
    pub fn start() -> Self {
        let kafka = std::thread::Builder::new().name("apache-kafka".to_owned()).spawn(ApacheKafka::start);
        let kafka = kafka.expect("a thread starts");
        // As Apache Kafka's own file has it.
        let caudal = Cluster::start(1, &["listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"]);
        Self { caudal, kafka: kafka.join().expect("Apache Kafka starts"), tools: Tools::start() }
    }

    /// Runs a tool on Caudal.
    pub fn on_caudal(&mut self, tool: &str, line: &str) -> Ran {
        self.tools.run(self.caudal.bootstrap(), tool, line, "")
    }

    /// Runs a tool on Apache Kafka.
    pub fn on_kafka(&mut self, tool: &str, line: &str) -> Ran {
        self.tools.run(self.kafka.bootstrap(), tool, line, "")
    }

    /// Runs a tool on both, and answers what it says of Caudal.
    ///
    /// # Panics
    /// When it ends otherwise, or says anything else, than on Apache Kafka.
    pub fn same(&mut self, tool: &str, line: &str) -> Ran {
        self.same_but(tool, line, |text| text)
    }

    /// Runs a tool on both, with something to read from its standard input.
    ///
    /// # Panics
    /// When it ends otherwise, or says anything else, than on Apache Kafka.
    pub fn same_with(&mut self, tool: &str, line: &str, input: &str) -> Ran {
        let caudal = self.tools.run(self.caudal.bootstrap(), tool, line, input);
        let kafka = self.tools.run(self.kafka.bootstrap(), tool, line, input);
        self.compare(tool, line, &caudal, &kafka, |text| text);
        caudal
    }

    /// Like [`same`](Self::same), but for what `essence` takes out of the output, or makes alike.
    ///
    /// # Panics
    /// When it ends otherwise, or says anything else, than on Apache Kafka.
    pub fn same_but(&mut self, tool: &str, line: &str, essence: impl Fn(String) -> String) -> Ran {
        let (caudal, kafka) = (self.on_caudal(tool, line), self.on_kafka(tool, line));
        self.compare(tool, line, &caudal, &kafka, essence);
        caudal
    }

    /// Runs a tool on both that has to fail in the same way, whatever the words for it.
    ///
    /// # Panics
    /// When it succeeds, or fails in another way than on Apache Kafka.
    pub fn same_failure(&mut self, tool: &str, line: &str) -> Ran {
        let (caudal, kafka) = (self.on_caudal(tool, line), self.on_kafka(tool, line));
        let kind = |ran: &Ran| {
            let names = format!("{} {}", ran.out, ran.err);
            let named = names.split(|c: char| !c.is_alphanumeric()).find(|word| word.ends_with("Exception"));
            (ran.code, named.map(str::to_owned))
        };
        assert_eq!(kind(&caudal), kind(&kafka), "{tool} {line}\non Caudal: {caudal:?}\non Apache Kafka: {kafka:?}");
        caudal
    }

    fn compare(&self, tool: &str, line: &str, caudal: &Ran, kafka: &Ran, essence: impl Fn(String) -> String) {
        let plain = |ran: &Ran, at: &str| {
            // Columns are as wide as what is in them.
            let out = essence(ran.out.replace(at, SOMEWHERE));
            let lines = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            (ran.code, lines.collect::<Vec<_>>())
        };
        let (ours, theirs) = (plain(caudal, self.caudal.bootstrap()), plain(kafka, self.kafka.bootstrap()));
        assert_eq!(ours, theirs, "{tool} {line}\non Caudal: {caudal:?}\non Apache Kafka: {kafka:?}");
    }
}
