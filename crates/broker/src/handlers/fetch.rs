//! Fetch: reads record batches, waiting for them if there are none.

use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, TopicImage};
use caudal_partition::{Partition, PartitionOffsets, Partitions, ReadOutcome};
use caudal_protocol::ErrorCode;
use caudal_protocol::frame::{FrameError, RequestFrame};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use caudal_types::{NodeId, RaftGroupId};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Place, TopicRef};
use crate::config::{BrokerConfig, BrokerParts, ReplicaSelector};
use crate::error::KafkaError;
use crate::fetch::encode::{BY_ID, HINTS, encode};
use crate::fetch::nearest::ClientRack;
use crate::fetch::poll::{Found, Poll, PollLimits};
use crate::fetch::session::{FetchSessions, NO_SESSION, SessionRequest};
use crate::fetch::{FetchAnswer, Fetched, PartitionKey, Wanted};
use crate::handlers::within;
use crate::hints::Hints;
use crate::memory::{ByteBudget, BytesTaken};
use crate::quotas::{Quotas, Verdict};
use crate::reply::{Answer, Reply, Served};
use crate::stats::{Counters, TopicCounter};
use crate::table::{RequestContext, Serve};

/// Readers of committed records only.
const READ_COMMITTED: i8 = 1;
/// From this version on clients know KAFKA_STORAGE_ERROR.
const STORAGE_ERRORS: i16 = 6;
/// From this version on clients say where they are, and may read from followers (KIP-392).
const FOLLOWERS: i16 = 11;
/// From this version on a replica names itself in a part of its own (KIP-903).
const REPLICA_STATE: i16 = 15;

pub(crate) struct Fetch {
    cluster: Cluster,
    partitions: Partitions,
    counters: Arc<Counters>,
    quotas: Arc<Quotas>,
    sessions: FetchSessions,
    memory: ByteBudget,
    max_bytes: usize,
    me: NodeId,
    selector: Option<ReplicaSelector>,
    stop: CancellationToken,
}

/// What a poll is to be about, and what needs no poll.
#[derive(Default)]
struct Plan {
    /// In the order of the request.
    parts: Vec<(PartitionKey, Part)>,
    polled: Vec<(Arc<TopicImage>, Arc<Partition>, Wanted)>,
    /// Something is wrong that the client must know now.
    urgent: bool,
}

enum Part {
    /// Found in the poll, in order.
    Polled,
    /// Not read here, since a follower is nearer to the client (KIP-392).
    Nearer(Arc<Partition>, Wanted, NodeId),
    Refused(ErrorCode, Option<RaftGroupId>),
}

/// What was read.
struct Findings {
    /// The parts of the answer, in the order of the request.
    fetched: Vec<Fetched>,
    /// What is to be counted once it is sent.
    counted: Vec<Counted>,
    hints: Hints,
    held: Option<BytesTaken>,
}

impl Findings {
    fn records_len(&self) -> usize {
        self.counted.iter().map(|counted| counted.bytes).sum()
    }
}

/// The records of a partition.
struct Counted {
    topic: Arc<TopicCounter>,
    bytes: usize,
    /// This node does not lead the partition.
    from_follower: bool,
}

