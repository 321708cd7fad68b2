//! Replicas that apply the same log are the same, however the log comes to them.

use proptest::prelude::*;

use caudal_raft::StateMachine;
use caudal_storage::keys::index;
use caudal_storage::{ColumnFamily, Engine, ScanLimit};
use caudal_types::Offset;

use crate::command::Command;
use crate::read::aborted;
use crate::reply::Reply;
use crate::state::Settings;
use crate::testing::{BatchSpec, Entry, Replica, dump};
use crate::{AbortedTransaction, AppendError, Appended, EndMarker, Enlistment};

fn append(term: u64, time: i64, spec: &BatchSpec) -> Entry {
    Entry { term, command: Some((time, Command::Append(spec.build()))) }
}

fn outcomes(replica: &mut Replica, entries: &[Entry]) -> Vec<Result<Appended, AppendError>> {
    replica.apply(entries).iter().map(|reply| Reply::into_append_outcome(reply)).collect()
}

fn base(outcome: &Result<Appended, AppendError>) -> Offset {
    outcome.as_ref().unwrap().base_offset
}

/// The base and last offset of every indexed batch.
fn indexed(replica: &Replica) -> Vec<(Offset, Offset)> {
    let (from, to) = index::group_range(Replica::GROUP);
    let rows = replica.engine.scan(ColumnFamily::Index, from.as_ref()..to.as_ref(), ScanLimit::NONE).unwrap();
    let spans = rows.iter().map(|(key, value)| index::decode(key, value).unwrap());
    spans.map(|row| (row.base_offset, row.last_offset)).collect()
}

#[test]
fn offsets_are_dense_whatever_is_refused() {
    let mut replica = Replica::new();
    let mine = |records, sequence| BatchSpec::plain(records).from(9, 0, sequence);
    let entries = [
        Entry { term: 1, command: None },
        append(1, 10, &BatchSpec::plain(3)),
        append(1, 11, &mine(2, 0)),
        append(1, 12, &mine(2, 0)),
        append(1, 13, &mine(2, 5)),
        Entry { term: 2, command: None },
        append(2, 14, &mine(4, 2)),
    ];
    let outcomes = outcomes(&mut replica, &entries);
    assert_eq!(base(&outcomes[1]), 0);
    assert_eq!(base(&outcomes[2]), 3);
    assert_eq!(base(&outcomes[3]), 3);
    assert!(outcomes[3].as_ref().unwrap().duplicate);
    assert!(matches!(outcomes[4], Err(AppendError::OutOfOrderSequence { got: 5, last: 1 })));
    assert_eq!(base(&outcomes[6]), 5);
    assert_eq!(indexed(&replica), [(0, 2), (3, 4), (5, 8)]);
    assert_eq!(replica.offsets().high_watermark, 9);
    assert_eq!(replica.offsets().last_stable, 9);
    let published = replica.machine.published();
    assert_eq!(published.view().epochs.end_of(1, 9), (1, 5));
}

#[test]
fn a_duplicate_of_log_append_time_answers_with_the_first_time() {
    let mut replica = Replica::new();
    let spec = |time| BatchSpec { attributes: 8, ..BatchSpec::plain(1).at(time).from(1, 0, 0) };
    let outcomes = outcomes(&mut replica, &[append(1, 10, &spec(10)), append(1, 20, &spec(20))]);
    assert_eq!(outcomes[0].as_ref().unwrap().log_append_time, 10);
    assert_eq!(outcomes[1].as_ref().unwrap().log_append_time, 10);
    let plain = append(1, 20, &BatchSpec::plain(1).at(20));
    assert_eq!(self::outcomes(&mut replica, &[plain])[0].as_ref().unwrap().log_append_time, -1);
}

