//! `caudal produce`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use caudal_client::partitioner::partition_of;
use caudal_client::{Client, Record};
use caudal_types::{Clock, SystemClock};
use clap::Args;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::items::{Failure, conclude};
use crate::output::{Form, Shown};
use crate::{Connect, Outcome, key_value};

/// The most records and bytes that are gathered before they are sent.
const GATHER_RECORDS: usize = 500;
const GATHER_BYTES: usize = 512 << 10;
/// How long lines are gathered when they come slowly.
const LINGER: Duration = Duration::from_millis(20);

/// `caudal produce`.
#[derive(Args, Clone, Debug)]
pub struct Produce {
    /// The topic's name
    pub topic: String,
    /// What separates key and value in a line [default: lines are values, without keys]
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// A header for every record; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub header: Vec<(String, String)>,
    /// The partition for every record [default: by key; without keys, by turns]
    #[arg(long)]
    pub partition: Option<i32>,
    /// Say nothing about what was written
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// How to show how much was written
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Serialize)]
struct Written {
    topic: String,
    records: usize,
    /// Why it ended before the input did.
    error: Option<Failure>,
}

impl Shown for Written {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        match self.error {
            None => writeln!(out, "Wrote {} records to topic '{}'.", self.records, self.topic),
            Some(_) => Ok(()),
        }
    }
}

/// Runs `caudal produce`: writes a record for each line of `input`, until it ends.
///
/// # Errors
/// With a text for the user.
pub async fn run(
    command: Produce,
    input: impl AsyncRead + Unpin,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Outcome> {
    let client = command.connect.client()?;
    let topic = client.topic(&command.topic, true).await;
    let topic = topic.with_context(|| format!("cannot write to topic '{}'", command.topic))?;
    if let Some(partition) = command.partition {
        topic.partition(partition)?;
    }
    let partitions = i32::try_from(topic.partitions.len())?;
    let mut sender = Sender { command: &command, client, partitions, turn: 0, written: 0 };
    let error = sender.send_all(Lines::new(input)).await.err().map(Failure::from);
    let written = Written { topic: command.topic.clone(), records: sender.written, error };
    if !command.quiet {
        command.form.show(&written, out)?;
    }
    conclude(written.error.iter())?;
    Ok(Outcome::Success)
}

/// The standard input, to be read without blocking the runtime.
///
/// # Errors
/// When it is closed.
pub(crate) fn standard_input() -> anyhow::Result<tokio::fs::File> {
    let handle = std::io::stdin().as_fd().try_clone_to_owned().context("cannot read the standard input")?;
    Ok(tokio::fs::File::from_std(handle.into()))
}

/// The lines of an input.
struct Lines<R> {
    input: BufReader<R>,
    /// The line that is being read: kept between calls, so that a line which comes in pieces is not lost.
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::new(input), line: Vec::new() }
    }

    /// Reads a line, and those that follow close behind; `None` at the end.
    async fn gather(&mut self) -> anyhow::Result<Option<Vec<Vec<u8>>>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        let deadline = tokio::time::sleep(Duration::MAX);
        tokio::pin!(deadline);
        while lines.len() < GATHER_RECORDS && bytes < GATHER_BYTES {
            let read = tokio::select! {
                biased;
                read = self.input.read_until(b'\n', &mut self.line) => read.context("cannot read the standard input")?,
                () = &mut deadline => break,
            };
            if read == 0 && self.line.is_empty() {
                return Ok(if lines.is_empty() { None } else { Some(lines) });
            }
            if lines.is_empty() {
                deadline.as_mut().reset(tokio::time::Instant::now() + LINGER);
            }
            bytes += self.line.len();
            lines.push(trimmed(std::mem::take(&mut self.line)));
        }
        Ok(Some(lines))
    }
}

fn trimmed(mut line: Vec<u8>) -> Vec<u8> {
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    line
}

