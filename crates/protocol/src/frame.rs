//! Request and response headers, and the frames around them.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

/// Why bytes are no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header or the body cannot be decoded; the connection must be closed.
    #[error("{0}")]
    Malformed(String),
    /// The API is not served. The body was not looked at.
    #[error("API key {0} is not served")]
    UnknownApi(i16),
    /// The API's version is not served. The body was not looked at.
    #[error("version {version} of API key {api_key} is not served")]
    UnsupportedVersion {
        /// Which API.
        api_key: i16,
        /// Which version.
        version: i16,
        /// For the answer.
        correlation_id: i32,
    },
}

/// A request with its header read and its body not yet.
#[derive(Clone, Debug)]
pub struct RequestFrame {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Returned in the answer.
    pub correlation_id: i32,
    /// Who the client says it is.
    pub client_id: Option<StrBytes>,
    /// The rest.
    pub body: Bytes,
}

impl RequestFrame {
    /// Reads the header of a frame (without its length prefix) and checks API and version against the list of [`crate::api`].
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn parse(_frame: Bytes) -> Result<Self, FrameError> {
        todo!()
    }

    /// Decodes the body; `Bytes` fields are slices of the frame. Never panics and never allocates more than the frame's size times a small factor.
    ///
    /// # Errors
    /// [`FrameError::Malformed`].
    pub fn decode<R: Decodable>(&self) -> Result<R, FrameError> {
        todo!()
    }
}

/// Encodes an answer as a frame with its length prefix and the response header that the API's version asks for (ApiVersions always has header version 0).
///
/// # Errors
/// When a field of `response` does not exist in `version` and is not at its default: a bug in the handler.
pub fn encode_response<R: Encodable>(
    _api_key: i16,
    _version: i16,
    _correlation_id: i32,
    _response: &R,
) -> Result<BytesMut, FrameError> {
    todo!()
}

/// Encodes a request as a frame with its length prefix, for clients.
///
/// # Errors
/// When a field of `request` does not exist in `version` and is not at its default.
pub fn encode_request<R: Encodable>(
    _api_key: i16,
    _version: i16,
    _correlation_id: i32,
    _client_id: &str,
    _request: &R,
) -> Result<BytesMut, FrameError> {
    todo!()
}
