//! Records for consumers: a partition's real batches where they are kept, and otherwise the first that it was sent, again and again, without an end.
//!
//! In that case no file is read and nothing is looked up: what a client reads so in a second, no broker can exceed on this machine. What is answered is written
//! here, so that records go to the socket from where they lie.

use std::thread;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};

use super::answer::UNKNOWN_TOPIC_OR_PARTITION;
use super::batches;
use super::output::Output;
use super::topics::{self, Partition, Topics};

/// The one version that is served: the last in which topics have names, which is what clients take of any range that ends there.
pub(super) const VERSION: i16 = 12;

/// Appends an answer's body.
pub(super) fn fetch(topics: &Topics, request: &FetchRequest, output: &mut Output) -> anyhow::Result<()> {
    let mut left = at_most(request.max_bytes);
    output.written.put_i32(0); // throttle time
    output.written.put_i16(0); // error code
    output.written.put_i32(0); // no session
    put_length(&mut output.written, request.topics.len());
    for asked in &request.topics {
        put_topic(topics, asked, &mut left, output)?;
    }
    put_no_tags(&mut output.written);
    if left == at_most(request.max_bytes) {
        // There is nothing: who asked would only ask again.
        thread::sleep(Duration::from_millis(request.max_wait_ms.max(0).unsigned_abs().into()));
    }
    Ok(())
}

