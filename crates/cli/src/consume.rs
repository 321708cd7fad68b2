//! `caudal consume`.

use std::io::Write;

use anyhow::Context as _;
use caudal_client::{ConsumedRecord, Consumer, OffsetSpec};
use clap::Args;

use crate::{Connect, Outcome, record_json};

/// `caudal consume`.
#[derive(Args, Clone, Debug)]
pub struct Consume {
    /// The topic's name
    pub topic: String,
    /// Begin with the oldest records [default: only new ones]
    #[arg(long)]
    pub from_beginning: bool,
    /// Begin with the records of this time or later, in milliseconds since 1970
    #[arg(long, conflicts_with = "from_beginning", value_name = "MILLISECONDS")]
    pub from_timestamp: Option<i64>,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub max_messages: Option<u64>,
    /// Stop at the end of the partitions instead of waiting for more
    #[arg(long)]
    pub exit_at_end: bool,
    /// Read this partition only; may be given several times
    #[arg(long, value_name = "N")]
    pub partition: Vec<i32>,
    /// How to print a record: %t topic, %p partition, %o offset, %T timestamp, %k key, %v value, %h headers, %% percent sign, \n line end, \t tab
    #[arg(long, default_value = "%v\\n", value_parser = Format::parse)]
    pub format: Format,
    /// A line of JSON for each record instead
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// A template for records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
}

impl Format {
    /// Reads a template.
    ///
    /// # Errors
    /// What in it is unknown.
    pub fn parse(template: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut chars = template.chars();
        while let Some(c) = chars.next() {
            let next = if matches!(c, '%' | '\\') { chars.next() } else { None };
            pieces.push(match (c, next) {
                ('%', Some('t')) => Piece::Topic,
                ('%', Some('p')) => Piece::Partition,
                ('%', Some('o')) => Piece::Offset,
                ('%', Some('T')) => Piece::Timestamp,
                ('%', Some('k')) => Piece::Key,
                ('%', Some('v')) => Piece::Value,
                ('%', Some('h')) => Piece::Headers,
                ('%', Some('%')) => Piece::Text("%".to_owned()),
                ('\\', Some('n')) => Piece::Text("\n".to_owned()),
                ('\\', Some('t')) => Piece::Text("\t".to_owned()),
                ('\\', Some('0')) => Piece::Text("\0".to_owned()),
                ('\\', Some('\\')) => Piece::Text("\\".to_owned()),
                ('%' | '\\', next) => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "'{c}{next}' means nothing; known are %t %p %o %T %k %v %h %% \\n \\t \\0 \\\\"
                    ));
                }
                (c, _) => Piece::Text(c.to_string()),
            });
        }
        Ok(Self(pieces))
    }

    fn print(&self, topic: &str, record: &ConsumedRecord, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text.as_bytes())?,
                Piece::Topic => out.write_all(topic.as_bytes())?,
                Piece::Partition => write!(out, "{}", record.partition)?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp)?,
                Piece::Key => out.write_all(record.key.as_deref().unwrap_or(b"null"))?,
                Piece::Value => out.write_all(record.value.as_deref().unwrap_or(b"null"))?,
                Piece::Headers => print_headers(record, out)?,
            }
        }
        Ok(())
    }
}

fn print_headers(record: &ConsumedRecord, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    for (i, (key, value)) in record.headers.iter().enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        out.write_all(key)?;
        out.write_all(b"=")?;
        out.write_all(value.as_deref().unwrap_or(b"null"))?;
    }
    Ok(())
}

/// Runs `caudal consume`, until enough was printed or somebody stops it.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: Consume, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    let client = command.connect.client()?;
    let topic = command.topic.as_str();
    let from = match command.from_timestamp {
        Some(timestamp) => OffsetSpec::Timestamp(timestamp),
        None if command.from_beginning => OffsetSpec::Earliest,
        None => OffsetSpec::Latest,
    };
    let partitions = Some(command.partition.as_slice()).filter(|partitions| !partitions.is_empty());
    let consumer = Consumer::start(client.clone(), topic, partitions, from).await;
    let mut consumer = consumer.with_context(|| format!("cannot read topic '{topic}'"))?;
    let mut ends = None;
    if command.exit_at_end {
        let mut found = std::collections::BTreeMap::new();
        for partition in consumer.positions().keys() {
            let end = client.list_offset(topic, *partition, OffsetSpec::Latest).await?;
            found.insert(*partition, end.map_or(0, |(offset, _)| offset));
        }
        ends = Some(found);
    }
    let mut left = command.max_messages.unwrap_or(u64::MAX);
    loop {
        let at_end = ends.as_ref().is_some_and(|ends| ends.iter().all(|(p, end)| consumer.positions()[p] >= *end));
        if left == 0 || at_end {
            return Ok(Outcome::Success);
        }
        for record in consumer.poll().await? {
            if left == 0 {
                break;
            }
            left -= 1;
            let printed = if command.json {
                writeln!(out, "{}", record_json::line(topic, &record))
            } else {
                command.format.print(topic, &record, out)
            };
            match printed {
                // The reader has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Outcome::Success),
                other => other?,
            }
        }
        match out.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Outcome::Success),
            other => other?,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn records_are_printed_by_the_template() {
        let record = ConsumedRecord {
            partition: 3,
            offset: 42,
            timestamp: 1000,
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: vec![(Bytes::from_static(b"a"), Some(Bytes::from_static(b"1"))), (Bytes::from_static(b"b"), None)],
        };
        let format = Format::parse("%t-%p@%o %T %k:%v [%h] 100%%\\n").expect("parses");
        let mut out = Vec::new();
        format.print("t", &record, &mut out).expect("prints");
        assert_eq!(String::from_utf8(out).expect("text"), "t-3@42 1000 null:v [a=1,b=null] 100%\n");
    }

    #[test]
    fn an_unknown_mark_is_refused_with_those_that_are_known() {
        for bad in ["%x", "%", "\\q", "a\\"] {
            assert!(Format::parse(bad).expect_err("refused").contains("known are %t"), "{bad}");
        }
    }
}
