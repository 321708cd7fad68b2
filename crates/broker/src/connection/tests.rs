//! The connection with handlers that do as the test says.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use caudal_metadata::quotas::QuotaWindows;
use caudal_protocol::ErrorCode;
use caudal_protocol::api::SERVED;
use caudal_types::clock::ManualClock;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::memory::ByteBudget;
use crate::quotas::Quotas;
use crate::reply::OutFrame;
use crate::stats::Counters;
use crate::table::Serve;

/// A version of Produce and one of Metadata that are not flexible, so that the header is short.
const PRODUCE_VERSION: i16 = 8;
const METADATA_VERSION: i16 = 8;

/// Answers each request with its correlation id. Those of Produce wait until the test lets them.
#[derive(Default)]
struct Script {
    taken: watch::Sender<Vec<i32>>,
    outcomes: Mutex<HashMap<i32, oneshot::Sender<Answer>>>,
    /// The waits that the answers tell, and those that Produce requests bring as they are taken, by correlation id, in milliseconds.
    throttles: Mutex<HashMap<i32, i32>>,
    taken_throttles: Mutex<HashMap<i32, i32>>,
}

impl Script {
    async fn took(&self, count: usize) -> Vec<i32> {
        let mut taken = self.taken.subscribe();
        let taken = tokio::time::timeout(Duration::from_secs(30), taken.wait_for(|taken| taken.len() >= count));
        taken.await.expect("the requests are taken").unwrap().clone()
    }

    fn served(&self, correlation_id: i32, answer: Answer) -> Served {
        let throttle_ms = self.throttles.lock().remove(&correlation_id).unwrap_or(0);
        Served { answer, failed: false, throttle_ms, timer: None }
    }

    fn let_go(&self, correlation_id: i32, answer: Answer) {
        assert!(self.outcomes.lock().remove(&correlation_id).unwrap().send(answer).is_ok());
    }
}

struct Scripted(Arc<Script>);

impl Serve for Scripted {
    fn serve<'a>(&'a self, frame: RequestFrame, context: RequestContext) -> BoxFuture<'a, Result<Reply, FrameError>> {
        async move {
            if &frame.body[..] == b"malformed" {
                return Err(FrameError::Malformed("as the test wants".to_owned()));
            }
            self.0.taken.send_modify(|taken| taken.push(context.correlation_id));
            if frame.api_key != key::PRODUCE {
                return Ok(Reply::Now(self.0.served(context.correlation_id, echo(context.correlation_id))));
            }
            let (sender, receiver) = oneshot::channel();
            self.0.outcomes.lock().insert(context.correlation_id, sender);
            let throttle_ms = self.0.taken_throttles.lock().remove(&context.correlation_id).unwrap_or(0);
            let script = Arc::clone(&self.0);
            let served = receiver.map(move |answer| script.served(context.correlation_id, answer.unwrap()));
            Ok(Reply::Later(served.boxed(), throttle_ms))
        }
        .boxed()
    }
}

fn echo(correlation_id: i32) -> Answer {
    let mut frame = BytesMut::new();
    frame.put_i32(4);
    frame.put_i32(correlation_id);
    Answer::Send(OutFrame::from(frame.freeze()))
}

struct Client {
    stream: DuplexStream,
    script: Arc<Script>,
    stop: CancellationToken,
    memory: ByteBudget,
    task: JoinHandle<()>,
}

fn connect() -> Client {
    connect_idle(Duration::from_secs(600))
}

