//! A request's body, and what is answered.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse, FetchRequest, HeartbeatResponse,
    InitProducerIdResponse, JoinGroupRequest, LeaveGroupResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, ProduceResponse,
    ProducerId, RequestHeader, ResponseHeader, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes, decode_request_header_from_buffer};

use super::fetch;
use super::output::Output;
use super::reading;
use super::topics::{self, Topics};

pub(super) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const EARLIEST: i64 = -2;

/// What is served, with the versions. Produce and Fetch end where topics still have names; Fetch is written in one version.
const APIS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 12),
    (ApiKey::Fetch, fetch::VERSION, fetch::VERSION),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 1, 12),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::FindCoordinator, 0, 3),
    (ApiKey::JoinGroup, 2, 5),
    (ApiKey::SyncGroup, 1, 3),
    (ApiKey::Heartbeat, 1, 3),
    (ApiKey::LeaveGroup, 1, 3),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 2, 7),
];

/// Appends the answer to a request, and tells which kind it is.
pub(super) fn answer(mut body: Bytes, topics: &Topics, output: &mut Output) -> anyhow::Result<ApiKey> {
    let header = decode_request_header_from_buffer(&mut body).context("not a request of Kafka's")?;
    let key = ApiKey::try_from(header.request_api_key).map_err(|()| anyhow::anyhow!("no such API"))?;
    let version = header.request_api_version;
    let is_served = APIS.iter().any(|(api, min, max)| *api == key && (*min..=*max).contains(&version));
    match key {
        ApiKey::ApiVersions if !is_served => {
            let refusal = versions().with_error_code(UNSUPPORTED_VERSION);
            respond(&header, (key, 0), &refusal, output)
        }
        _ if !is_served => bail!("{key:?} of version {version} is not served"),
        ApiKey::Produce => {
            let request = ProduceRequest::decode(&mut body, version)?;
            // Nobody waits for an answer to acks=0.
            let response = produce(topics, &request);
            if request.acks == 0 { Ok(()) } else { respond(&header, (key, version), &response, output) }
        }
        ApiKey::Metadata => {
            let request = MetadataRequest::decode(&mut body, version)?;
            respond(&header, (key, version), &metadata(topics, &request), output)
        }
        ApiKey::ListOffsets => respond(&header, (key, version), &list_offsets(topics, &mut body, version)?, output),
        ApiKey::CreateTopics => {
            let request = CreateTopicsRequest::decode(&mut body, version)?;
            respond(&header, (key, version), &create(topics, &request), output)
        }
        ApiKey::Fetch => {
            let request = FetchRequest::decode(&mut body, version)?;
            frame(&header, (key, version), output, |output| fetch::fetch(topics, &request, output))
        }
        ApiKey::FindCoordinator => respond(&header, (key, version), &reading::coordinator(topics), output),
        ApiKey::JoinGroup => {
            let request = JoinGroupRequest::decode(&mut body, version)?;
            respond(&header, (key, version), &reading::join(&request), output)
        }
        ApiKey::SyncGroup => {
            let request = SyncGroupRequest::decode(&mut body, version)?;
            respond(&header, (key, version), &reading::sync(request), output)
        }
        ApiKey::Heartbeat => respond(&header, (key, version), &HeartbeatResponse::default(), output),
        ApiKey::LeaveGroup => respond(&header, (key, version), &LeaveGroupResponse::default(), output),
        ApiKey::OffsetCommit => {
            let request = OffsetCommitRequest::decode(&mut body, version)?;
            respond(&header, (key, version), &reading::commit(&request), output)
        }
        ApiKey::OffsetFetch => {
            let request = OffsetFetchRequest::decode(&mut body, version)?;
            respond(&header, (key, version), &reading::committed(&request), output)
        }
        ApiKey::InitProducerId => respond(&header, (key, version), &producer_id(), output),
        ApiKey::ApiVersions => respond(&header, (key, version), &versions(), output),
        _ => bail!("{key:?} is not served"),
    }?;
    Ok(key)
}

fn respond(
    request: &RequestHeader,
    (key, version): (ApiKey, i16),
    body: &impl Encodable,
    output: &mut Output,
) -> anyhow::Result<()> {
    frame(request, (key, version), output, |output| body.encode(&mut output.written, version))
}

