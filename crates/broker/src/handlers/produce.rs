//! Produce: appends record batches. In two phases: batches are enqueued in the order of the requests, then the outcomes are awaited while the next request is taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_metadata::NodeImage;
use caudal_partition::{Acks, AppendError, Appended, Partitions, PendingAppend, RecordFault};
use caudal_protocol::ErrorCode;
use caudal_protocol::frame::{FrameError, RequestFrame};
use caudal_protocol::messages::BrokerId;
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceResponse,
    TopicProduceResponse,
};
use caudal_types::RaftGroupId;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use crate::cluster::{Cluster, Place, TopicRef};
use crate::config::BrokerParts;
use crate::error::Refusal;
use crate::handlers::membership::{Located, Membership, Memberships, Unknowns};
use crate::handlers::within;
use crate::hints::Hints;
use crate::quotas::Quotas;
use crate::reply::{Answer, Reply, Served};
use crate::stats::{Counters, TopicCounter};
use crate::table::{Outcome, RequestContext, Serve, encoded};
use crate::text::wire;

/// From this version on topics are named by id.
const BY_ID: i16 = 13;
/// From this version on answers tell where leaders are (KIP-951).
const HINTS: i16 = 10;
/// From this version on answers carry texts, and name the records at fault (KIP-467).
const TEXTS: i16 = 8;
/// From this version on Zstandard is understood.
const ZSTD: i16 = 7;

/// With acks=1 Kafka's leader answers at once, whatever the time-out; here the majority is awaited all the same, so the time-out must allow for it.
const LEADER_ACK_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Produce {
    cluster: Cluster,
    partitions: Partitions,
    memberships: Memberships,
    counters: Arc<Counters>,
    quotas: Arc<Quotas>,
}

/// A batch on its way.
struct Slot {
    partition: i32,
    group: Option<RaftGroupId>,
    state: State,
}

enum State {
    Refused(Rejection),
    Pending { outcome: PendingAppend, bytes: usize, topic: Arc<TopicCounter> },
}

/// Why a batch is not taken, and for which of its records (KIP-467); for none when it is the batch itself.
struct Rejection {
    refusal: Refusal,
    records: Vec<BatchIndexAndErrorMessage>,
}

/// A request whose batches are all enqueued or refused.
struct Enqueued {
    deadline: Instant,
    acks: i16,
    /// How long the client has to wait for the bytes, in milliseconds.
    throttle_ms: i32,
    topics: Vec<(TopicProduceData, Vec<Slot>)>,
}

impl Produce {
    pub(crate) fn new(cluster: Cluster, parts: &BrokerParts, counters: Arc<Counters>, quotas: Arc<Quotas>) -> Self {
        let memberships = Memberships::new(parts.coordinator.clone());
        Self { cluster, partitions: parts.partitions.clone(), memberships, counters, quotas }
    }

    /// The first phase.
    async fn enqueue(&self, context: &RequestContext, request: ProduceRequest) -> Enqueued {
        let version = context.version;
        // Taken down as it comes, not as it is answered: more requests may come before that.
        let throttle_ms = self.quotas.produce(context.client(), context.size);
        let asked = within(request.timeout_ms);
        let patience = if request.acks == -1 { asked } else { asked.max(LEADER_ACK_WITHIN) };
        let deadline = Instant::now() + patience;
        let mut topics = Vec::with_capacity(request.topic_data.len());
        for mut topic in request.topic_data {
            let by = TopicRef::new(version >= BY_ID, &topic.name, topic.topic_id);
            let data = std::mem::take(&mut topic.partition_data).into_iter();
            let located: Vec<_> = match request.acks {
                -1..=1 => data.map(|data| self.locate(version, &by, data)).collect(),
                acks => data.map(|data| Err(Slot::refused(data.index, invalid_acks(acks)))).collect(),
            };
            topics.push((topic, located));
        }
        let unknown = Unknowns::among(topics.iter().flat_map(|(_, located)| located.iter().flatten()));
        let membership = self.memberships.of(version, request.transactional_id.as_ref(), unknown).await;
        let acks = if request.acks == -1 { Acks::InSync } else { Acks::Majority };
        let mut enqueued = Vec::with_capacity(topics.len());
        for (topic, located) in topics {
            let mut slots = Vec::with_capacity(located.len());
            for located in located {
                slots.push(match located {
                    Ok(located) => self.append(located, &membership, acks, deadline).await,
                    Err(slot) => slot,
                });
            }
            enqueued.push((topic, slots));
        }
        Enqueued { deadline, acks: request.acks, throttle_ms, topics: enqueued }
    }

