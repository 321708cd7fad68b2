//! Connections, threads and metrics.

use super::{Theme, Treatment, is_plain_map, shown};
use crate::config_defs::ConfigType::{Int, List, Long, String};

pub(super) const THEMES: &[Theme] = &[
    Theme {
        treatment: Treatment::NoEffect,
        why: "connections and requests are carried by the threads of num.io.threads, and bounded by bytes (queued.max.request.bytes).",
        settings: &[
            shown("background.threads", Int, Some("10")),
            shown("num.network.threads", Int, Some("3")),
            shown("queued.max.requests", Int, Some("500")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "the system chooses the sizes of the buffers of sockets; new connections wait in a queue of 4096, or of what the system allows (`net.core.somaxconn`).",
        settings: &[
            shown("socket.listen.backlog.size", Int, Some("50")),
            shown("socket.receive.buffer.bytes", Int, Some("102400")),
            shown("socket.send.buffer.bytes", Int, Some("102400")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "how nodes connect to each other is Caudal's own matter (raft.*).",
        settings: &[
            shown("request.timeout.ms", Int, Some("30000")),
            shown("socket.connection.setup.timeout.max.ms", Long, Some("30000")),
            shown("socket.connection.setup.timeout.ms", Long, Some("10000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "requests that wait leave nothing behind that had to be cleaned up.",
        settings: &[
            shown("delete.records.purgatory.purge.interval.requests", Int, Some("1")),
            shown("fetch.purgatory.purge.interval.requests", Int, Some("1000")),
            shown("producer.purgatory.purge.interval.requests", Int, Some("1000")),
            shown("share.fetch.purgatory.purge.interval.requests", Int, Some("1000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "an answer to DescribeTopicPartitions holds 2000 partitions at most.",
        settings: &[shown("max.request.partition.size.limit", Int, Some("2000"))],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "metrics are served in the format of Prometheus, see admin.listener.",
        settings: &[
            shown("kafka.metrics.polling.interval.secs", Int, Some("10")),
            shown("kafka.metrics.reporters", List, Some("")),
            shown("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter")),
            shown("metrics.num.samples", Int, Some("2")),
            shown("metrics.recording.level", String, Some("INFO")),
            shown("metrics.sample.window.ms", Long, Some("30000")),
        ],
    },
    Theme {
        treatment: Treatment::Refused(is_plain_map),
        why: "there is no protocol but PLAINTEXT, so that PLAINTEXT cannot be given another one. It has no effect beyond that.",
        settings: &[shown(
            "listener.security.protocol.map",
            String,
            Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        )],
    },
];
