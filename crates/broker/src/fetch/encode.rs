//! Encodes Fetch answers in pieces: headers that are written here, and between them the records, uncopied.

use bytes::{BufMut, Bytes, BytesMut};

use caudal_partition::AbortedTransaction;
use caudal_types::NodeId;

use super::{FetchAnswer, Fetched};
use crate::cluster::TopicRef;
use crate::reply::OutFrame;

/// From this version on the encoding is flexible (KIP-482).
const FLEXIBLE: i16 = 12;
/// From this version on topics are named by id.
pub(crate) const BY_ID: i16 = 13;
/// From this version on answers tell where leaders are (KIP-951).
pub(crate) const HINTS: i16 = 16;

/// Encodes an answer as a frame with its length prefix.
pub(crate) fn encode(version: i16, correlation_id: i32, answer: FetchAnswer) -> OutFrame {
    let mut body = Pieces { version, done: Vec::new(), current: BytesMut::with_capacity(256) };
    body.answer(&answer);
    let mut pieces = body.done;
    pieces.push(body.current.freeze());

    let header_len = if version >= FLEXIBLE { 5 } else { 4 };
    let len: usize = pieces.iter().map(Bytes::len).sum::<usize>() + header_len;
    let mut head = BytesMut::with_capacity(4 + header_len);
    // The bounds on Fetch keep the answer far below 2 GiB.
    head.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
    head.put_i32(correlation_id);
    if version >= FLEXIBLE {
        head.put_u8(0);
    }
    pieces.insert(0, head.freeze());
    OutFrame { pieces, held: answer.held }
}

struct Pieces {
    version: i16,
    done: Vec<Bytes>,
    current: BytesMut,
}

impl Pieces {
    fn answer(&mut self, answer: &FetchAnswer) {
        self.current.put_i32(answer.throttle_ms);
        if self.version >= 7 {
            self.current.put_i16(answer.error.code());
            self.current.put_i32(answer.session_id);
        }
        let topics: Vec<&[Fetched]> = answer.partitions.chunk_by(|a, b| a.key.topic == b.key.topic).collect();
        self.array_len(topics.len());
        for topic in topics {
            self.topic(topic, answer.committed_only);
        }
        self.endpoints(answer);
    }

    fn topic(&mut self, partitions: &[Fetched], committed_only: bool) {
        match partitions.first().map(|partition| &partition.key.topic) {
            Some(TopicRef::Name(name)) => self.string(name),
            Some(TopicRef::Id(id)) => self.current.put_slice(id.0.as_bytes()),
            None => {}
        }
        self.array_len(partitions.len());
        for partition in partitions {
            self.partition(partition, committed_only);
        }
        self.no_tags();
    }

    fn partition(&mut self, partition: &Fetched, committed_only: bool) {
        self.current.put_i32(partition.key.partition);
        self.current.put_i16(partition.error.code());
        self.current.put_i64(partition.high_watermark);
        self.current.put_i64(partition.last_stable);
        if self.version >= 5 {
            self.current.put_i64(partition.log_start);
        }
        self.aborted((committed_only && !partition.error.is_error()).then_some(&partition.aborted));
        if self.version >= 11 {
            self.current.put_i32(partition.nearer.map_or(-1, NodeId::as_kafka)); // preferred read replica
        }
        self.records(partition);
        self.partition_tags(partition);
    }

    fn aborted(&mut self, transactions: Option<&Vec<AbortedTransaction>>) {
        self.nullable_array_len(transactions.map(Vec::len));
        for transaction in transactions.into_iter().flatten() {
            self.current.put_i64(transaction.producer_id);
            self.current.put_i64(transaction.first_offset);
            self.no_tags();
        }
    }

    fn records(&mut self, partition: &Fetched) {
        let len = partition.records_len();
        if self.version >= FLEXIBLE {
            self.uvarint(len + 1);
        } else {
            self.current.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
        }
        if len > 0 {
            self.done.push(self.current.split().freeze());
            self.done.extend(partition.records.iter().cloned());
        }
    }

    /// Diverging epoch (tag 0) and current leader (tag 1).
    fn partition_tags(&mut self, partition: &Fetched) {
        if self.version < FLEXIBLE {
            return;
        }
        let tags = usize::from(partition.diverging.is_some()) + usize::from(partition.leader.is_some());
        self.uvarint(tags);
        if let Some(end) = partition.diverging {
            self.current.put_slice(&[0, 13]); // tag, length
            self.current.put_i32(end.epoch);
            self.current.put_i64(end.end_offset);
            self.no_tags();
        }
        if let Some((leader, epoch)) = partition.leader {
            self.current.put_slice(&[1, 9]); // tag, length
            self.current.put_i32(leader);
            self.current.put_i32(epoch);
            self.no_tags();
        }
    }

    /// The node endpoints (tag 0).
    fn endpoints(&mut self, answer: &FetchAnswer) {
        if self.version < HINTS || answer.endpoints.is_empty() {
            return self.no_tags();
        }
        let mut inner = Self { version: self.version, done: Vec::new(), current: BytesMut::new() };
        inner.array_len(answer.endpoints.len());
        for node in &answer.endpoints {
            inner.current.put_i32(node.id.as_kafka());
            inner.string(&node.host);
            inner.current.put_i32(i32::from(node.port));
            match &node.rack {
                Some(rack) => inner.string(rack),
                None => inner.uvarint(0),
            }
            inner.no_tags();
        }
        self.current.put_slice(&[1, 0]); // one tag, number 0
        self.uvarint(inner.current.len());
        self.current.unsplit(inner.current);
    }

    fn array_len(&mut self, len: usize) {
        self.nullable_array_len(Some(len));
    }

    fn nullable_array_len(&mut self, len: Option<usize>) {
        if self.version >= FLEXIBLE {
            self.uvarint(len.map_or(0, |len| len + 1));
        } else {
            self.current.put_i32(len.map_or(-1, |len| i32::try_from(len).unwrap_or(i32::MAX)));
        }
    }

    fn string(&mut self, text: &str) {
        if self.version >= FLEXIBLE {
            self.uvarint(text.len() + 1);
        } else {
            // Topic names are at most 249 bytes long; longer ones came in a request, whose lengths fit as well.
            self.current.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        }
        self.current.put_slice(text.as_bytes());
    }

    fn no_tags(&mut self) {
        if self.version >= FLEXIBLE {
            self.current.put_u8(0);
        }
    }

    fn uvarint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.current.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.current.put_u8(u8::try_from(value).unwrap_or(0));
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
