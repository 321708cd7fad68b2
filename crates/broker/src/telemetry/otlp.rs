//! OpenTelemetry's format of metrics (`MetricsData` of opentelemetry-proto's `metrics.proto`), read point by point. What no client of Kafka's sends (buckets,
//! quantiles, exemplars) is passed over.

use std::borrow::Cow;

use super::wire::{Fields, Malformed, Value, messages, text};

/// The numbers of the fields that are read.
mod number {
    pub(super) const RESOURCE_METRICS: u64 = 1;
    pub(super) const SCOPE_METRICS: u64 = 2;
    pub(super) const METRICS: u64 = 2;
    pub(super) const NAME: u64 = 1;
    pub(super) const GAUGE: u64 = 5;
    pub(super) const SUM: u64 = 7;
    pub(super) const HISTOGRAM: u64 = 9;
    pub(super) const EXPONENTIAL_HISTOGRAM: u64 = 10;
    pub(super) const SUMMARY: u64 = 11;
    pub(super) const POINTS: u64 = 1;
    pub(super) const TEMPORALITY: u64 = 2;
    pub(super) const MONOTONIC: u64 = 3;
    pub(super) const AS_DOUBLE: u64 = 4;
    pub(super) const AS_INT: u64 = 6;
    pub(super) const COUNT: u64 = 4;
    pub(super) const TOTAL: u64 = 5;
}

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u64 = 1;
/// The flag of a point without a value.
const NO_VALUE: u64 = 1;

/// A value that a client measured.
#[derive(Clone, Debug)]
pub(super) struct Point<'a> {
    pub(super) name: &'a str,
    /// What is put behind the name.
    pub(super) suffix: &'static str,
    /// It only grows.
    pub(super) counter: bool,
    /// The value is what came since the point before.
    pub(super) delta: bool,
    pub(super) value: f64,
    pub(super) attributes: Attributes<'a>,
}

/// What a point is about. All of them have been read once, without an error.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'a> {
    point: &'a [u8],
    number: u64,
}

impl<'a> Attributes<'a> {
    /// Keys and values; values that are lists or bytes are left out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + use<'a> {
        messages(self.point, self.number).filter_map(|pair| attribute(pair.ok()?).ok().flatten())
    }

    fn check(&self) -> Result<(), Malformed> {
        messages(self.point, self.number).try_for_each(|pair| attribute(pair?).map(drop))
    }
}

fn attribute(pair: &[u8]) -> Result<Option<(&str, Cow<'_, str>)>, Malformed> {
    let (mut key, mut value) = ("", None);
    for field in Fields::of(pair) {
        match field? {
            (1, Value::Bytes(bytes)) => key = text(bytes)?,
            (2, Value::Bytes(bytes)) => value = any_value(bytes)?,
            _ => {}
        }
    }
    Ok(value.map(|value| (key, value)))
}

fn any_value(bytes: &[u8]) -> Result<Option<Cow<'_, str>>, Malformed> {
    let mut value = None;
    for field in Fields::of(bytes) {
        value = match field? {
            (1, Value::Bytes(bytes)) => Some(Cow::Borrowed(text(bytes)?)),
            (2, Value::Varint(flag)) => Some(Cow::Borrowed(if flag == 0 { "false" } else { "true" })),
            (3, Value::Varint(number)) => Some(Cow::Owned(number.cast_signed().to_string())),
            (4, Value::Fixed64(bits)) => Some(Cow::Owned(f64::from_bits(bits).to_string())),
            _ => value,
        };
    }
    Ok(value)
}

/// Shows every value of `payload` to `seen`. To be sure that all of it can be read before the first is used, call it twice.
///
/// # Errors
/// The payload is none of OpenTelemetry's metrics.
pub(super) fn for_each_point<'a>(payload: &'a [u8], seen: &mut dyn FnMut(Point<'a>)) -> Result<(), Malformed> {
    for resource in messages(payload, number::RESOURCE_METRICS) {
        for scope in messages(resource?, number::SCOPE_METRICS) {
            for metric in messages(scope?, number::METRICS) {
                metric_points(metric?, seen)?;
            }
        }
    }
    Ok(())
}