#[expect(clippy::disallowed_methods, reason = "a test's connection ends with the test")]
fn connect_idle(idle: Duration) -> Client {
    let (stream, server) = tokio::io::duplex(1 << 20);
    let (script, stop, counters) = (Arc::new(Script::default()), CancellationToken::new(), Arc::new(Counters::new()));
    let handlers = SERVED.iter().map(|_| Arc::new(Scripted(Arc::clone(&script))) as Arc<dyn Serve>).collect();
    let quotas = Quotas::new(QuotaWindows::default(), Arc::new(ManualClock::default()), Arc::clone(&counters));
    let memory = ByteBudget::new(100_000);
    let parts = ConnectionParts {
        table: Arc::new(ApiTable::new(handlers, Arc::clone(&counters))),
        quotas: Arc::new(quotas),
        limits: ReaderLimits { max_frame: 1000, idle, memory: memory.clone(), counters },
        stop: stop.clone(),
    };
    let connection = Connection::new(server, ([127, 0, 0, 1], 7).into(), parts);
    Client { stream, script, stop, memory, task: tokio::spawn(connection.run()) }
}

fn request(api_key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(10 + body.len()).unwrap());
    frame.put_i16(api_key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(-1); // no client id
    frame.put_slice(body);
    frame.freeze()
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn produce(&mut self, correlation_id: i32) {
        self.send(&request(key::PRODUCE, PRODUCE_VERSION, correlation_id, b"")).await;
    }

    async fn metadata(&mut self, correlation_id: i32) {
        self.send(&request(key::METADATA, METADATA_VERSION, correlation_id, b"")).await;
    }

    async fn answer(&mut self) -> i32 {
        assert_eq!(self.stream.read_i32().await.unwrap(), 4);
        self.stream.read_i32().await.unwrap()
    }

    /// What comes until the server closes the connection.
    async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        self.task.await.expect("the connection does not panic");
        rest
    }
}

#[tokio::test]
async fn produce_requests_are_taken_together_and_answered_in_order() {
    let mut client = connect();
    for correlation_id in 1..=3 {
        client.produce(correlation_id).await;
    }
    client.metadata(4).await;
    client.produce(5).await;
    assert_eq!(client.script.took(3).await, [1, 2, 3], "all three wait at once, and what is behind them waits");
    for correlation_id in [3, 2, 1] {
        assert_eq!(client.script.taken.borrow().len(), 3);
        client.script.let_go(correlation_id, echo(correlation_id));
    }
    for correlation_id in 1..=4 {
        assert_eq!(client.answer().await, correlation_id);
    }
    client.script.took(5).await;
    client.script.let_go(5, echo(5));
    assert_eq!(client.answer().await, 5);
}

#[tokio::test]
async fn the_requests_that_wait_are_bounded() {
    let mut client = connect();
    let count = i32::try_from(PENDING_MAX).unwrap() + 20;
    for correlation_id in 0..count {
        client.produce(correlation_id).await;
    }
    client.script.took(PENDING_MAX).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.script.taken.borrow().len(), PENDING_MAX);
    for correlation_id in 0..count {
        client.script.took(usize::try_from(correlation_id).unwrap() + 1).await;
        client.script.let_go(correlation_id, echo(correlation_id));
        assert_eq!(client.answer().await, correlation_id);
    }
}

#[tokio::test]
async fn requests_without_an_answer_leave_no_gap() {
    let mut client = connect();
    for correlation_id in 1..=3 {
        client.produce(correlation_id).await;
    }
    client.script.took(3).await;
    client.script.let_go(2, Answer::Nothing);
    client.script.let_go(1, echo(1));
    client.script.let_go(3, echo(3));
    assert_eq!([client.answer().await, client.answer().await], [1, 3]);
}

#[tokio::test]
async fn a_handler_can_close_the_connection_behind_the_answers_before() {
    let mut client = connect();
    for correlation_id in 1..=3 {
        client.produce(correlation_id).await;
    }
    client.script.took(3).await;
    client.script.let_go(3, echo(3));
    client.script.let_go(2, Answer::Close("acks=0".to_owned()));
    client.script.let_go(1, echo(1));
    assert_eq!(client.rest().await, [[0, 0, 0, 4], [0, 0, 0, 1]].concat());
}