#[test]
fn producers_expire_by_the_logs_time() {
    let mut replica = Replica::new();
    let settings = Settings { producer_expiration_ms: 1000, ..Settings::default() };
    let from = |sequence| BatchSpec::plain(1).from(1, 0, sequence);
    let entries = [
        Entry { term: 1, command: Some((0, Command::Configure(settings))) },
        append(1, 500, &from(0)),
        // A clock that goes back does not count.
        append(1, 100, &from(7)),
        append(1, 1499, &from(7)),
        append(1, 1500, &from(7)),
    ];
    let outcomes = outcomes(&mut replica, &entries);
    assert!(matches!(outcomes[2], Err(AppendError::OutOfOrderSequence { .. })));
    assert!(matches!(outcomes[3], Err(AppendError::OutOfOrderSequence { .. })));
    assert_eq!(base(&outcomes[4]), 1);
}

#[test]
fn segments_close_by_size_and_by_age() {
    let mut replica = Replica::new();
    let len = BatchSpec::plain(1).build().bytes().len() as u64 + 12;
    let settings = Settings { segment_bytes: 2 * len, segment_ms: 1000, ..Settings::default() };
    let batch = |time| append(1, time, &BatchSpec::plain(1).at(time));
    let configure = Entry { term: 1, command: Some((0, Command::Configure(settings))) };
    replica.apply(&[configure, batch(1), batch(2), batch(3), batch(1003), batch(1004), batch(1005)]);
    let published = replica.machine.published();
    let view = published.view();
    let closed: Vec<_> = view.segments.iter().map(|segment| (segment.base, segment.end, segment.last_index)).collect();
    assert_eq!(closed, [(0, 2, 3), (2, 4, 5)], "two batches fit");
    assert_eq!(view.segments[1].max_timestamp, 1003);
    assert_eq!((view.open.base, view.open.first_time), (4, 1004));
    drop(view);
    replica.apply(&[batch(2005)]);
    assert_eq!(published.view().open.base, 6, "the first batch is more than segment.ms old");
}

#[test]
fn the_open_segment_ends_when_all_before_it_goes() {
    let mut replica = Replica::new();
    let advance = |offset| Entry { term: 1, command: Some((9, Command::AdvanceLogStart(offset))) };
    replica.apply(&[append(1, 1, &BatchSpec::plain(3)), advance(2)]);
    assert_eq!(replica.machine.snapshot().unwrap().index, 0, "the segment that holds the start is needed");
    replica.apply(&[advance(99), advance(99), advance(1)]);
    let offsets = replica.offsets();
    assert_eq!((offsets.log_start, offsets.high_watermark), (3, 3));
    let published = replica.machine.published();
    assert_eq!((published.view().checkpoint_index, published.view().open.base), (2, 3));
    assert_eq!(replica.machine.snapshot().unwrap().index, 2, "the log up to the entry before is not needed");
    assert_eq!(indexed(&replica), []);
    let reopened = replica.reopen();
    assert_eq!(reopened.machine.published().view().checkpoint_index, 2);
}

#[test]
fn records_of_an_open_transaction_may_go_and_the_transaction_stays() {
    let mut replica = Replica::new();
    let mine = |sequence| BatchSpec::plain(2).from(9, 0, sequence);
    replica.apply(&[at(1, append_to(1, 1, &mine(0))), at(2, Command::AdvanceLogStart(2))]);
    assert_eq!((replica.offsets().log_start, replica.offsets().last_stable), (2, 2));
    let snapshot = replica.machine.snapshot().unwrap();
    let mut late = Replica::installed(&snapshot);
    late.apply(&[at(2, Command::AdvanceLogStart(2))]);
    for replica in [&mut replica, &mut late] {
        replica.apply(&[at(3, append_to(1, 1, &mine(2))), append(1, 4, &BatchSpec::plain(1))]);
        assert_eq!((replica.offsets().last_stable, replica.offsets().high_watermark), (2, 5));
        replica.apply(&[at(5, end(9, 0, 1, false))]);
        assert_eq!(replica.offsets().last_stable, 6);
        let aborted = AbortedTransaction { producer_id: 9, first_offset: 0, last_offset: 5 };
        let published = replica.machine.published();
        assert_eq!(published.view().aborted.between(2, 6), Some(vec![aborted]), "readers skip what is left of it");
    }
    assert_eq!(dump(replica.engine.as_ref(), Replica::GROUP), dump(late.engine.as_ref(), Replica::GROUP));
}

