//! Groups, topics, settings, and whether anybody answers.

use caudal_jepsen::check::Anomaly;
use caudal_jepsen::history::{Kind, Op};

use crate::order::three_records;
use crate::support::{History, Q, commit, committed, create, list, read_config, silent, subscribe, work, write_config};
use crate::{Case, case};

/// Process 2 is the group, and has read everything.
fn group() -> History {
    three_records().ok(2, subscribe(&["q"])).polled(2, &[(0, 10), (1, 11), (2, 12)])
}

pub(crate) fn commits() -> Vec<Case> {
    vec![
        case(
            Anomaly::LostCommitted,
            group().ok(2, commit(1)).ok(2, commit(3)).ok(3, committed(Some(1))).drained(3),
            group().ok(2, commit(1)).ok(2, commit(3)).ok(3, committed(Some(3))).drained(3),
        ),
        case(
            Anomaly::LostCommitted,
            group().ok(2, commit(1)).ok(3, committed(None)).drained(3),
            group().did(2, Kind::Info, commit(1)).ok(3, committed(None)).drained(3),
        ),
        // Asked while the commit was under way, both answers are right.
        case(
            Anomaly::LostCommitted,
            group()
                .ok(2, commit(1))
                .event(2, Kind::Invoke, commit(3))
                .event(2, Kind::Ok, commit(3))
                .ok(3, committed(Some(1)))
                .drained(3),
            group()
                .ok(2, commit(1))
                .event(2, Kind::Invoke, commit(3))
                .ok(3, committed(Some(1)))
                .event(2, Kind::Ok, commit(3))
                .drained(3),
        ),
        // The commit of 3 was never acknowledged; but once it was seen it stays.
        case(
            Anomaly::StaleCommitted,
            group()
                .ok(2, commit(1))
                .did(2, Kind::Info, commit(3))
                .ok(3, committed(Some(3)))
                .ok(3, committed(Some(1)))
                .drained(3),
            group()
                .ok(2, commit(1))
                .did(2, Kind::Info, commit(3))
                .ok(3, committed(Some(1)))
                .ok(3, committed(Some(3)))
                .drained(3),
        ),
        // Who commits an older offset again makes it current.
        case(
            Anomaly::StaleCommitted,
            group()
                .ok(2, commit(1))
                .did(4, Kind::Info, commit(3))
                .ok(3, committed(Some(3)))
                .did(2, Kind::Fail, commit(1))
                .ok(3, committed(Some(1)))
                .drained(3),
            group()
                .ok(2, commit(1))
                .did(4, Kind::Info, commit(3))
                .ok(3, committed(Some(3)))
                .ok(2, commit(1))
                .ok(3, committed(Some(1)))
                .drained(3),
        ),
    ]
}

pub(crate) fn groups() -> Vec<Case> {
    vec![
        case(
            Anomaly::GarbageCommitted,
            group().ok(2, commit(1)).ok(3, committed(Some(2))).drained(3),
            group().ok(2, commit(2)).ok(3, committed(Some(2))).drained(3),
        ),
        // Process 9 has read everything, but is no member of the group.
        case(
            Anomaly::CommitAhead,
            three_records().ok(2, subscribe(&["q"])).polled(2, &[(0, 10)]).ok(2, commit(3)).drained(3),
            three_records().ok(2, subscribe(&["q"])).polled(2, &[(0, 10)]).ok(2, commit(1)).drained(3),
        ),
        // What one member reads another may commit, if it read the rest.
        case(
            Anomaly::CommitAhead,
            three_records()
                .ok(2, subscribe(&["q"]))
                .ok(3, subscribe(&["q"]))
                .polled(3, &[(0, 10)])
                .polled(2, &[(2, 12)])
                .ok(2, commit(3))
                .ok(3, commit(1))
                .drained(3),
            three_records()
                .ok(2, subscribe(&["q"]))
                .ok(3, subscribe(&["q"]))
                .polled(3, &[(0, 10), (1, 11)])
                .polled(2, &[(2, 12)])
                .ok(2, commit(3))
                .ok(3, commit(1))
                .drained(3),
        ),
    ]
}

