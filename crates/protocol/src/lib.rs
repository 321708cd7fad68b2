//! Kafka's wire format, without sockets: bytes in, bytes out.
//!
//! # Layout
//! - [`api`]: the one list of the APIs that Caudal serves, with their version ranges
//! - [`batch`]: record batches as views over bytes
//! - [`error_code`]: Kafka's error codes
//! - [`frame`]: request and response headers
//! - [`messages`]: the requests and responses (those of `kafka-protocol`, and newer versions of some)

pub mod api;
pub mod batch;
pub mod error_code;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod messages;

mod schema;
mod wire;

pub use error_code::ErrorCode;