/// A body with what goes before it.
fn frame(
    request: &RequestHeader,
    (key, version): (ApiKey, i16),
    output: &mut Output,
    put_body: impl FnOnce(&mut Output) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (start, before) = (output.written.len(), output.bytes());
    output.written.put_u32(0);
    let header = ResponseHeader::default().with_correlation_id(request.correlation_id);
    header.encode(&mut output.written, key.response_header_version(version))?;
    put_body(output)?;
    let length = u32::try_from(output.bytes() - before - 4)?;
    output.written[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn versions() -> ApiVersionsResponse {
    let one = |&(key, min, max): &(ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(APIS.iter().map(one).collect())
}

fn producer_id() -> InitProducerIdResponse {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0)
}

fn produce(topics: &Topics, request: &ProduceRequest) -> ProduceResponse {
    let responses = request.topic_data.iter().map(|topic| {
        let known = topics.partitions(&topic.name);
        let partitions = topic.partition_data.iter().map(|data| {
            let partition = topics::partition(known.as_ref(), data.index);
            let response = PartitionProduceResponse::default().with_index(data.index).with_log_append_time_ms(-1);
            match partition {
                Some(partition) => response
                    .with_base_offset(partition.append(data.records.as_deref().unwrap_or_default()))
                    .with_log_start_offset(0),
                None => response.with_error_code(UNKNOWN_TOPIC_OR_PARTITION),
            }
        });
        TopicProduceResponse::default().with_name(topic.name.clone()).with_partition_responses(partitions.collect())
    });
    ProduceResponse::default().with_responses(responses.collect())
}

fn metadata(topics: &Topics, request: &MetadataRequest) -> MetadataResponse {
    let brokers = topics.ports.iter().zip(1..).map(|(port, id)| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(id))
            .with_host(StrBytes::from_static_str("127.0.0.1"))
            .with_port(i32::from(*port))
    });
    let names: Vec<_> = match &request.topics {
        Some(asked) => asked.iter().filter_map(|topic| topic.name.clone()).collect(),
        None => topics.names().into_iter().map(|name| TopicName(name.into())).collect(),
    };
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_controller_id(BrokerId(1))
        .with_cluster_id(Some(StrBytes::from_static_str("floor")))
        .with_topics(names.into_iter().map(|name| topic(topics, name)).collect())
}

fn topic(topics: &Topics, name: TopicName) -> MetadataResponseTopic {
    let Some(known) = topics.partitions(&name) else {
        return MetadataResponseTopic::default().with_name(Some(name)).with_error_code(UNKNOWN_TOPIC_OR_PARTITION);
    };
    let replicas: Vec<_> = (1..).take(topics.ports.len()).map(BrokerId).collect();
    let partitions = (0..known.len()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(BrokerId(topics.leader(index)))
            .with_leader_epoch(0)
            .with_replica_nodes(replicas.clone())
            .with_isr_nodes(replicas.clone())
    });
    MetadataResponseTopic::default().with_name(Some(name)).with_partitions(partitions.collect())
}

fn list_offsets(topics: &Topics, body: &mut Bytes, version: i16) -> anyhow::Result<ListOffsetsResponse> {
    let request = ListOffsetsRequest::decode(body, version)?;
    let answers = request.topics.iter().map(|topic| {
        let known = topics.partitions(&topic.name);
        let partitions = topic.partitions.iter().map(|asked| {
            let partition = topics::partition(known.as_ref(), asked.partition_index);
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            match partition {
                Some(_) if asked.timestamp == EARLIEST => answer.with_offset(0),
                Some(partition) => answer.with_offset(partition.end()),
                None => answer.with_error_code(UNKNOWN_TOPIC_OR_PARTITION),
            }
        });
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    Ok(ListOffsetsResponse::default().with_topics(answers.collect()))
}

fn create(topics: &Topics, request: &CreateTopicsRequest) -> CreateTopicsResponse {
    let results = request.topics.iter().map(|topic| {
        let is_new = topics.create(&topic.name, usize::try_from(topic.num_partitions).unwrap_or(1));
        CreatableTopicResult::default().with_name(topic.name.clone()).with_error_code(if is_new {
            0
        } else {
            TOPIC_ALREADY_EXISTS
        })
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::protocol::encode_request_header_into_buffer;

    use super::*;

    /// What is answered to a request, without the length and the header.
    fn ask<R: Decodable>(topics: &Topics, key: ApiKey, version: i16, request: &impl Encodable) -> R {
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(9);
        let mut frame = BytesMut::new();
        encode_request_header_into_buffer(&mut frame, &header).unwrap();
        request.encode(&mut frame, version).unwrap();
        let mut output = Output::default();
        assert_eq!(answer(frame.freeze(), topics, &mut output).unwrap(), key);
        let mut rest = output.take().joined();
        let length = rest.split_to(4);
        assert_eq!(u32::from_be_bytes(*length.first_chunk().unwrap()) as usize, rest.len());
        let header = ResponseHeader::decode(&mut rest, key.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 9);
        R::decode(&mut rest, version).unwrap()
    }

    #[test]
    fn produce_answers_with_the_counted_offset() {
        let topics = Topics::new(vec![1, 2, 3]);
        topics.create("t", 2);
        let mut batch = vec![0; 61];
        batch[60] = 7;
        let data = |index| PartitionProduceData::default().with_index(index).with_records(Some(batch.clone().into()));
        let name = TopicName(StrBytes::from_static_str("t"));
        let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![data(1), data(5)]);
        let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
        for (version, base) in [(3, 0), (9, 7), (12, 14)] {
            let response: ProduceResponse = ask(&topics, ApiKey::Produce, version, &request);
            let partitions = &response.responses[0].partition_responses;
            assert_eq!((partitions[0].error_code, partitions[0].base_offset), (0, base), "version {version}");
            assert_eq!(partitions[1].error_code, UNKNOWN_TOPIC_OR_PARTITION);
        }
    }

    #[test]
    fn a_version_that_is_too_new_is_told_what_is_served() {
        let topics = Topics::new(vec![1]);
        let mut frame = BytesMut::new();
        frame.put_slice(&[0, 18, 0, 99, 0, 0, 0, 1, 0, 0, 0]);
        let mut output = Output::default();
        answer(frame.freeze(), &topics, &mut output).unwrap();
        assert_eq!(output.written[8..10], UNSUPPORTED_VERSION.to_be_bytes());
    }
}
