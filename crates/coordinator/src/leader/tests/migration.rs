//! Groups that go from one protocol to the other, with the log played by hand.

use std::collections::BTreeSet;

use super::*;
use crate::consumer::tests::{put_topic, topic_id};
use crate::embedded::assignment;
use crate::model::consumer::{Heartbeat, HeartbeatAnswer, Partitions};

fn rig() -> Rig {
    let mut rig = Rig::new();
    let mut image = ClusterImage::default();
    put_topic(&mut image, "t", 4);
    rig.leader.image = Arc::new(image.clone());
    rig.image = image;
    rig
}

fn alive(member: &str, epoch: i32) -> Heartbeat {
    Heartbeat { group_id: "g".to_owned(), member_id: member.to_owned(), member_epoch: epoch, ..Heartbeat::default() }
}

fn joining(member: &str) -> Heartbeat {
    Heartbeat {
        rebalance_timeout_ms: Some(REBALANCE),
        topic_names: Some(vec!["t".to_owned()]),
        owned: Some(Partitions::new()),
        ..alive(member, 0)
    }
}

impl Rig {
    /// A heartbeat, with everything committed.
    fn beat(&mut self, beat: Heartbeat) -> Result<HeartbeatAnswer, GroupError> {
        let (result, mut pending) = self.leader.consumer_heartbeat(&self.tables, beat, self.now.monotonic);
        self.commit_all();
        assert!(pending.try_recv().is_ok());
        result
    }

    /// A stable classic group of one consumer that has all partitions.
    fn classic(&mut self) -> String {
        let mut join = self.join("");
        self.advance(3_000);
        self.commit_all();
        let member = join.try_recv().unwrap().unwrap().member_id;
        let all = assignment(3, &vec![("t".to_owned(), vec![0, 1, 2, 3])]);
        let request = SyncRequest { assignments: vec![(member.clone(), all)], ..sync(&member) };
        let mut synced = self.leader.sync(&self.tables, request, self.now.monotonic);
        self.commit_all();
        assert!(synced.try_recv().unwrap().is_ok());
        member
    }

    fn listed(&self) -> (&'static str, &'static str) {
        let listed = self.leader.list(&self.tables).remove(0);
        (listed.group_type, listed.state)
    }
}

#[test]
fn answers_of_the_new_protocol_wait_for_the_log_too() {
    let mut rig = rig();
    let (result, mut pending) = rig.leader.consumer_heartbeat(&rig.tables, joining("a"), 5);
    assert_eq!(result.unwrap().member_epoch, 1);
    assert!(pending.try_recv().is_err(), "nothing is committed yet");
    rig.commit_all();
    assert!(pending.try_recv().is_ok());
    assert_eq!(rig.listed(), ("consumer", "Stable"));
    let (_, mut pending) = rig.leader.consumer_heartbeat(&rig.tables, alive("a", 1), 5);
    assert!(pending.try_recv().is_ok(), "nothing has changed");
}

#[test]
fn a_classic_group_with_members_goes_over_and_back() {
    let mut rig = rig();
    let classic = rig.classic();
    let mut waiting = rig.join("");
    let answer = rig.beat(joining("a")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(Partitions::new())));
    assert_eq!(rig.listed(), ("consumer", "Reconciling"));
    assert_eq!(waiting.try_recv().unwrap().unwrap_err(), GroupError::RebalanceInProgress);
    assert!(rig.tables.group("g").is_none() && rig.tables.consumer_group("g").is_some());
    assert_eq!(rig.heartbeat(&classic), Err(GroupError::RebalanceInProgress));

    // It joins again, without partitions: its assignor is an eager one.
    let mut joined = rig.join(&classic);
    rig.commit_all();
    let joined = joined.try_recv().unwrap().unwrap();
    assert_eq!(joined.generation, 2);
    assert!(rig.beat(alive("a", 2)).unwrap().assignment.is_some_and(|given| !given.is_empty()));

    rig.beat(alive("a", -1)).unwrap();
    assert_eq!(rig.listed(), ("classic", "PreparingRebalance"));
    assert!(rig.tables.group("g").is_some() && rig.tables.consumer_group("g").is_none());
    let member = MemberIdentity { member_id: classic, instance_id: None, generation: 2, before_epochs: false };
    let told = rig.leader.heartbeat(&rig.tables, "g", &member, rig.now.monotonic);
    assert_eq!(told, Err(GroupError::RebalanceInProgress));
}

#[test]
fn an_empty_group_takes_the_protocol_of_whoever_comes() {
    let mut rig = rig();
    let classic = rig.classic();
    rig.leader.leave(&rig.tables, "g", &[member(&classic)], rig.now.monotonic);
    rig.commit_all();
    assert!(matches!(rig.beat(alive("a", 3)), Err(GroupError::OtherProtocol(_))), "it does not join");
    let answer = rig.beat(joining("a")).unwrap();
    let all = Partitions::from([(topic_id("t"), BTreeSet::from([0, 1, 2, 3]))]);
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(all)));
    rig.beat(alive("a", -1)).unwrap();
    assert_eq!(rig.listed(), ("consumer", "Empty"));
    rig.classic();
    assert_eq!(rig.listed(), ("classic", "Stable"));
    assert!(rig.tables.consumer_group("g").is_none());
}

#[test]
fn a_coordinator_that_is_behind_changes_nothing() {
    let mut rig = rig();
    rig.beat(joining("a")).unwrap();
    rig.leader.image = Arc::default();
    assert!(matches!(rig.beat(alive("a", 1)), Err(GroupError::NotAvailable(_))));
    assert!(matches!(rig.beat(joining("b")), Err(GroupError::NotAvailable(_))));
    assert_eq!(rig.listed(), ("consumer", "Stable"));
    assert!(rig.beat(alive("a", -1)).is_ok(), "who leaves may go");
}

#[test]
fn a_consumer_group_without_members_and_offsets_is_forgotten() {
    let mut rig = rig();
    rig.beat(joining("a")).unwrap();
    rig.advance(600_000);
    rig.commit_all();
    rig.advance(600_000);
    rig.commit_all();
    assert!(!rig.tables.has_group("g") && rig.leader.groups.is_empty());
}

#[test]
fn only_an_empty_consumer_group_is_deleted() {
    let mut rig = rig();
    rig.beat(joining("a")).unwrap();
    assert_eq!(rig.leader.delete(&rig.tables, "g").unwrap_err(), GroupError::NonEmptyGroup);
    let keys = vec![("t".into(), 0)];
    let (results, _) = rig.leader.remove_offsets(&rig.tables, "g", keys).unwrap();
    assert_eq!(results, [Err(GroupError::SubscribedToTopic)]);
    rig.beat(alive("a", -1)).unwrap();
    rig.leader.delete(&rig.tables, "g").unwrap();
    rig.commit_all();
    assert!(!rig.tables.has_group("g"));
}
