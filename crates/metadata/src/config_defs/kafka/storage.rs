//! Records on the disk.

use super::{Theme, Treatment, internal, is_false, is_true, shown};
use crate::config_defs::ConfigType::{Boolean, Double, Int, Long, String};

pub(super) const THEMES: &[Theme] = &[
    Theme {
        treatment: Treatment::Refused(is_true),
        why: "topics can always be deleted, so that only true is taken.",
        settings: &[shown("delete.topic.enable", Boolean, Some("true"))],
    },
    Theme {
        treatment: Treatment::Refused(is_true),
        why: "topics are compacted whose cleanup.policy holds compact, so that only true is taken; change the policy of the topic instead.",
        settings: &[shown("log.cleaner.enable", Boolean, Some("true"))],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "compaction takes the memory that it needs within log.cleaner.dedupe.buffer.size.",
        settings: &[
            shown("log.cleaner.io.buffer.load.factor", Double, Some("0.9")),
            shown("log.cleaner.io.buffer.size", Int, Some("524288")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "the storage engine finds its place again by itself, after a crash too.",
        settings: &[
            shown("log.flush.offset.checkpoint.interval.ms", Int, Some("60000")),
            shown("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000")),
            internal("log.initial.task.delay.ms", Long, Some("30000")),
            shown("num.recovery.threads.per.data.dir", Int, Some("2")),
        ],
    },
    Theme {
        treatment: Treatment::Refused(is_false),
        why: "there is no tiered storage, so that only false is taken.",
        settings: &[shown("remote.log.storage.system.enable", Boolean, Some("false"))],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "there is no tiered storage.",
        settings: &[
            shown("follower.fetch.last.tiered.offset.enable", Boolean, Some("false")),
            shown("remote.fetch.max.wait.ms", Int, Some("500")),
            shown("remote.list.offsets.request.timeout.ms", Long, Some("30000")),
            shown("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824")),
            internal("remote.log.index.file.cache.ttl.ms", Long, Some("900000")),
            shown("remote.log.manager.copier.thread.pool.size", Int, Some("10")),
            shown("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807")),
            shown("remote.log.manager.copy.quota.window.num", Int, Some("11")),
            shown("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1")),
            shown("remote.log.manager.expiration.thread.pool.size", Int, Some("10")),
            shown("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807")),
            shown("remote.log.manager.fetch.quota.window.num", Int, Some("11")),
            shown("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1")),
            shown("remote.log.manager.follower.thread.pool.size", Int, Some("2")),
            shown("remote.log.manager.task.interval.ms", Long, Some("30000")),
            internal("remote.log.manager.task.retry.backoff.max.ms", Long, Some("30000")),
            internal("remote.log.manager.task.retry.backoff.ms", Long, Some("500")),
            internal("remote.log.manager.task.retry.jitter", Double, Some("0.2")),
            shown("remote.log.manager.thread.pool.size", Int, Some("2")),
            shown("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128")),
            shown(
                "remote.log.metadata.manager.class.name",
                String,
                Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
            ),
            shown("remote.log.metadata.manager.class.path", String, None),
            shown("remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config.")),
            shown("remote.log.metadata.manager.listener.name", String, None),
            shown("remote.log.reader.max.pending.tasks", Int, Some("100")),
            shown("remote.log.reader.threads", Int, Some("10")),
            shown("remote.log.storage.manager.class.name", String, None),
            shown("remote.log.storage.manager.class.path", String, None),
            shown("remote.log.storage.manager.impl.prefix", String, Some("rsm.config.")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "what is to be on the disk is told by log.flush.interval.messages and log.flush.interval.ms, not by a schedule.",
        settings: &[shown("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"))],
    },
];