#[test]
fn with_nothing_purged_the_snapshot_is_empty() {
    let mut replica = Replica::new();
    replica.apply(&[append(1, 1, &BatchSpec::plain(3))]);
    let snapshot = replica.machine.snapshot().unwrap();
    assert_eq!(snapshot.index, 0);
    let fresh = Replica::installed(&snapshot);
    assert_eq!(fresh.offsets(), Default::default());
}

const TRANSACTIONAL: i16 = 0x10;

fn append_to(number: u64, version: u8, spec: &BatchSpec) -> Command {
    let enlistment = Enlistment { number, version, transactional_id: "billing".into() };
    Command::AppendToTransaction(enlistment, BatchSpec { attributes: TRANSACTIONAL, ..spec.clone() }.build())
}

fn end(producer_id: i64, epoch: i16, number: u64, commit: bool) -> Command {
    let marker = EndMarker { producer_id, epoch, number, coordinator_epoch: 1, commit };
    Command::EndTransaction(marker, marker.batch(0).unwrap())
}

fn at(time: i64, command: Command) -> Entry {
    Entry { term: 1, command: Some((time, command)) }
}

#[test]
fn a_transaction_holds_the_last_stable_offset_back_until_its_marker() {
    let mut replica = Replica::new();
    let mine = |sequence| BatchSpec::plain(2).from(9, 0, sequence);
    let others = |sequence| BatchSpec::plain(1).from(8, 3, sequence);
    replica.apply(&[
        append(1, 1, &BatchSpec::plain(3)),
        at(2, append_to(1, 2, &mine(0))),
        at(3, append_to(7, 1, &others(0))),
        append(1, 4, &BatchSpec::plain(1)),
    ]);
    let stable = |replica: &Replica| (replica.offsets().last_stable, replica.offsets().high_watermark);
    assert_eq!(stable(&replica), (3, 7));
    let mut replica = replica.reopen();
    assert_eq!(stable(&replica), (3, 7), "from the rows, too");
    let replies = replica.apply(&[at(5, end(9, 1, 1, false)), at(6, end(9, 1, 1, false))]);
    assert!(replies.iter().all(|reply| Reply::into_end_outcome(reply).is_ok()));
    assert_eq!(stable(&replica), (5, 8), "a marker takes one offset, and once");
    let late = replica.apply(&[at(7, append_to(1, 2, &mine(2)))]);
    assert!(matches!(Reply::into_append_outcome(&late[0]), Err(AppendError::FencedProducer { got: 0, current: 1 })));
    replica.apply(&[at(8, end(8, 3, 7, true))]);
    assert_eq!(stable(&replica), (9, 9));

    let aborted = AbortedTransaction { producer_id: 9, first_offset: 3, last_offset: 7 };
    let published = replica.machine.published();
    for (from, to, expected) in [(7, 9, vec![aborted]), (8, 9, vec![])] {
        assert_eq!(published.view().aborted.between(from, to), Some(expected));
    }
    let stored = |from, to| aborted::stored(replica.engine.as_ref(), Replica::GROUP, from, to).unwrap();
    assert_eq!(stored(0, 4), [aborted]);
    assert_eq!(stored(0, 3), []);
    assert_eq!(stored(8, 9), []);
}

