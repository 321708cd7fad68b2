//! The values of one client, at most so many.

use std::collections::BTreeMap;

use caudal_types::limits::{TELEMETRY_VALUE_BYTES, TELEMETRY_VALUES_PER_CLIENT_MAX};

use super::otlp::Point;

/// What the names of clients' metrics begin with.
const PREFIX: &str = "caudal_client_";
/// The labels that every value has beside those of its client.
pub(super) const CLIENT_LABELS: [&str; 2] = ["client_id", "client_instance_id"];
/// The longest name of a metric, in bytes.
const NAME_MAX_BYTES: usize = 512;
/// About what a value takes beside its texts, and each of its labels.
const VALUE_OVERHEAD: usize = 128;
const LABEL_OVERHEAD: usize = 48;

/// Which value: a metric with labels, as Prometheus spells them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub(super) name: Box<str>,
    /// By name.
    pub(super) labels: Box<[(Box<str>, Box<str>)]>,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) counter: bool,
    pub(super) value: f64,
}

/// The newest values of a client.
#[derive(Debug, Default)]
pub(super) struct Series {
    values: BTreeMap<SeriesKey, Measured>,
    /// About how much memory they take.
    bytes: usize,
}

impl Series {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &Measured)> {
        self.values.iter()
    }

    /// Takes a value in, if it is known or `bytes_left` are enough for it; `false` if it is dropped.
    pub(super) fn take(&mut self, point: &Point<'_>, bytes_left: usize) -> bool {
        let Some(key) = SeriesKey::of(point) else { return false };
        if point.delta && !point.value.is_finite() {
            return false;
        }
        if let Some(measured) = self.values.get_mut(&key) {
            let adds = point.delta && measured.counter == point.counter;
            let value = if adds { measured.value + point.value } else { point.value };
            *measured = Measured { counter: point.counter, value };
            return true;
        }
        let size = key.size();
        if self.values.len() >= TELEMETRY_VALUES_PER_CLIENT_MAX || size > bytes_left {
            return false;
        }
        self.bytes += size;
        self.values.insert(key, Measured { counter: point.counter, value: point.value });
        true
    }
}

impl SeriesKey {
    /// `None` when the metric has no name, or too long a one with its labels.
    fn of(point: &Point<'_>) -> Option<Self> {
        if point.name.is_empty() || point.name.len() > NAME_MAX_BYTES {
            return None;
        }
        let mut labels = BTreeMap::new();
        let mut bytes = point.name.len();
        for (name, value) in point.attributes.iter() {
            bytes += name.len() + value.len() + LABEL_OVERHEAD;
            if bytes > TELEMETRY_VALUE_BYTES {
                return None;
            }
            let name = spelled(name);
            let name = if CLIENT_LABELS.contains(&name.as_str()) { format!("exported_{name}") } else { name };
            labels.insert(name.into_boxed_str(), value.into_owned().into_boxed_str());
        }
        Some(Self { name: metric_name(point).into_boxed_str(), labels: labels.into_iter().collect() })
    }

    fn size(&self) -> usize {
        let label = |(name, value): &(Box<str>, Box<str>)| name.len() + value.len() + LABEL_OVERHEAD;
        VALUE_OVERHEAD + self.name.len() + self.labels.iter().map(label).sum::<usize>()
    }
}

/// OpenTelemetry's name in Prometheus' spelling: counters end in `_total`.
fn metric_name(point: &Point<'_>) -> String {
    let name = format!("{PREFIX}{}{}", point.name.replace(|c: char| !is_plain(c), "_"), point.suffix);
    let ends_so = point.suffix.is_empty() && point.counter && !name.ends_with("_total");
    if ends_so { format!("{name}_total") } else { name }
}

/// A label's name in Prometheus' spelling.
fn spelled(name: &str) -> String {
    let plain = name.replace(|c: char| !is_plain(c), "_");
    if plain.starts_with(|c: char| c.is_ascii_alphabetic()) { plain } else { format!("label_{plain}") }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
