//! What clients should not send.

use bytes::Bytes;
use caudal_protocol::frame::encode_request;
use caudal_protocol::messages::metadata_request::MetadataRequest;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt;

use crate::harness::{TestNode, batch, fetch_request, produce_request, until};

#[tokio::test]
async fn garbage_closes_its_own_connection_only() {
    let node = TestNode::start().await;
    let mut honest = node.with_topic("t", 1).await;
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let too_long = [&(5_i32 << 20).to_be_bytes()[..], b"x"].concat();
    let negative = (-7_i32).to_be_bytes().to_vec();
    let unknown_api = vec![0, 0, 0, 10, 0, 99, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let refused_produce = vec![0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff];
    for bytes in [http, too_long, negative, unknown_api, refused_produce] {
        let mut client = node.connect().await;
        client.stream.write_all(&bytes).await.unwrap();
        assert!(client.frame().await.is_none(), "the connection is closed");
        assert_eq!(honest.produce("t", 0, batch(&["a"])).await.error_code, 0);
    }
    node.stop().await;
}

#[tokio::test]
async fn damaged_requests_never_stop_the_broker() {
    let node = TestNode::start().await;
    let mut honest = node.with_topic("t", 1).await;
    let id = uuid::Uuid::from_u128(1);
    let mut by_id = fetch_request("", 0, 0);
    by_id.topics[0].topic_id = id;
    let sound: Vec<Bytes> = vec![
        encode_request(0, 9, 1, "c", &produce_request("t", 0, -1, batch(&["a"]))).unwrap().freeze(),
        encode_request(1, 12, 1, "c", &fetch_request("t", 0, 0)).unwrap().freeze(),
        encode_request(1, 18, 1, "c", &by_id).unwrap().freeze(),
        encode_request(3, 9, 1, "c", &MetadataRequest::default().with_topics(None)).unwrap().freeze(),
    ];
    let damage =
        (any::<prop::sample::Index>(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5));
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let (which, changes) = damage.new_tree(&mut runner).unwrap().current();
        let mut bytes = sound[which.index(sound.len())].to_vec();
        let len = bytes.len();
        for (at, value) in changes {
            // Behind the length and the API's key, so that the request is looked at.
            bytes[6 + at.index(len - 6)] = value;
        }
        let mut client = node.connect().await;
        client.stream.write_all(&bytes).await.unwrap();
        client.stream.shutdown().await.unwrap();
        // It is answered, or the connection is closed.
        let _answered = client.frame().await;
    }
    assert_eq!(honest.fetch("t", 0, 0).await.error_code, 0);
    node.stop().await;
}

#[tokio::test]
async fn stopping_closes_connections_and_ends_long_polls() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let before = node.broker.stats().bytes_in;
    let id = client.send(12, &fetch_request("t", 0, 0).with_max_wait_ms(300_000)).await;
    until(|| node.broker.stats().bytes_in > before).await;
    let (response, ()) = tokio::join!(client.receive::<caudal_protocol::messages::FetchRequest>(12, id), node.stop());
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    assert!(client.frame().await.is_none());
}
