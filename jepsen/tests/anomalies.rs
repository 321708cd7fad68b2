//! For each anomaly a history that shows it, and one that differs little and is legal.

mod support;

use std::collections::BTreeSet;

use caudal_jepsen::check::{Anomaly, Validity};
use caudal_jepsen::history::{Kind, Op};
use support::{
    History, Q, R, assign, commit, committed, create, list, poll, read_config, rebalance, send, silent, subscribe,
    transaction, work, write_config,
};

struct Case {
    anomaly: Anomaly,
    allowed: bool,
    /// It shows the anomaly.
    shows: History,
    /// It is legal, and does not.
    legal: History,
}

fn case(anomaly: Anomaly, shows: History, legal: History) -> Case {
    Case { anomaly, allowed: false, shows, legal }
}

/// An anomaly that does not count.
fn allowed(anomaly: Anomaly, shows: History, legal: History) -> Case {
    Case { anomaly, allowed: true, shows, legal }
}

/// Two records, read by process 2.
fn two_records() -> History {
    History::new().sent(1, 10, 0).sent(1, 11, 1).ok(2, assign(&[Q]))
}

fn offsets() -> Vec<Case> {
    vec![
        case(
            Anomaly::Duplicate,
            two_records().polled(2, &[(0, 10), (1, 11), (2, 10)]).drained(3),
            two_records().polled(2, &[(0, 10), (1, 11)]).polled(3, &[(0, 10)]).drained(2),
        ),
        // The acknowledgement told another offset than where the record is.
        case(
            Anomaly::Duplicate,
            History::new().sent(1, 10, 5).polled(2, &[(6, 10)]).drained(7),
            History::new().sent(1, 10, 5).polled(2, &[(5, 10)]).drained(6),
        ),
        case(
            Anomaly::InconsistentOffsets,
            two_records().polled(2, &[(0, 10), (1, 11)]).sent(3, 12, 1).polled(4, &[(1, 12)]).drained(2),
            two_records().polled(2, &[(0, 10), (1, 11)]).sent(3, 12, 2).polled(4, &[(2, 12)]).drained(3),
        ),
        // What failed, or is in doubt and was never read, says nothing about offsets.
        case(
            Anomaly::InconsistentOffsets,
            two_records()
                .polled(2, &[(0, 10), (1, 11)])
                .did(3, Kind::Info, work([send(Q, 12, 1)]))
                .polled(4, &[(2, 12)])
                .drained(3),
            two_records().polled(2, &[(0, 10), (1, 11)]).did(3, Kind::Info, work([send(Q, 12, 1)])).drained(2),
        ),
    ]
}

