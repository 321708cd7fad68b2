//! A record as a line of JSON. Bytes that are text are a string; others are an object with their Base64.

use caudal_client::ConsumedRecord;
use serde_json::{Value, json};

pub(crate) fn line(topic: &str, record: &ConsumedRecord) -> Value {
    let header = |(key, value): &(bytes::Bytes, Option<bytes::Bytes>)| json!({ "key": text(Some(key)), "value": text(value.as_deref()) });
    json!({
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": text(record.key.as_deref()),
        "value": text(record.value.as_deref()),
        "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
    })
}

fn text(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => json!({ "base64": base64(bytes) }),
    }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 0x3f;
            text.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn text_is_text_and_other_bytes_are_base64() {
        let record = ConsumedRecord {
            partition: 1,
            offset: 2,
            timestamp: 3,
            key: None,
            value: Some(Bytes::from_static("olá \"x\"".as_bytes())),
            headers: vec![(Bytes::from_static(b"h"), Some(Bytes::from_static(&[0xff])))],
        };
        let expected = json!({
            "topic": "t", "partition": 1, "offset": 2, "timestamp_ms": 3, "key": null, "value": "olá \"x\"",
            "headers": [{ "key": "h", "value": { "base64": "/w==" } }],
        });
        assert_eq!(line("t", &record), expected);
        assert_eq!(line("t", &record).to_string().lines().count(), 1);
    }
}
