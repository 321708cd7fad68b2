//! The node and its client. The client encodes each request once, so that what is counted is the node's work.

use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use caudal_protocol::frame::{decode_response, encode_request};
use caudal_protocol::messages::Request;
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use caudal_server::config::Layers;
use caudal_server::{Config, Node};
use caudal_tests::raw::name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Starts a node as `caudal start` would, without followers and without an admin listener.
pub(crate) async fn start(folder: &Path) -> anyhow::Result<Node> {
    let port = caudal_testing::port_block(&[]);
    let settings = [
        ("node.id", "1".to_owned()),
        ("cluster.id", "guard".to_owned()),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("admin.listener", String::new()),
        ("log.dirs", folder.display().to_string()),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value));
    let config = Config::from_layers(&Layers::gather(None, std::iter::empty(), settings.into_iter())?)?;
    let mut node = Node::start(config).await?;
    println!("started");
    node.open_to_clients().await?;
    println!("open to clients");
    Ok(node)
}

/// A request, ready to be sent again and again.
#[derive(Clone, Debug)]
pub(crate) struct Frame(Bytes);

impl Frame {
    pub(crate) fn new<R: Request>(version: i16, request: &R) -> anyhow::Result<Self> {
        Ok(Self(encode_request(R::KEY, version, 1, "guard", request).map_err(anyhow::Error::msg)?.freeze()))
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(node: &Node) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(node.config().advertised.to_string()).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Sends a request and decodes its answer.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> anyhow::Result<R::Response> {
        self.repeat(&Frame::new(version, request)?, 1, 1).await?;
        Ok(decode_response::<R::Response>(R::KEY, version, &Bytes::copy_from_slice(&self.answer))?.1)
    }

    /// Sends a request `times` times, `window` of them before the first answer, and then one for each answer. Answers how many bytes the answers had.
    pub(crate) async fn repeat(&mut self, frame: &Frame, times: usize, window: usize) -> anyhow::Result<usize> {
        let mut bytes = 0;
        for _ in 0..window {
            self.stream.write_all(&frame.0).await?;
        }
        for answered in 1..=times {
            self.receive().await?;
            bytes += self.answer.len();
            if answered + window <= times {
                self.stream.write_all(&frame.0).await?;
            }
        }
        Ok(bytes)
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let length = usize::try_from(self.stream.read_i32().await.context("the node closed the connection")?)?;
        self.answer.resize(length, 0);
        self.stream.read_exact(&mut self.answer).await?;
        Ok(())
    }

    pub(crate) async fn create_topic(&mut self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let created =
            CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![created]).with_timeout_ms(60_000);
        let answer = self.call(7, &request).await?;
        let answered = answer.topics.first().context("an answer without topics")?;
        ensure!(answered.error_code == 0, "the topic was not created: {:?}", answered.error_message);
        Ok(())
    }
}