#[tokio::test]
async fn bad_requests_close_the_connection_behind_the_answers_before() {
    let unknown_api = request(9999, 0, 2, b"");
    let unknown_version = request(key::METADATA, 99, 2, b"");
    let refused_version = request(key::PRODUCE, 2, 2, b"");
    let malformed = request(key::METADATA, METADATA_VERSION, 2, b"malformed");
    let too_long = Bytes::from_static(&[0, 0, 4, 0]);
    let negative = Bytes::from_static(&[0xff; 4]);
    let no_header = Bytes::from_static(&[0, 0, 0, 2, 0, 3]);
    for bad in [unknown_api, unknown_version, refused_version, malformed, too_long, negative, no_header] {
        let mut client = connect();
        client.produce(1).await;
        client.send(&bad).await;
        client.metadata(3).await;
        client.script.took(1).await;
        client.script.let_go(1, echo(1));
        let script = Arc::clone(&client.script);
        assert_eq!(client.rest().await, [[0, 0, 0, 4], [0, 0, 0, 1]].concat(), "{bad:?}");
        assert_eq!(*script.taken.borrow(), [1], "nothing behind it is served");
    }
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_and_the_connection_goes_on() {
    let mut client = connect();
    client.send(&request(key::API_VERSIONS, 99, 1, b"")).await;
    let len = client.stream.read_i32().await.unwrap();
    let mut answer = vec![0; usize::try_from(len).unwrap()];
    client.stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..4], [0, 0, 0, 1]);
    assert_eq!(answer[4..6], ErrorCode::UNSUPPORTED_VERSION.code().to_be_bytes());
    client.metadata(2).await;
    assert_eq!(client.answer().await, 2);
}

