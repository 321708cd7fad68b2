//! The life of a log: what retention, DeleteRecords and log compaction may not do.

use caudal_jepsen::check::Anomaly;
use caudal_jepsen::history::{Kept, Kind, Offset, Op, Put, Start, Value};

use crate::support::History;
use crate::{Case, case};

/// The partition of these histories.
const L: &str = "life-0";

fn put(name: u32, value: Option<Value>, offset: Offset) -> Op {
    Op::Put { puts: vec![Put { key: L.to_owned(), name, value, offset: Some(offset) }], transactional: false }
}

/// Records are offset, name and value.
type Records<'a> = &'a [(Offset, u32, Option<Value>)];

fn scan(compacted: bool, last: bool, records: Records<'_>, end: Offset, start: Option<(i32, Offset)>) -> Op {
    let records = records.iter().map(|(offset, name, value)| Kept { offset: *offset, name: *name, value: *value });
    let start = start.map(|(epoch, offset)| Start { epoch, offset });
    Op::Scan { key: L.to_owned(), compacted, last, records: records.collect(), end, start }
}

fn kept(records: Records<'_>, end: Offset, start: (i32, Offset)) -> Op {
    scan(false, false, records, end, Some(start))
}

fn compacted(records: Records<'_>, end: Offset) -> Op {
    scan(true, false, records, end, None)
}

fn last(records: Records<'_>, end: Offset) -> Op {
    scan(true, true, records, end, None)
}

fn trim(start: Offset) -> Op {
    Op::Trim { key: L.to_owned(), before: start, start: Some(start) }
}

/// Name 1 has 10 and then 12, name 2 has 11.
fn written() -> History {
    History::new().ok(0, put(1, Some(10), 0)).ok(0, put(2, Some(11), 1)).ok(0, put(1, Some(12), 2))
}

const ALL: Records<'static> = &[(0, 1, Some(10)), (1, 2, Some(11)), (2, 1, Some(12))];

pub(crate) fn logs() -> Vec<Case> {
    vec![
        case(
            Anomaly::OffsetChanged,
            written().ok(2, compacted(&[(1, 2, Some(12)), (2, 1, Some(12))], 3)),
            written().ok(2, compacted(&ALL[1..], 3)),
        ),
        case(
            Anomaly::OffsetChanged,
            written().ok(0, put(1, None, 3)).ok(2, compacted(&[(1, 2, Some(11)), (3, 2, None)], 4)),
            written().ok(0, put(1, None, 3)).ok(2, compacted(&[(1, 2, Some(11)), (3, 1, None)], 4)),
        ),
        case(
            Anomaly::G1a,
            written()
                .did(1, Kind::Fail, put(3, Some(13), 3))
                .ok(2, compacted(&[(1, 2, Some(11)), (2, 1, Some(12)), (3, 3, Some(13))], 4)),
            written()
                .did(1, Kind::Info, put(3, Some(13), 3))
                .ok(2, compacted(&[(1, 2, Some(11)), (2, 1, Some(12)), (3, 3, Some(13))], 4)),
        ),
        case(
            Anomaly::GarbageRead,
            written().ok(2, compacted(&[(1, 2, Some(11)), (2, 1, Some(12)), (3, 3, Some(99))], 4)),
            written().ok(2, compacted(&ALL[1..], 4)),
        ),
        case(
            Anomaly::KeptLost,
            written().ok(2, kept(&[(0, 1, Some(10)), (2, 1, Some(12))], 3, (1, 0))),
            written().ok(2, kept(&ALL[2..], 3, (1, 2))),
        ),
        // What was not read that far is not judged, nor what was put meanwhile.
        case(
            Anomaly::KeptLost,
            written().ok(2, kept(&ALL[1..2], 3, (1, 1))),
            written().ok(2, kept(&ALL[1..2], 2, (1, 1))),
        ),
        case(
            Anomaly::StartFell,
            written().ok(2, kept(&ALL[1..], 3, (1, 1))).ok(2, kept(ALL, 3, (2, 0))),
            // A leader that has been replaced does not know what became of the log.
            written().ok(2, kept(&ALL[1..], 3, (2, 1))).ok(2, kept(ALL, 3, (1, 0))),
        ),
        case(
            Anomaly::StartFell,
            written().ok(3, trim(2)).ok(2, scan(false, true, &ALL[2..], 3, Some((1, 1)))),
            written().ok(3, trim(2)).ok(2, scan(false, true, &ALL[2..], 3, Some((1, 2)))),
        ),
        case(
            Anomaly::CameBack,
            written().ok(3, trim(2)).ok(2, scan(false, true, &ALL[1..], 3, Some((1, 2)))),
            written().ok(3, trim(1)).ok(2, scan(false, true, &ALL[1..], 3, Some((1, 1)))),
        ),
    ]
}

pub(crate) fn compaction() -> Vec<Case> {
    let gone = || written().ok(0, put(1, None, 3));
    vec![
        case(Anomaly::LostKey, written().ok(2, compacted(&ALL[2..], 3)), written().ok(2, compacted(&ALL[1..], 3))),
        case(
            Anomaly::LostKey,
            written().ok(2, compacted(&ALL[..2], 3)),
            // It was not read as far as the newer one.
            written().ok(2, compacted(&ALL[..2], 2)),
        ),
        // A tombstone that may never have been written explains what is gone; one that was refused does not.
        case(
            Anomaly::LostKey,
            written().did(1, Kind::Fail, put(1, None, 3)).ok(2, compacted(&ALL[1..2], 4)),
            written().did(1, Kind::Info, put(1, None, 3)).ok(2, compacted(&ALL[1..2], 4)),
        ),
        // A tombstone from before the newest record explains nothing.
        case(
            Anomaly::LostKey,
            gone().ok(0, put(1, Some(14), 4)).ok(2, compacted(&ALL[1..2], 5)),
            gone().ok(0, put(1, Some(14), 4)).ok(2, compacted(&[(1, 2, Some(11)), (4, 1, Some(14))], 5)),
        ),
        case(
            Anomaly::Resurrected,
            gone().ok(2, last(&ALL[..2], 4)).ok(2, last(&ALL[..2], 4)),
            gone().ok(2, last(&ALL[..2], 4)).ok(2, last(&ALL[1..2], 4)),
        ),
    ]
}