    fn locate(&self, version: i16, topic: &TopicRef, data: PartitionProduceData) -> Result<Located, Slot> {
        let refused = |refusal| Slot::refused(data.index, refusal);
        let (topic, partition) = match topic.locate(&self.cluster.image(), &self.partitions, data.index) {
            Place::Here(topic, partition) => (topic, partition),
            Place::Elsewhere(group) => {
                let refusal = Refusal::from(&AppendError::NotLeader { leader: None });
                return Err(Slot { group: Some(group), ..refused(refusal) });
            }
            Place::Nowhere(code) => return Err(refused(unknown(code))),
        };
        let batch = check(version, data.records).map_err(refused)?;
        Ok(Located { topic, partition, index: data.index, batch })
    }

    async fn append(&self, located: Located, membership: &Membership, acks: Acks, deadline: Instant) -> Slot {
        let Located { topic, partition, index, batch } = located;
        let enlistment = match membership.enlistment(&partition, &batch) {
            Ok(enlistment) => enlistment,
            Err(refusal) => return Slot { group: Some(partition.group()), ..Slot::refused(index, refusal) },
        };
        let bytes = batch.len();
        let state = match timeout_at(deadline, partition.append(batch, enlistment, acks)).await {
            Ok(Ok(outcome)) => State::Pending { outcome, bytes, topic: self.counters.topics.of(&topic.name) },
            Ok(Err(error)) => State::Refused(Rejection::from(&error)),
            Err(_elapsed) => State::Refused(timed_out().into()),
        };
        Slot { partition: index, group: Some(partition.group()), state }
    }

    /// The second phase.
    async fn finish(self, api_key: i16, context: RequestContext, enqueued: Enqueued) -> Served {
        let mut hints = Hints::default();
        let mut responses = Vec::with_capacity(enqueued.topics.len());
        for (topic, slots) in enqueued.topics {
            let mut parts = Vec::with_capacity(slots.len());
            for slot in slots {
                let (partition, group) = (slot.partition, slot.group);
                parts.push(match slot.state.outcome(enqueued.deadline).await {
                    Ok(appended) => accepted(context.version, partition, &appended),
                    Err(rejection) => {
                        let part = refused(context.version, partition, rejection);
                        self.hinted(context.version, part, group, &mut hints)
                    }
                });
            }
            responses.push(
                TopicProduceResponse::default()
                    .with_name(topic.name)
                    .with_topic_id(topic.topic_id)
                    .with_partition_responses(parts),
            );
        }
        let endpoints = hints.into_endpoints().iter().map(|node| endpoint(node)).collect();
        // The time of requests that want no answer is not limited, as in Kafka.
        let throttle_ms = if enqueued.acks == 0 { 0 } else { context.throttle_ms() };
        let response = ProduceResponse::default()
            .with_responses(responses)
            .with_node_endpoints(endpoints)
            .with_throttle_time_ms(enqueued.throttle_ms.max(throttle_ms));
        answer(api_key, &context, enqueued.acks, &response)
    }

    fn hinted(
        &self,
        version: i16,
        part: PartitionProduceResponse,
        group: Option<RaftGroupId>,
        hints: &mut Hints,
    ) -> PartitionProduceResponse {
        match group {
            Some(group) if version >= HINTS && part.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER.code() => {
                let (leader, epoch) = hints.leader_of(&self.cluster, group);
                let leader = LeaderIdAndEpoch::default().with_leader_id(BrokerId(leader)).with_leader_epoch(epoch);
                part.with_current_leader(leader)
            }
            _ => part,
        }
    }
}