fn lost() -> Vec<Case> {
    vec![
        // Whoever reads 11 without 10 need not be the reason: nobody read 10, at any time.
        case(
            Anomaly::LostWrite,
            two_records().polled(2, &[(1, 11)]).drained(2),
            History::new()
                .polled(3, &[])
                .sent(1, 10, 0)
                .polled(3, &[(0, 10)])
                .sent(1, 11, 1)
                .polled(2, &[(1, 11)])
                .drained(2),
        ),
        // A send in doubt is lost only when another part of its transaction was read.
        case(
            Anomaly::LostWrite,
            two_records()
                .polled(2, &[(0, 10), (1, 11)])
                .did(3, Kind::Info, transaction([send(Q, 12, 2), send(R, 13, 0)]))
                .sent(1, 14, 4)
                .ok(5, work([poll(R, &[(0, 13)])]))
                .polled(2, &[(4, 14)])
                .drained_all(&[(Q, 5), (R, 2)]),
            two_records()
                .polled(2, &[(0, 10), (1, 11)])
                .did(3, Kind::Info, transaction([send(Q, 12, 2), send(R, 13, 0)]))
                .sent(1, 14, 4)
                .polled(2, &[(4, 14)])
                .drained_all(&[(Q, 5), (R, 2)]),
        ),
        case(
            Anomaly::Unseen,
            two_records().polled(2, &[(0, 10)]).drained(2),
            two_records().polled(2, &[(0, 10), (1, 11)]).drained(2),
        ),
        // A read that failed counts as none.
        case(
            Anomaly::Unseen,
            two_records().polled(2, &[(0, 10)]).did(3, Kind::Fail, work([poll(Q, &[(1, 11)])])).drained(2),
            two_records().polled(2, &[(0, 10)]).did(3, Kind::Ok, work([poll(Q, &[(1, 11)])])).drained(2),
        ),
        // Nobody waits for records of a topic that was deleted.
        case(
            Anomaly::Unseen,
            two_records()
                .polled(2, &[(0, 10)])
                .did(3, Kind::Fail, Op::DeleteTopic { topic: "q".to_owned() })
                .drained(2),
            two_records()
                .polled(2, &[(0, 10)])
                .did(3, Kind::Info, Op::DeleteTopic { topic: "q".to_owned() })
                .drained(2),
        ),
        case(
            Anomaly::TornTransaction,
            History::new()
                .did(1, Kind::Info, transaction([silent(Q, 10), silent(R, 11)]))
                .polled(2, &[(0, 10)])
                .drained_all(&[(Q, 2), (R, 0)]),
            History::new()
                .did(1, Kind::Info, transaction([silent(Q, 10), silent(R, 11)]))
                .polled(2, &[(0, 10)])
                .ok(2, work([poll(R, &[(0, 11)])]))
                .drained_all(&[(Q, 2), (R, 2)]),
        ),
        // Without a transaction each send is for itself.
        case(
            Anomaly::TornTransaction,
            History::new()
                .did(1, Kind::Info, transaction([silent(Q, 10), silent(Q, 11)]))
                .polled(2, &[(0, 10)])
                .drained(3),
            History::new().did(1, Kind::Info, work([silent(Q, 10), silent(Q, 11)])).polled(2, &[(0, 10)]).drained(1),
        ),
        // It was read, so that no other rule finds it.
        case(
            Anomaly::LogTruncated,
            two_records().polled(2, &[(0, 10), (1, 11)]).drained(1),
            two_records().polled(2, &[(0, 10), (1, 11)]).drained(2),
        ),
    ]
}

fn reads() -> Vec<Case> {
    vec![
        case(
            Anomaly::GarbageRead,
            two_records().polled(2, &[(0, 10), (1, 11), (2, 12)]).drained(3),
            two_records().did(3, Kind::Info, work([silent(Q, 12)])).polled(2, &[(0, 10), (1, 11), (2, 12)]).drained(3),
        ),
        // It was sent to another partition.
        case(
            Anomaly::GarbageRead,
            two_records()
                .polled(2, &[(0, 10), (1, 11)])
                .ok(3, work([poll(R, &[(0, 10)])]))
                .drained_all(&[(Q, 2), (R, 1)]),
            two_records().polled(2, &[(0, 10), (1, 11)]).ok(3, work([poll(R, &[])])).drained_all(&[(Q, 2), (R, 0)]),
        ),
        // It was read before it was sent.
        case(
            Anomaly::GarbageRead,
            History::new().polled(2, &[(0, 10)]).sent(1, 10, 0).drained(1),
            History::new()
                .event(2, Kind::Invoke, work([poll(Q, &[])]))
                .event(1, Kind::Invoke, work([silent(Q, 10)]))
                .event(2, Kind::Ok, work([poll(Q, &[(0, 10)])]))
                .event(1, Kind::Ok, work([send(Q, 10, 0)]))
                .drained(1),
        ),
        case(
            Anomaly::G1a,
            History::new().did(1, Kind::Fail, transaction([send(Q, 10, 0)])).polled(2, &[(0, 10)]).drained(1),
            History::new().did(1, Kind::Info, transaction([send(Q, 10, 0)])).polled(2, &[(0, 10)]).drained(1),
        ),
        case(
            Anomaly::PrecommittedRead,
            History::new().ok(1, transaction([send(Q, 10, 0), poll(Q, &[(0, 10)])])).drained(2),
            History::new().ok(1, work([send(Q, 10, 0), poll(Q, &[(0, 10)])])).drained(1),
        ),
    ]
}

