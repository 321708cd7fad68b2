//! Random requests made from the schemas.

use super::{Field, Kind};
use crate::api::Api;

/// A small deterministic source of randomness (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A whole frame (without length prefix) whose body fills every field of the schema, with nothing null.
pub(crate) fn frame(api: &Api, version: i16, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(api.key.to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(7_i32.to_be_bytes());
    out.extend(4_i16.to_be_bytes());
    out.extend(b"test");
    if api.request_header_version(version) == 2 {
        out.push(0);
    }
    let fields = super::request_schema(api.key).expect("every served API has a schema");
    Writer { version, flexible: api.is_flexible(version), random, out: &mut out }.structure(fields);
    out
}

struct Writer<'a> {
    version: i16,
    flexible: bool,
    random: &'a mut Random,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn structure(&mut self, fields: &[Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(&field.kind);
        }
        if self.flexible {
            self.tags(fields);
        }
    }

    fn tags(&mut self, fields: &[Field]) {
        let version = self.version;
        let known: Vec<_> = fields.iter().filter(|field| field.tag.is_some() && field.is_in(version)).collect();
        self.uvarint(known.len() + 1);
        for field in known {
            let mut value = Vec::new();
            Writer { out: &mut value, version, flexible: true, random: self.random }.value(&field.kind);
            self.uvarint(field.tag.expect("tagged") as usize);
            self.uvarint(value.len());
            self.out.extend(value);
        }
        // One that nobody knows.
        self.uvarint(9999);
        self.uvarint(2);
        self.out.extend([1, 2]);
    }

    fn value(&mut self, kind: &Kind) {
        match kind {
            Kind::Fixed(len) => (0..*len).for_each(|_| {
                let byte = self.random.next() as u8 & 0x7f;
                self.out.push(byte.max(1));
            }),
            Kind::String => {
                let len = self.random.below(20);
                self.length(len, 2);
                self.out.extend(std::iter::repeat_n(b'x', len));
            }
            Kind::Bytes => {
                let len = self.random.below(40);
                self.length(len, 4);
                self.out.extend(std::iter::repeat_n(0xfe, len));
            }
            Kind::Array(element) => {
                let len = self.random.below(4);
                self.length(len, 4);
                (0..len).for_each(|_| self.value(element));
            }
            Kind::Struct(fields) => self.structure(fields),
            Kind::OptionalStruct(fields) => {
                self.out.push(1);
                self.structure(fields);
            }
        }
    }

    fn length(&mut self, len: usize, plain_size: usize) {
        if self.flexible {
            self.uvarint(len + 1);
        } else {
            self.out.extend(&(len as u32).to_be_bytes()[4 - plain_size..]);
        }
    }

    fn uvarint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
