//! Files as Kafka has them: lines of `key=value`, by the rules of Java's properties.

use super::file::Entry;

/// Reads the text of a file. Any text is one: a line without a separator is a key with an empty value.
pub fn parse(text: &str) -> Vec<Entry> {
    logical_lines(text).into_iter().map(|(line, text)| entry(line, &text)).collect()
}

/// Lines without comments and empty ones, those that end in a backslash with the ones behind them; each with its number, counted from 1.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if !goes_on && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let ends_in = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
        let continues = ends_in % 2 == 1;
        let line = if continues { &line[..line.len() - 1] } else { line };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(line),
            None => lines.push((number + 1, line.to_owned())),
        }
        goes_on = continues;
    }
    lines
}

/// The key ends at the first `=`, `:` or space that no backslash stands before.
fn entry(line: usize, text: &str) -> Entry {
    let mut is_escaped = false;
    let end = text.find(|c: char| {
        let ends = !is_escaped && (c == '=' || c == ':' || c.is_whitespace());
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let (key, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    Entry { key: unescaped(key), value: unescaped(value), line }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                plain.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            other => plain.extend(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(text: &str) -> Vec<(usize, String, String)> {
        parse(text).into_iter().map(|entry| (entry.line, entry.key, entry.value)).collect()
    }

    fn read(line: usize, key: &str, value: &str) -> (usize, String, String) {
        (line, key.to_owned(), value.to_owned())
    }

    #[test]
    fn lines_are_read_as_java_reads_them() {
        let text = "# a comment\n! another\n\nnode.id=1\n  log.dirs = /data\nnum.partitions: 4\nbroker.rack r1\n\
                    listeners=PLAINTEXT://:9092,\\\n    CONTROLLER://:9093\nempty=\nalone\n";
        let expected = [
            read(4, "node.id", "1"),
            read(5, "log.dirs", "/data"),
            read(6, "num.partitions", "4"),
            read(7, "broker.rack", "r1"),
            read(8, "listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            read(10, "empty", ""),
            read(11, "alone", ""),
        ];
        assert_eq!(entries(text), expected);
    }

    #[test]
    fn backslashes_take_the_meaning_from_what_is_behind_them() {
        assert_eq!(entries(r"a\=b = c\\d\u0041\t"), [read(1, "a=b", "c\\dA\t")]);
        assert_eq!(entries("path = C:\\\\data\\\\\nb = 1"), [read(1, "path", "C:\\data\\"), read(2, "b", "1")]);
        assert_eq!(entries("a = \\ud800b\\u00"), [read(1, "a", "b\0")]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[a-z.=:\\\\#! \n\\r\\t\u{e9}]{0,60}") {
            for entry in parse(&text) {
                prop_assert!(entry.line <= text.lines().count());
            }
        }
    }
}
