//! Offsets that transactions have for a group, beside those that are committed, with the log played by hand.

use super::*;
use crate::command::{OffsetCommit, TopicCommit};
use crate::transactions::ProducerIdentity;
use crate::transactions::command::PendingCommand;
use crate::transactions::reply::Reply;

const ME: ProducerIdentity = ProducerIdentity { id: 70, epoch: 0 };

fn add(number: u64, topic: &str, offset: i64) -> PendingCommand {
    let commit = OffsetCommit { partition: 0, offset, leader_epoch: -1, retention_ms: None, metadata: String::new() };
    let id = TopicId(Uuid::from_u128(if topic == "t" { 1 } else { 2 }));
    PendingCommand::Add {
        producer: ME,
        number,
        topics: vec![TopicCommit { topic: topic.into(), id, offsets: vec![commit] }],
    }
}

fn end(number: u64, commit: bool) -> PendingCommand {
    PendingCommand::End { producer: ME, number, commit }
}

impl Rig {
    /// What a transaction's command changes.
    fn pending(&mut self, command: PendingCommand) -> Changes {
        let commands = vec![Command::Pending { group: "g".into(), command }];
        let mut changes = Changes::default();
        let reply = self.tables.apply_next(Entry { time: self.now.wall, image_version: 0, commands }, &mut changes);
        assert_eq!(reply, Some(Reply::Done));
        changes
    }

    /// A plain commit of offset 7.
    fn plain(&mut self, topic: &str) {
        self.commit(topic, &nobody()).unwrap();
        self.commit_all();
    }

    fn look_for_expired(&mut self) {
        self.advance(600_000);
        self.commit_all();
    }
}

#[test]
fn what_a_transaction_is_about_to_commit_does_not_expire() {
    let mut rig = Rig::new();
    rig.plain("t");
    rig.plain("u");
    rig.pending(add(1, "t", 9));
    rig.look_for_expired();
    rig.look_for_expired();
    assert_eq!((rig.committed("t"), rig.committed("u")), (Some(7), None));
    rig.look_for_expired();
    assert_eq!(rig.committed("t"), Some(7));
    rig.pending(end(1, false));
    rig.look_for_expired();
    assert!(!rig.tables.has_group("g"), "it is aborted, and was due long since");

    // What is committed with a transaction is as young as its end.
    rig.plain("t");
    rig.pending(add(2, "t", 9));
    rig.look_for_expired();
    rig.look_for_expired();
    rig.pending(end(2, true));
    rig.look_for_expired();
    assert_eq!(rig.committed("t"), Some(9));
    rig.look_for_expired();
    assert!(!rig.tables.has_group("g"));
}

#[test]
fn a_plain_commit_counts_before_a_transaction_that_had_its_offset_already() {
    let mut rig = Rig::new();
    rig.pending(add(1, "t", 9));
    rig.pending(add(1, "u", 9));
    rig.plain("t");
    assert!(rig.tables.pending.has("g", "t", 0), "the transaction has not ended");
    rig.pending(end(1, true));
    assert!(!rig.tables.pending.has("g", "t", 0));
    assert_eq!((rig.committed("t"), rig.committed("u")), (Some(7), Some(9)));

    rig.pending(add(2, "t", 11));
    rig.plain("t");
    rig.pending(add(2, "t", 12));
    rig.pending(end(2, true));
    assert_eq!(rig.committed("t"), Some(12), "the transaction's came last");

    rig.pending(add(3, "t", 13));
    rig.plain("t");
    rig.pending(end(3, false));
    assert_eq!(rig.committed("t"), Some(7));
}

#[test]
fn what_is_committed_plainly_does_not_expire_while_a_transaction_has_the_partition() {
    let mut rig = Rig::new();
    rig.pending(add(1, "t", 9));
    rig.plain("t");
    for _ in 0..3 {
        rig.look_for_expired();
    }
    assert_eq!(rig.committed("t"), Some(7));
    rig.pending(end(1, true));
    assert_eq!(rig.committed("t"), Some(7), "the transaction's came first");
    rig.look_for_expired();
    assert!(!rig.tables.has_group("g"));
}

#[test]
fn a_group_is_there_while_a_transaction_has_offsets_for_it() {
    let mut rig = Rig::new();
    rig.pending(add(1, "t", 9));
    let listed = rig.leader.list(&rig.tables);
    assert_eq!((listed.len(), listed[0].state), (1, "Empty"));
    for _ in 0..3 {
        rig.look_for_expired();
    }
    assert!(rig.tables.has_group("g"));
    rig.pending(end(1, true));
    assert_eq!(rig.committed("t"), Some(9));
}

#[test]
fn a_deleted_topic_takes_along_what_transactions_have_in_it() {
    let mut rig = Rig::new();
    rig.pending(add(1, "t", 9));
    rig.pending(add(1, "u", 9));
    // "t" is another topic by now, which nobody has read yet.
    let now = image(2, &[("t", 3), ("u", 2)]);
    rig.leader.sweep_topics(&rig.tables, &now);
    assert!(rig.replicate());
    assert!(!rig.tables.pending.has("g", "t", 0) && rig.tables.pending.has("g", "u", 0));
    rig.leader.sweep_topics(&rig.tables, &now);
    assert!(!rig.replicate(), "once is enough");
    rig.pending(end(1, true));
    assert_eq!((rig.committed("t"), rig.committed("u")), (None, Some(9)));
}

#[test]
fn a_deleted_group_takes_along_what_transactions_have_for_it() {
    for with_offsets in [true, false] {
        let mut rig = Rig::new();
        if with_offsets {
            rig.plain("u");
        }
        rig.pending(add(1, "t", 9));
        let mut deleted = rig.leader.delete(&rig.tables, "g").unwrap();
        rig.commit_all();
        assert!(deleted.try_recv().is_ok());
        assert!(!rig.tables.has_group("g"));
        assert_eq!(rig.leader.delete(&rig.tables, "g").unwrap_err(), GroupError::GroupNotFound("g".to_owned()));
        rig.pending(add(1, "u", 10));
        rig.pending(end(1, true));
        assert_eq!((rig.committed("t"), rig.committed("u")), (None, Some(10)), "what is added behind it counts");
    }
}

#[test]
fn a_deleted_offset_takes_along_what_transactions_have_for_its_partition() {
    let mut rig = Rig::new();
    rig.plain("t");
    rig.pending(add(1, "t", 9));
    rig.pending(add(1, "u", 9));
    let (results, _) = rig.leader.remove_offsets(&rig.tables, "g", vec![("t".into(), 0)]).unwrap();
    assert_eq!(results, [Ok(())]);
    rig.commit_all();
    rig.pending(end(1, true));
    assert_eq!((rig.committed("t"), rig.committed("u")), (None, Some(9)));
}

#[test]
fn rows_of_transactions_whose_offsets_are_outdated_are_written() {
    let mut rig = Rig::new();
    assert_eq!(rig.pending(add(1, "t", 9)).pending.len(), 1);
    let commit =
        OffsetCommit { partition: 0, offset: 7, leader_epoch: -1, retention_ms: None, metadata: String::new() };
    let commit = TopicCommit { topic: "t".into(), id: TopicId(Uuid::from_u128(1)), offsets: vec![commit] };
    let plain = || Command::CommitOffsets { group: "g".into(), topics: vec![commit.clone()] };
    for expected in [1, 0] {
        let mut changes = Changes::default();
        rig.tables.apply_next(Entry { time: 5, image_version: 0, commands: vec![plain()] }, &mut changes);
        assert_eq!((changes.pending.len(), changes.offsets.len()), (expected, 1), "it is outdated once");
    }
}