impl Fetch {
    pub(crate) fn new(
        config: &BrokerConfig,
        parts: &BrokerParts,
        cluster: Cluster,
        counters: Arc<Counters>,
        quotas: Arc<Quotas>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            cluster,
            partitions: parts.partitions.clone(),
            counters,
            quotas,
            sessions: FetchSessions::new(config.fetch_sessions_max, Arc::clone(&parts.clock)),
            memory: ByteBudget::new(config.fetch_memory_bytes),
            max_bytes: config.fetch_max_bytes,
            me: config.node_id,
            selector: config.replica_selector,
            stop,
        }
    }

    async fn fetch(&self, context: &RequestContext, request: FetchRequest) -> FetchAnswer {
        let (version, client) = (context.version, context.client());
        let session = session_request(version, &request);
        if is_from_replica(version, &request) {
            return refused_replica(session);
        }
        let session_id = session.session_id;
        let (session, wanted) = match self.sessions.begin(session) {
            Ok(begun) => begun,
            Err(code) => return FetchAnswer::refused(code, NO_SESSION),
        };
        let rack = ClientRack::of(self.selector, request.rack_id.as_str());
        let plan = self.plan(&wanted, rack);
        let limits = self.limits(version, &request, plan.urgent, self.quotas.fetch_at_once(client));
        let found = self.read(version, plan, limits).await;
        let throttle_ms = match self.quotas.fetch(client, found.records_len()) {
            Verdict::Send(throttle_ms) => throttle_ms,
            Verdict::Withhold(throttle_ms) => {
                return match self.sessions.finish_empty(&session) {
                    Ok(session_id) => FetchAnswer::throttled(session_id, throttle_ms),
                    Err(code) => FetchAnswer::refused(code, session_id),
                };
            }
        };
        found.counted.iter().for_each(|counted| self.count(counted));
        match self.sessions.finish(session, found.fetched, &wanted) {
            Ok((session_id, partitions)) => FetchAnswer {
                error: ErrorCode::NONE,
                session_id,
                partitions,
                committed_only: limits.committed_only,
                endpoints: found.hints.into_endpoints(),
                held: found.held,
                throttle_ms: throttle_ms.max(context.throttle_ms()),
            },
            Err(code) => FetchAnswer::refused(code, session_id),
        }
    }

    fn limits(&self, version: i16, request: &FetchRequest, urgent: bool, at_once: Option<usize>) -> PollLimits {
        let most = self.max_bytes.min(at_once.unwrap_or(usize::MAX));
        PollLimits {
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(most),
            max_bytes: usize::try_from(request.max_bytes).unwrap_or(0).min(most),
            max_wait: if urgent { Duration::ZERO } else { within(request.max_wait_ms) },
            committed_only: request.isolation_level == READ_COMMITTED,
            leader_only: version < FOLLOWERS,
        }
    }

    fn plan(&self, wanted: &[(PartitionKey, Wanted)], rack: Option<ClientRack<'_>>) -> Plan {
        let image = self.cluster.image();
        let mut plan = Plan::default();
        for (key, wanted) in wanted {
            let part = match key.topic.locate(&image, &self.partitions, key.partition) {
                Place::Here(topic, partition) => match self.nearer(&image, rack, &partition, wanted) {
                    Some(node) => {
                        plan.urgent = true;
                        Part::Nearer(partition, *wanted, node)
                    }
                    None => {
                        plan.polled.push((topic, partition, *wanted));
                        Part::Polled
                    }
                },
                Place::Elsewhere(group) => {
                    plan.urgent = true;
                    Part::Refused(ErrorCode::NOT_LEADER_OR_FOLLOWER, Some(group))
                }
                Place::Nowhere(code) => Part::Refused(code, None),
            };
            plan.parts.push((key.clone(), part));
        }
        plan
    }

    /// Where the client is to read the partition instead of here.
    fn nearer(
        &self,
        image: &ClusterImage,
        rack: Option<ClientRack<'_>>,
        partition: &Partition,
        wanted: &Wanted,
    ) -> Option<NodeId> {
        let rack = rack?;
        let away = partition.leads() && !rack.is_near(image, self.me, &partition.replicas());
        if away { rack.nearest(image, &partition.followers_at(wanted.offset)) } else { None }
    }

    /// Carries the plan out.
    async fn read(&self, version: i16, plan: Plan, limits: PollLimits) -> Findings {
        let slots = plan.polled.iter().map(|(_, partition, wanted)| (Arc::clone(partition), *wanted)).collect();
        let polled = Poll::new(slots, limits).run(&self.memory, &self.stop).await;
        let mut found = plan.polled.iter().zip(polled.found);
        let mut hints = Hints::default();
        let mut fetched = Vec::with_capacity(plan.parts.len());
        let mut counted = Vec::with_capacity(plan.polled.len());
        for (key, part) in plan.parts {
            let (part, group) = match part {
                Part::Refused(code, group) => (Fetched::failed(key, code), group),
                Part::Nearer(partition, wanted, node) => {
                    let part = match partition.offsets_in(wanted.current_leader_epoch) {
                        Ok(offsets) => Fetched { nearer: Some(node), ..seen(key, offsets) },
                        Err(error) => Fetched::failed(key, error.code()),
                    };
                    (part, Some(partition.group()))
                }
                Part::Polled => match found.next() {
                    Some(((topic, partition, _), found)) => {
                        let part = part_of(version, key, found);
                        let topic = self.counters.topics.of(&topic.name);
                        counted.push(Counted { topic, bytes: part.records_len(), from_follower: !partition.leads() });
                        (part, Some(partition.group()))
                    }
                    None => (Fetched::failed(key, ErrorCode::UNKNOWN_SERVER_ERROR), None),
                },
            };
            fetched.push(self.hinted(version, part, group, &mut hints));
        }
        Findings { fetched, counted, hints, held: polled.held }
    }

    /// Counts what is sent.
    fn count(&self, counted: &Counted) {
        counted.topic.fetched.add_len(counted.bytes);
        if counted.from_follower {
            self.counters.follower_bytes.add_len(counted.bytes);
        }
    }

    fn hinted(&self, version: i16, mut part: Fetched, group: Option<RaftGroupId>, hints: &mut Hints) -> Fetched {
        let moved = matches!(part.error, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH);
        if let Some(group) = group.filter(|_| moved && version >= HINTS) {
            part.leader = Some(hints.leader_of(&self.cluster, group));
        }
        part
    }
}

