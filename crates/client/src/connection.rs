//! One connection to one broker.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_protocol::api::{self, Api};
use caudal_protocol::frame::{correlation_id, decode_response, encode_request};
use caudal_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, Request, VersionRange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ClientError;

/// The longest answer that is taken.
const RESPONSE_MAX_BYTES: usize = 256 << 20;
/// The version of ApiVersions that every broker understands.
const API_VERSIONS_OLDEST: i16 = 0;

/// A connection to a broker: one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    client_id: String,
    next_correlation_id: i32,
    versions: BTreeMap<i16, VersionRange>,
    timeout: Duration,
}

impl Connection {
    /// Connects to `address` (`host:port`) and asks which versions the broker serves. Each request, and connecting itself, has `timeout`.
    ///
    /// # Errors
    /// When there is no broker.
    pub async fn open(address: &str, client_id: &str, timeout: Duration) -> Result<Self, ClientError> {
        let mut connection = Self::open_silent(address, client_id, timeout).await?;
        // Old brokers know no other version, and its answer says all that is needed here.
        let request = ApiVersionsRequest::default();
        let response: ApiVersionsResponse = connection.call_version(API_VERSIONS_OLDEST, &request).await?;
        ClientError::check(response.error_code, None, || "asking for the versions".to_owned())?;
        let range = |api: &caudal_protocol::messages::api_versions_response::ApiVersion| {
            (api.api_key, VersionRange { min: api.min_version, max: api.max_version })
        };
        connection.versions = response.api_keys.iter().map(range).collect();
        Ok(connection)
    }

    /// Connects without saying a word, for tests of what comes before.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open_silent(address: &str, client_id: &str, timeout: Duration) -> Result<Self, ClientError> {
        let connect = |source| ClientError::Connect { address: address.to_owned(), source };
        let timed_out = |_| connect(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await.map_err(timed_out)?;
        let stream = stream.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        Ok(Self {
            stream,
            address: address.to_owned(),
            client_id: client_id.to_owned(),
            next_correlation_id: 1,
            versions: BTreeMap::new(),
            timeout,
        })
    }

    /// The broker's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The versions of an API that the broker serves, if any.
    pub fn served(&self, api_key: i16) -> Option<VersionRange> {
        self.versions.get(&api_key).copied()
    }

    /// The greatest version of a request that both sides know.
    ///
    /// # Errors
    /// [`ClientError::NoCommonVersion`].
    pub fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        let api = api_of::<R>()?;
        let ours = VersionRange { min: api.min, max: api.max }.intersect(&R::VERSIONS);
        let common = self.served(R::KEY).map(|theirs| theirs.intersect(&ours)).filter(|common| !common.is_empty());
        let none = || ClientError::NoCommonVersion { address: self.address.clone(), api: api.name };
        common.map(|common| common.max).ok_or_else(none)
    }

    /// Sends a request in the greatest version that both sides know, and waits for the answer.
    ///
    /// # Errors
    /// See [`ClientError`]; after any of them the connection is of no more use.
    pub async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let version = self.version_of::<R>()?;
        self.call_version(version, request).await
    }

    /// Sends a request in a certain version, and waits for the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_version<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, ClientError> {
        let api = api_of::<R>()?;
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1);
        let frame = encode_request(R::KEY, version, id, &self.client_id, request)?;
        let within = self.timeout;
        let exchange = async {
            self.send_bytes(&frame).await?;
            self.receive().await
        };
        let answer = tokio::time::timeout(within, exchange).await;
        let timed_out = |_| ClientError::Timeout { address: self.address.clone(), api: api.name, within };
        let answer = answer.map_err(timed_out)??;
        if correlation_id(&answer) != Some(id) {
            return Err(self.not_kafka("the answer belongs to another request".to_owned()));
        }
        Ok(decode_response(R::KEY, version, &answer)?.1)
    }

    /// Sends a request that has no answer (Produce with acks=0).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_only<R: Request>(&mut self, version: i16, request: &R) -> Result<(), ClientError> {
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1);
        let frame = encode_request(R::KEY, version, id, &self.client_id, request)?;
        self.send_bytes(&frame).await
    }

    /// Writes raw bytes, length prefix and all.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(bytes).await.map_err(|source| self.broken(source))
    }

    /// Reads one frame, and gives it without its length prefix. Has no time limit of its own.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the broker closes the connection.
    pub async fn receive(&mut self) -> Result<Bytes, ClientError> {
        let len = self.stream.read_i32().await.map_err(|source| self.broken(source))?;
        let len = usize::try_from(len).ok().filter(|len| *len <= RESPONSE_MAX_BYTES);
        let len = len.ok_or_else(|| self.not_kafka("the length of its answer is absurd".to_owned()))?;
        let mut frame = BytesMut::zeroed(len);
        self.stream.read_exact(&mut frame).await.map_err(|source| self.broken(source))?;
        Ok(frame.freeze())
    }

    fn broken(&self, source: std::io::Error) -> ClientError {
        ClientError::Broken { address: self.address.clone(), source }
    }

    fn not_kafka(&self, reason: String) -> ClientError {
        ClientError::NotKafka { address: self.address.clone(), reason }
    }
}

fn api_of<R: Request>() -> Result<&'static Api, ClientError> {
    Ok(api::find(R::KEY).ok_or(caudal_protocol::frame::FrameError::UnknownApi(R::KEY))?)
}
