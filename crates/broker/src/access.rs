//! What clients may do. There is no authorizer: everyone may do everything, and clients that ask are told so, in Kafka's bits.

/// The value of the "authorized operations" fields when the client did not ask.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

const READ: u32 = 3;
const WRITE: u32 = 4;
const CREATE: u32 = 5;
const DELETE: u32 = 6;
const ALTER: u32 = 7;
const DESCRIBE: u32 = 8;
const CLUSTER_ACTION: u32 = 9;
const DESCRIBE_CONFIGS: u32 = 10;
const ALTER_CONFIGS: u32 = 11;
const IDEMPOTENT_WRITE: u32 = 12;

/// All that can be done with a topic.
pub(crate) const TOPIC: i32 = bits(&[READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);
/// All that can be done with a consumer group.
pub(crate) const GROUP: i32 = bits(&[READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);
/// All that can be done with the cluster.
pub(crate) const CLUSTER: i32 =
    bits(&[CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE]);

/// `all` if the client asked, else [`NOT_ASKED`].
pub(crate) const fn if_asked(asked: bool, all: i32) -> i32 {
    if asked { all } else { NOT_ASKED }
}

const fn bits(operations: &[u32]) -> i32 {
    let (mut bits, mut i) = (0, 0);
    while i < operations.len() {
        bits |= 1 << operations[i];
        i += 1;
    }
    bits
}