impl Serve for Fetch {
    fn serve<'a>(&'a self, frame: RequestFrame, context: RequestContext) -> BoxFuture<'a, Result<Reply, FrameError>> {
        async move {
            let request = frame.decode::<FetchRequest>()?;
            let answer = self.fetch(&context, request).await;
            let (failed, throttle_ms) = (answer.has_errors(), answer.throttle_ms);
            let frame = encode(context.version, context.correlation_id, answer);
            Ok(Reply::Now(Served { answer: Answer::Send(frame), failed, throttle_ms, timer: None }))
        }
        .boxed()
    }
}

fn session_request(version: i16, request: &FetchRequest) -> SessionRequest {
    let by_id = version >= BY_ID;
    let partitions = request.topics.iter().flat_map(|topic| {
        let by = TopicRef::new(by_id, &topic.topic, topic.topic_id);
        let key = move |partition: i32| PartitionKey { topic: by.clone(), partition };
        topic.partitions.iter().map(move |partition| (key(partition.partition), wanted(partition)))
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let by = TopicRef::new(by_id, &topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| PartitionKey { topic: by.clone(), partition: *partition })
    });
    SessionRequest {
        session_id: request.session_id,
        epoch: request.session_epoch,
        by_id,
        partitions: partitions.collect(),
        forgotten: forgotten.collect(),
    }
}

fn wanted(partition: &FetchPartition) -> Wanted {
    Wanted {
        offset: partition.fetch_offset,
        max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
        current_leader_epoch: partition.current_leader_epoch,
        last_fetched_epoch: partition.last_fetched_epoch,
    }
}

fn is_from_replica(version: i16, request: &FetchRequest) -> bool {
    let replica = if version >= REPLICA_STATE { request.replica_state.replica_id } else { request.replica_id };
    replica.0 >= 0
}

/// Replicas here do not fetch as consumers do; whoever does so speaks to the wrong cluster.
fn refused_replica(session: SessionRequest) -> FetchAnswer {
    let refused = |(key, _)| Fetched::failed(key, ErrorCode::INVALID_REQUEST);
    FetchAnswer {
        partitions: session.partitions.into_iter().map(refused).collect(),
        ..FetchAnswer::refused(ErrorCode::INVALID_REQUEST, NO_SESSION)
    }
}

fn part_of(version: i16, key: PartitionKey, found: Found) -> Fetched {
    match found {
        Found::Read(ReadOutcome { offsets, records, aborted }) => Fetched { records, aborted, ..seen(key, offsets) },
        Found::Diverging(offsets, end) => Fetched { diverging: Some(end), ..seen(key, offsets) },
        Found::Failed(error) => {
            tracing::debug!(?key, %error, "a fetch was refused");
            let code = match error.code() {
                // Old clients do not know the code; this one makes them look for another leader.
                ErrorCode::KAFKA_STORAGE_ERROR if version < STORAGE_ERRORS => ErrorCode::NOT_LEADER_OR_FOLLOWER,
                code => code,
            };
            Fetched::failed(key, code)
        }
    }
}

fn seen(key: PartitionKey, offsets: PartitionOffsets) -> Fetched {
    Fetched {
        high_watermark: offsets.high_watermark,
        last_stable: offsets.last_stable,
        log_start: offsets.log_start,
        ..Fetched::failed(key, ErrorCode::NONE)
    }
}

#[cfg(test)]
mod tests {
    use caudal_protocol::messages::BrokerId;
    use caudal_protocol::messages::fetch_request::{FetchTopic, ReplicaState};

    use super::*;
    use crate::text::topic_name;

    #[test]
    fn replicas_are_told_from_consumers_in_every_version() {
        let consumer = FetchRequest::default().with_replica_id(BrokerId(-1));
        let state = ReplicaState::default().with_replica_id(BrokerId(2));
        let replica = consumer.clone().with_replica_state(state);
        assert!(is_from_replica(14, &consumer.clone().with_replica_id(BrokerId(0))));
        assert!(!is_from_replica(14, &replica));
        assert!(is_from_replica(15, &replica));
        assert!(!is_from_replica(15, &consumer));
    }

    #[test]
    fn a_version_names_topics_in_its_own_way() {
        let id = uuid::Uuid::from_u128(9);
        let partition = FetchPartition::default().with_partition(4).with_partition_max_bytes(-1);
        let topic =
            FetchTopic::default().with_topic(topic_name("t")).with_topic_id(id).with_partitions(vec![partition]);
        let request = FetchRequest::default().with_topics(vec![topic]);
        let by_name = session_request(12, &request);
        assert_eq!(by_name.partitions[0].0, PartitionKey { topic: TopicRef::Name("t".into()), partition: 4 });
        let by_id = session_request(13, &request);
        assert_eq!(by_id.partitions[0].0.topic, TopicRef::Id(caudal_types::TopicId(id)));
        assert_eq!(by_id.partitions[0].1.max_bytes, 0, "a negative bound is none at all");
    }
}
