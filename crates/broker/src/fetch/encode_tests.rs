use std::sync::Arc;

use bytes::Buf;
use caudal_metadata::NodeImage;
use caudal_partition::{AbortedTransaction, EpochEnd};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::fetch_response::FetchResponse;
use caudal_protocol::messages::{Decodable, Encodable};
use caudal_types::{NodeId, TopicId};
use proptest::prelude::*;

use super::*;
use crate::fetch::PartitionKey;

/// Decodes a frame with the generated messages: the correlation id and the body.
fn decode(version: i16, frame: &OutFrame) -> (i32, FetchResponse) {
    let mut bytes: Bytes = frame.pieces.concat().into();
    let len = bytes.get_i32();
    assert_eq!(usize::try_from(len).unwrap(), bytes.len());
    let correlation_id = bytes.get_i32();
    if version >= FLEXIBLE {
        assert_eq!(bytes.get_u8(), 0);
    }
    let response = FetchResponse::decode(&mut bytes, version).expect("the generated decoder reads the answer");
    assert!(bytes.is_empty(), "nothing is left over");
    // The bytes are those that the generated encoder would write.
    let mut again = BytesMut::new();
    response.encode(&mut again, version).unwrap();
    let whole = frame.pieces.concat();
    assert_eq!(&whole[whole.len() - again.len()..], &again[..]);
    (correlation_id, response)
}

fn fetched() -> impl Strategy<Value = Fetched> {
    let topic = prop_oneof![
        "[a-z.]{1,40}".prop_map(|name| TopicRef::Name(name.into())),
        any::<u128>().prop_map(|id| TopicRef::Id(TopicId(uuid::Uuid::from_u128(id)))),
    ];
    let numbers = (any::<i32>(), any::<i16>(), any::<i64>(), any::<i64>(), any::<i64>());
    let records = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4);
    let diverging = prop::option::of((0..9_i32, 0..9_i64));
    let leader = prop::option::of((0..9_i32, 0..9_i32));
    let aborted = prop::collection::vec(any::<(i64, i64)>(), 0..3);
    let aborted_transaction =
        |(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset, last_offset: 0 };
    let nearer = prop::option::of((0..9_u32).prop_map(NodeId));
    let parts = (topic, numbers, records, diverging, (leader, nearer), aborted);
    parts.prop_map(move |(topic, numbers, records, diverging, (leader, nearer), aborted)| Fetched {
        key: PartitionKey { topic, partition: numbers.0 },
        error: ErrorCode(numbers.1),
        high_watermark: numbers.2,
        last_stable: numbers.3,
        log_start: numbers.4,
        diverging: diverging.map(|(epoch, end_offset)| EpochEnd { epoch, end_offset }),
        leader,
        nearer,
        records: records.into_iter().map(Bytes::from).collect(),
        aborted: aborted.into_iter().map(aborted_transaction).collect(),
    })
}

fn answer() -> impl Strategy<Value = FetchAnswer> {
    let endpoint = ("[a-z]{1,200}", any::<u16>(), prop::option::of("[a-z]{0,9}"));
    let endpoints = prop::collection::vec(endpoint, 0..3);
    let parts = (prop::collection::vec(fetched(), 0..6), endpoints, any::<i16>(), any::<i32>(), any::<bool>());
    parts.prop_map(|(partitions, endpoints, error, session_id, committed_only)| FetchAnswer {
        error: ErrorCode(error),
        session_id,
        partitions,
        committed_only,
        endpoints: endpoints
            .into_iter()
            .map(|(host, port, rack)| Arc::new(NodeImage { id: NodeId(7), host, port, rack }))
            .collect(),
        held: None,
        throttle_ms: 1234,
    })
}

proptest! {
    #[test]
    fn every_version_is_read_back(mut answer in answer(), version in 4..=18_i16, correlation_id: i32) {
        // A version names topics in one way only.
        answer.partitions.retain(|part| matches!(part.key.topic, TopicRef::Id(_)) == (version >= BY_ID));
        let expected: Vec<Fetched> = answer.partitions.clone();
        let (error, session_id, committed_only) = (answer.error, answer.session_id, answer.committed_only);
        let endpoints = answer.endpoints.clone();
        let (got_correlation_id, got) = decode(version, &encode(version, correlation_id, answer));

        prop_assert_eq!(got_correlation_id, correlation_id);
        if version >= 7 {
            prop_assert_eq!((got.error_code, got.session_id), (error.code(), session_id));
        }
        let parts: Vec<_> = got.responses.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))).collect();
        prop_assert_eq!(parts.len(), expected.len());
        for ((topic, part), expected) in parts.iter().zip(&expected) {
            match &expected.key.topic {
                TopicRef::Name(name) => prop_assert_eq!(topic.topic.as_str(), &**name),
                TopicRef::Id(id) => prop_assert_eq!(topic.topic_id, id.0),
            }
            prop_assert_eq!(part.partition_index, expected.key.partition);
            prop_assert_eq!(part.error_code, expected.error.code());
            prop_assert_eq!(part.high_watermark, expected.high_watermark);
            prop_assert_eq!(part.last_stable_offset, expected.last_stable);
            let told = committed_only && !expected.error.is_error();
            let told = told.then(|| expected.aborted.iter().map(|gone| (gone.producer_id, gone.first_offset)).collect());
            let aborted = part.aborted_transactions.as_ref();
            let aborted: Option<Vec<_>> =
                aborted.map(|all| all.iter().map(|gone| (gone.producer_id.0, gone.first_offset)).collect());
            prop_assert_eq!(aborted, told);
            prop_assert_eq!(part.records.as_deref(), Some(&expected.records.concat()[..]));
            if version >= 5 {
                prop_assert_eq!(part.log_start_offset, expected.log_start);
            }
            if version >= 11 {
                prop_assert_eq!(part.preferred_read_replica.0, expected.nearer.map_or(-1, NodeId::as_kafka));
            }
            if version >= FLEXIBLE {
                let diverging = (part.diverging_epoch.epoch, part.diverging_epoch.end_offset);
                prop_assert_eq!(diverging, expected.diverging.map_or((-1, -1), |end| (end.epoch, end.end_offset)));
                let leader = (part.current_leader.leader_id.0, part.current_leader.leader_epoch);
                prop_assert_eq!(leader, expected.leader.unwrap_or((-1, -1)));
            }
        }
        if version >= HINTS {
            prop_assert_eq!(got.node_endpoints.len(), endpoints.len());
            for (got, expected) in got.node_endpoints.iter().zip(&endpoints) {
                prop_assert_eq!(got.host.as_str(), &expected.host);
                prop_assert_eq!(got.port, i32::from(expected.port));
                prop_assert_eq!(got.rack.as_deref(), expected.rack.as_deref());
            }
        }
    }
}

#[test]
fn records_are_not_copied() {
    let records = Bytes::from(vec![7; 1000]);
    let key = PartitionKey { topic: TopicRef::Name("t".into()), partition: 0 };
    let part = Fetched { records: vec![records.clone()], ..Fetched::failed(key, ErrorCode::NONE) };
    let answer = FetchAnswer { partitions: vec![part], ..FetchAnswer::refused(ErrorCode::NONE, 0) };
    let frame = encode(11, 1, answer);
    assert!(frame.pieces.iter().any(|piece| piece.as_ptr() == records.as_ptr()));
}