impl Serve for Produce {
    fn serve<'a>(&'a self, frame: RequestFrame, context: RequestContext) -> BoxFuture<'a, Result<Reply, FrameError>> {
        async move {
            let request = frame.decode::<ProduceRequest>()?;
            let enqueued = self.enqueue(&context, request).await;
            let throttle_ms = enqueued.throttle_ms;
            Ok(Reply::Later(self.clone().finish(frame.api_key, context, enqueued).boxed(), throttle_ms))
        }
        .boxed()
    }
}

impl Slot {
    fn refused(partition: i32, refusal: Refusal) -> Self {
        Self { partition, group: None, state: State::Refused(refusal.into()) }
    }
}

impl State {
    async fn outcome(self, deadline: Instant) -> Result<Appended, Rejection> {
        match self {
            Self::Refused(rejection) => Err(rejection),
            Self::Pending { outcome, bytes, topic } => match timeout_at(deadline, outcome).await {
                Ok(Ok(appended)) => {
                    topic.produced.add_len(bytes);
                    Ok(appended)
                }
                Ok(Err(error)) => Err(Rejection::from(&error)),
                Err(_elapsed) => Err(timed_out().into()),
            },
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, records: Vec::new() }
    }
}

impl From<&AppendError> for Rejection {
    fn from(error: &AppendError) -> Self {
        let records = match error {
            AppendError::Records(faults) => faults.iter().map(fault).collect(),
            _ => Vec::new(),
        };
        Self { refusal: Refusal::from(error), records }
    }
}

fn fault(fault: &RecordFault) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(fault.index)
        .with_batch_index_error_message(Some(wire(&fault.reason)))
}

/// What is answered, which with acks=0 is nothing; then errors can be shown only by closing the connection, as Kafka does.
fn answer(api_key: i16, context: &RequestContext, acks: i16, response: &ProduceResponse) -> Served {
    let unanswered = |answer, failed| Served { answer, failed, throttle_ms: response.throttle_time_ms, timer: None };
    match (acks, response.failed()) {
        (0, false) => unanswered(Answer::Nothing, false),
        (0, true) => unanswered(Answer::Close(first_error(response)), true),
        _ => encoded(api_key, context, response),
    }
}

fn first_error(response: &ProduceResponse) -> String {
    let parts = response.responses.iter().flat_map(|topic| topic.partition_responses.iter().map(move |p| (topic, p)));
    let failed = parts
        .filter(|(_, part)| part.error_code != 0)
        .map(|(topic, part)| format!("{}-{}: {}", topic.name.as_str(), part.index, ErrorCode(part.error_code)));
    format!("a batch sent with acks=0 was refused: {}", failed.take(1).collect::<String>())
}

/// Kafka's rules for the records of one partition that need no knowledge of the partition: exactly one batch, in today's format.
fn check(version: i16, records: Option<Bytes>) -> Result<Bytes, Refusal> {
    const LENGTH: std::ops::Range<usize> = 8..12;
    const MAGIC: usize = 16;
    const ATTRIBUTES: usize = 22;
    const BEHIND_LENGTH: usize = 12;
    const CODEC_BITS: u8 = 0b111;
    const ZSTD_CODEC: u8 = 4;

    let batch = records.filter(|records| !records.is_empty()).ok_or_else(|| {
        Refusal::new(ErrorCode::INVALID_RECORD, "a partition came without a record batch; send exactly one")
    })?;
    if let Some(magic) = batch.get(MAGIC).filter(|magic| **magic < 2) {
        let magic = i8::try_from(*magic).unwrap_or_default();
        return Err(Refusal::from(&AppendError::OldMagic(magic)));
    }
    let length = batch.get(LENGTH).and_then(|length| length.try_into().ok()).map(i32::from_be_bytes);
    let length = length.and_then(|length| usize::try_from(length).ok());
    if length.is_some_and(|length| length.saturating_add(BEHIND_LENGTH) < batch.len()) {
        let text = "a partition came with more than one record batch; send exactly one";
        return Err(Refusal::new(ErrorCode::INVALID_RECORD, text));
    }
    let attributes = batch.get(ATTRIBUTES).copied().unwrap_or_default();
    if version < ZSTD && attributes & CODEC_BITS == ZSTD_CODEC {
        let text = format!("Produce version {version} does not know zstd; use a newer client or another codec");
        return Err(Refusal::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, text));
    }
    Ok(batch)
}