fn at_most(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn put_topic(topics: &Topics, asked: &FetchTopic, left: &mut usize, output: &mut Output) -> anyhow::Result<()> {
    let known = topics.partitions(&asked.topic);
    put_length(&mut output.written, asked.topic.len());
    output.written.put_slice(asked.topic.as_bytes());
    put_length(&mut output.written, asked.partitions.len());
    for asked in &asked.partitions {
        put_partition(topics::partition(known.as_ref(), asked.partition), asked, left, output)?;
    }
    put_no_tags(&mut output.written);
    Ok(())
}

fn put_partition(
    partition: Option<&Partition>,
    asked: &FetchPartition,
    left: &mut usize,
    output: &mut Output,
) -> anyhow::Result<()> {
    let room = (*left).min(at_most(asked.partition_max_bytes));
    let (error, batches, end) = match partition {
        Some(partition) => {
            let batches = read(partition, asked.fetch_offset, room)?;
            (0, batches, readable_end(partition))
        }
        None => (UNKNOWN_TOPIC_OR_PARTITION, Vec::new(), -1),
    };
    let bytes: usize = batches.iter().map(Bytes::len).sum();
    *left = left.saturating_sub(bytes);
    output.written.put_i32(asked.partition);
    output.written.put_i16(error);
    output.written.put_i64(end); // high watermark
    output.written.put_i64(end); // last stable offset
    output.written.put_i64(0); // log start offset
    put_length(&mut output.written, 0); // aborted transactions
    output.written.put_i32(-1); // preferred read replica
    put_length(&mut output.written, bytes);
    batches.into_iter().for_each(|batches| output.put_records(batches));
    put_no_tags(&mut output.written);
    output.read.extend(partition.and_then(|partition| partition.log.clone()));
    Ok(())
}

/// What there is from `offset` on, and room for; one batch at least, unless there is no room at all.
fn read(partition: &Partition, offset: i64, room: usize) -> anyhow::Result<Vec<Bytes>> {
    match &partition.log {
        Some(log) => log.read(offset, room),
        None => Ok(vec![again_and_again(partition, offset, room)]),
    }
}

/// Up to where there is something to read.
fn readable_end(partition: &Partition) -> i64 {
    if partition.log.is_some() { partition.end() } else { i64::MAX }
}

/// The partition's first batch, as often as there is room for.
fn again_and_again(partition: &Partition, mut offset: i64, room: usize) -> Bytes {
    let Some(sample) = partition.sample.get().filter(|_| room > 0) else { return Bytes::new() };
    let mut records = BytesMut::with_capacity(room.max(sample.len()));
    loop {
        let at = records.len();
        records.put_slice(sample);
        batches::set_offset(&mut records[at..], offset);
        offset += batches::records(sample);
        if records.len() + sample.len() > room {
            return records.freeze();
        }
    }
}

/// Reads on in what was read for the last answers, now that they have been sent.
pub(super) fn read_on(output: &mut Output) -> anyhow::Result<()> {
    output.read.drain(..).try_for_each(|log| log.read_on())
}

/// The length of what follows, plus one: 0 would say that it is missing.
fn put_length(written: &mut BytesMut, length: usize) {
    let mut rest = length + 1;
    while rest >= 0x80 {
        written.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    written.put_u8(rest as u8);
}

fn put_no_tags(written: &mut BytesMut) {
    written.put_u8(0);
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{FetchResponse, TopicName};
    use kafka_protocol::protocol::{Decodable, StrBytes};

    use super::*;
    use crate::floor::batches::{at, example};
    use crate::floor::kept::Kept;

    /// Asks for partitions 0, 1 and 9 of the topic `t`, and for `nowhere`.
    fn ask(topics: &Topics, offset: i64, max_bytes: i32, partition_max_bytes: i32) -> Vec<FetchableTopicResponse> {
        let partition = |number| {
            let asked = FetchPartition::default().with_partition(number).with_fetch_offset(offset);
            asked.with_partition_max_bytes(partition_max_bytes)
        };
        let topic = |name, numbers: &[i32]| {
            let name = TopicName(StrBytes::from_static_str(name));
            FetchTopic::default().with_topic(name).with_partitions(numbers.iter().map(|n| partition(*n)).collect())
        };
        let asked = vec![topic("t", &[0, 1, 9]), topic("nowhere", &[0])];
        let request = FetchRequest::default().with_max_wait_ms(0).with_max_bytes(max_bytes).with_topics(asked);
        let mut output = Output::default();
        fetch(topics, &request, &mut output).unwrap();
        read_on(&mut output).unwrap();
        let length = output.bytes();
        let mut body = output.take().joined();
        assert_eq!(body.len(), length);
        let response = FetchResponse::decode(&mut body, VERSION).unwrap();
        assert!(body.is_empty(), "all of it is Kafka's");
        assert_eq!((response.error_code, response.session_id), (0, 0));
        response.responses
    }

    /// Error, records, high watermark.
    type Given = (i16, Bytes, i64);

    /// What a topic's partitions were given.
    fn given(topic: &FetchableTopicResponse) -> Vec<Given> {
        let one = |partition: &PartitionData| {
            assert_eq!(partition.high_watermark, partition.last_stable_offset);
            (partition.error_code, partition.records.clone().unwrap(), partition.high_watermark)
        };
        topic.partitions.iter().map(one).collect()
    }

    #[test]
    fn kept_batches_are_answered_as_kafka_does() {
        let folder = tempfile::tempdir().unwrap();
        let topics = Topics::new(vec![1, 2]).keeping(Some(Kept::in_files(folder.path()).unwrap()));
        topics.create("t", 2);
        let known = topics.partitions("t").unwrap();
        let batches: Vec<_> = (0..4_u8).map(|n| example(2, &[n; 300])).collect();
        for batch in &batches {
            known[0].append(batch);
        }
        known[1].append(&batches[3]);
        let sent: Vec<_> = batches.into_iter().zip(0..).map(|(batch, n)| at(2 * n, batch)).collect();
        let first = |records: &[Vec<u8>]| -> Given { (0, Bytes::from(records.concat()), 8) };
        let second = |records: &[u8]| -> Given { (0, Bytes::copy_from_slice(records), 2) };
        let other = at(0, sent[3].clone());
        let missing = || -> Given { (UNKNOWN_TOPIC_OR_PARTITION, Bytes::new(), -1) };

        let answer = ask(&topics, 0, 1 << 20, 1 << 20);
        assert_eq!(answer.iter().map(|topic| topic.topic.to_string()).collect::<Vec<_>>(), ["t", "nowhere"]);
        assert_eq!(given(&answer[0]), [first(&sent), second(&other), missing()]);
        assert_eq!(given(&answer[1]), [missing()]);
        let answer = ask(&topics, 2, 1 << 20, 800);
        assert_eq!(given(&answer[0])[..2], [first(&sent[1..3]), second(&[])]);
        let answer = ask(&topics, 0, 1000, 800);
        assert_eq!(given(&answer[0])[..2], [first(&sent[..2]), second(&other)], "room is left");
        let answer = ask(&topics, 0, 361, 800);
        assert_eq!(given(&answer[0])[..2], [first(&sent[..1]), second(&[])], "none is left");
    }

    #[test]
    fn without_them_a_partition_is_its_first_batch_again_and_again() {
        let topics = Topics::new(vec![1]);
        topics.create("t", 2);
        let batch = example(3, b"some");
        topics.partitions("t").unwrap()[0].append(&[batch.clone(), example(1, &[1; 500])].concat());
        let read = |room| {
            let answer = ask(&topics, 5, 1000, room);
            given(&answer[0]).remove(0).1
        };
        assert_eq!(read(150), [at(5, batch.clone()), at(8, batch.clone())].concat());
        assert_eq!((read(1), read(0)), (Bytes::from(at(5, batch)), Bytes::new()));
        assert_eq!(given(&ask(&topics, 5, 1000, 150)[0])[1], (0, Bytes::new(), i64::MAX), "nothing was sent to it");
    }
}