pub(crate) fn availability() -> Vec<Case> {
    // From 10 s to 60 s nothing is acknowledged, whatever is sent.
    let outage = |name: &str, nodes: &[u32]| {
        let mut history = History::new().sent(1, 10, 0).at(10).fault(name, nodes, true);
        for second in 10..60_u32 {
            history = history.at(u64::from(second)).did(
                100 + second,
                Kind::Info,
                work([silent(Q, u64::from(second) + 1000)]),
            );
        }
        history.at(59).fault(name, nodes, false).at(60).sent(1, 11, 1).polled(2, &[(0, 10), (1, 11)]).drained(2)
    };
    // Nothing is sent meanwhile, so that nothing could be acknowledged.
    let quiet = || History::new().sent(1, 10, 0).at(60).sent(1, 11, 1).polled(2, &[(0, 10), (1, 11)]).drained(2);
    vec![
        case(Anomaly::Unavailable, outage("kill", &[1]), outage("kill", &[1, 2])),
        case(Anomaly::Unavailable, outage("clock-jump", &[1, 2, 3]), quiet()),
        case(Anomaly::Unavailable, outage("partition", &[]), outage("pause", &[1, 2, 3])),
    ]
}

pub(crate) fn registers() -> Vec<Case> {
    let valued = |first: Option<u64>, second: Option<u64>| {
        History::new()
            .ok(1, create(1))
            .ok(1, write_config(5))
            .did(2, Kind::Info, write_config(6))
            .ok(3, read_config(first))
            .ok(3, read_config(second))
    };
    vec![
        // A write in doubt may take effect at any time, but once.
        case(Anomaly::NonlinearizableConfig, valued(Some(6), Some(5)), valued(Some(5), Some(6))),
        case(Anomaly::NonlinearizableConfig, valued(Some(7), Some(7)), valued(Some(6), Some(6))),
        // Two writes at the same time may be in any order, but the same for all.
        case(
            Anomaly::NonlinearizableConfig,
            History::new()
                .event(1, Kind::Invoke, write_config(5))
                .event(2, Kind::Invoke, write_config(6))
                .event(1, Kind::Ok, write_config(5))
                .event(2, Kind::Ok, write_config(6))
                .ok(3, read_config(Some(5)))
                .ok(4, read_config(Some(6))),
            History::new()
                .event(1, Kind::Invoke, write_config(5))
                .event(2, Kind::Invoke, write_config(6))
                .event(1, Kind::Ok, write_config(5))
                .ok(3, read_config(Some(5)))
                .event(2, Kind::Ok, write_config(6))
                .ok(4, read_config(Some(6))),
        ),
    ]
}

pub(crate) fn topics() -> Vec<Case> {
    vec![
        case(
            Anomaly::NonlinearizableTopics,
            History::new().ok(1, create(1)).ok(2, list(None)),
            History::new().did(1, Kind::Info, create(1)).ok(2, list(None)),
        ),
        case(
            Anomaly::NonlinearizableTopics,
            History::new().ok(1, create(1)).ok(1, create(1)),
            History::new().ok(1, create(1)).did(1, Kind::Fail, create(1)).ok(2, list(Some(1))),
        ),
        case(
            Anomaly::NonlinearizableTopics,
            History::new()
                .ok(1, create(1))
                .ok(1, Op::GrowTopic { topic: "t".to_owned(), partitions: 3 })
                .ok(2, list(Some(1))),
            History::new()
                .ok(1, create(1))
                .ok(1, Op::GrowTopic { topic: "t".to_owned(), partitions: 3 })
                .ok(2, list(Some(3))),
        ),
        // A node that is cut off lists what it last knew; one that has had time to catch up does not.
        case(
            Anomaly::NonlinearizableTopics,
            History::new()
                .fault("partition-one", &[2], true)
                .ok(1, create(1))
                .at(2)
                .fault("partition-one", &[2], false)
                .at(8)
                .ok(2, list(None)),
            History::new()
                .fault("partition-one", &[2], true)
                .ok(1, create(1))
                .ok(2, list(None))
                .at(2)
                .fault("partition-one", &[2], false)
                .at(6)
                .ok(2, list(None))
                .at(8)
                .ok(2, list(Some(1))),
        ),
        // Of two equal creations the acknowledged one counts, though the other is in doubt.
        case(
            Anomaly::NonlinearizableTopics,
            History::new().did(1, Kind::Info, create(1)).ok(2, create(1)).ok(2, list(None)),
            History::new()
                .did(1, Kind::Info, create(1))
                .ok(2, create(1))
                .ok(2, Op::DeleteTopic { topic: "t".to_owned() })
                .ok(2, list(Some(1))),
        ),
    ]
}