struct Sender<'a> {
    command: &'a Produce,
    client: Client,
    partitions: i32,
    turn: i32,
    written: usize,
}

impl Sender<'_> {
    async fn send_all(&mut self, mut lines: Lines<impl AsyncRead + Unpin>) -> anyhow::Result<()> {
        while let Some(lines) = lines.gather().await? {
            self.send(lines).await?;
        }
        Ok(())
    }

    async fn send(&mut self, lines: Vec<Vec<u8>>) -> anyhow::Result<()> {
        let mut by_partition = BTreeMap::<i32, Vec<Record>>::new();
        for line in lines {
            let record = self.record(line)?;
            by_partition.entry(self.partition(&record)).or_default().push(record);
        }
        self.turn = (self.turn + 1) % self.partitions.max(1);
        for (partition, records) in by_partition {
            let topic = &self.command.topic;
            let sent = self.client.produce(topic, partition, &records).await;
            sent.with_context(|| format!("stopped after {} records", self.written))?;
            self.written += records.len();
        }
        Ok(())
    }

    fn record(&self, line: Vec<u8>) -> anyhow::Result<Record> {
        let (key, value) = match &self.command.key_separator {
            None => (None, Bytes::from(line)),
            Some(separator) => {
                let (key, value) = split_at(line, separator.as_bytes()).map_err(|line| {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    anyhow::anyhow!("the line '{line}' has no key: '{separator}' is not in it")
                })?;
                (Some(key), value)
            }
        };
        let header = |(key, value): &(String, String)| (key.clone(), Some(Bytes::from(value.clone())));
        let headers = self.command.header.iter().map(header).collect();
        Ok(Record { timestamp: SystemClock.now_ms(), key, value: Some(value), headers })
    }

    fn partition(&self, record: &Record) -> i32 {
        match (self.command.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, self.partitions),
            (None, None) => self.turn,
        }
    }
}

/// What lies before and behind the first separator; the line itself if there is none.
fn split_at(line: Vec<u8>, separator: &[u8]) -> Result<(Bytes, Bytes), Vec<u8>> {
    let at = line.windows(separator.len().max(1)).position(|window| window == separator);
    let Some(at) = at else { return Err(line) };
    let line = Bytes::from(line);
    Ok((line.slice(..at), line.slice(at + separator.len()..)))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn lines_are_gathered_to_the_end() {
        let mut lines = Lines::new(&b"a\r\n\nc"[..]);
        assert_eq!(lines.gather().await.expect("reads"), Some(vec![b"a".to_vec(), Vec::new(), b"c".to_vec()]));
        assert_eq!(lines.gather().await.expect("reads"), None);
    }

    #[tokio::test]
    async fn many_lines_come_in_parts() {
        let text = "x\n".repeat(GATHER_RECORDS + 3);
        let mut lines = Lines::new(text.as_bytes());
        let mut sizes = Vec::new();
        while let Some(lines) = lines.gather().await.expect("reads") {
            sizes.push(lines.len());
        }
        assert_eq!(sizes, [GATHER_RECORDS, 3]);
    }

    #[tokio::test]
    async fn a_line_that_comes_in_pieces_neither_holds_back_others_nor_is_lost() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = Lines::new(reader);
        writer.write_all(b"first\nsec").await.expect("writes");
        assert_eq!(lines.gather().await.expect("reads"), Some(vec![b"first".to_vec()]));
        writer.write_all(b"ond\nthird").await.expect("writes");
        drop(writer);
        assert_eq!(lines.gather().await.expect("reads"), Some(vec![b"second".to_vec(), b"third".to_vec()]));
        assert_eq!(lines.gather().await.expect("reads"), None);
    }

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        let split = split_at(b"k::v::w".to_vec(), b"::").expect("has a separator");
        assert_eq!(split, (Bytes::from_static(b"k"), Bytes::from_static(b"v::w")));
        assert_eq!(split_at(b"kv".to_vec(), b":"), Err(b"kv".to_vec()));
    }
}
