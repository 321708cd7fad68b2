//! Responses tell their clients how long to wait, when they have used more than their quotas allow. Every response needs its line here.

use caudal_protocol::messages::*;

/// A response with a field for the time to wait.
pub(crate) trait Throttled {
    /// The time to wait that the handler has set, in milliseconds.
    fn throttle_time_ms(&self) -> i32;

    /// Sets the time to wait.
    fn set_throttle_time_ms(&mut self, throttle_ms: i32);
}

macro_rules! throttled {
    ($($response:ty),+ $(,)?) => {$(
        impl Throttled for $response {
            fn throttle_time_ms(&self) -> i32 {
                self.throttle_time_ms
            }

            fn set_throttle_time_ms(&mut self, throttle_ms: i32) {
                self.throttle_time_ms = throttle_ms;
            }
        }
    )+};
}

throttled! {
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnResponse,
    AlterClientQuotasResponse,
    AlterConfigsResponse,
    AlterReplicaLogDirsResponse,
    ApiVersionsResponse,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatResponse,
    CreateAclsResponse,
    CreatePartitionsResponse,
    CreateTopicsResponse,
    DeleteAclsResponse,
    DeleteGroupsResponse,
    DeleteRecordsResponse,
    DeleteTopicsResponse,
    DescribeAclsResponse,
    DescribeClientQuotasResponse,
    DescribeClusterResponse,
    DescribeConfigsResponse,
    DescribeGroupsResponse,
    DescribeLogDirsResponse,
    DescribeProducersResponse,
    DescribeTopicPartitionsResponse,
    DescribeTransactionsResponse,
    DescribeUserScramCredentialsResponse,
    ElectLeadersResponse,
    EndTxnResponse,
    FindCoordinatorResponse,
    GetTelemetrySubscriptionsResponse,
    HeartbeatResponse,
    IncrementalAlterConfigsResponse,
    InitProducerIdResponse,
    JoinGroupResponse,
    LeaveGroupResponse,
    ListConfigResourcesResponse,
    ListGroupsResponse,
    ListOffsetsResponse,
    ListPartitionReassignmentsResponse,
    ListTransactionsResponse,
    MetadataResponse,
    OffsetCommitResponse,
    OffsetDeleteResponse,
    OffsetFetchResponse,
    OffsetForLeaderEpochResponse,
    ProduceResponse,
    PushTelemetryResponse,
    SyncGroupResponse,
    TxnOffsetCommitResponse,
    UnregisterBrokerResponse,
    UpdateFeaturesResponse,
}

/// They have no such field: in Kafka they are between brokers, too, which are no clients that could be told to wait.
macro_rules! never_told {
    ($($response:ty),+ $(,)?) => {$(
        impl Throttled for $response {
            fn throttle_time_ms(&self) -> i32 {
                0
            }

            fn set_throttle_time_ms(&mut self, _throttle_ms: i32) {}
        }
    )+};
}

never_told! {
    DescribeQuorumResponse,
    WriteTxnMarkersResponse,
}
