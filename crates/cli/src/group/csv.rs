//! Offsets in lines of CSV, as `kafka-consumer-groups` writes (`--export`) and reads (`--from-file`) them: `topic,partition,offset`, or `group,topic,partition,offset`.

use std::collections::{BTreeMap, BTreeSet};

use caudal_client::Place;

/// How many other groups are named when there is nothing for the one that is meant.
const NAMED_MAX: usize = 5;

/// Writes a line, without its end.
pub(super) fn line(group: Option<&str>, topic: &str, partition: i32, offset: i64) -> String {
    let group = group.map(|group| format!("{},", quoted(group))).unwrap_or_default();
    format!("{group}{},{partition},{offset}", quoted(topic))
}

/// Reads the offsets of a group: lines without a group, and those that name it.
///
/// # Errors
/// What is wrong, in which line.
pub(super) fn parse(text: &str, group: &str) -> Result<BTreeMap<Place, i64>, String> {
    let (mut offsets, mut others) = (BTreeMap::new(), BTreeSet::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let Some((whose, place, offset)) = row(line) else {
            return Err(format!(
                "line {number} is neither TOPIC,PARTITION,OFFSET nor GROUP,TOPIC,PARTITION,OFFSET: '{}'",
                line.escape_debug()
            ));
        };
        if let Some(other) = whose.filter(|whose| whose != group) {
            others.insert(other);
            continue;
        }
        let again = format!("line {number} names {}-{} again; name each partition once", place.0, place.1);
        if offsets.insert(place, offset).is_some() {
            return Err(again);
        }
    }
    match offsets.is_empty() {
        true => Err(nothing_for(group, &others)),
        false => Ok(offsets),
    }
}

fn nothing_for(group: &str, others: &BTreeSet<String>) -> String {
    let named: Vec<_> = others.iter().take(NAMED_MAX).map(|other| format!("'{other}'")).collect();
    let more = if others.len() > NAMED_MAX { " and others" } else { "" };
    match named.is_empty() {
        true => "there is no offset in it".to_owned(),
        false => format!("there is no offset of group '{group}' in it, only of {}{more}", named.join(", ")),
    }
}

/// The group, if one is named, the partition and the offset.
fn row(line: &str) -> Option<(Option<String>, Place, i64)> {
    let mut fields = fields(line)?;
    let offset = fields.pop()?.trim().parse::<i64>().ok().filter(|offset| *offset >= 0)?;
    let partition = fields.pop()?.trim().parse::<i32>().ok().filter(|partition| *partition >= 0)?;
    let topic = fields.pop().filter(|topic| !topic.is_empty())?;
    let group = fields.pop();
    fields.is_empty().then_some((group, (topic, partition), offset))
}

fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut rest) = (Vec::new(), line);
    loop {
        let (field, left) = match rest.strip_prefix('"') {
            Some(rest) => unquoted(rest)?,
            None => {
                let (field, left) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (field.to_owned(), left)
            }
        };
        fields.push(field);
        match left.strip_prefix(',') {
            Some(next) => rest = next,
            None => return left.is_empty().then_some(fields),
        }
    }
}

/// A field up to its closing quote, where two quotes stand for one, and what comes after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let (part, left) = rest.split_once('"')?;
        field.push_str(part);
        match left.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, left)),
        }
    }
}

/// Quoted where it could be misread; ids of groups may hold anything.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.trim() == text && !text.contains([',', '"']);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, i32, i64)>, String> {
        let offsets = parse(text, "g")?;
        Ok(offsets.into_iter().map(|((topic, partition), offset)| (topic, partition, offset)).collect())
    }

    #[test]
    fn both_forms_are_read() {
        let expected = Ok(vec![("t".to_owned(), 0, 5), ("t".to_owned(), 1, 0)]);
        assert_eq!(read("t,0,5\nt,1,0\n"), expected);
        assert_eq!(read("t,1,0\r\n\r\nt,0,5"), expected, "other ends of lines, and no order");
        assert_eq!(read("g,t,0,5\nother,t,0,9\ng,t,1,0\n"), expected, "other groups have their own");
        assert_eq!(read("\"t\",0,5\n\"g\",\"t\",1,0"), expected, "Kafka's tool quotes long names");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, words) in [
            ("", "no offset in it"),
            ("t,0,5\nt,0", "line 2"),
            ("topic,partition,offset", "line 1"),
            ("t,0,-1", "'t,0,-1'"),
            ("t,-1,0", "line 1"),
            (",0,1", "line 1"),
            ("a,g,t,0,1", "line 1"),
            ("\"t,0,1", "line 1"),
            ("\"t\"x,0,1", "line 1"),
            ("t,0,1\ng,t,0,2", "line 2 names t-0 again"),
            ("h,t,0,1\ni,t,0,1", "only of 'h', 'i'"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        let many: Vec<_> = (0..9).map(|number| format!("g{number},t,0,1")).collect();
        assert!(read(&many.join("\n")).is_err_and(|error| error.ends_with("'g4' and others")));
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(line(None, "t", 3, 7), "t,3,7");
        for group in ["g", "a,b", "say \"so\"", "\"", " g ", ""] {
            let text = line(Some(group), "t", 3, 7);
            assert_eq!(parse(&text, group), Ok(BTreeMap::from([(("t".to_owned(), 3), 7)])), "{text}");
        }
    }
}
