//! The codec of the two requests that matter. Fetch answers are encoded in pieces by the broker: `scripts/guard` counts those.

use std::hint::black_box;

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::frame::{RequestFrame, encode_request, encode_response};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use caudal_protocol::messages::{Request, TopicName};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const PRODUCE: i16 = 12;
const FETCH: i16 = 12;
const PARTITIONS: [i32; 2] = [1, 100];

fn topic() -> TopicName {
    TopicName("a topic".to_owned().into())
}

/// A request as it is behind its length.
fn framed<R: Request>(version: i16, request: &R) -> Bytes {
    let frame = encode_request(R::KEY, version, 1, "bench", request).expect("a request");
    frame.freeze().slice(4..)
}

fn produce_request(partitions: i32) -> ProduceRequest {
    let record = Record { value: Some(Bytes::from(vec![7; 1000])), ..Record::default() };
    let batch = BatchBuilder::new().build(&[record]).expect("a batch").bytes().clone();
    let data = |index| PartitionProduceData::default().with_index(index).with_records(Some(batch.clone()));
    let data = (0..partitions).map(data).collect();
    let data = TopicProduceData::default().with_name(topic()).with_partition_data(data);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

fn produce_response(partitions: i32) -> ProduceResponse {
    let answer = |index| PartitionProduceResponse::default().with_index(index).with_base_offset(42);
    let answers = (0..partitions).map(answer).collect();
    let answers = TopicProduceResponse::default().with_name(topic()).with_partition_responses(answers);
    ProduceResponse::default().with_responses(vec![answers])
}

fn fetch_request(partitions: i32) -> FetchRequest {
    let wanted = |partition| FetchPartition::default().with_partition(partition).with_partition_max_bytes(1 << 20);
    let wanted = (0..partitions).map(wanted).collect();
    FetchRequest::default().with_topics(vec![FetchTopic::default().with_topic(topic()).with_partitions(wanted)])
}

fn decode<R: Request>(frame: &Bytes) -> R {
    RequestFrame::parse(black_box(frame.clone())).and_then(|frame| frame.decode()).expect("a sound request")
}

fn requests(criterion: &mut Criterion) {
    for partitions in PARTITIONS {
        let frame = framed(PRODUCE, &produce_request(partitions));
        criterion.bench_with_input(BenchmarkId::new("produce/decode request", partitions), &frame, |bencher, frame| {
            bencher.iter(|| decode::<ProduceRequest>(frame));
        });
        let answer = produce_response(partitions);
        criterion.bench_with_input(
            BenchmarkId::new("produce/encode answer", partitions),
            &answer,
            |bencher, answer| {
                bencher
                    .iter(|| encode_response(ProduceRequest::KEY, PRODUCE, 1, black_box(answer)).expect("an answer"));
            },
        );
        let frame = framed(FETCH, &fetch_request(partitions));
        criterion.bench_with_input(BenchmarkId::new("fetch/decode request", partitions), &frame, |bencher, frame| {
            bencher.iter(|| decode::<FetchRequest>(frame));
        });
    }
}

criterion_group!(benches, requests);
criterion_main!(benches);
