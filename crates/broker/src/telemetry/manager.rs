//! Serves the two requests of KIP-714.

use std::sync::Arc;
use std::time::Instant;

use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::Codec;
use caudal_types::limits::{TELEMETRY_CLIENTS_MAX, TELEMETRY_VALUES_BYTES};
use caudal_types::{Clock, TimestampMs};
use parking_lot::Mutex;
use uuid::Uuid;

use super::instances::{Instance, Instances};
use super::otlp::for_each_point;
use super::series::{CLIENT_LABELS, Measured, Series, SeriesKey};
use super::subscriptions::{Properties, Subscriptions, Wanted, kafka_text};
use crate::stats::{ClientMetric, Counter, TelemetryStats};
use crate::table::RequestContext;

/// How often it is looked for clients that are gone, in milliseconds.
const EXPIRE_EVERY_MS: i64 = 1_000;
/// The longest text that is kept of what a client says of itself, in characters.
const PROPERTY_CHARS_MAX: usize = 256;
/// Ids that no client can have: zero, and the one that Kafka keeps for itself.
const RESERVED: [Uuid; 2] = [Uuid::nil(), Uuid::from_u128(1)];

/// A push of metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push<'a> {
    pub(crate) client: Uuid,
    pub(crate) subscription_id: i32,
    pub(crate) terminating: bool,
    pub(crate) compression_type: i8,
    pub(crate) metrics: &'a [u8],
}

/// A client's subscription.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) client: Uuid,
    pub(crate) subscription_id: i32,
    pub(crate) metrics: Vec<String>,
    pub(crate) interval_ms: i32,
}

/// The clients of this node whose metrics are taken, and the values that came.
#[derive(Debug)]
pub(crate) struct Telemetry {
    max_bytes: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    counters: TelemetryCounters,
}

#[derive(Debug)]
struct State {
    subscriptions: Subscriptions,
    instances: Instances,
    /// About how much memory all values take.
    values_bytes: usize,
    expired_at: TimestampMs,
}

#[derive(Debug, Default)]
struct TelemetryCounters {
    unknown_subscriptions: Counter,
    throttles: Counter,
    pushes: Counter,
    push_micros: Counter,
    push_errors: Counter,
    values_dropped: Counter,
}

impl Telemetry {
    /// Takes pushes of at most `max_bytes`, compressed and not.
    pub(crate) fn new(max_bytes: usize, clock: Arc<dyn Clock>) -> Self {
        Self::with_room(max_bytes, clock, TELEMETRY_CLIENTS_MAX)
    }

    pub(super) fn with_room(max_bytes: usize, clock: Arc<dyn Clock>, clients: usize) -> Self {
        let (subscriptions, instances) = (Subscriptions::default(), Instances::new(clients));
        let state = State { subscriptions, instances, values_bytes: 0, expired_at: TimestampMs::MIN };
        Self { max_bytes, clock, state: Mutex::new(state), counters: TelemetryCounters::default() }
    }

