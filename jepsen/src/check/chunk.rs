//! A piece of a history, parsed into columns; pieces are parsed side by side and joined in order.
//!
//! Nearly all lines are sends and polls. They are read without building an [`Event`], which costs ten times as much; the others are few.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::history::{Event, Kind, Offset, Op, Value};

use super::names::Names;
use super::table::{NO_OFFSET, Record};

/// What a line of the piece says.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) time: u64,
    pub(super) process: u32,
    pub(super) kind: Kind,
    /// From 1, within the piece.
    pub(super) line: u32,
    pub(super) error: Option<u32>,
    pub(super) body: Body,
}

/// The operation of an entry.
#[derive(Debug)]
pub(super) enum Body {
    /// Ends in the piece's columns.
    Work {
        transactional: bool,
        sends: u32,
        runs: u32,
    },
    Other(Box<Op>),
}

/// A piece.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) entries: Vec<Entry>,
    pub(super) keys: Names,
    pub(super) errors: Names,
    /// Key, offset, value.
    pub(super) sends: Vec<(u32, Offset, Value)>,
    /// Key, end in `records`.
    pub(super) runs: Vec<(u32, u32)>,
    pub(super) records: Vec<Record>,
    pub(super) lines: u32,
}

impl Chunk {
    /// Parses whole lines.
    ///
    /// # Errors
    /// The number of the line, from 1 within the piece, and what is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, (u32, String)> {
        let mut chunk = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            chunk.lines += 1;
            chunk.line(line).map_err(|error| (chunk.lines, error))?;
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(chunk)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        let head: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let error = head.error.as_ref().map(|error| self.errors.number(error));
        let body = if head.f == "work" {
            self.work(&head)
        } else {
            let event: Event = serde_json::from_str(line).map_err(|error| error.to_string())?;
            Body::Other(Box::new(event.op))
        };
        let Line { time, process, kind, .. } = head;
        self.entries.push(Entry { time, process, kind, line: self.lines, error, body });
        Ok(())
    }

    fn work(&mut self, line: &Line<'_>) -> Body {
        for part in &line.micros {
            match part {
                Part::Send { key, value, offset } => {
                    let key = self.keys.number(key);
                    self.sends.push((key, offset.unwrap_or(NO_OFFSET), *value));
                }
                Part::Poll { records } => {
                    for (key, records) in &records.0 {
                        let key = self.keys.number(key);
                        self.records
                            .extend(records.iter().map(|(offset, value)| Record { offset: *offset, value: *value }));
                        self.runs.push((key, length(&self.records)));
                    }
                }
            }
        }
        Body::Work { transactional: line.transactional, sends: length(&self.sends), runs: length(&self.runs) }
    }
}

fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("a piece is small")
}

/// The parts of an [`Event`] that sends and polls have.
#[derive(Deserialize)]
struct Line<'a> {
    time: u64,
    process: u32,
    kind: Kind,
    f: &'a str,
    #[serde(default, borrow)]
    micros: Vec<Part<'a>>,
    #[serde(default)]
    transactional: bool,
    #[serde(default, borrow)]
    error: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part<'a> {
    Send {
        #[serde(borrow)]
        key: Cow<'a, str>,
        value: Value,
        #[serde(default)]
        offset: Option<Offset>,
    },
    Poll {
        #[serde(borrow)]
        records: Polled<'a>,
    },
}

/// The records of a partition.
type OfKey<'a> = (Cow<'a, str>, Vec<(Offset, Value)>);

/// A map in the order in which it is written.
struct Polled<'a>(Vec<OfKey<'a>>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Polled<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PolledVisitor)
    }
}

struct PolledVisitor;

impl<'de> Visitor<'de> for PolledVisitor {
    type Value = Polled<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("records by partition")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Polled<'de>, A::Error> {
        let mut records = Vec::with_capacity(map.size_hint().unwrap_or(1));
        while let Some((name, of_key)) = map.next_entry::<Name<'de>, _>()? {
            records.push((name.0, of_key));
        }
        Ok(Polled(records))
    }
}
