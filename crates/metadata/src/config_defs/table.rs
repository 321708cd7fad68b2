//! The topic configuration keys of Apache Kafka 4.3.

use caudal_types::topic_config::node_synonyms;

use super::rule::Rule;
use super::{ConfigType, TopicConfigDef};

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: &str = "9223372036854775807";

fn def(name: &'static str, default: &'static str, rule: Rule, documentation: &'static str) -> TopicConfigDef {
    let kind = match rule {
        Rule::Whole(_, i64::MAX) => ConfigType::Long,
        Rule::Whole(..) | Rule::MinusOneOr(..) => ConfigType::Int,
        Rule::Ratio | Rule::AtLeast(_) => ConfigType::Double,
        Rule::Boolean | Rule::OnlyFalse(_) => ConfigType::Boolean,
        Rule::OneOf(_) | Rule::OffsetReset | Rule::AddressCounts => ConfigType::String,
        Rule::SomeOf(_) | Rule::Replicas => ConfigType::List,
    };
    let broker_name = node_synonyms(name).first().map(|synonym| synonym.name);
    TopicConfigDef { name, broker_name, kind, default, documentation, rule }
}

fn int(name: &'static str, default: &'static str, least: i64, documentation: &'static str) -> TopicConfigDef {
    def(name, default, Rule::Whole(least, INT_MAX), documentation)
}

fn long(name: &'static str, default: &'static str, least: i64, documentation: &'static str) -> TopicConfigDef {
    def(name, default, Rule::Whole(least, i64::MAX), documentation)
}

fn flag(name: &'static str, documentation: &'static str) -> TopicConfigDef {
    def(name, "false", Rule::Boolean, documentation)
}

/// All keys that tools see, by name.
pub(super) fn definitions() -> Vec<TopicConfigDef> {
    let mut all = Vec::new();
    all.extend(retention());
    all.extend(compaction());
    all.extend(segments());
    all.extend(durability());
    all.extend(messages());
    all.extend(compression());
    all.extend(replication());
    all.extend(remote());
    all.sort_unstable_by_key(|def| def.name);
    all
}

/// Kafka's hidden key for tests that need segments below the smallest legal size.
pub(super) fn internal_segment_bytes() -> TopicConfigDef {
    int("internal.segment.bytes", "1073741824", 1, "The size at which a segment is closed, in bytes, for tests only.")
}

fn retention() -> Vec<TopicConfigDef> {
    vec![
        def(
            "cleanup.policy",
            "delete",
            Rule::SomeOf(&["compact", "delete"]),
            "What happens to old records: 'delete' removes whole segments by age and size, 'compact' keeps the newest \
             record of each key, both together do both, and an empty list keeps everything.",
        ),
        long(
            "retention.bytes",
            "-1",
            i64::MIN,
            "How many bytes a partition may hold before its oldest segments go, when 'delete' is in cleanup.policy; \
             a negative number sets no limit.",
        ),
        long(
            "retention.ms",
            "604800000",
            -1,
            "How long records are kept, in milliseconds, when 'delete' is in cleanup.policy; -1 keeps them for ever.",
        ),
        long(
            "file.delete.delay.ms",
            "60000",
            0,
            "How long removed data stays on the disk, in milliseconds; accepted for compatibility, since Caudal's \
             storage engine decides by itself when space is freed.",
        ),
    ]
}

fn compaction() -> Vec<TopicConfigDef> {
    vec![
        long(
            "delete.retention.ms",
            "86400000",
            0,
            "How long a compacted topic keeps the marks of deleted keys, in milliseconds; a reader that starts at the \
             beginning must be through within this time to see every deletion.",
        ),
        long(
            "max.compaction.lag.ms",
            LONG_MAX,
            1,
            "The longest time that a record may wait to be compacted, in milliseconds.",
        ),
        def(
            "min.cleanable.dirty.ratio",
            "0.5",
            Rule::Ratio,
            "Which part of a compacted partition must be uncompacted before it is compacted again; lower values save \
             space and cost more work.",
        ),
        long(
            "min.compaction.lag.ms",
            "0",
            0,
            "The shortest time that a record stays as it is before it may be compacted away, in milliseconds.",
        ),
    ]
}

fn segments() -> Vec<TopicConfigDef> {
    vec![
        int(
            "segment.bytes",
            "1073741824",
            1 << 20,
            "The size at which a segment is closed, in bytes; retention and compaction work on closed segments.",
        ),
        long(
            "segment.ms",
            "604800000",
            1,
            "The age at which a segment is closed even when it is small, in milliseconds.",
        ),
        long(
            "segment.jitter.ms",
            "0",
            0,
            "The most milliseconds that are taken off segment.ms at random; accepted for compatibility and without effect, since \
             all replicas of a partition close a segment at the same record.",
        ),
        int(
            "segment.index.bytes",
            "10485760",
            4,
            "The size of a segment's index, in bytes; accepted for compatibility, since Caudal's index grows as needed.",
        ),
        int(
            "index.interval.bytes",
            "4096",
            0,
            "How many bytes lie between two index entries; accepted for compatibility, since Caudal indexes every batch.",
        ),
        flag(
            "preallocate",
            "Whether the space of a new segment is reserved beforehand; accepted for compatibility and without effect.",
        ),
    ]
}

