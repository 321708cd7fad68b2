//! The records inside a batch.

use std::io::{self, Read};
use std::ops::ControlFlow;

use caudal_types::TimestampMs;
use caudal_types::limits::RECORD_MAX_BYTES;

use super::{BATCH_HEADER_LEN, BatchError, Codec, RecordBatch, codec, corrupt};
use crate::wire::{Reader, WireError, length};

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its offset less the batch's.
    pub offset_delta: i32,
    /// Its timestamp (the batch's max timestamp when that is LogAppendTime).
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
    /// All of it as it stands in the batch, behind its length.
    pub(super) raw: &'a [u8],
}

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its key: text by convention, but Kafka does not check.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// A record's headers, decoded as they are iterated over. They were checked before.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    count: usize,
    reader: Reader<'a>,
}

impl<'a> Headers<'a> {
    /// Checks the headers, which are the rest of the record.
    fn parse(mut reader: Reader<'a>) -> Result<Self, String> {
        let count = length(i64::from(reader.varint().map_err(text)?)).map_err(text)?;
        let headers = Self { count, reader };
        for _ in 0..count {
            read_header(&mut reader)?;
        }
        match reader.remaining() {
            0 => Ok(headers),
            rest => Err(format!("{rest} bytes lie behind its headers")),
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.reader).ok()
    }
}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, String> {
    let key = reader.varint_bytes().map_err(text)?.ok_or("a header's key is null")?;
    Ok(Header { key, value: reader.varint_bytes().map_err(text)? })
}

fn text(error: WireError) -> String {
    error.to_string()
}

impl RecordBatch {
    /// Reads the records one by one, decompressed, until `visit` says stop.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] when the records cannot be decoded or are not as many as the header says.
    pub fn for_each_record(&self, visit: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>) -> Result<(), BatchError> {
        let records = self.bytes().get(BATCH_HEADER_LEN..).unwrap_or_default();
        let mut cursor = RecordCursor { batch: self, next_delta: 0, records_left: i64::from(self.record_count()) };
        if self.codec() == Codec::None {
            cursor.visit_slice(Reader::new(records), visit)
        } else {
            cursor.visit_stream(records, visit)
        }
    }
}

/// Walks over the records; knows which offsets can still come.
struct RecordCursor<'a> {
    batch: &'a RecordBatch,
    next_delta: i64,
    records_left: i64,
}

impl RecordCursor<'_> {
    fn visit_slice(
        &mut self,
        mut reader: Reader<'_>,
        visit: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        for number in 0..self.batch.record_count() {
            let record = reader.varint_bytes().map_err(|error| broken(number, &error))?;
            let record = record.ok_or_else(|| broken(number, &"its length is -1"))?;
            if visit(self.record(record).map_err(|error| broken(number, &error))?).is_break() {
                return Ok(());
            }
        }
        self.expect_end(reader.remaining() == 0)
    }

    fn visit_stream(
        &mut self,
        compressed: &[u8],
        visit: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let codec = self.batch.codec();
        let mut reader = io::BufReader::new(codec.decompress(compressed)?);
        let mut record = Vec::new();
        for number in 0..self.batch.record_count() {
            let len = read_length(&mut reader).map_err(|error| broken(number, &error))?;
            record.clear();
            let read = reader.by_ref().take(len as u64).read_to_end(&mut record);
            if read.map_err(|error| codec::unreadable(codec, &error))? < len {
                return Err(broken(number, &"it is cut off"));
            }
            if visit(self.record(&record).map_err(|error| broken(number, &error))?).is_break() {
                return Ok(());
            }
        }
        let rest = reader.read(&mut [0]).map_err(|error| codec::unreadable(codec, &error))?;
        self.expect_end(rest == 0)
    }

    fn expect_end(&self, at_end: bool) -> Result<(), BatchError> {
        if at_end {
            return Ok(());
        }
        Err(corrupt(format!("the batch has more than the {} records that it says it has", self.batch.record_count())))
    }

    /// Offsets rise, and leave room for the records that follow: in a producer's batch they have no gaps.
    fn take_offset(&mut self, offset_delta: i32) -> Result<(), String> {
        self.records_left -= 1;
        let (first, last) = (self.next_delta, i64::from(self.batch.last_offset_delta()) - self.records_left);
        if !(first..=last).contains(&i64::from(offset_delta)) {
            return Err(format!("its offset delta is {offset_delta}, outside of {first} to {last}"));
        }
        self.next_delta = i64::from(offset_delta) + 1;
        Ok(())
    }

    fn record<'r>(&mut self, bytes: &'r [u8]) -> Result<RecordView<'r>, String> {
        let mut reader = Reader::new(bytes);
        reader.i8().map_err(text)?; // attributes: none are defined
        let timestamp_delta = reader.varlong().map_err(text)?;
        let offset_delta = reader.varint().map_err(text)?;
        self.take_offset(offset_delta)?;
        let key = reader.varint_bytes().map_err(text)?;
        let value = reader.varint_bytes().map_err(text)?;
        let headers = Headers::parse(reader)?;
        let timestamp = if self.batch.is_log_append_time() {
            self.batch.max_timestamp()
        } else {
            self.batch.base_timestamp().wrapping_add(timestamp_delta)
        };
        Ok(RecordView { offset_delta, timestamp, key, value, headers, raw: bytes })
    }
}

fn broken(number: i32, error: &dyn std::fmt::Display) -> BatchError {
    corrupt(format!("record {number} of the batch cannot be read: {error}"))
}

/// A record's length, from a stream: at most five bytes.
fn read_length(reader: &mut impl Read) -> Result<usize, String> {
    let mut bytes = [0; 5];
    for i in 0..bytes.len() {
        reader.read_exact(&mut bytes[i..=i]).map_err(|error| error.to_string())?;
        if bytes[i] < 0x80 {
            break;
        }
    }
    let len = Reader::new(&bytes).varint().and_then(|len| length(i64::from(len))).map_err(text)?;
    if len > RECORD_MAX_BYTES { Err(format!("its {len} bytes are more than {RECORD_MAX_BYTES}")) } else { Ok(len) }
}
