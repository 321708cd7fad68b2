use caudal_types::TopicId;

use super::*;
use crate::command::{Command, Entry, OffsetCommit, TopicCommit};
use crate::tables::Changes;
use crate::transactions::{Participant, ProducerIdentity};

const WEEK_MS: i64 = 7 * 24 * 3_600_000;
const GROUP: &str = "g";

fn apply(tables: &mut Tables, time: TimestampMs, command: Command) {
    tables.apply_next(Entry { time, image_version: 0, commands: vec![command] }, &mut Changes::default());
}

fn of_id(id: &str, command: TransactionCommand) -> Command {
    Command::Transaction { id: id.into(), command }
}

fn init(fresh_id: ProducerId) -> TransactionCommand {
    TransactionCommand::Init { timeout_ms: 60_000, expected: None, fresh_id }
}

fn join(producer: ProducerIdentity) -> TransactionCommand {
    TransactionCommand::Join { producer, protocol: 1, participants: vec![Participant::Group(GROUP.into())] }
}

fn pending(command: PendingCommand) -> Command {
    Command::Pending { group: GROUP.into(), command }
}

fn add(producer: ProducerIdentity) -> PendingCommand {
    let commit =
        OffsetCommit { partition: 0, offset: 5, leader_epoch: -1, retention_ms: None, metadata: String::new() };
    let topic = TopicCommit { topic: "t".into(), id: TopicId::NIL, offsets: vec![commit] };
    PendingCommand::Add { producer, number: 1, topics: vec![topic] }
}

fn ids(found: Vec<Idle>) -> Vec<String> {
    let id = |idle| match idle {
        Idle::Id(id, _) => Some(id.to_string()),
        Idle::Ended(..) => None,
    };
    found.into_iter().filter_map(id).collect()
}

#[test]
fn a_transaction_is_late_by_either_clock() {
    let mut tables = Tables::default();
    let me = ProducerIdentity { id: 1, epoch: 0 };
    // The coordinator at its beginning had a clock that was an hour ahead.
    apply(&mut tables, 3_600_000, of_id("a", init(1)));
    apply(&mut tables, 3_600_000, of_id("a", join(me)));
    let row = tables.transactions.get("a").unwrap();
    let seen = Duration::from_millis;
    assert!(!is_late(row, 0, seen(59_999)));
    assert!(is_late(row, 0, seen(60_000)), "it has been seen for as long as it may take");
    assert!(!is_late(row, 3_659_999, Duration::ZERO));
    assert!(is_late(row, 3_660_000, Duration::ZERO), "another coordinator knows it from before");
}

#[test]
fn ids_that_nobody_uses_expire() {
    let mut tables = Tables::default();
    for (id, producer_id) in [("a", 1), ("b", 2), ("c", 3)] {
        apply(&mut tables, 100, of_id(id, init(producer_id)));
    }
    let (goes_on, prepared) = (ProducerIdentity { id: 1, epoch: 0 }, ProducerIdentity { id: 2, epoch: 0 });
    apply(&mut tables, 100, of_id("a", join(goes_on)));
    apply(&mut tables, 100, of_id("b", join(prepared)));
    apply(
        &mut tables,
        100,
        of_id("b", TransactionCommand::End { producer: prepared, protocol: 1, commit: true, fresh_id: -1 }),
    );
    assert_eq!(idle_rows(&tables, 100 + WEEK_MS - 1, WEEK_MS), []);
    assert_eq!(idle_rows(&tables, 100 + WEEK_MS, WEEK_MS), [Idle::Id("c".into(), 100)], "neither is over");
    assert_eq!(idle_rows(&tables, 100 + 1000, 1000), [Idle::Id("c".into(), 100)], "it is as long as is configured");

    apply(&mut tables, 200, of_id("b", TransactionCommand::Complete { number: 1 }));
    assert_eq!(ids(idle_rows(&tables, 100 + WEEK_MS, WEEK_MS)), ["c"], "it counts from its last use");
    assert_eq!(ids(idle_rows(&tables, 200 + WEEK_MS, WEEK_MS)), ["b", "c"]);
    apply(&mut tables, 300, of_id("c", init(-1)));
    assert_eq!(ids(idle_rows(&tables, 200 + WEEK_MS, WEEK_MS)), ["b"], "somebody has taken it over");

    for idle in idle_rows(&tables, 300 + WEEK_MS, WEEK_MS) {
        let Idle::Id(id, updated_at) = idle else { panic!("{idle:?}") };
        apply(&mut tables, 300 + WEEK_MS, of_id(&id, TransactionCommand::Forget { updated_at }));
    }
    assert_eq!(tables.transactions.iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn ends_of_transactions_are_known_for_an_hour() {
    let mut tables = Tables::default();
    let me = ProducerIdentity { id: 7, epoch: 0 };
    apply(&mut tables, 100, pending(add(me)));
    assert_eq!(idle_rows(&tables, 100 + 2 * ENDED_KEPT_MS, WEEK_MS), [], "it has not ended");
    apply(&mut tables, 200, pending(PendingCommand::End { producer: me, number: 1, commit: true }));
    assert_eq!(idle_rows(&tables, 200 + ENDED_KEPT_MS - 1, WEEK_MS), []);
    let key = PendingRowKey { group: GROUP.into(), producer_id: 7 };
    assert_eq!(idle_rows(&tables, 200 + ENDED_KEPT_MS, WEEK_MS), [Idle::Ended(key.clone(), 1)]);
    apply(&mut tables, 300, pending(PendingCommand::Forget { producer_id: 7, number: 1 }));
    assert_eq!(tables.pending.get(&key), None);
    assert_eq!(tables.offset(GROUP, "t", 0).map(|row| row.offset), Some(5), "what it committed stays");
}

#[test]
fn many_idle_rows_go_piece_by_piece() {
    let mut tables = Tables::default();
    let count = IDLE_AT_ONCE + 1;
    for (id, producer_id) in (0..count).zip(1..) {
        apply(&mut tables, 100, of_id(&id.to_string(), init(producer_id)));
    }
    assert_eq!(idle_rows(&tables, 100 + WEEK_MS, WEEK_MS).len(), IDLE_AT_ONCE);
}