fn invalid_acks(acks: i16) -> Refusal {
    Refusal::new(ErrorCode::INVALID_REQUIRED_ACKS, format!("acks is {acks}; set it to -1 (all), 1 or 0"))
}

fn timed_out() -> Refusal {
    let text = "no majority of the replicas had the batch in time; it may yet be committed";
    Refusal::new(ErrorCode::REQUEST_TIMED_OUT, text)
}

fn unknown(code: ErrorCode) -> Refusal {
    Refusal::new(code, "this node knows no such topic or partition")
}

fn accepted(version: i16, partition: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(partition)
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.log_append_time)
        .with_log_start_offset(if version >= 5 { appended.log_start } else { -1 })
}

fn refused(version: i16, partition: i32, rejection: Rejection) -> PartitionProduceResponse {
    let Rejection { refusal, records } = rejection;
    PartitionProduceResponse::default()
        .with_index(partition)
        .with_error_code(refusal.code().code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(refusal.message().filter(|_| version >= TEXTS))
        .with_record_errors(if version >= TEXTS { records } else { Vec::new() })
}

fn endpoint(node: &NodeImage) -> NodeEndpoint {
    NodeEndpoint::default()
        .with_node_id(BrokerId(node.id.as_kafka()))
        .with_host(wire(&node.host))
        .with_port(i32::from(node.port))
        .with_rack(node.rack.as_deref().map(wire))
}

impl Outcome for ProduceResponse {
    fn failed(&self) -> bool {
        self.responses.iter().flat_map(|topic| &topic.partition_responses).any(|part| part.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a batch: enough of it for the checks.
    fn batch(len: usize, magic: u8, attributes: u8) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[8..12].copy_from_slice(&i32::try_from(len - 12).unwrap().to_be_bytes());
        bytes[16] = magic;
        bytes[22] = attributes;
        bytes
    }

    fn code(version: i16, bytes: Vec<u8>) -> Option<ErrorCode> {
        check(version, Some(bytes.into())).err().map(|refusal| refusal.code())
    }

    #[test]
    fn exactly_one_batch_of_todays_format_is_taken() {
        assert_eq!(code(13, batch(70, 2, 0)), None);
        assert_eq!(code(13, vec![]), Some(ErrorCode::INVALID_RECORD));
        assert_eq!(check(13, None).unwrap_err().code(), ErrorCode::INVALID_RECORD);
        assert_eq!(code(13, [batch(70, 2, 0), batch(70, 2, 0)].concat()), Some(ErrorCode::INVALID_RECORD));
        for magic in [0, 1] {
            assert_eq!(code(13, batch(70, magic, 0)), Some(ErrorCode::INVALID_RECORD));
        }
        assert_eq!(code(13, vec![0; 5]), None, "a cut-off batch is the partition's to refuse");
    }

    #[test]
    fn zstd_needs_version_7() {
        assert_eq!(code(6, batch(70, 2, 4)), Some(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
        assert_eq!(code(7, batch(70, 2, 4)), None);
        assert_eq!(code(3, batch(70, 2, 3)), None);
    }

    #[test]
    fn with_acks_0_an_error_closes_the_connection() {
        let context = RequestContext {
            version: 9,
            correlation_id: 1,
            client_id: "test".into(),
            client_host: "/127.0.0.1".into(),
            peer: Arc::default(),
            user: "u".into(),
            size: 0,
            timer: None,
        };
        let response = |code: i16| {
            let part = PartitionProduceResponse::default().with_index(3).with_error_code(code);
            let topic = TopicProduceResponse::default().with_name(crate::text::topic_name("t"));
            ProduceResponse::default().with_responses(vec![topic.with_partition_responses(vec![part])])
        };
        assert!(matches!(answer(0, &context, 0, &response(0)).answer, Answer::Nothing));
        let Answer::Close(reason) = answer(0, &context, 0, &response(6)).answer else { panic!("it closes") };
        assert!(reason.ends_with("t-3: NOT_LEADER_OR_FOLLOWER"), "{reason}");
        let served = answer(0, &context, 1, &response(6));
        assert!(served.failed && matches!(served.answer, Answer::Send(_)));
    }
}