    /// `telemetry.max.bytes`.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// What a client is asked for; one without an id gets one.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED: it asks before its interval is over.
    pub(crate) fn subscription(
        &self,
        image: &ClusterImage,
        context: &RequestContext,
        client: Uuid,
    ) -> Result<Granted, ErrorCode> {
        let client = if client.is_nil() { Uuid::new_v4() } else { client };
        let now = self.clock.now_ms();
        let mut state = self.state.lock();
        let instance = state.seen(image, context, client, now);
        let Wanted { subscription_id, metrics, interval_ms } = instance.wanted.clone();
        if !instance.gate.admits_get(now, interval_ms) {
            self.counters.throttles.add(1);
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        instance.gate.last_error = ErrorCode::NONE;
        Ok(Granted { client, subscription_id, metrics, interval_ms })
    }

    /// Takes a client's metrics.
    ///
    /// # Errors
    /// What Kafka says: INVALID_REQUEST, THROTTLING_QUOTA_EXCEEDED, UNKNOWN_SUBSCRIPTION_ID, UNSUPPORTED_COMPRESSION_TYPE, TELEMETRY_TOO_LARGE,
    /// or INVALID_RECORD.
    pub(crate) fn push(
        &self,
        image: &ClusterImage,
        context: &RequestContext,
        push: &Push<'_>,
    ) -> Result<(), ErrorCode> {
        if RESERVED.contains(&push.client) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let codec = self.admit(image, context, push)?;
        let started = Instant::now();
        let read = self.read(codec, push.metrics);
        let mut state = self.state.lock();
        let result = match &read {
            Ok(payload) => {
                state.take(push, payload, &self.counters);
                Ok(())
            }
            Err(reason) => {
                self.counters.push_errors.add(1);
                let id = kafka_text(push.client);
                tracing::warn!(client = %context.client_id, id, reason, "a client's metrics cannot be read");
                Err(ErrorCode::INVALID_RECORD)
            }
        };
        if let Some(instance) = state.instances.get_mut(push.client) {
            instance.gate.last_error = result.err().unwrap_or(ErrorCode::NONE);
        }
        drop(state);
        if result.is_ok() && !push.metrics.is_empty() {
            self.counters.pushes.add(1);
            self.counters.push_micros.add(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        result
    }

    /// Whether a push may come; the codec of its metrics.
    fn admit(&self, image: &ClusterImage, context: &RequestContext, push: &Push<'_>) -> Result<Codec, ErrorCode> {
        let now = self.clock.now_ms();
        let mut state = self.state.lock();
        let instance = state.seen(image, context, push.client, now);
        let admitted = self.check(instance, push, now);
        instance.gate.terminating = push.terminating;
        if let Err(code) = admitted {
            tracing::debug!(client = %context.client_id, ?code, "a client's metrics are not taken");
            instance.gate.last_error = code;
        }
        admitted
    }

    fn check(&self, instance: &mut Instance, push: &Push<'_>, now: TimestampMs) -> Result<Codec, ErrorCode> {
        if instance.gate.terminating {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if !instance.gate.admits_push(now, instance.wanted.interval_ms) && !push.terminating {
            self.counters.throttles.add(1);
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        if push.subscription_id != instance.wanted.subscription_id {
            self.counters.unknown_subscriptions.add(1);
            return Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
        }
        let codec = Codec::from_id(push.compression_type).ok_or(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)?;
        if push.metrics.len() > self.max_bytes {
            return Err(ErrorCode::TELEMETRY_TOO_LARGE);
        }
        Ok(codec)
    }

    /// The metrics in OpenTelemetry's format, all of which can be read.
    fn read(&self, codec: Codec, metrics: &[u8]) -> Result<Vec<u8>, String> {
        if metrics.is_empty() {
            return Ok(Vec::new());
        }
        let payload = codec.decompress_whole(metrics, self.max_bytes).map_err(|error| error.to_string())?;
        for_each_point(&payload, &mut |_| ()).map_err(|error| error.to_string())?;
        Ok(payload)
    }

    /// The clients and their values now, and what was counted since the start.
    pub(crate) fn stats(&self) -> TelemetryStats {
        let mut state = self.state.lock();
        state.expire(self.clock.now_ms());
        let instances = state.instances.all();
        let values = instances.iter().flat_map(|(id, instance)| {
            let id = kafka_text(*id);
            instance.series.iter().map(move |(key, measured)| metric(instance, &id, key, *measured)).collect::<Vec<_>>()
        });
        TelemetryStats {
            clients: instances.len(),
            values: values.collect(),
            unknown_subscriptions: self.counters.unknown_subscriptions.get(),
            throttles: self.counters.throttles.get(),
            pushes: self.counters.pushes.get(),
            push_seconds: std::time::Duration::from_micros(self.counters.push_micros.get()).as_secs_f64(),
            push_errors: self.counters.push_errors.get(),
            clients_evicted: state.instances.evicted,
            values_dropped: self.counters.values_dropped.get(),
        }
    }
}

impl State {
    fn seen(
        &mut self,
        image: &ClusterImage,
        context: &RequestContext,
        client: Uuid,
        now: TimestampMs,
    ) -> &mut Instance {
        self.subscriptions.update(image.version, image.client_metrics());
        if now >= self.expired_at.saturating_add(EXPIRE_EVERY_MS) {
            self.expire(now);
        }
        let peer = Arc::downgrade(&context.peer);
        self.instances.seen(client, peer, now, &self.subscriptions, || properties(context, client))
    }

    fn expire(&mut self, now: TimestampMs) {
        self.expired_at = now;
        self.instances.expire(now);
        self.values_bytes = self.instances.values_bytes();
    }

    /// Keeps the values of a payload that can be read; those of a client that takes its leave go at once.
    fn take(&mut self, push: &Push<'_>, payload: &[u8], counters: &TelemetryCounters) {
        let Some(instance) = self.instances.get_mut(push.client) else { return };
        let others = self.values_bytes.saturating_sub(instance.series.bytes());
        if push.terminating {
            instance.series = Series::default();
        } else {
            let series = &mut instance.series;
            let read = for_each_point(payload, &mut |point| {
                let bytes_left = TELEMETRY_VALUES_BYTES.saturating_sub(others + series.bytes());
                counters.values_dropped.add(u64::from(!series.take(&point, bytes_left)));
            });
            debug_assert!(read.is_ok(), "it was read before");
        }
        self.values_bytes = others + instance.series.bytes();
    }
}

fn metric(instance: &Instance, id: &str, key: &SeriesKey, measured: Measured) -> ClientMetric {
    let client_id = instance.properties.get("client_id").map_or("", String::as_str);
    let own = CLIENT_LABELS.into_iter().zip([client_id, id]).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let labels = key.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    ClientMetric {
        name: key.name.to_string(),
        counter: measured.counter,
        labels: own.chain(labels).collect(),
        value: measured.value,
    }
}

/// What is known of the client behind a request.
fn properties(context: &RequestContext, client: Uuid) -> Properties {
    let mut properties = Properties::from([
        ("client_id", shortened(&context.client_id)),
        ("client_instance_id", kafka_text(client)),
        ("client_source_address", context.client_host.trim_start_matches('/').to_owned()),
    ]);
    if let Some(port) = context.peer.port {
        properties.insert("client_source_port", port.to_string());
    }
    if let Some(software) = context.peer.software.get() {
        properties.insert("client_software_name", shortened(&software.name));
        properties.insert("client_software_version", shortened(&software.version));
    }
    properties
}

/// What is kept of a text that a client may make as long as it likes.
fn shortened(text: &str) -> String {
    text.chars().take(PROPERTY_CHARS_MAX).collect()
}
