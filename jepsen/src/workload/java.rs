//! Apache Kafka's own client as a workload's client: a process of `java/Worker.java`, spoken to in lines.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};

use super::client::TRANSACTION_WITHIN;
use super::client::parse_key;
use super::client::{Client, Outcome, POLL_MAX, POLL_WITHIN, REQUEST_WITHIN, Records, SEND_WITHIN, Sent, Settings};
use crate::history::{Key, Offset, Value};

/// A process with a producer and a consumer; it is killed when this is dropped.
pub(crate) struct Java {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    rebalanced: Vec<Key>,
}

impl Java {
    pub(crate) fn open(settings: &Settings) -> Result<Self> {
        let class_path =
            std::env::var("JEPSEN_JAVA_CLASSPATH").context("JEPSEN_JAVA_CLASSPATH is not set; jepsen/run sets it")?;
        let mut process = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", &class_path, "Worker"])
            .arg(&settings.bootstrap)
            .arg(&settings.group)
            .args([settings.idempotent, settings.auto_commit].map(|flag| flag.to_string()))
            .args([SEND_WITHIN, REQUEST_WITHIN, POLL_WITHIN].map(|time| time.as_millis().to_string()))
            .arg(POLL_MAX.to_string())
            .arg(TRANSACTION_WITHIN.as_millis().to_string())
            .args(&settings.transactional_id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run java")?;
        let input = process.stdin.take().context("no standard input")?;
        let output = BufReader::new(process.stdout.take().context("no standard output")?);
        Ok(Self { process, input, output, rebalanced: Vec::new() })
    }

    /// Sends a line, and reads the answer: an object, with `error` when it did not work.
    fn ask(&mut self, request: &Json) -> Result<Json> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the client's process has ended");
        }
        let answer: Json = serde_json::from_str(&line).with_context(|| line.clone())?;
        let rebalanced = answer["rebalanced"].as_array().into_iter().flatten();
        self.rebalanced.extend(rebalanced.filter_map(|key| Some(key.as_str()?.to_owned())));
        match answer.get("error").and_then(Json::as_str) {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }
}

/// Places with offsets, as the process reads them.
fn places(offsets: &BTreeMap<Key, Offset>) -> Vec<Json> {
    let place = |(key, offset): (&Key, &Offset)| {
        let (topic, partition) = parse_key(key);
        json!([topic, partition, offset])
    };
    offsets.iter().map(place).collect()
}

impl Client for Java {
    fn send(&mut self, records: &[(Key, Value)]) -> Vec<Sent> {
        let record = |(key, value): &(Key, Value)| {
            let (topic, partition) = parse_key(key);
            json!([topic, partition, value])
        };
        let request = json!({"do": "send", "records": records.iter().map(record).collect::<Vec<_>>()});
        let answer = self.ask(&request);
        let sent = |at: usize| match &answer {
            Err(error) => Sent::Unknown(error.to_string()),
            Ok(answer) => match &answer["sent"][at] {
                Json::Number(offset) => Sent::Ok(offset.as_i64().filter(|offset| *offset >= 0)),
                other => Sent::Unknown(other.as_str().unwrap_or("no answer").to_owned()),
            },
        };
        (0..records.len()).map(sent).collect()
    }

    fn poll(&mut self) -> Result<Records> {
        let answer = self.ask(&json!({"do": "poll"}))?;
        Ok(serde_json::from_value(answer["records"].clone())?)
    }

    fn assign(&mut self, from: &BTreeMap<Key, Option<Offset>>) -> Result<()> {
        let place = |(key, offset): (&Key, &Option<Offset>)| {
            let (topic, partition) = parse_key(key);
            json!([topic, partition, offset])
        };
        self.ask(&json!({"do": "assign", "from": from.iter().map(place).collect::<Vec<_>>()})).map(drop)
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.ask(&json!({"do": "subscribe", "topics": topics})).map(drop)
    }

    fn rebalanced(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.rebalanced)
    }

    fn begin(&mut self) -> Result<()> {
        self.ask(&json!({"do": "begin"})).map(drop)
    }

    fn end(&mut self, commit: bool, offsets: &BTreeMap<Key, Offset>) -> Outcome<()> {
        let answer = match self.ask(&json!({"do": "end", "commit": commit, "offsets": places(offsets)})) {
            Ok(answer) => answer,
            Err(error) if commit => return Outcome::Info(error.to_string()),
            Err(error) => return Outcome::Fail(error.to_string()),
        };
        let why = answer["why"].as_str().unwrap_or_default().to_owned();
        match answer["outcome"].as_str() {
            Some("ok") => Outcome::Ok(()),
            Some("fail") => Outcome::Fail(why),
            _ => Outcome::Info(why),
        }
    }

    fn commit(&mut self, offsets: &BTreeMap<Key, Offset>) -> Outcome<()> {
        match self.ask(&json!({"do": "commit", "offsets": places(offsets)})) {
            Ok(_) => Outcome::Ok(()),
            // Also when it is refused: the client may have tried before, and have had no answer.
            Err(error) => Outcome::Info(error.to_string()),
        }
    }

    fn committed(&mut self, keys: &[Key]) -> Result<BTreeMap<Key, Offset>> {
        let places: Vec<_> = keys.iter().map(|key| parse_key(key)).map(|(topic, at)| json!([topic, at])).collect();
        let answer = self.ask(&json!({"do": "committed", "of": places}))?;
        Ok(serde_json::from_value(answer["offsets"].clone())?)
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
