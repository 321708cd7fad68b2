//! In which order records are sent and read.

use caudal_jepsen::check::Anomaly;
use caudal_jepsen::history::Kind;

use crate::support::{History, Q, R, assign, poll, rebalance, send, silent, subscribe, transaction, work};
use crate::{Case, allowed, case};

pub(crate) fn sends() -> Vec<Case> {
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
pub(crate) fn three_records() -> History {
    let sent = History::new().sent(1, 10, 0).sent(1, 11, 1).sent(1, 12, 2);
    sent.polled(9, &[(0, 10), (1, 11), (2, 12)])
}

pub(crate) fn polls() -> Vec<Case> {
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
    ]
}

pub(crate) fn int_polls() -> Vec<Case> {
    let all = [(0, 10), (1, 11), (2, 12)];
    vec![
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

pub(crate) fn cycles() -> Vec<Case> {
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