fn sends() -> Vec<Case> {
    let swapped = [(0, 11), (1, 10)];
    vec![
        case(
            Anomaly::NonmonotonicSend,
            History::new().sent(1, 10, 1).sent(1, 11, 0).polled(2, &swapped).drained(2),
            History::new().sent(1, 10, 1).sent(2, 11, 0).polled(2, &swapped).drained(2),
        ),
        // Offsets that were not acknowledged count where they were read.
        case(
            Anomaly::NonmonotonicSend,
            History::new().sent(1, 10, 1).did(1, Kind::Info, work([silent(Q, 11)])).polled(2, &swapped).drained(2),
            History::new()
                .sent(1, 10, 1)
                .did(1, Kind::Info, work([silent(Q, 11)]))
                .polled(2, &[(1, 10), (2, 11)])
                .drained(3),
        ),
        case(
            Anomaly::IntNonmonotonicSend,
            History::new().ok(1, work([send(Q, 10, 1), send(Q, 11, 0)])).polled(2, &swapped).drained(2),
            History::new().ok(1, work([send(Q, 11, 0), send(Q, 10, 1)])).polled(2, &swapped).drained(2),
        ),
        allowed(
            Anomaly::IntSendSkip,
            History::new()
                .sent(1, 10, 1)
                .ok(2, work([send(Q, 11, 0), send(Q, 12, 2)]))
                .polled(3, &[(0, 11), (1, 10), (2, 12)])
                .drained(3),
            History::new()
                .sent(1, 10, 0)
                .ok(2, work([send(Q, 11, 1), send(Q, 12, 2)]))
                .polled(3, &[(0, 10), (1, 11), (2, 12)])
                .drained(3),
        ),
        // An assignment between the sends is no excuse here.
        case(
            Anomaly::SendOrder,
            History::new().sent(1, 10, 1).ok(1, assign(&[R])).sent(1, 11, 0).polled(2, &swapped).drained(2),
            History::new().sent(1, 10, 0).ok(1, assign(&[R])).sent(1, 11, 1).polled(2, &[(0, 10), (1, 11)]).drained(2),
        ),
        case(
            Anomaly::ReadOrder,
            History::new()
                .ok(1, work([silent(Q, 10)]))
                .ok(1, assign(&[R]))
                .ok(1, work([silent(Q, 11)]))
                .polled(2, &swapped)
                .drained(2),
            History::new()
                .ok(1, work([silent(Q, 11)]))
                .ok(1, assign(&[R]))
                .ok(1, work([silent(Q, 10)]))
                .polled(2, &swapped)
                .drained(2),
        ),
    ]
}

/// Three records that were all read by process 9.
fn three_records() -> History {
    let sent = History::new().sent(1, 10, 0).sent(1, 11, 1).sent(1, 12, 2);
    sent.polled(9, &[(0, 10), (1, 11), (2, 12)])
}

