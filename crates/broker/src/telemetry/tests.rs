//! The two requests, without a network: what is admitted, what is kept, and when it goes.

use std::sync::Arc;

use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_types::clock::ManualClock;
use proptest::prelude::*;
use uuid::Uuid;

use super::manager::{Granted, Push, Telemetry};
use super::otlp::for_each_point;
use crate::stats::ClientMetric;
use crate::table::{Peer, RequestContext};

/// How often clients push that no subscription is for.
const INTERVAL_MS: i64 = 300_000;
const MAX_BYTES: usize = 10_000;

/// A field of a message: its number and what it holds.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut len = bytes.len();
    let mut out = vec![number << 3 | 2];
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
    out
}

fn point(value: f64, attributes: &[(&str, &str)]) -> Vec<u8> {
    let attribute = |(key, text): &(&str, &str)| {
        field(7, &[field(1, key.as_bytes()), field(2, &field(1, text.as_bytes()))].concat())
    };
    let value = [&[4 << 3 | 1][..], &value.to_bits().to_le_bytes()].concat();
    field(1, &[attributes.iter().flat_map(attribute).collect(), value].concat())
}

fn metric(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    // The name behind the data: fields may come in any order.
    field(2, &[field(kind, data), field(1, name.as_bytes())].concat())
}

fn gauge(name: &str, value: f64, attributes: &[(&str, &str)]) -> Vec<u8> {
    metric(name, 5, &point(value, attributes))
}

/// A sum that only grows, of `temporality` 1 (what came since the last) or 2 (all that came).
fn sum(name: &str, value: f64, temporality: u8) -> Vec<u8> {
    metric(name, 7, &[&point(value, &[])[..], &[2 << 3, temporality, 3 << 3, 1]].concat())
}

fn payload(metrics: &[Vec<u8>]) -> Vec<u8> {
    field(1, &field(2, &metrics.concat()))
}

struct Client {
    telemetry: Telemetry,
    clock: ManualClock,
    image: ClusterImage,
    context: RequestContext,
    granted: Granted,
}

impl Client {
    fn start() -> Self {
        let clock = ManualClock::new(1_000_000);
        let telemetry = Telemetry::with_room(MAX_BYTES, Arc::new(clock.clone()), 2);
        let (image, context) = (ClusterImage::default(), context("c"));
        let granted = telemetry.subscription(&image, &context, Uuid::nil()).unwrap();
        Self { telemetry, clock, image, context, granted }
    }

    fn push(&self) -> Push<'static> {
        Push {
            client: self.granted.client,
            subscription_id: self.granted.subscription_id,
            terminating: false,
            compression_type: 0,
            metrics: &[],
        }
    }

    fn pushed(&self, push: &Push<'_>) -> Result<(), ErrorCode> {
        self.telemetry.push(&self.image, &self.context, push)
    }

    /// Pushes an interval later.
    fn takes(&self, metrics: &[Vec<u8>]) {
        self.clock.advance(INTERVAL_MS);
        assert_eq!(self.pushed(&Push { metrics: &payload(metrics), ..self.push() }), Ok(()));
    }

    fn values(&self) -> Vec<ClientMetric> {
        self.telemetry.stats().values
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.values().iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }
}

fn context(client_id: &'static str) -> RequestContext {
    RequestContext {
        version: 0,
        correlation_id: 1,
        client_id: client_id.into(),
        client_host: "/127.0.0.1".into(),
        peer: Arc::new(Peer::default()),
        user: "u".into(),
        size: 0,
        timer: None,
    }
}

#[test]
fn a_client_without_an_id_gets_one_and_asks_once_an_interval() {
    let client = Client::start();
    assert!(!client.granted.client.is_nil());
    assert!(client.granted.metrics.is_empty(), "there is no subscription");
    let again = || client.telemetry.subscription(&client.image, &client.context, client.granted.client);
    assert_eq!(again().unwrap_err(), ErrorCode::THROTTLING_QUOTA_EXCEEDED);
    assert_eq!(client.telemetry.stats().throttles, 1);
    client.clock.advance(INTERVAL_MS);
    assert_eq!(again().unwrap().subscription_id, client.granted.subscription_id);
}