fn metric_points<'a>(metric: &'a [u8], seen: &mut dyn FnMut(Point<'a>)) -> Result<(), Malformed> {
    let mut name = "";
    // Fields may come in any order.
    for bytes in messages(metric, number::NAME) {
        name = text(bytes?)?;
    }
    for field in Fields::of(metric) {
        let (kind, Value::Bytes(data)) = field? else { continue };
        match kind {
            number::GAUGE => numbers(name, data, false, seen)?,
            number::SUM => numbers(name, data, true, seen)?,
            number::HISTOGRAM => totals(name, data, Shape { attributes: 9, flags: 10, delta: is_delta(data)? }, seen)?,
            number::EXPONENTIAL_HISTOGRAM => {
                totals(name, data, Shape { attributes: 1, flags: 10, delta: is_delta(data)? }, seen)?;
            }
            number::SUMMARY => totals(name, data, Shape { attributes: 7, flags: 8, delta: false }, seen)?,
            _ => {}
        }
    }
    Ok(())
}

/// How points with a count and a sum are laid out.
#[derive(Clone, Copy)]
struct Shape {
    attributes: u64,
    flags: u64,
    delta: bool,
}

fn varint(message: &[u8], wanted: u64) -> Result<u64, Malformed> {
    let mut found = 0;
    for field in Fields::of(message) {
        if let (number, Value::Varint(value)) = field?
            && number == wanted
        {
            found = value;
        }
    }
    Ok(found)
}

fn is_delta(data: &[u8]) -> Result<bool, Malformed> {
    Ok(varint(data, number::TEMPORALITY)? == DELTA)
}

/// The points of a gauge or a sum.
fn numbers<'a>(name: &'a str, data: &'a [u8], sum: bool, seen: &mut dyn FnMut(Point<'a>)) -> Result<(), Malformed> {
    const SHAPE: Shape = Shape { attributes: 7, flags: 8, delta: false };
    let counter = sum && varint(data, number::MONOTONIC)? != 0;
    let delta = sum && is_delta(data)?;
    for point in messages(data, number::POINTS) {
        let point = point?;
        let mut value = None;
        for field in Fields::of(point) {
            match field? {
                (number::AS_DOUBLE, Value::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
                (number::AS_INT, Value::Fixed64(bits)) => value = Some(bits.cast_signed() as f64),
                _ => {}
            }
        }
        let attributes = checked(point, SHAPE)?;
        if let (Some(value), Some(attributes)) = (value, attributes) {
            seen(Point { name, suffix: "", counter, delta, value, attributes });
        }
    }
    Ok(())
}

/// The counts and the sums of the points of a histogram or a summary.
fn totals<'a>(name: &'a str, data: &'a [u8], shape: Shape, seen: &mut dyn FnMut(Point<'a>)) -> Result<(), Malformed> {
    for point in messages(data, number::POINTS) {
        let point = point?;
        let (mut count, mut total) = (None, None);
        for field in Fields::of(point) {
            match field? {
                (number::COUNT, Value::Fixed64(found)) => count = Some(found as f64),
                (number::TOTAL, Value::Fixed64(bits)) => total = Some(f64::from_bits(bits)),
                _ => {}
            }
        }
        let Some(attributes) = checked(point, shape)? else { continue };
        for (suffix, value) in [("_count", count), ("_sum", total)] {
            if let Some(value) = value {
                let attributes = attributes.clone();
                seen(Point { name, suffix, counter: true, delta: shape.delta, value, attributes });
            }
        }
    }
    Ok(())
}

/// A point's attributes; `None` when it has no value.
fn checked(point: &[u8], shape: Shape) -> Result<Option<Attributes<'_>>, Malformed> {
    let attributes = Attributes { point, number: shape.attributes };
    attributes.check()?;
    Ok((varint(point, shape.flags)? & NO_VALUE == 0).then_some(attributes))
}
