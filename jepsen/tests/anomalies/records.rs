//! Where records are, and who reads them.

use caudal_jepsen::check::Anomaly;
use caudal_jepsen::history::{Kind, Op};

use crate::support::{History, Q, R, assign, poll, send, silent, transaction, work};
use crate::{Case, case};

/// Two records, and process 2 about to read them.
pub(crate) fn two_records() -> History {
    History::new().sent(1, 10, 0).sent(1, 11, 1).ok(2, assign(&[Q]))
}

pub(crate) fn offsets() -> Vec<Case> {
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

pub(crate) fn lost() -> Vec<Case> {
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
    ]
}

pub(crate) fn unseen() -> Vec<Case> {
    vec![
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

pub(crate) fn reads() -> Vec<Case> {
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
