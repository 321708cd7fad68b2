//! Who is in the cluster, and how its metadata is kept.

use super::{Theme, Treatment, has_broker, internal, shown};
use crate::config_defs::ConfigType::{Boolean, Int, List, Long, String};

pub(super) const THEMES: &[Theme] = &[
    Theme {
        treatment: Treatment::NoEffect,
        why: "who is in the cluster is told by cluster.nodes. It is refused where it names several nodes and cluster.nodes is not set.",
        settings: &[
            shown("controller.quorum.bootstrap.servers", List, Some("")),
            shown("controller.quorum.voters", List, Some("")),
        ],
    },
    Theme {
        treatment: Treatment::Refused(has_broker),
        why: "every node of Caudal serves clients, and the first nodes of cluster.nodes keep the metadata, so that broker has to be among the roles.",
        settings: &[shown("process.roles", List, None)],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "nodes talk to each other at peer.listener. Listeners that controller.listener.names names are left out of listeners and advertised.listeners.",
        settings: &[
            shown("controller.listener.names", List, None),
            shown("early.start.listeners", List, None),
            shown("inter.broker.listener.name", String, None),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "the Raft groups of Caudal have settings of their own, raft.*.",
        settings: &[
            shown("controller.quorum.append.linger.ms", Int, Some("25")),
            shown("controller.quorum.auto.join.enable", Boolean, Some("false")),
            shown("controller.quorum.election.backoff.max.ms", Int, Some("1000")),
            shown("controller.quorum.election.timeout.ms", Int, Some("1000")),
            shown("controller.quorum.fetch.max.bytes", Int, Some("1048576")),
            shown("controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576")),
            shown("controller.quorum.fetch.timeout.ms", Int, Some("2000")),
            shown("controller.quorum.request.timeout.ms", Int, Some("2000")),
            shown("controller.quorum.retry.backoff.ms", Int, Some("20")),
            shown("controller.socket.timeout.ms", Int, Some("30000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "nodes see each other's death by raft.ping.interval.ms and raft.suspect.after.ms.",
        settings: &[
            shown("broker.heartbeat.interval.ms", Int, Some("2000")),
            shown("broker.session.timeout.ms", Int, Some("9000")),
            shown("initial.broker.registration.timeout.ms", Int, Some("60000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "a node that stops always hands its leaderships over, and one that is back takes those again that it is preferred for (raft.rebalance.after.ms).",
        settings: &[
            shown("auto.leader.rebalance.enable", Boolean, Some("true")),
            shown("controlled.shutdown.enable", Boolean, Some("true")),
            shown("leader.imbalance.check.interval.seconds", Long, Some("300")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "the metadata lies in the node's one database, as a table without a log that grows.",
        settings: &[
            internal("internal.metadata.delete.delay.millis", Long, Some("60000")),
            internal("internal.metadata.log.segment.bytes", Int, None),
            internal("internal.metadata.max.batch.size.in.bytes", Int, Some("8388608")),
            shown("metadata.log.dir", String, None),
            shown("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520")),
            shown("metadata.log.max.snapshot.interval.ms", Long, Some("3600000")),
            shown("metadata.log.segment.bytes", Int, Some("1073741824")),
            shown("metadata.log.segment.ms", Long, Some("604800000")),
            shown("metadata.max.idle.interval.ms", Int, Some("500")),
            shown("metadata.max.retention.bytes", Long, Some("104857600")),
            shown("metadata.max.retention.ms", Long, Some("604800000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "what Caudal serves is released.",
        settings: &[
            internal("unstable.api.versions.enable", Boolean, Some("false")),
            internal("unstable.feature.versions.enable", Boolean, Some("false")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "what the controller does is told by metrics.",
        settings: &[
            internal("controller.performance.always.log.threshold.ms", Long, Some("2000")),
            internal("controller.performance.sample.period.ms", Long, Some("60000")),
        ],
    },
    Theme {
        treatment: Treatment::NoEffect,
        why: "a node starts for as long as it takes, and tells by /readyz when it is ready.",
        settings: &[internal("server.max.startup.time.ms", Long, Some("9223372036854775807"))],
    },
];
