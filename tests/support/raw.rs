//! Kafka's protocol by hand, for what no client library would send.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::frame::encode_request;
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::fetch_response::PartitionData;
use caudal_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use caudal_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

/// One connection, one request at a time.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    client_id: String,
    correlation_id: i32,
}

impl Raw {
    /// Connects to the first of `bootstrap`.
    ///
    /// # Panics
    /// When it cannot.
    pub fn connect(bootstrap: &str) -> Self {
        Self::connect_as(bootstrap, "raw")
    }

    /// Connects to the first of `bootstrap` with a client id.
    ///
    /// # Panics
    /// When it cannot.
    pub fn connect_as(bootstrap: &str, client_id: &str) -> Self {
        let address = bootstrap.split(',').next().expect("an address");
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out can be set");
        Self { stream, client_id: client_id.to_owned(), correlation_id: 0 }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When they cannot be sent.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// Sends a request without waiting.
    ///
    /// # Panics
    /// When it cannot be encoded or sent.
    pub fn send<R: Encodable>(&mut self, api_key: i16, version: i16, request: &R) {
        self.correlation_id += 1;
        let frame = encode_request(api_key, version, self.correlation_id, &self.client_id, request).expect("encoded");
        self.send_bytes(&frame);
    }

    /// The next answer's frame, without its length.
    ///
    /// # Errors
    /// When the connection is closed or nothing comes in time.
    pub fn receive(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// Sends a request and decodes its answer.
    ///
    /// # Panics
    /// When there is no answer or it cannot be decoded.
    pub fn call<R: Encodable, A: Decodable>(&mut self, api_key: i16, version: i16, flexible: bool, request: &R) -> A {
        self.send(api_key, version, request);
        let mut frame = self.receive().expect("an answer");
        // Correlation id, and in flexible versions the header's empty tagged fields.
        let _ = frame.split_to(if flexible { 5 } else { 4 });
        A::decode(&mut frame, version).expect("an answer of this version")
    }

    /// Whether the other side closes the connection without an answer.
    pub fn is_closed(&mut self) -> bool {
        match self.receive() {
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// What the node knows of all topics and nodes.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn metadata(&mut self) -> MetadataResponse {
        self.call(3, 9, true, &MetadataRequest::default().with_topics(None))
    }

    /// What one partition's part of an answer to a Fetch says, without a session, of what is there now.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> PartitionData {
        let answer: FetchResponse = self.call(1, 12, true, &fetch_request(topic, &[(partition, offset)]));
        answer.responses.into_iter().flat_map(|topic| topic.partitions).next().expect("the partition's part")
    }

    /// Produces `batch` as it is to partition 0 of a topic: error code and base offset.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn produce(&mut self, topic: &str, batch: Bytes) -> (i16, i64) {
        let request = produce_request(topic, 0, batch);
        let answer: ProduceResponse = self.call(0, 9, true, &request);
        let partition = &answer.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }
}

/// A request to produce `batch` to one partition, with acks=all.
pub fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

/// A request to fetch partitions from offsets on, without a session and without waiting.
pub fn fetch_request(topic: &str, partitions: &[(i32, i64)]) -> FetchRequest {
    let wanted = |(partition, offset): &(i32, i64)| {
        let wanted = FetchPartition::default().with_partition(*partition).with_fetch_offset(*offset);
        wanted.with_partition_max_bytes(1 << 20)
    };
    let partitions: Vec<_> = partitions.iter().map(wanted).collect();
    let topics = vec![FetchTopic::default().with_topic(name(topic)).with_partitions(partitions)];
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_max_bytes(8 << 20)
        .with_session_epoch(-1)
        .with_topics(topics)
}

/// A topic's name as the messages want it.
pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A batch of one record with a value.
///
/// # Panics
/// When it cannot be built.
pub fn batch(value: &'static [u8]) -> Bytes {
    BatchBuilder::new().build(&[record(value)]).expect("a batch").bytes().clone()
}

/// A batch of one record from an idempotent producer.
///
/// # Panics
/// When it cannot be built.
pub fn sequenced(producer_id: i64, epoch: i16, sequence: i32) -> Bytes {
    let builder = BatchBuilder::new().producer(producer_id, epoch, sequence);
    builder.build(&[record(b"x")]).expect("a batch").bytes().clone()
}

fn record(value: &'static [u8]) -> Record {
    Record { value: Some(Bytes::from_static(value)), ..Record::default() }
}
