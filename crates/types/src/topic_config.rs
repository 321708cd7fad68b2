//! The topic configuration keys: how a topic's own values and the node's become settings. Which values are legal is told by
//! `caudal-metadata`, which checks them when they are set.

use std::collections::BTreeMap;

/// Whose clock stamps records (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The leader's, when it takes the batch.
    LogAppendTime,
}

/// How batches are stored, whatever their producer did (`compression.type`, with the level of the codec).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    Uncompressed,
    /// gzip, from 1 (fast) to 9 (small); -1 is the codec's own default.
    Gzip(i32),
    /// snappy.
    Snappy,
    /// LZ4, from 1 (fast) to 17 (small). As in Kafka, 9 is the fastest of all: it stands for the codec's other, quick mode.
    Lz4(i32),
    /// Zstandard, from -131072 (fast) to 22 (small).
    Zstd(i32),
}

/// A topic's settings as the partitions use them: the topic's own values over the cluster's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `max.message.bytes`: the largest record batch.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` holds `compact`: records must have keys.
    pub compact: bool,
    /// `cleanup.policy` holds `delete`: records go by age and size.
    pub delete: bool,
    /// `retention.ms`: the age at which records go, where `cleanup.policy` holds `delete`; negative for none.
    pub retention_ms: i64,
    /// `retention.bytes`: how much of a partition is kept, where `cleanup.policy` holds `delete`; negative for all.
    pub retention_bytes: i64,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// How a compacted topic is cleaned.
    pub compaction: CompactionPolicy,
    /// `compression.type` and the levels. `None`: batches stay as their producers compressed them.
    pub compression: Option<Compression>,
    /// `flush.messages` and `flush.ms`. `None`: records are acknowledged when a majority has synced them.
    pub flush: Option<FlushBounds>,
}

/// By when the log is synced of a topic whose records are acknowledged when a majority has written them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushBounds {
    /// `flush.messages`: so many records may be unsynced; `u64::MAX` when that does not matter.
    pub messages: u64,
    /// `flush.ms`: for so many milliseconds; [`FLUSH_MS_MAX`] at most.
    pub ms: u64,
}

/// No record stays unsynced for longer, whatever `flush.ms` says.
pub const FLUSH_MS_MAX: u64 = 60_000;

