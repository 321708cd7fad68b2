//! The client against a broker that answers as it is told: what it tries again, and what not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_client::{Client, ClientError, Consumer, OffsetSpec, Record};
use caudal_protocol::ErrorCode;
use caudal_protocol::api::{SERVED, key};
use caudal_protocol::batch::RecordBatch;
use caudal_protocol::frame::{RequestFrame, encode_response};
use caudal_protocol::messages::api_versions_response::ApiVersion;
use caudal_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use caudal_protocol::messages::list_offsets_response::{self, ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use caudal_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use caudal_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use caudal_protocol::messages::*;
use caudal_types::Tasks;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A broker with one topic, `t`, of one partition, which it leads itself.
#[derive(Default)]
struct Script {
    port: u16,
    /// Errors for the next Produce requests.
    refusals: Mutex<Vec<ErrorCode>>,
    /// Close the connection instead of answering, this many times.
    hang_ups: AtomicUsize,
    produced: Mutex<Vec<Bytes>>,
    metadata_asked: AtomicUsize,
}

async fn start(script: Script) -> (Client, Arc<Script>, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has an address").port();
    let script = Arc::new(Script { port, ..script });
    let (tasks, served) = (Tasks::new(), Arc::clone(&script));
    let connections = tasks.clone();
    tasks.spawn("broker", async move {
        while let Ok((socket, _)) = listener.accept().await {
            let script = Arc::clone(&served);
            connections.spawn("connection", async move {
                serve(&script, socket).await;
            });
        }
    });
    let client = Client::new(&format!("127.0.0.1:{port}")).expect("an address").with_timeout(Duration::from_secs(5));
    (client, script, tasks)
}

async fn serve(script: &Script, mut socket: TcpStream) -> Option<()> {
    loop {
        let len = socket.read_i32().await.ok()?;
        let mut frame = BytesMut::zeroed(usize::try_from(len).ok()?);
        socket.read_exact(&mut frame).await.ok()?;
        let request = RequestFrame::parse(frame.freeze()).expect("the client sends what is served");
        if request.api_key == key::PRODUCE && script.hang_ups.load(Ordering::SeqCst) > 0 {
            script.hang_ups.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        socket.write_all(&answer(script, &request)).await.ok()?;
    }
}

fn answer(script: &Script, request: &RequestFrame) -> BytesMut {
    match request.api_key {
        key::API_VERSIONS => encode(request, &api_versions()),
        key::METADATA => encode(request, &metadata(script)),
        key::PRODUCE => encode(request, &produce(script, request.decode().expect("decodes"))),
        key::LIST_OFFSETS => encode(request, &list_offsets(script, request.decode().expect("decodes"))),
        key::FETCH => encode(request, &fetch(script)),
        other => panic!("API {other} is not in the script"),
    }
}

fn encode<R: Encodable>(request: &RequestFrame, response: &R) -> BytesMut {
    encode_response(request.api_key, request.api_version, request.correlation_id, response).expect("encodes")
}

fn api_versions() -> ApiVersionsResponse {
    let range = |api: &caudal_protocol::api::Api| {
        ApiVersion::default().with_api_key(api.key).with_min_version(api.min_advertised).with_max_version(api.max)
    };
    ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(range).collect())
}

fn metadata(script: &Script) -> MetadataResponse {
    script.metadata_asked.fetch_add(1, Ordering::SeqCst);
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(i32::from(script.port));
    let partition = MetadataResponsePartition::default()
        .with_leader_id(BrokerId(1))
        .with_replica_nodes(vec![BrokerId(1)])
        .with_isr_nodes(vec![BrokerId(1)]);
    let topic = MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_static_str("t").into()))
        .with_partitions(vec![partition]);
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
}

fn produce(script: &Script, request: ProduceRequest) -> ProduceResponse {
    let mut refusals = script.refusals.lock();
    let code = if refusals.is_empty() { ErrorCode::NONE } else { refusals.remove(0) };
    let mut produced = script.produced.lock();
    let partition = PartitionProduceResponse::default().with_error_code(code.code());
    let partition = partition.with_base_offset(i64::try_from(produced.len()).expect("few"));
    if !code.is_error() {
        produced.extend(request.topic_data[0].partition_data[0].records.clone());
    }
    let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
    ProduceResponse::default().with_responses(vec![topic])
}

fn list_offsets(script: &Script, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let offset = match request.topics[0].partitions[0].timestamp {
        -2 => 0,
        -1 => i64::try_from(script.produced.lock().len()).expect("few"),
        _ => -1,
    };
    let partition = ListOffsetsPartitionResponse::default().with_offset(offset);
    let topic = ListOffsetsTopicResponse::default().with_partitions(vec![partition]);
    ListOffsetsResponse(list_offsets_response::ListOffsetsResponse::default().with_topics(vec![topic]))
}

