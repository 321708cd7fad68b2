//! The TOML file. Keys may be written with dots (`num.partitions = 4`), in quotes, or in tables (`[num]`); values as numbers, booleans, texts, or
//! lists.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::Origin;
use super::{ConfigError, properties};

/// One key of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, with its dots.
    pub key: String,
    /// The value, as one text.
    pub value: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// Reads a file: one whose name ends in `.properties` as Kafka writes them, any other as TOML.
///
/// # Errors
/// When it cannot be read, is no TOML, or has a key twice.
pub fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    let is_properties = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("properties"));
    if is_properties { once(path, properties::parse(&text)) } else { parse(path, &text) }
}

/// Reads the text of the file at `path`.
///
/// # Errors
/// When it is no TOML, or has a key twice.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        origin: Origin::File(path.to_owned(), line_at(text, error.span().map_or(0, |span| span.start))),
        reason: error.message().replace('\n', ", "),
    })?;
    let mut reader = Reader { path, text, entries: Vec::new() };
    reader.table("", document.get_ref())?;
    reader.entries.sort_by_key(|entry| entry.line);
    once(path, reader.entries)
}

/// Each key has to come once.
fn once(path: &Path, entries: Vec<Entry>) -> Result<Vec<Entry>, ConfigError> {
    let mut seen = BTreeSet::new();
    match entries.iter().find(|entry| !seen.insert(&entry.key)) {
        Some(entry) => {
            Err(ConfigError::Repeated { origin: Origin::File(path.to_owned(), entry.line), key: entry.key.clone() })
        }
        None => Ok(entries),
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            let line = line_at(self.text, name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => self.table(&key, inner)?,
                DeValue::Array(items) => {
                    let items: Result<Vec<String>, _> = items.iter().map(|item| self.scalar(&key, item)).collect();
                    self.entries.push(Entry { key, value: items?.join(","), line });
                }
                _ => {
                    let value = self.scalar(&key, value)?;
                    self.entries.push(Entry { key, value, line });
                }
            }
        }
        Ok(())
    }

    fn scalar(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(integer) => {
                decimal(integer).ok_or_else(|| self.unfit(key, value, "the number is too large"))
            }
            DeValue::Float(float) => Ok(float.as_str().to_owned()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(self.unfit(key, value, "write a number, true or false, a text in quotes, or a list of those"))
            }
        }
    }

    fn unfit(&self, key: &str, value: &Spanned<DeValue<'_>>, reason: &str) -> ConfigError {
        ConfigError::Invalid {
            origin: self.origin(line_at(self.text, value.span().start)),
            key: key.to_owned(),
            value: self.text.get(value.span()).unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File(self.path.to_owned(), line)
    }
}

fn decimal(integer: &DeInteger<'_>) -> Option<String> {
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok().map(|number| number.to_string())
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(text: &str) -> Result<Vec<(String, String, usize)>, ConfigError> {
        let entries = parse(Path::new("caudal.toml"), text)?;
        Ok(entries.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect())
    }

    fn entry(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.to_owned(), value.to_owned(), line)
    }

    #[test]
    fn keys_are_written_in_three_ways() {
        let text = "node.id = 1\n\"num.partitions\" = 1_0\n[log]\ndirs = \"/data\"\nsegment.bytes = 0x400\n";
        let expected = [
            entry("node.id", "1", 1),
            entry("num.partitions", "10", 2),
            entry("log.dirs", "/data", 4),
            entry("log.segment.bytes", "1024", 5),
        ];
        assert_eq!(entries(text).unwrap(), expected);
    }

    #[test]
    fn values_become_texts() {
        let text = "a = true\nb = 0.5\nc = [\"1@h:1\", \"2@h:2\"]\nd = -1\n";
        let expected = [entry("a", "true", 1), entry("b", "0.5", 2), entry("c", "1@h:1,2@h:2", 3), entry("d", "-1", 4)];
        assert_eq!(entries(text).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let syntax = entries("node.id = 1\nlog.dirs = /data\n").unwrap_err().to_string();
        assert!(syntax.starts_with("caudal.toml:2: "), "{syntax}");
        let repeated = entries("log.dirs = 'a'\n'log.dirs' = 'b'\n").unwrap_err().to_string();
        assert_eq!(repeated, "caudal.toml:2: 'log.dirs' is set a second time; keep one of the two");
        let date = entries("\nnode.id = 2020-01-01\n").unwrap_err().to_string();
        assert!(date.starts_with("caudal.toml:2: node.id = '2020-01-01': write a number"), "{date}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z.=\"'\\[\\]{}0-9\n #-]{0,80}") {
            let _ = entries(&text);
        }
    }
}