/// How a topic is cleaned whose `cleanup.policy` holds `compact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_dirty_millionths: u32,
    /// `min.compaction.lag.ms`: how long a record stays as it is at least.
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`: how long a record may wait to be cleaned.
    pub max_lag_ms: i64,
    /// `delete.retention.ms`: how long the marks of deleted keys stay.
    pub delete_retention_ms: i64,
}

impl Default for CompactionPolicy {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            min_dirty_millionths: MILLION / 2,
            min_lag_ms: 0,
            max_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
        }
    }
}

const MILLION: u32 = 1_000_000;

impl Default for TopicConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compact: false,
            delete: true,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            min_insync_replicas: 1,
            compaction: CompactionPolicy::default(),
            compression: None,
            flush: None,
        }
    }
}

impl TopicConfig {
    /// The settings of a topic that has `overrides`, in a cluster whose node-level settings are `defaults` (by Kafka's broker names,
    /// such as `log.segment.bytes`). Values that do not parse are taken as absent: they were validated when they were set.
    pub fn resolve(overrides: &BTreeMap<String, String>, defaults: &BTreeMap<String, String>) -> Self {
        let values = Values { overrides, defaults };
        let builtin = Self::default();
        let segment_bytes = values.number("segment.bytes").unwrap_or(builtin.segment_bytes);
        Self {
            max_message_bytes: values.number("max.message.bytes").unwrap_or(builtin.max_message_bytes),
            timestamp_type: values.find("message.timestamp.type", timestamp_type).unwrap_or(builtin.timestamp_type),
            timestamp_before_max_ms: values
                .number("message.timestamp.before.max.ms")
                .unwrap_or(builtin.timestamp_before_max_ms),
            timestamp_after_max_ms: values
                .number("message.timestamp.after.max.ms")
                .unwrap_or(builtin.timestamp_after_max_ms),
            compact: values.find("cleanup.policy", |policy| Some(has(policy, "compact"))).unwrap_or(builtin.compact),
            delete: values.find("cleanup.policy", |policy| Some(has(policy, "delete"))).unwrap_or(builtin.delete),
            retention_ms: values.number("retention.ms").unwrap_or(builtin.retention_ms),
            retention_bytes: values.number("retention.bytes").unwrap_or(builtin.retention_bytes),
            segment_bytes: values.number("internal.segment.bytes").unwrap_or(segment_bytes),
            segment_ms: values.number("segment.ms").unwrap_or(builtin.segment_ms),
            min_insync_replicas: values.number("min.insync.replicas").unwrap_or(builtin.min_insync_replicas),
            compaction: compaction(&values, builtin.compaction),
            compression: compression(&values),
            flush: flush(&values),
        }
    }
}

fn compaction(values: &Values<'_>, builtin: CompactionPolicy) -> CompactionPolicy {
    CompactionPolicy {
        min_dirty_millionths: values
            .find("min.cleanable.dirty.ratio", millionths)
            .unwrap_or(builtin.min_dirty_millionths),
        min_lag_ms: values.number("min.compaction.lag.ms").unwrap_or(builtin.min_lag_ms),
        max_lag_ms: values.number("max.compaction.lag.ms").unwrap_or(builtin.max_lag_ms),
        delete_retention_ms: values.number("delete.retention.ms").unwrap_or(builtin.delete_retention_ms),
    }
}

/// A bound that is set to the least there is asks for a sync before every acknowledgement; one that is not set does not matter beside one that is.
fn flush(values: &Values<'_>) -> Option<FlushBounds> {
    let never = |number: u64| number == i64::MAX as u64;
    let (messages, ms) = (values.number::<u64>("flush.messages"), values.number::<u64>("flush.ms"));
    if messages.is_some_and(|messages| messages <= 1) || ms == Some(0) {
        return None;
    }
    if messages.is_none() && ms.is_none_or(never) {
        return None;
    }
    Some(FlushBounds {
        messages: messages.filter(|messages| !never(*messages)).unwrap_or(u64::MAX),
        ms: ms.unwrap_or(FLUSH_MS_MAX).min(FLUSH_MS_MAX),
    })
}

/// Where values come from, the stronger first.
struct Values<'a> {
    overrides: &'a BTreeMap<String, String>,
    defaults: &'a BTreeMap<String, String>,
}

impl Values<'_> {
    fn find<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let own = self.overrides.get(key).and_then(|value| parse(value.trim()));
        own.or_else(|| node_level_value(key, self.defaults).and_then(|(_, value)| parse(value.trim())))
    }

    fn number<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.find(key, |value| value.parse::<i64>().ok().and_then(|number| T::try_from(number).ok()))
    }
}

/// A part of 1, in millionths.
fn millionths(value: &str) -> Option<u32> {
    let part: f64 = value.parse().ok().filter(|part| (0.0..=1.0).contains(part))?;
    Some((part * f64::from(MILLION)).round() as u32)
}

fn timestamp_type(value: &str) -> Option<TimestampType> {
    match value {
        "CreateTime" => Some(TimestampType::CreateTime),
        "LogAppendTime" => Some(TimestampType::LogAppendTime),
        _ => None,
    }
}

/// `None` for `producer`.
fn compression(values: &Values<'_>) -> Option<Compression> {
    const KINDS: [&str; 6] = ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];
    let kind = values.find("compression.type", |name| KINDS.into_iter().find(|kind| *kind == name))?;
    let level = |key, default| values.number(key).unwrap_or(default);
    match kind {
        "uncompressed" => Some(Compression::Uncompressed),
        "gzip" => Some(Compression::Gzip(level("compression.gzip.level", -1))),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4(level("compression.lz4.level", 9))),
        "zstd" => Some(Compression::Zstd(level("compression.zstd.level", 3))),
        _ => None,
    }
}

fn has(policies: &str, policy: &str) -> bool {
    policies.split(',').any(|item| item.trim().eq_ignore_ascii_case(policy))
}

/// A node-level key whose value is the default of a topic-level one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSynonym {
    /// The node-level name, such as `log.retention.hours`.
    pub name: &'static str,
    /// What the node-level value is multiplied with to get the topic-level one: hours become milliseconds. 1 leaves it as it is, also when it is
    /// no number.
    pub factor: i64,
}

const fn same(name: &'static str) -> NodeSynonym {
    NodeSynonym { name, factor: 1 }
}

const fn minutes(name: &'static str) -> NodeSynonym {
    NodeSynonym { name, factor: 60_000 }
}

const fn hours(name: &'static str) -> NodeSynonym {
    NodeSynonym { name, factor: 3_600_000 }
}

/// Topic-level keys with their node-level ones, the strongest first, as in Apache Kafka 4.3.
const SYNONYMS: &[(&str, &[NodeSynonym])] = &[
    ("cleanup.policy", &[same("log.cleanup.policy")]),
    ("compression.gzip.level", &[same("compression.gzip.level")]),
    ("compression.lz4.level", &[same("compression.lz4.level")]),
    ("compression.type", &[same("compression.type")]),
    ("compression.zstd.level", &[same("compression.zstd.level")]),
    ("delete.retention.ms", &[same("log.cleaner.delete.retention.ms")]),
    ("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")]),
    ("flush.messages", &[same("log.flush.interval.messages")]),
    ("flush.ms", &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ("index.interval.bytes", &[same("log.index.interval.bytes")]),
    ("local.retention.bytes", &[same("log.local.retention.bytes")]),
    ("local.retention.ms", &[same("log.local.retention.ms")]),
    ("max.compaction.lag.ms", &[same("log.cleaner.max.compaction.lag.ms")]),
    ("max.message.bytes", &[same("message.max.bytes")]),
    ("message.timestamp.after.max.ms", &[same("log.message.timestamp.after.max.ms")]),
    ("message.timestamp.before.max.ms", &[same("log.message.timestamp.before.max.ms")]),
    ("message.timestamp.type", &[same("log.message.timestamp.type")]),
    ("min.cleanable.dirty.ratio", &[same("log.cleaner.min.cleanable.ratio")]),
    ("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")]),
    ("min.insync.replicas", &[same("min.insync.replicas")]),
    ("preallocate", &[same("log.preallocate")]),
    ("retention.bytes", &[same("log.retention.bytes")]),
    ("retention.ms", &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")]),
    ("segment.bytes", &[same("log.segment.bytes")]),
    ("segment.index.bytes", &[same("log.index.size.max.bytes")]),
    ("segment.jitter.ms", &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ("segment.ms", &[same("log.roll.ms"), hours("log.roll.hours")]),
    ("unclean.leader.election.enable", &[same("unclean.leader.election.enable")]),
];

/// The node-level keys of a topic-level one, the strongest first; none when the topic alone can set it.
pub fn node_synonyms(topic_key: &str) -> &'static [NodeSynonym] {
    SYNONYMS.iter().find(|(key, _)| *key == topic_key).map_or(&[], |(_, synonyms)| *synonyms)
}

/// The topic-level key that a node-level one is the default of, and how its value becomes the topic's.
pub fn topic_key_of(node_key: &str) -> Option<(&'static str, NodeSynonym)> {
    SYNONYMS.iter().find_map(|(key, synonyms)| {
        let synonym = synonyms.iter().find(|synonym| synonym.name == node_key)?;
        Some((*key, *synonym))
    })
}

/// The value that a topic-level key gets from the node-level settings `defaults`, with the name of the node-level key that gave it.
pub fn node_level_value(topic_key: &str, defaults: &BTreeMap<String, String>) -> Option<(&'static str, String)> {
    node_synonyms(topic_key).iter().find_map(|synonym| {
        let value = synonym.convert(defaults.get(synonym.name)?)?;
        Some((synonym.name, value))
    })
}

impl NodeSynonym {
    /// The node-level value as a topic-level one; `None` when it has to be a number and is none. Negative numbers ("no limit") stay what they are.
    pub fn convert(&self, value: &str) -> Option<String> {
        if self.factor == 1 {
            return Some(value.to_owned());
        }
        let number: i64 = value.trim().parse().ok()?;
        let converted = if number < 0 { -1 } else { number.saturating_mul(self.factor) };
        Some(converted.to_string())
    }

    /// A topic-level value as a node-level one; one that is no number, or that no node-level value makes, stays what it is.
    pub fn invert(&self, value: &str) -> String {
        let number = value.parse::<i64>().ok().filter(|number| *number >= 0 && number % self.factor == 0);
        number.map_or_else(|| value.to_owned(), |number| (number / self.factor).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_topic_that_sets_either_bound_relaxes_its_flush() {
        let flush = |entries: &[(&str, &str)]| TopicConfig::resolve(&map(entries), &BTreeMap::new()).flush;
        assert_eq!(flush(&[]), None);
        assert_eq!(flush(&[("flush.messages", "1")]), None);
        assert_eq!(flush(&[("flush.ms", "0"), ("flush.messages", "9")]), None);
        assert_eq!(flush(&[("flush.messages", "1"), ("flush.ms", "5")]), None, "whichever comes first");
        assert_eq!(flush(&[("flush.ms", "9223372036854775807")]), None, "Kafka's own default, spelled out");
        assert_eq!(flush(&[("flush.ms", "5")]), Some(FlushBounds { messages: u64::MAX, ms: 5 }));
        assert_eq!(flush(&[("flush.messages", "9")]), Some(FlushBounds { messages: 9, ms: FLUSH_MS_MAX }));
        let both = [("flush.messages", "9"), ("flush.ms", "9223372036854775807")];
        assert_eq!(flush(&both), Some(FlushBounds { messages: 9, ms: FLUSH_MS_MAX }));
        let node = map(&[("log.flush.interval.ms", "7")]);
        assert_eq!(TopicConfig::resolve(&map(&[]), &node).flush, Some(FlushBounds { messages: u64::MAX, ms: 7 }));
    }

    #[test]
    fn without_values_the_defaults_are_kafkas() {
        let config = TopicConfig::resolve(&BTreeMap::new(), &BTreeMap::new());
        assert_eq!(config, TopicConfig::default());
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.segment_ms, 604_800_000);
    }

    #[test]
    fn the_topics_own_value_is_stronger_than_the_nodes() {
        let defaults = map(&[
            ("message.max.bytes", "2000"),
            ("log.roll.hours", "2"),
            ("log.message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "2"),
        ]);
        let own = map(&[("max.message.bytes", " 1000 "), ("cleanup.policy", "delete, compact")]);
        let config = TopicConfig::resolve(&own, &defaults);
        assert_eq!(config.max_message_bytes, 1000);
        assert_eq!(config.segment_ms, 7_200_000);
        assert_eq!(config.timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(config.min_insync_replicas, 2);
        assert!(config.compact && config.delete);
    }

    #[test]
    fn what_is_deleted_is_the_policys_business() {
        let resolve = |policy: &str| {
            let own = map(&[("cleanup.policy", policy), ("retention.ms", "-1"), ("retention.bytes", "5000")]);
            TopicConfig::resolve(&own, &map(&[("log.retention.hours", "2")]))
        };
        for (policy, delete, compact) in [("delete", true, false), ("compact", false, true), ("", false, false)] {
            let config = resolve(policy);
            assert_eq!((config.delete, config.compact), (delete, compact), "'{policy}'");
            assert_eq!((config.retention_ms, config.retention_bytes), (-1, 5000), "the topic's own are stronger");
        }
        let of_node = TopicConfig::resolve(&BTreeMap::new(), &map(&[("log.retention.hours", "2")]));
        assert_eq!((of_node.delete, of_node.retention_ms, of_node.retention_bytes), (true, 7_200_000, -1));
    }

    #[test]
    fn the_strongest_node_level_key_wins() {
        let defaults = map(&[("log.roll.hours", "2"), ("log.roll.ms", "5")]);
        assert_eq!(node_level_value("segment.ms", &defaults), Some(("log.roll.ms", "5".to_owned())));
        let defaults = map(&[("log.retention.hours", "-1")]);
        assert_eq!(node_level_value("retention.ms", &defaults), Some(("log.retention.hours", "-1".to_owned())));
        assert_eq!(node_level_value("remote.storage.enable", &defaults), None);
        assert_eq!(topic_key_of("log.retention.hours").map(|(key, _)| key), Some("retention.ms"));
        assert_eq!(topic_key_of("log.dirs"), None);
    }

    #[test]
    fn a_codec_comes_with_its_level() {
        let of = |own: &[(&str, &str)], node: &[(&str, &str)]| TopicConfig::resolve(&map(own), &map(node)).compression;
        assert_eq!(of(&[("compression.type", "zstd")], &[]), Some(Compression::Zstd(3)));
        assert_eq!(of(&[("compression.gzip.level", "9")], &[]), None);
        let node = [("compression.type", "gzip"), ("compression.gzip.level", "1")];
        assert_eq!(of(&[], &node), Some(Compression::Gzip(1)));
        assert_eq!(of(&[("compression.gzip.level", "4")], &node), Some(Compression::Gzip(4)));
        assert_eq!(of(&[("compression.type", "lz4")], &node), Some(Compression::Lz4(9)));
        assert_eq!(of(&[("compression.type", "producer")], &node), None, "the topic's own value is stronger");
        assert_eq!(of(&[("compression.type", "uncompressed")], &node), Some(Compression::Uncompressed));
    }

    #[test]
    fn values_that_do_not_parse_are_absent() {
        let own = map(&[("max.message.bytes", "many"), ("segment.bytes", "-4"), ("message.timestamp.type", "Noon")]);
        assert_eq!(TopicConfig::resolve(&own, &BTreeMap::new()), TopicConfig::default());
    }

    #[test]
    fn how_a_topic_is_cleaned_is_kafkas_business() {
        let own = map(&[("min.cleanable.dirty.ratio", "0.01"), ("max.compaction.lag.ms", "60000")]);
        let defaults = map(&[("log.cleaner.delete.retention.ms", "5"), ("log.cleaner.min.cleanable.ratio", "2")]);
        let expected = CompactionPolicy {
            min_dirty_millionths: 10_000,
            min_lag_ms: 0,
            max_lag_ms: 60_000,
            delete_retention_ms: 5,
        };
        assert_eq!(TopicConfig::resolve(&own, &defaults).compaction, expected);
        let untold = TopicConfig::resolve(&BTreeMap::new(), &defaults).compaction;
        assert_eq!((untold.min_dirty_millionths, untold.max_lag_ms), (500_000, i64::MAX));
    }

    #[test]
    fn a_test_may_ask_for_small_segments() {
        let own = map(&[("segment.bytes", "2097152"), ("internal.segment.bytes", "4096")]);
        assert_eq!(TopicConfig::resolve(&own, &BTreeMap::new()).segment_bytes, 4096);
    }

    #[test]
    fn what_became_a_topics_value_is_found_again() {
        for (topic_key, value, weakest) in [
            ("retention.ms", "604800000", "168"),
            ("retention.ms", "5000", "5000"),
            ("retention.ms", "-1", "-1"),
            ("segment.bytes", "100", "100"),
            ("cleanup.policy", "delete", "delete"),
        ] {
            let synonym = node_synonyms(topic_key).last().unwrap();
            assert_eq!(synonym.invert(value), weakest, "{topic_key}={value}");
        }
    }
}