fn durability() -> Vec<TopicConfigDef> {
    vec![
        long(
            "flush.messages",
            "1",
            1,
            "After how many records the log is synced. With 1 nothing is acknowledged before a majority has synced it to disk; so it is too \
             where neither this nor flush.ms is set. A larger value lets records be acknowledged when a majority has written them, and synced \
             later: what was acknowledged since the last sync may be lost when a majority's machines lose power, not when processes die. Where \
             only flush.ms is set, records are not counted, though 1 is shown as the default.",
        ),
        long(
            "flush.ms",
            LONG_MAX,
            0,
            "After how many milliseconds the log is synced, at most 60000. Once it is set, records are acknowledged when a majority has written \
             them, as with a flush.messages above 1; 0 syncs before the acknowledgement. Whichever comes first counts. Where neither is set, \
             nothing is acknowledged before a majority has synced it.",
        ),
    ]
}

fn messages() -> Vec<TopicConfigDef> {
    vec![
        int(
            "max.message.bytes",
            "1048588",
            0,
            "The largest record batch that is taken, in bytes, as it is compressed.",
        ),
        def(
            "message.timestamp.type",
            "CreateTime",
            Rule::OneOf(&["CreateTime", "LogAppendTime"]),
            "Whose clock stamps records: the producer's (CreateTime) or the leader's (LogAppendTime).",
        ),
        long(
            "message.timestamp.before.max.ms",
            LONG_MAX,
            0,
            "How far a record's timestamp may lie before the leader's clock, in milliseconds, when \
             message.timestamp.type is CreateTime.",
        ),
        long(
            "message.timestamp.after.max.ms",
            "3600000",
            0,
            "How far a record's timestamp may lie after the leader's clock, in milliseconds, when \
             message.timestamp.type is CreateTime.",
        ),
    ]
}

fn compression() -> Vec<TopicConfigDef> {
    vec![
        def(
            "compression.type",
            "producer",
            Rule::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
            "The codec that batches are stored with: the leader compresses those anew that came with another, and 'producer' \
             keeps each as its producer compressed it.",
        ),
        def(
            "compression.gzip.level",
            "-1",
            Rule::MinusOneOr(1, 9),
            "The level for gzip, when compression.type is gzip; -1 is the codec's own default.",
        ),
        def("compression.lz4.level", "9", Rule::Whole(1, 17), "The level for lz4, when compression.type is lz4."),
        def(
            "compression.zstd.level",
            "3",
            Rule::Whole(-131_072, 22),
            "The level for zstd, when compression.type is zstd.",
        ),
    ]
}

fn replication() -> Vec<TopicConfigDef> {
    vec![
        int(
            "min.insync.replicas",
            "1",
            1,
            "How many replicas must be alive and caught up for a write with acks=all to be taken, and have it on disk when \
             it is acknowledged; a majority always has to, so only values above the majority add something.",
        ),
        flag(
            "unclean.leader.election.enable",
            "Accepted for compatibility and without effect: Caudal never elects a replica that may lack acknowledged \
             records.",
        ),
        def(
            "leader.replication.throttled.replicas",
            "",
            Rule::Replicas,
            "The replicas whose copying is throttled on the leader's side, as PARTITION:NODE pairs, or '*' for all; accepted for \
             compatibility and without effect, since what a new copy is sent gives way to clients by itself.",
        ),
        def(
            "follower.replication.throttled.replicas",
            "",
            Rule::Replicas,
            "The replicas whose copying is throttled on the follower's side, as PARTITION:NODE pairs, or '*' for all; accepted \
             for compatibility and without effect, since what a new copy is sent gives way to clients by itself.",
        ),
    ]
}

fn remote() -> Vec<TopicConfigDef> {
    vec![
        def(
            "remote.storage.enable",
            "false",
            Rule::OnlyFalse("tiered storage is not available in this cluster, so it can only be false"),
            "Whether old segments move to remote storage; tiered storage is not available, so it stays false.",
        ),
        long(
            "local.retention.ms",
            "-2",
            -2,
            "How long records stay on local disks once they are in remote storage, in milliseconds, where -2 means \
             retention.ms; without effect, since there is no tiered storage.",
        ),
        long(
            "local.retention.bytes",
            "-2",
            -2,
            "How many bytes stay on local disks once they are in remote storage, where -2 means retention.bytes; without \
             effect, since there is no tiered storage.",
        ),
        flag(
            "remote.log.copy.disable",
            "Whether copying to remote storage is paused; without effect, since there is no tiered storage.",
        ),
        flag(
            "remote.log.delete.on.disable",
            "Whether the data in remote storage goes when remote.storage.enable is turned off; without effect, since there is \
             no tiered storage.",
        ),
    ]
}