#[test]
fn a_batch_needs_its_transaction() {
    let mut replica = Replica::new();
    let mine = |sequence| BatchSpec::plain(1).from(9, 0, sequence);
    let replies = replica.apply(&[
        at(1, append_to(1, 1, &mine(0))),
        append(1, 2, &mine(1)),
        at(3, append_to(2, 1, &mine(1))),
        at(4, end(9, 0, 1, true)),
        at(5, append_to(1, 1, &mine(1))),
        at(6, append_to(2, 1, &mine(1))),
        at(7, end(9, 0, 1, false)),
    ]);
    let outcome = |at: usize| Reply::into_append_outcome(&replies[at]);
    for late in [1, 2, 4] {
        assert!(matches!(outcome(late), Err(AppendError::NotInTransaction)), "{late}");
    }
    assert_eq!(outcome(5).unwrap().base_offset, 2);
    assert_eq!(replica.offsets().last_stable, 2, "the marker of the transaction before does not end this one");
}

/// Commands of a few transactional producers, whose coordinators come late, again, or too early.
fn a_transactional_command() -> impl Strategy<Value = Command> {
    let (id, epoch, number) = (0..3i64, 0..2i16, 1..5u64);
    let batch = (1..3i32, id.clone(), epoch.clone(), 0..4i32, number.clone(), 1..3u8).prop_map(
        |(records, id, epoch, sequence, number, version)| {
            append_to(number, version, &BatchSpec::plain(records).from(id, epoch, sequence))
        },
    );
    let marker =
        (id, epoch, number, any::<bool>()).prop_map(|(id, epoch, number, commit)| end(id, epoch, number, commit));
    prop_oneof![3 => batch, 2 => marker]
}

/// Commands of a few producers, some of which repeat themselves, skip, or come back with a new epoch.
fn a_command() -> impl Strategy<Value = Command> {
    let plain = (1..4i32, 0..1000i64).prop_map(|(records, time)| BatchSpec::plain(records).at(time));
    let idempotent = (1..3i32, 0..3i64, 0..2i16, 0..6i32, 0..1000i64)
        .prop_map(|(records, id, epoch, sequence, time)| BatchSpec::plain(records).at(time).from(id, epoch, sequence));
    let settings = (1..6u64, 1..400i64, 1..400i64, 1..4u32).prop_map(|(batches, ms, expiration, max)| Settings {
        segment_bytes: batches * 90,
        segment_ms: ms,
        producer_expiration_ms: expiration,
        producers_max: max,
    });
    prop_oneof![
        4 => plain.prop_map(|spec| Command::Append(spec.build())),
        12 => idempotent.prop_map(|spec| Command::Append(spec.build())),
        1 => settings.prop_map(Command::Configure),
        1 => (0..200i64).prop_map(Command::AdvanceLogStart),
    ]
}

fn a_log_of<C: Strategy<Value = Command>>(command: C) -> impl Strategy<Value = Vec<Entry>> {
    let step = (prop_oneof![10 => command.prop_map(Some), 1 => Just(None)], -50..100i64);
    proptest::collection::vec(step, 1..120).prop_map(|steps| {
        let (mut term, mut clock) = (1, 0);
        let entry = |(command, step): (Option<Command>, i64)| {
            clock += step;
            term += u64::from(command.is_none());
            Entry { term, command: command.map(|command| (clock, command)) }
        };
        steps.into_iter().map(entry).collect()
    })
}

fn a_log() -> impl Strategy<Value = Vec<Entry>> {
    a_log_of(a_command())
}

fn a_log_with_transactions() -> impl Strategy<Value = Vec<Entry>> {
    a_log_of(prop_oneof![a_command(), a_transactional_command()])
}

