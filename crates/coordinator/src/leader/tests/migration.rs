//! Groups that go from one protocol to the other, with the log played by hand.

use std::collections::BTreeSet;

use super::*;
use crate::MigrationPolicy;
use crate::consumer::tests::{put_topic, topic_id};
use crate::embedded::{assignment, parse_assignment};
use crate::model::consumer::{Heartbeat, HeartbeatAnswer, Partitions};

fn rig() -> Rig {
    rig_under(MigrationPolicy::default())
}

fn rig_under(policy: MigrationPolicy) -> Rig {
    let mut config = CoordinatorConfig::new(NodeId(1));
    config.offsets_retention_ms = 1_000_000;
    config.consumer.migration = policy;
    let mut rig = Rig::with(config);
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

    /// What a JoinGroup of the classic protocol is answered, with everything committed.
    fn joined(&mut self, member: &str) -> Result<Joined, GroupError> {
        let mut answer = self.join(member);
        self.commit_all();
        answer.try_recv().unwrap()
    }

    /// Which partitions SyncGroup says that a member has.
    fn synced(&mut self, member: &str, generation: i32) -> Vec<i32> {
        let request = SyncRequest { generation, assignments: Vec::new(), ..sync(member) };
        let mut answer = self.leader.sync(&self.tables, request, self.now.monotonic);
        self.commit_all();
        let assignment = answer.try_recv().unwrap().unwrap().assignment;
        parse_assignment(&assignment).unwrap().into_iter().flat_map(|(_, numbers)| numbers).collect()
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
fn a_classic_group_with_members_stays_one_where_going_over_is_not_allowed() {
    for policy in [MigrationPolicy::Downgrade, MigrationPolicy::Disabled] {
        let mut rig = rig_under(policy);
        let classic = rig.classic();
        let refused = rig.beat(joining("a")).unwrap_err();
        let GroupError::OtherProtocol(text) = refused else { panic!("{refused:?}") };
        assert!(text.contains("group.consumer.migration.policy"), "{text}");
        assert_eq!(rig.listed(), ("classic", "Stable"));
        assert_eq!(rig.heartbeat(&classic), Ok(()), "its members notice nothing");

        // Without members it is nobody's any more.
        rig.leader.leave(&rig.tables, "g", &[member(&classic)], rig.now.monotonic);
        rig.commit_all();
        assert_eq!(rig.beat(joining("a")).unwrap().member_epoch, 1);
        assert_eq!(rig.listed(), ("consumer", "Stable"));
    }
}

#[test]
fn a_group_that_may_not_go_back_leads_its_classic_members_on() {
    let mut rig = rig_under(MigrationPolicy::Upgrade);
    let classic = rig.classic();
    rig.beat(joining("a")).unwrap();
    assert_eq!(rig.joined(&classic).unwrap().generation, 2);
    rig.beat(alive("a", -1)).unwrap();
    assert_eq!(rig.listed().0, "consumer");
    assert!(rig.tables.group("g").is_none());
    let generation = rig.joined(&classic).unwrap().generation;
    assert_eq!(rig.synced(&classic, generation), [0, 1, 2, 3], "it has all again");
    assert_eq!(rig.listed(), ("consumer", "Stable"));
    assert_eq!(rig.leader.list(&rig.tables).len(), 1);
}

#[test]
fn a_group_that_may_only_go_back_takes_classic_members_in() {
    let mut rig = rig_under(MigrationPolicy::Downgrade);
    rig.beat(joining("a")).unwrap();
    rig.joined("").unwrap();
    assert_eq!(rig.listed().0, "consumer");
    rig.beat(alive("a", -1)).unwrap();
    assert_eq!(rig.listed(), ("classic", "PreparingRebalance"));
}

#[test]
fn a_consumer_group_takes_no_classic_members_where_neither_way_is_allowed() {
    let mut rig = rig_under(MigrationPolicy::Disabled);
    rig.beat(joining("a")).unwrap();
    assert!(matches!(rig.joined(""), Err(GroupError::InconsistentProtocol(_))));
    assert_eq!(rig.listed(), ("consumer", "Stable"));
    rig.beat(alive("a", -1)).unwrap();
    rig.classic();
    assert_eq!(rig.listed(), ("classic", "Stable"), "without members it is nobody's any more");
}

/// Nodes may be started with another policy while a group has members of both protocols.
#[test]
fn classic_members_that_are_in_already_cannot_join_again_where_neither_way_is_allowed() {
    let mut rig = rig();
    let classic = rig.classic();
    rig.beat(joining("a")).unwrap();
    assert_eq!(rig.joined(&classic).unwrap().generation, 2);
    Arc::make_mut(&mut rig.leader.config).consumer.migration = MigrationPolicy::Disabled;
    assert!(matches!(rig.joined(&classic), Err(GroupError::InconsistentProtocol(_))));
    rig.beat(alive("a", -1)).unwrap();
    assert_eq!(rig.listed().0, "consumer", "nor does the group go back for them");
    assert!(matches!(rig.joined(&classic), Err(GroupError::InconsistentProtocol(_))));
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