fn polls() -> Vec<Case> {
    let all = [(0, 10), (1, 11), (2, 12)];
    vec![
        case(
            Anomaly::PollSkip,
            three_records().ok(2, assign(&[Q])).polled(2, &[(0, 10)]).polled(2, &[(2, 12)]).drained(3),
            three_records().ok(2, assign(&[Q])).polled(2, &[(0, 10)]).polled(2, &[(1, 11), (2, 12)]).drained(3),
        ),
        // After another assignment without the partition, nothing is known of where it reads.
        case(
            Anomaly::PollSkip,
            three_records()
                .ok(2, assign(&[Q]))
                .polled(2, &[(0, 10)])
                .ok(2, assign(&[Q, R]))
                .polled(2, &[(2, 12)])
                .drained(3),
            three_records()
                .ok(2, assign(&[Q]))
                .polled(2, &[(0, 10)])
                .ok(2, assign(&[R]))
                .ok(2, assign(&[Q]))
                .polled(2, &[(2, 12)])
                .drained(3),
        ),
        allowed(
            Anomaly::PollSkip,
            three_records().ok(2, subscribe(&["q"])).polled(2, &[(0, 10)]).polled(2, &[(2, 12)]).drained(3),
            three_records()
                .ok(2, subscribe(&["q"]))
                .polled(2, &[(0, 10)])
                .ok(2, subscribe(&["r"]))
                .polled(2, &[(2, 12)])
                .drained(3),
        ),
        case(
            Anomaly::NonmonotonicPoll,
            three_records().ok(2, assign(&[Q])).polled(2, &all).polled(2, &[(2, 12)]).drained(3),
            three_records().ok(2, assign(&[Q])).did(2, Kind::Fail, work([poll(Q, &all)])).polled(2, &all).drained(3),
        ),
        allowed(
            Anomaly::NonmonotonicPoll,
            three_records().ok(2, subscribe(&["q"])).polled(2, &all).polled(2, &[(2, 12)]).drained(3),
            three_records()
                .ok(2, subscribe(&["q"]))
                .polled(2, &all)
                .event(2, Kind::Ok, rebalance(&[Q]))
                .polled(2, &[(2, 12)])
                .drained(3),
        ),
        case(
            Anomaly::IntPollSkip,
            three_records().ok(2, work([poll(Q, &[(0, 10), (2, 12)])])).drained(3),
            three_records().ok(2, work([poll(Q, &all)])).drained(3),
        ),
        // A rebalance in the middle of the operation is an excuse, for its partitions.
        case(
            Anomaly::IntPollSkip,
            three_records()
                .event(2, Kind::Invoke, work([]))
                .event(2, Kind::Ok, rebalance(&[R]))
                .event(2, Kind::Ok, work([poll(Q, &[(0, 10)]), poll(Q, &[(2, 12)])]))
                .drained(3),
            three_records()
                .event(2, Kind::Invoke, work([]))
                .event(2, Kind::Ok, rebalance(&[Q]))
                .event(2, Kind::Ok, work([poll(Q, &[(0, 10)]), poll(Q, &[(2, 12)])]))
                .drained(3),
        ),
        // A gap in the offsets at which nobody saw anything is the place of a marker.
        case(
            Anomaly::IntPollSkip,
            three_records().sent(1, 13, 5).ok(2, work([poll(Q, &[(1, 11), (5, 13)])])).drained(6),
            three_records().sent(1, 13, 5).ok(2, work([poll(Q, &[(2, 12), (5, 13)])])).drained(6),
        ),
        case(
            Anomaly::IntNonmonotonicPoll,
            three_records().ok(2, work([poll(Q, &[(1, 11), (0, 10)])])).drained(3),
            three_records().ok(2, work([poll(Q, &[(0, 10), (1, 11)])])).drained(3),
        ),
    ]
}