#[test]
fn what_may_not_be_pushed_is_told_as_kafka_tells_it() {
    let client = Client::start();
    for reserved in [0, 1] {
        let push = Push { client: Uuid::from_u128(reserved), ..client.push() };
        assert_eq!(client.pushed(&push), Err(ErrorCode::INVALID_REQUEST));
    }
    let refused = |push: &Push<'_>| {
        client.clock.advance(INTERVAL_MS);
        client.pushed(push).unwrap_err()
    };
    let push = client.push();
    let other = Push { subscription_id: push.subscription_id + 1, ..push };
    assert_eq!(refused(&other), ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
    assert_eq!(refused(&Push { compression_type: 5, ..push }), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert_eq!(refused(&Push { metrics: &[0; MAX_BYTES + 1], ..push }), ErrorCode::TELEMETRY_TOO_LARGE);
    assert_eq!(refused(&Push { metrics: b"garbage", ..push }), ErrorCode::INVALID_RECORD);
    assert_eq!(refused(&Push { metrics: b"garbage", compression_type: 4, ..push }), ErrorCode::INVALID_RECORD);
    client.clock.advance(INTERVAL_MS - 1);
    assert_eq!(client.pushed(&push), Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
    client.clock.advance(1);
    assert_eq!(client.pushed(&push), Ok(()));
    let stats = client.telemetry.stats();
    assert_eq!((stats.unknown_subscriptions, stats.throttles, stats.push_errors), (1, 1, 2));
}

#[test]
fn whoever_was_told_to_ask_again_may_at_once() {
    let client = Client::start();
    let push = client.push();
    let other = Push { subscription_id: push.subscription_id + 1, ..push };
    assert_eq!(client.pushed(&other), Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID));
    let again = client.telemetry.subscription(&client.image, &client.context, push.client);
    assert_eq!(again.unwrap().subscription_id, push.subscription_id);
}

#[test]
fn values_are_spelled_as_prometheus_wants_and_deltas_are_summed() {
    let client = Client::start();
    let attributes = [("topic-name", "t"), ("client-id", "x"), ("7", "y")];
    client.takes(&[gauge("a.b-c", 1.5, &attributes), sum("d", 2.0, 1), sum("e.total", 5.0, 2)]);
    client.takes(&[gauge("a.b-c", 2.5, &attributes), sum("d", 3.0, 1), sum("e.total", 7.0, 2)]);
    assert_eq!(client.value("caudal_client_a_b_c"), Some(2.5));
    assert_eq!(client.value("caudal_client_d_total"), Some(5.0));
    assert_eq!(client.value("caudal_client_e_total"), Some(7.0));
    let values = client.values();
    assert_eq!(values.iter().map(|metric| metric.counter).collect::<Vec<_>>(), [false, true, true]);
    let labels: Vec<(&str, &str)> = values[0].labels.iter().map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(labels[0], ("client_id", "c"));
    assert_eq!(labels[1].0, "client_instance_id");
    assert_eq!(labels[2..], [("exported_client_id", "x"), ("label_7", "y"), ("topic_name", "t")]);
}

#[test]
fn of_histograms_and_summaries_count_and_sum_are_told() {
    let client = Client::start();
    let totals = |count: u64, total: f64| {
        let (count, total) = (count.to_le_bytes(), total.to_bits().to_le_bytes());
        field(1, &[&[4 << 3 | 1][..], &count, &[5 << 3 | 1], &total].concat())
    };
    let histogram = |count, total| metric("h", 9, &[totals(count, total), vec![2 << 3, 1]].concat());
    client.takes(&[histogram(2, 0.5), metric("s", 11, &totals(5, 1.0))]);
    client.takes(&[histogram(3, 0.25), metric("s", 11, &totals(6, 2.0))]);
    let told: Vec<(String, f64)> = client.values().into_iter().map(|metric| (metric.name, metric.value)).collect();
    let wanted = [("h_count", 5.0), ("h_sum", 0.75), ("s_count", 6.0), ("s_sum", 2.0)];
    assert_eq!(told, wanted.map(|(name, value)| (format!("caudal_client_{name}"), value)));
}

#[test]
fn a_payload_that_is_cut_off_changes_nothing() {
    let client = Client::start();
    client.takes(&[sum("d", 2.0, 1)]);
    client.clock.advance(INTERVAL_MS);
    let bytes = [payload(&[sum("d", 3.0, 1)]), vec![1 << 3 | 2, 9, 0]].concat();
    assert_eq!(client.pushed(&Push { metrics: &bytes, ..client.push() }), Err(ErrorCode::INVALID_RECORD));
    assert_eq!(client.value("caudal_client_d_total"), Some(2.0));
}

#[test]
fn values_go_with_a_push_that_is_the_last() {
    let client = Client::start();
    client.takes(&[gauge("a", 1.0, &[])]);
    let metrics = payload(&[gauge("a", 2.0, &[])]);
    let last = Push { terminating: true, metrics: &metrics, ..client.push() };
    assert_eq!(client.pushed(&last), Ok(()), "it may come at any time");
    assert!(client.values().is_empty());
    assert_eq!(client.pushed(&last), Err(ErrorCode::INVALID_REQUEST));
}

#[test]
fn values_go_with_the_connection_or_after_a_long_silence() {
    let mut client = Client::start();
    client.takes(&[gauge("a", 1.0, &[])]);
    client.clock.advance(3 * INTERVAL_MS - 1);
    assert_eq!(client.values().len(), 1);
    client.clock.advance(1);
    assert_eq!((client.values().len(), client.telemetry.stats().clients), (0, 0));
    client.takes(&[gauge("a", 1.0, &[])]);
    assert_eq!(client.values().len(), 1);
    client.context = context("another connection");
    assert_eq!((client.values().len(), client.telemetry.stats().clients), (0, 0));
}

#[test]
fn the_client_that_was_silent_for_longest_makes_room() {
    let client = Client::start();
    client.takes(&[gauge("a", 1.0, &[])]);
    let others = [context("x"), context("y")];
    for other in &others {
        client.telemetry.subscription(&client.image, other, Uuid::nil()).unwrap();
    }
    let stats = client.telemetry.stats();
    assert_eq!((stats.clients, stats.clients_evicted, stats.values.len()), (2, 1, 0));
}

#[test]
fn values_beyond_the_bound_are_dropped_and_counted() {
    let client = Client::start();
    let long = "x".repeat(caudal_types::limits::TELEMETRY_VALUE_BYTES);
    client.takes(&[gauge("", 1.0, &[]), gauge("a", 1.0, &[("k", &long)]), gauge("b", 1.0, &[])]);
    let stats = client.telemetry.stats();
    assert_eq!((stats.values.len(), stats.values_dropped), (1, 2));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = for_each_point(&bytes, &mut |point| {
            point.attributes.iter().count();
        });
    }

    #[test]
    fn a_damaged_payload_never_panics(at in 0..500_usize, with in any::<u8>(), cut in 0..500_usize) {
        let metrics = [gauge("a.b", 1.0, &[("k", "v")]), sum("c", 2.0, 1), metric("h", 9, &point(1.0, &[("k", "v")]))];
        let mut bytes = payload(&metrics);
        let at = at % bytes.len();
        bytes[at] = with;
        bytes.truncate(cut.max(1));
        let _ = for_each_point(&bytes, &mut |point| {
            point.attributes.iter().count();
        });
    }
}
