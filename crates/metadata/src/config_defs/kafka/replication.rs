//! Copies of partitions.

use super::{Theme, Treatment, internal, never, shown};
use crate::config_defs::ConfigType::{Int, List, Long};

pub(super) const THEMES: &[Theme] = &[
    Theme {
        treatment: Treatment::NoEffect,
        why: "copies of a partition are a Raft group, whose leader sends, with settings raft.*.",
        settings: &[
            shown("num.replica.fetchers", Int, Some("1")),
            shown("replica.fetch.backoff.ms", Int, Some("1000")),
            shown("replica.fetch.max.bytes", Int, Some("1048576")),
            shown("replica.fetch.min.bytes", Int, Some("1")),
            shown("replica.fetch.response.max.bytes", Int, Some("10485760")),
            shown("replica.fetch.wait.max.ms", Int, Some("500")),
            shown("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000")),
            shown("replica.lag.time.max.ms", Long, Some("30000")),
            shown("replica.socket.receive.buffer.bytes", Int, Some("65536")),
            shown("replica.socket.timeout.ms", Int, Some("30000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "what a new copy is sent gives way to clients by itself.",
        settings: &[
            internal("follower.replication.throttled.rate", Long, Some("9223372036854775807")),
            internal("leader.replication.throttled.rate", Long, Some("9223372036854775807")),
            shown("replication.quota.window.num", Int, Some("11")),
            shown("replication.quota.window.size.seconds", Int, Some("1")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "a node has one data folder, so that nothing moves between folders, and a node whose disk fails gives its leaderships up at once.",
        settings: &[
            shown("alter.log.dirs.replication.quota.window.num", Int, Some("11")),
            shown("alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1")),
            shown("log.dir.failure.timeout.ms", Long, Some("30000")),
            shown("num.replica.alter.log.dirs.threads", Int, None),
            internal("replica.alter.log.dirs.io.max.bytes.per.second", Long, Some("9223372036854775807")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "there is no unclean election.",
        settings: &[internal("unclean.leader.election.interval.ms", Long, Some("300000"))],
    },
    Theme {
        treatment: Treatment::Refused(never),
        why: "a node has one data folder, which cannot be cordoned off.",
        settings: &[shown("cordoned.log.dirs", List, Some(""))],
    },
];