fn cycles() -> Vec<Case> {
    let both = |q: i64, r: i64| [(Q, q), (R, r)];
    let reader = |history: History, q: &[(i64, u64)], r: &[(i64, u64)]| {
        history.ok(9, work([poll(Q, q)])).ok(9, work([poll(R, r)]))
    };
    let g0 = |swapped: bool| {
        let (first, second) = if swapped { (1, 0) } else { (0, 1) };
        let history = History::new()
            .event(1, Kind::Invoke, transaction([silent(Q, 10), silent(R, 11)]))
            .event(2, Kind::Invoke, transaction([silent(Q, 20), silent(R, 21)]))
            .event(1, Kind::Ok, transaction([send(Q, 10, 0), send(R, 11, first)]))
            .event(2, Kind::Ok, transaction([send(Q, 20, 1), send(R, 21, second)]));
        let r = if swapped { [(0, 21), (1, 11)] } else { [(0, 11), (1, 21)] };
        reader(history, &[(0, 10), (1, 20)], &r).drained_all(&both(4, 4))
    };
    let g1c = |circular: bool| {
        let read: &[(i64, u64)] = if circular { &[(0, 20)] } else { &[] };
        let history = History::new()
            .event(1, Kind::Invoke, transaction([silent(Q, 10)]))
            .event(2, Kind::Invoke, transaction([silent(R, 20)]))
            .event(1, Kind::Ok, transaction([send(Q, 10, 0), poll(R, read)]))
            .event(2, Kind::Ok, transaction([poll(Q, &[(0, 10)]), send(R, 20, 0)]));
        reader(history, &[(0, 10)], &[(0, 20)]).drained_all(&both(2, 2))
    };
    // The first writes before the second, and reads what the second wrote elsewhere.
    let g1c_ww = |circular: bool| {
        let (first, second) = if circular { (0, 1) } else { (1, 0) };
        let history = History::new()
            .event(1, Kind::Invoke, transaction([silent(Q, 10)]))
            .event(2, Kind::Invoke, transaction([silent(Q, 20), silent(R, 21)]))
            .event(2, Kind::Ok, transaction([send(Q, 20, second), send(R, 21, 0)]))
            .event(1, Kind::Ok, transaction([send(Q, 10, first), poll(R, &[(0, 21)])]));
        let q = if circular { [(0, 10), (1, 20)] } else { [(0, 20), (1, 10)] };
        reader(history, &q, &[(0, 21)]).drained_all(&both(4, 2))
    };
    // The second read from the first; the third began later, and the first read from it.
    let realtime = |circular: bool| {
        let read: &[(i64, u64)] = if circular { &[(0, 30)] } else { &[] };
        let history = History::new()
            .event(1, Kind::Invoke, transaction([silent(Q, 10)]))
            .ok(2, transaction([poll(Q, &[(0, 10)])]))
            .ok(3, transaction([send(R, 30, 0)]))
            .event(1, Kind::Ok, transaction([send(Q, 10, 0), poll(R, read)]));
        reader(history, &[(0, 10)], &[(0, 30)]).drained_all(&both(2, 2))
    };
    vec![
        allowed(Anomaly::G0, g0(true), g0(false)),
        case(Anomaly::G1c, g1c(true), g1c(false)),
        allowed(Anomaly::G1cWw, g1c_ww(true), g1c_ww(false)),
        case(Anomaly::G1cRealtime, realtime(true), realtime(false)),
    ]
}

fn commits() -> Vec<Case> {
    let group = || three_records().ok(2, subscribe(&["q"])).polled(2, &[(0, 10), (1, 11), (2, 12)]);
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

fn availability() -> Vec<Case> {
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

fn registers() -> Vec<Case> {
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

fn cases() -> Vec<Case> {
    [offsets(), lost(), reads(), sends(), polls(), cycles(), commits(), availability(), registers()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn each_is_found() {
    for (number, case) in cases().iter().enumerate() {
        let verdict = case.shows.verdict();
        let found =
            verdict.findings.iter().find(|finding| finding.anomaly == case.anomaly && finding.allowed == case.allowed);
        let found = found.unwrap_or_else(|| panic!("case {number}, {}: not found; {verdict}", case.anomaly.name()));
        assert!(found.total > 0 && !found.examples[0].operations.is_empty(), "case {number}: {found:?}");
        let expected = if case.allowed { Validity::Valid } else { Validity::Anomalies };
        assert_eq!(verdict.validity, expected, "case {number}, {}: {verdict}", case.anomaly.name());
    }
}

#[test]
fn legal_histories_are_valid() {
    for (number, case) in cases().iter().enumerate() {
        let verdict = case.legal.verdict();
        assert_eq!(
            verdict.validity,
            Validity::Valid,
            "case {number}, legal sibling of {}: {verdict}",
            case.anomaly.name()
        );
        let found =
            verdict.findings.iter().any(|finding| finding.anomaly == case.anomaly && finding.allowed == case.allowed);
        assert!(!found, "case {number}, {}: found in the legal sibling; {verdict}", case.anomaly.name());
    }
}

#[test]
fn all_anomalies_have_a_case() {
    let tested: BTreeSet<_> = cases().iter().map(|case| case.anomaly).collect();
    let missing: Vec<_> = Anomaly::ALL.iter().filter(|anomaly| !tested.contains(anomaly)).collect();
    assert!(missing.is_empty(), "without a case: {missing:?}");
}

#[test]
fn without_a_drain_nothing_is_known() {
    assert_eq!(two_records().polled(2, &[(0, 10)]).verdict().validity, Validity::Unknown);
    assert_eq!(History::new().verdict().validity, Validity::Unknown);
    // What is known to be wrong is wrong without it too.
    assert_eq!(two_records().polled(2, &[(0, 11)]).verdict().validity, Validity::Anomalies);
}
