//! Request and response headers, and the frames around them.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use crate::api::{self, Api};
use crate::schema;
use crate::wire::{Reader, WireError, length};

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

/// The header's part that is the same in every version: key, version, correlation id.
const FIXED_HEADER_LEN: usize = 8;

impl RequestFrame {
    /// Reads the header of a frame (without its length prefix) and checks API and version against the list of [`crate::api`].
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn parse(frame: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader::new(&frame);
        let api_key = reader.i16()?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let api = served(api_key, api_version, correlation_id)?;

        let client_id = match reader.i16()? {
            -1 => None,
            len => Some(length(i64::from(len))?),
        };
        let client_id_at = FIXED_HEADER_LEN + size_of::<i16>();
        reader.take(client_id.unwrap_or(0))?;
        if api.request_header_version(api_version) >= 2 {
            skip_tagged_fields(&mut reader)?;
        }
        let body = frame.slice(frame.len() - reader.remaining()..);
        let client_id = client_id.map(|len| StrBytes::from_utf8(frame.slice(client_id_at..client_id_at + len)));
        let client_id = client_id.transpose().map_err(|error| malformed("the client id", &error))?;
        Ok(Self { api_key, api_version, correlation_id, client_id, body })
    }

    /// Decodes the body; `Bytes` fields are slices of the frame. Never panics and never allocates more than the frame's size times a small factor.
    ///
    /// # Errors
    /// [`FrameError::Malformed`].
    pub fn decode<R: Decodable>(&self) -> Result<R, FrameError> {
        let api = served(self.api_key, self.api_version, self.correlation_id)?;
        let fields = schema::request_schema(self.api_key).ok_or(FrameError::UnknownApi(self.api_key))?;
        let context = || format!("{} request, version {}", api.name, self.api_version);
        schema::check(fields, self.api_version, api.is_flexible(self.api_version), &self.body)
            .map_err(|error| FrameError::Malformed(format!("{}: {error}", context())))?;
        // What lies behind the last field is ignored, as Kafka does.
        R::decode(&mut self.body.clone(), self.api_version).map_err(|error| malformed(&context(), &error))
    }
}

impl From<WireError> for FrameError {
    fn from(error: WireError) -> Self {
        Self::Malformed(format!("the header cannot be read: {error}"))
    }
}

fn served(api_key: i16, version: i16, correlation_id: i32) -> Result<&'static Api, FrameError> {
    let api = api::find(api_key).ok_or(FrameError::UnknownApi(api_key))?;
    if api.serves(version) { Ok(api) } else { Err(FrameError::UnsupportedVersion { api_key, version, correlation_id }) }
}

fn skip_tagged_fields(reader: &mut Reader<'_>) -> Result<(), WireError> {
    for _ in 0..reader.uvarint()? {
        reader.uvarint()?;
        let size = reader.uvarint()?;
        reader.take(size as usize)?;
    }
    Ok(())
}

fn malformed(what: &str, error: &dyn std::fmt::Display) -> FrameError {
    FrameError::Malformed(format!("{what}: {error}"))
}