/// All that was written, each batch of one record at its offset, and half a batch behind it.
fn fetch(script: &Script) -> FetchResponse {
    let mut records = Vec::new();
    for (offset, batch) in (0..).zip(script.produced.lock().iter()) {
        records.extend(RecordBatch::from_trusted(batch.clone()).patched(offset, 3).concat());
    }
    records.extend_from_slice(&records.clone()[..records.len().min(40)]);
    let partition = PartitionData::default().with_records(Some(records.into()));
    let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn record(value: &'static str) -> Record {
    Record { timestamp: 1, key: None, value: Some(Bytes::from_static(value.as_bytes())), headers: Vec::new() }
}

#[tokio::test]
async fn a_change_of_leader_is_ridden_out_with_new_metadata() {
    let refusals = Mutex::new(vec![ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::NOT_LEADER_OR_FOLLOWER]);
    let (client, script, tasks) = start(Script { refusals, ..Script::default() }).await;
    assert_eq!(client.produce("t", 0, &[record("a")]).await.expect("written at the third try"), 0);
    assert_eq!(script.metadata_asked.load(Ordering::SeqCst), 3);
    assert_eq!(client.produce("t", 0, &[record("b")]).await.expect("written"), 1);
    assert_eq!(script.metadata_asked.load(Ordering::SeqCst), 3, "what is known is not asked again");
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_refusal_for_good_is_told_at_once() {
    let refusals = Mutex::new(vec![ErrorCode::MESSAGE_TOO_LARGE]);
    let (client, script, tasks) = start(Script { refusals, ..Script::default() }).await;
    let error = client.produce("t", 0, &[record("a")]).await.expect_err("refused");
    assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(error.to_string(), "writing to t-0: MESSAGE_TOO_LARGE");
    assert!(script.produced.lock().is_empty());
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_broken_connection_is_made_anew() {
    let (client, script, tasks) = start(Script { hang_ups: 2.into(), ..Script::default() }).await;
    assert_eq!(client.produce("t", 0, &[record("a")]).await.expect("written at the third try"), 0);
    assert_eq!(script.produced.lock().len(), 1);
    tasks.shutdown().await;
}

#[tokio::test]
async fn the_deadline_ends_the_tries_with_the_last_reason() {
    let refusals = Mutex::new(vec![ErrorCode::NOT_ENOUGH_REPLICAS; 1000]);
    let (client, _, tasks) = start(Script { refusals, ..Script::default() }).await;
    let client = client.with_timeout(Duration::from_millis(200));
    let error = client.produce("t", 0, &[record("a")]).await.expect_err("never written");
    assert_eq!(error.code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS));
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_consumer_reads_from_its_offset_on_and_each_record_once() {
    let (client, _, tasks) = start(Script::default()).await;
    for value in ["a", "b", "c"] {
        client.produce("t", 0, &[record(value)]).await.expect("written");
    }
    let mut consumer = Consumer::at(client.clone(), "t", [(0, 1)].into());
    let records = consumer.poll().await.expect("reads");
    let seen: Vec<_> =
        records.iter().map(|record| (record.offset, record.value.as_deref().unwrap_or_default())).collect();
    assert_eq!(seen, [(1, &b"b"[..]), (2, b"c")]);
    assert_eq!(consumer.positions()[&0], 3);
    assert_eq!(consumer.poll().await.expect("reads"), []);

    let end = Consumer::start(client.clone(), "t", None, OffsetSpec::Latest).await.expect("starts");
    assert_eq!(end.positions()[&0], 3);
    let late = Consumer::start(client.clone(), "t", None, OffsetSpec::Timestamp(99)).await.expect("starts");
    assert_eq!(late.positions()[&0], 3, "no record is that late: begin at the end");
    let missing = Consumer::start(client, "t", Some(&[7]), OffsetSpec::Earliest).await;
    assert!(matches!(missing, Err(ClientError::NoSuchPartition { partition: 7, count: 1, .. })), "{missing:?}");
    tasks.shutdown().await;
}

#[tokio::test]
async fn an_address_that_hangs_is_tried_last_from_then_on() {
    let (_, script, tasks) = start(Script::default()).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = hanging.local_addr().expect("has an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tasks.spawn("hanging", async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = hanging.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            open.push(socket);
        }
    });
    let client = Client::new(&format!("{address},127.0.0.1:{}", script.port)).expect("addresses");
    let client = client.with_timeout(Duration::from_millis(500));
    for asked in 1..=3 {
        client.metadata(None).await.expect("the other one answers");
        assert_eq!(script.metadata_asked.load(Ordering::SeqCst), asked);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    tasks.shutdown().await;
}