#[tokio::test]
async fn a_client_that_leaves_still_has_its_requests_carried_out() {
    let mut client = connect();
    client.produce(1).await;
    client.produce(2).await;
    client.stream.shutdown().await.unwrap();
    client.script.took(2).await;
    client.script.let_go(2, echo(2));
    client.script.let_go(1, echo(1));
    assert_eq!(client.rest().await, [[0, 0, 0, 4], [0, 0, 0, 1], [0, 0, 0, 4], [0, 0, 0, 2]].concat());
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_closes() {
    let mut client = connect();
    client.produce(1).await;
    client.script.took(1).await;
    client.stop.cancel();
    client.script.let_go(1, echo(1));
    assert_eq!(client.rest().await, [[0, 0, 0, 4], [0, 0, 0, 1]].concat());
}

/// Longer than any of these tests takes.
const LONG_MS: i32 = 3_600_000;
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn whoever_has_to_wait_is_answered_at_once_and_not_heard_meanwhile() {
    let mut client = connect();
    client.script.throttles.lock().insert(1, 500);
    let started = Instant::now();
    client.metadata(1).await;
    client.metadata(2).await;
    client.produce(3).await;
    client.metadata(4).await;
    assert_eq!(client.answer().await, 1);
    assert!(client.memory.take(100_000).now_or_never().is_some(), "whoever waits holds no memory");
    assert_eq!(client.script.taken.borrow().len(), 1, "the answer comes before the wait");
    assert_eq!(client.answer().await, 2);
    assert!(started.elapsed() >= Duration::from_millis(500));
    client.script.took(3).await;
    client.script.let_go(3, echo(3));
    assert_eq!([client.answer().await, client.answer().await], [3, 4], "the order is kept");
}

#[tokio::test]
async fn a_produce_request_that_is_too_much_is_the_last_one_taken() {
    let mut client = connect();
    client.script.taken_throttles.lock().insert(2, LONG_MS);
    for correlation_id in 1..=3 {
        client.produce(correlation_id).await;
    }
    client.script.took(2).await;
    client.script.let_go(1, echo(1));
    client.script.let_go(2, echo(2));
    assert_eq!([client.answer().await, client.answer().await], [1, 2]);
    assert_eq!(client.script.taken.borrow().len(), 2);
    client.stop.cancel();
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn the_wait_counts_from_the_answer() {
    let mut client = connect();
    client.script.taken_throttles.lock().insert(1, 1);
    client.script.throttles.lock().insert(1, 300);
    client.produce(1).await;
    client.script.took(1).await;
    let started = Instant::now();
    client.script.let_go(1, Answer::Nothing);
    client.produce(2).await;
    client.metadata(3).await;
    client.script.took(2).await;
    assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
    client.script.let_go(2, echo(2));
    assert_eq!([client.answer().await, client.answer().await], [2, 3], "without an answer it is no other");
}

#[tokio::test]
async fn a_request_that_is_on_its_way_in_is_taken_before_the_wait() {
    let mut client = connect();
    client.script.throttles.lock().insert(1, LONG_MS);
    client.produce(1).await;
    client.script.took(1).await;
    let second = request(key::PRODUCE, PRODUCE_VERSION, 2, &[0; 500]);
    client.send(&second[..50]).await;
    // Its memory is taken: it must not be held for as long as the client waits.
    let memory = client.memory.clone();
    while memory.take(100_000 - 100).now_or_never().is_some() {
        tokio::task::yield_now().await;
    }
    client.script.let_go(1, echo(1));
    assert_eq!(client.answer().await, 1);
    client.send(&second[50..]).await;
    client.script.took(2).await;
    client.script.let_go(2, echo(2));
    assert_eq!(client.answer().await, 2);
    assert!(memory.take(100_000).now_or_never().is_some());
}

#[tokio::test]
async fn a_client_that_leaves_while_it_has_to_wait_is_let_go() {
    let mut client = connect();
    client.script.throttles.lock().insert(1, LONG_MS);
    client.metadata(1).await;
    assert_eq!(client.answer().await, 1);
    client.stream.shutdown().await.unwrap();
    let rest = tokio::time::timeout(SOON, client.rest()).await.expect("long before its time");
    assert!(rest.is_empty());

    let mut client = connect();
    client.script.throttles.lock().insert(1, 200);
    client.metadata(1).await;
    client.metadata(2).await;
    assert_eq!(client.answer().await, 1);
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, [[0, 0, 0, 4], [0, 0, 0, 2]].concat(), "what it asked is still answered");
}

#[tokio::test]
async fn silence_that_is_waited_out_is_not_held_against_a_client() {
    let mut client = connect_idle(Duration::from_millis(200));
    client.script.throttles.lock().insert(1, 600);
    client.metadata(1).await;
    assert_eq!(client.answer().await, 1);
    let silence = tokio::time::timeout(Duration::from_millis(500), client.stream.read_u8()).await;
    assert!(silence.is_err(), "the connection stays open");
    client.metadata(2).await;
    assert_eq!(client.answer().await, 2);
}

#[tokio::test]
async fn stopping_does_not_wait_for_those_who_have_to() {
    let mut client = connect();
    client.script.throttles.lock().insert(1, LONG_MS);
    client.metadata(1).await;
    assert_eq!(client.answer().await, 1);
    client.stop.cancel();
    let rest = tokio::time::timeout(SOON, client.rest()).await.expect("long before its time");
    assert!(rest.is_empty());
}

proptest! {
    #[test]
    fn garbage_harms_nothing(bytes in prop::collection::vec(any::<u8>(), 0..2000), framed: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = connect();
            if framed {
                client.send(&i32::try_from(bytes.len()).unwrap().to_be_bytes()).await;
            }
            client.send(&bytes).await;
            client.stream.shutdown().await.unwrap();
            let Client { stream: _client, script, mut task, .. } = client;
            let mut taken = script.taken.subscribe();
            loop {
                tokio::select! {
                    ended = &mut task => return ended.expect("the connection does not panic"),
                    changed = taken.changed() => changed.unwrap(),
                }
                // What happens to be a request of Produce must not wait.
                for (correlation_id, outcome) in script.outcomes.lock().drain() {
                    let _gone = outcome.send(echo(correlation_id));
                }
            }
        });
    }
}
