//! The requests that are made, each in one version of the protocol that all brokers since 3.3 speak.
//!
//! The protocol is described at <https://kafka.apache.org/protocol.html>.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

/// A request: its key, the version in which it is made, and its answer.
pub trait Call: Encodable + HeaderVersion {
    /// What the broker answers.
    type Answer: Decodable + HeaderVersion;
    /// Names the request in the protocol.
    const KEY: i16;
    /// The version in which it is made.
    const VERSION: i16;
}

macro_rules! calls {
    ($($request:ty => $answer:ty, $key:literal, $version:literal;)*) => {
        $(impl Call for $request {
            type Answer = $answer;
            const KEY: i16 = $key;
            const VERSION: i16 = $version;
        })*
        /// All of them: key, version, name.
        pub const ALL: &[(i16, i16, &str)] = &[$(($key, $version, stringify!($request))),*];
    };
}

calls! {
    ProduceRequest => ProduceResponse, 0, 9;
    FetchRequest => FetchResponse, 1, 12;
    ListOffsetsRequest => ListOffsetsResponse, 2, 7;
    MetadataRequest => MetadataResponse, 3, 12;
    OffsetCommitRequest => OffsetCommitResponse, 8, 8;
    OffsetFetchRequest => OffsetFetchResponse, 9, 8;
    FindCoordinatorRequest => FindCoordinatorResponse, 10, 4;
    JoinGroupRequest => JoinGroupResponse, 11, 5;
    HeartbeatRequest => HeartbeatResponse, 12, 3;
    LeaveGroupRequest => LeaveGroupResponse, 13, 3;
    SyncGroupRequest => SyncGroupResponse, 14, 3;
    DescribeGroupsRequest => DescribeGroupsResponse, 15, 5;
    ListGroupsRequest => ListGroupsResponse, 16, 4;
    SaslHandshakeRequest => SaslHandshakeResponse, 17, 1;
    ApiVersionsRequest => ApiVersionsResponse, 18, 3;
    CreateTopicsRequest => CreateTopicsResponse, 19, 7;
    DeleteTopicsRequest => DeleteTopicsResponse, 20, 5;
    DeleteRecordsRequest => DeleteRecordsResponse, 21, 2;
    InitProducerIdRequest => InitProducerIdResponse, 22, 4;
    AddPartitionsToTxnRequest => AddPartitionsToTxnResponse, 24, 3;
    EndTxnRequest => EndTxnResponse, 26, 3;
    DescribeConfigsRequest => DescribeConfigsResponse, 32, 4;
    SaslAuthenticateRequest => SaslAuthenticateResponse, 36, 2;
}