/// Encodes an answer as a frame with its length prefix and the response header that the API's version asks for (ApiVersions always has header version 0).
///
/// # Errors
/// When a field of `response` does not exist in `version` and is not at its default: a bug in the handler.
pub fn encode_response<R: Encodable>(
    api_key: i16,
    version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<BytesMut, FrameError> {
    let api = api::find(api_key).ok_or(FrameError::UnknownApi(api_key))?;
    let mut header = BytesMut::with_capacity(8);
    header.put_i32(correlation_id);
    if api.response_header_version(version) >= 1 {
        header.put_u8(0);
    }
    encode_frame(&header, version, response).map_err(|error| malformed(&format!("{} response", api.name), &error))
}

/// Encodes a request as a frame with its length prefix, for clients.
///
/// # Errors
/// When a field of `request` does not exist in `version` and is not at its default.
pub fn encode_request<R: Encodable>(
    api_key: i16,
    version: i16,
    correlation_id: i32,
    client_id: &str,
    request: &R,
) -> Result<BytesMut, FrameError> {
    let api = api::find(api_key).ok_or(FrameError::UnknownApi(api_key))?;
    let client_id_len = i16::try_from(client_id.len()).map_err(|error| malformed("the client id", &error))?;
    let mut header = BytesMut::with_capacity(16 + client_id.len());
    header.put_i16(api_key);
    header.put_i16(version);
    header.put_i32(correlation_id);
    header.put_i16(client_id_len);
    header.put_slice(client_id.as_bytes());
    if api.request_header_version(version) >= 2 {
        header.put_u8(0);
    }
    encode_frame(&header, version, request).map_err(|error| malformed(&format!("{} request", api.name), &error))
}

/// Decodes an answer (without its length prefix), for clients: its correlation id and its body.
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn decode_response<R: Decodable>(api_key: i16, version: i16, frame: &Bytes) -> Result<(i32, R), FrameError> {
    let api = api::find(api_key).ok_or(FrameError::UnknownApi(api_key))?;
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    if api.response_header_version(version) >= 1 {
        skip_tagged_fields(&mut reader)?;
    }
    let mut body = frame.slice(frame.len() - reader.remaining()..);
    let response = R::decode(&mut body, version);
    Ok((correlation_id, response.map_err(|error| malformed(&format!("{} response", api.name), &error))?))
}

/// The correlation id of an answer, which stands at the front in every version.
pub fn correlation_id(frame: &[u8]) -> Option<i32> {
    Reader::new(frame).i32().ok()
}

fn encode_frame<T: Encodable>(header: &[u8], version: i16, body: &T) -> Result<BytesMut, String> {
    let len = header.len() + body.compute_size(version).map_err(|error| error.to_string())?;
    let prefix = i32::try_from(len).map_err(|_| format!("{len} bytes do not fit into a frame"))?;
    let mut frame = BytesMut::with_capacity(size_of::<i32>() + len);
    frame.put_i32(prefix);
    frame.put_slice(header);
    body.encode(&mut frame, version).map_err(|error| error.to_string())?;
    let written = frame.len() - size_of::<i32>();
    if written == len { Ok(frame) } else { Err(format!("{written} bytes were encoded where {len} were announced")) }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse};

    use super::*;
    use crate::api::key;

    #[test]
    fn a_flexible_request_has_kafkas_bytes() {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("ab"))
            .with_client_software_version(StrBytes::from_static_str("1"));
        let frame = encode_request(key::API_VERSIONS, 3, 9, "me", &request).expect("encodes");
        let expected = [0, 0, 0, 19, 0, 18, 0, 3, 0, 0, 0, 9, 0, 2, b'm', b'e', 0, 3, b'a', b'b', 2, b'1', 0];
        assert_eq!(&frame[..], expected);

        let parsed = RequestFrame::parse(frame.freeze().slice(4..)).expect("parses");
        assert_eq!((parsed.api_key, parsed.api_version, parsed.correlation_id), (18, 3, 9));
        assert_eq!(parsed.client_id.as_deref(), Some("me"));
        assert_eq!(parsed.decode::<ApiVersionsRequest>(), Ok(request));
    }

    #[test]
    fn an_old_request_has_kafkas_bytes() {
        let frame = encode_request(key::METADATA, 1, 9, "", &MetadataRequest::default().with_topics(None));
        let frame = frame.expect("encodes").freeze();
        assert_eq!(&frame[..], [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 9, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        let parsed = RequestFrame::parse(frame.slice(4..)).expect("parses");
        assert_eq!(parsed.decode::<MetadataRequest>().expect("decodes").topics, None);
    }

    #[test]
    fn response_headers_are_flexible_except_for_api_versions() {
        let answer = encode_response(key::API_VERSIONS, 3, 5, &ApiVersionsResponse::default()).expect("encodes");
        assert_eq!(&answer[4..10], [0, 0, 0, 5, 0, 0]); // correlation id, error code
        let answer = encode_response(key::METADATA, 9, 5, &MetadataResponse::default()).expect("encodes");
        assert_eq!(&answer[4..13], [0, 0, 0, 5, 0, 0, 0, 0, 0]); // correlation id, no tags, throttle time
        let answer = encode_response(key::METADATA, 8, 5, &MetadataResponse::default()).expect("encodes");
        assert_eq!(&answer[4..12], [0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(
            answer.len(),
            4 + usize::try_from(i32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]])).expect("fits")
        );
    }

    #[test]
    fn what_is_not_served_is_told_before_the_body_is_read() {
        let frame = |key: i16, version: i16| {
            let mut bytes = BytesMut::new();
            bytes.put_i16(key);
            bytes.put_i16(version);
            bytes.put_i32(77);
            RequestFrame::parse(bytes.freeze()).expect_err("not served")
        };
        assert_eq!(frame(999, 0), FrameError::UnknownApi(999));
        assert_eq!(frame(4, 0), FrameError::UnknownApi(4));
        let unsupported = |api_key, version| FrameError::UnsupportedVersion { api_key, version, correlation_id: 77 };
        assert_eq!(frame(key::API_VERSIONS, 99), unsupported(key::API_VERSIONS, 99));
        assert_eq!(frame(key::PRODUCE, 2), unsupported(key::PRODUCE, 2));
        assert_eq!(frame(key::FETCH, -1), unsupported(key::FETCH, -1));
    }

    #[test]
    fn records_are_slices_of_the_frame() {
        use kafka_protocol::messages::ProduceRequest;
        use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

        let partition = PartitionProduceData::default().with_records(Some(Bytes::from_static(&[7; 100])));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let request = ProduceRequest::default().with_topic_data(vec![topic]);
        let frame = encode_request(key::PRODUCE, 13, 1, "", &request).expect("encodes").freeze().slice(4..);
        let decoded: ProduceRequest = RequestFrame::parse(frame.clone()).expect("parses").decode().expect("decodes");
        let records = decoded.topic_data[0].partition_data[0].records.as_ref().expect("has records");
        assert!(frame.as_ptr_range().contains(&records.as_ptr()));
    }

    #[test]
    fn a_bad_client_id_is_malformed() {
        for tail in [&[0, 2, 0xff, 0xff][..], &[0xff, 0xfe], &[0, 9, b'x']] {
            let mut frame = vec![0, 18, 0, 0, 0, 0, 0, 1];
            frame.extend(tail);
            assert!(matches!(RequestFrame::parse(frame.into()), Err(FrameError::Malformed(_))), "{tail:?}");
        }
    }
}