/// Applies a log in pieces; reopens after the pieces that say so.
fn apply_in_pieces(log: &[Entry], pieces: &[(usize, bool)]) -> (Replica, Vec<bytes::Bytes>) {
    let (mut replica, mut replies, mut rest) = (Replica::new(), Vec::new(), log);
    for &(len, reopen) in pieces.iter().cycle() {
        let (now, later) = rest.split_at(len.min(rest.len()));
        replies.extend(replica.apply(now));
        rest = later;
        if reopen {
            replica = replica.reopen();
        }
        if rest.is_empty() {
            break;
        }
    }
    (replica, replies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_however_the_log_is_cut(
        log in a_log_with_transactions(),
        pieces in proptest::collection::vec((1..20usize, any::<bool>()), 1..10),
    ) {
        let mut whole = Replica::new();
        let replies = whole.apply(&log);
        let (pieced, same_replies) = apply_in_pieces(&log, &pieces);
        prop_assert_eq!(replies, same_replies);
        prop_assert_eq!(dump(whole.engine.as_ref(), Replica::GROUP), dump(pieced.engine.as_ref(), Replica::GROUP));
        prop_assert_eq!(whole.offsets(), pieced.offsets());
        let index = whole.index;
        // What lies in the rows is what lies in memory.
        let memory = |replica: &Replica| {
            let published = replica.machine.published();
            let view = published.view();
            (view.epochs.clone(), view.open_transactions.clone(), published.offsets())
        };
        let before = memory(&whole);
        let reopened = whole.reopen();
        prop_assert_eq!(before, memory(&reopened));
        prop_assert_eq!(index, reopened.index);
    }

    #[test]
    fn accepted_batches_are_dense_and_duplicates_point_back(log in a_log()) {
        let mut replica = Replica::new();
        let replies = replica.apply(&log);
        let mut next = 0;
        let mut bases = std::collections::HashSet::new();
        for (entry, reply) in log.iter().zip(&replies) {
            let Some((_, Command::Append(batch))) = &entry.command else { continue };
            match Reply::into_append_outcome(reply) {
                Ok(appended) if appended.duplicate => prop_assert!(bases.contains(&(appended.base_offset, batch.last_offset_delta()))),
                Ok(appended) => {
                    prop_assert_eq!(appended.base_offset, next);
                    bases.insert((next, batch.last_offset_delta()));
                    next += i64::from(batch.record_count());
                }
                Err(AppendError::OutOfOrderSequence { .. } | AppendError::FencedProducer { .. }) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        prop_assert_eq!(replica.offsets().high_watermark, next);
    }

    #[test]
    fn what_is_not_stable_is_open(log in a_log_with_transactions()) {
        let mut replica = Replica::new();
        for entry in &log {
            replica.apply(std::slice::from_ref(entry));
            let (published, offsets) = (replica.machine.published(), replica.offsets());
            let first = published.view().open_transactions.values().map(|open| open.transaction.first_offset).min();
            let expected = first.map_or(offsets.high_watermark, |first| first.max(offsets.log_start));
            prop_assert_eq!(offsets.last_stable, expected);
            prop_assert!(offsets.last_stable <= offsets.high_watermark);
        }
        let (published, end) = (replica.machine.published(), replica.offsets().high_watermark);
        for from in 0..end {
            let stored = aborted::stored(replica.engine.as_ref(), Replica::GROUP, from, end).unwrap();
            let start = replica.offsets().log_start;
            let in_memory = published.view().aborted.between(from, end).unwrap();
            prop_assert_eq!(stored, in_memory.into_iter().filter(|gone| gone.last_offset >= start).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_replica_made_from_a_checkpoint_catches_up(log in a_log_with_transactions()) {
        let mut whole = Replica::new();
        let replies = whole.apply(&log);
        let snapshot = whole.machine.snapshot().unwrap();
        let mut late = Replica::installed(&snapshot);
        let rest = &log[usize::try_from(snapshot.index).unwrap()..];
        let late_replies = late.apply(rest);
        // The log's start in the answers may differ: a late replica knows none before its checkpoint.
        let bases = |replies: &[bytes::Bytes]| -> Vec<_> {
            replies.iter().map(|reply| Reply::into_append_outcome(reply).map(|appended| (appended.base_offset, appended.duplicate)).ok()).collect()
        };
        prop_assert_eq!(bases(&replies[replies.len() - rest.len()..]), bases(&late_replies));
        prop_assert_eq!(whole.offsets(), late.offsets());
        prop_assert_eq!(dump(whole.engine.as_ref(), Replica::GROUP), dump(late.engine.as_ref(), Replica::GROUP));
    }
}
