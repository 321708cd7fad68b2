//! The listener and its routes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use caudal_types::Tasks;
use serde_json::json;
use tokio::net::TcpListener;

use crate::exposition::CONTENT_TYPE;
use crate::metrics;
use crate::status::{NodeStatus, Readiness};

/// Who can be asked about the node. Answers at once, and never waits for another node.
pub trait NodeSource: Send + Sync + 'static {
    /// Why the process should be restarted, if it should.
    ///
    /// # Errors
    /// The reason.
    fn health(&self) -> Result<(), String>;

    /// Whether clients should be sent here.
    fn readiness(&self) -> Readiness;

    /// Everything.
    fn status(&self) -> NodeStatus;
}

/// The listener. Dropping it does not end it; [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    tasks: Tasks,
}

impl AdminServer {
    /// Listens on `listen` (host and port), and answers from `source`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(listen: &str, source: Arc<dyn NodeSource>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let tasks = Tasks::new();
        tasks.spawn("admin listener", async move {
            if let Err(error) = axum::serve(listener, routes(source)).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
        Ok(Self { address, tasks })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}

type Source = State<Arc<dyn NodeSource>>;

fn routes(source: Arc<dyn NodeSource>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .route("/v1/status", get(status))
        .with_state(source)
}

async fn index() -> &'static str {
    "Caudal\n\n/healthz     200 while the process is sound\n/readyz      200 while the node serves\n/metrics     for Prometheus\n\
     /v1/status   the same, as JSON\n"
}

async fn healthz(State(source): Source) -> Response {
    match source.health() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn readyz(State(source): Source) -> Response {
    let Readiness { ready, missing } = source.readiness();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(json!({ "ready": ready, "missing": missing }))).into_response()
}

async fn prometheus(State(source): Source) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics::render(&source.status())).into_response()
}

async fn status(State(source): Source) -> Response {
    axum::Json(source.status()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    struct Node {
        sound: AtomicBool,
    }

    impl NodeSource for Node {
        fn health(&self) -> Result<(), String> {
            if self.sound.load(Ordering::SeqCst) { Ok(()) } else { Err("the disk failed".to_owned()) }
        }

        fn readiness(&self) -> Readiness {
            let missing = if self.sound.load(Ordering::SeqCst) { Vec::new() } else { vec!["the disk".to_owned()] };
            Readiness::from_missing(missing)
        }

        fn status(&self) -> NodeStatus {
            NodeStatus { node_id: 7, ..NodeStatus::default() }
        }
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_routes_answer() {
        let node = Arc::new(Node { sound: AtomicBool::new(true) });
        let server = AdminServer::start("127.0.0.1:0", node.clone()).await.unwrap();
        let address = server.local_addr();
        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.0 200"));
        assert!(ask(address, "/readyz").await.ends_with("{\"missing\":[],\"ready\":true}"));
        assert!(ask(address, "/metrics").await.contains("version=0.0.4"));
        assert!(ask(address, "/v1/status").await.contains("\"node_id\":7"));
        assert!(ask(address, "/nothing").await.starts_with("HTTP/1.0 404"));
        node.sound.store(false, Ordering::SeqCst);
        let health = ask(address, "/healthz").await;
        assert!(health.starts_with("HTTP/1.0 503") && health.ends_with("the disk failed\n"), "{health}");
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.0 503"));
        server.shutdown().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
