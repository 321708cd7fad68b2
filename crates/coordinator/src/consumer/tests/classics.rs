//! Members of the classic protocol in a group of the consumer protocol.

use super::*;
use crate::classic::Join;
use crate::embedded::tests::subscription;
use crate::embedded::{NamedPartitions, parse_assignment};
use crate::model::{JoinRequest, Joined, MemberIdentity, SyncRequest};
use crate::rows::{GroupRow, MemberRow, RestState};

const CLASSIC_SESSION: i32 = 10_000;

fn owned(numbers: &[i32]) -> NamedPartitions {
    if numbers.is_empty() { Vec::new() } else { vec![("t".to_owned(), numbers.to_vec())] }
}

pub(super) fn join(member: &str, has: &[i32]) -> Join {
    let request = JoinRequest {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        client_id: "c".to_owned(),
        session_timeout_ms: CLASSIC_SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("cooperative-sticky".to_owned(), subscription(&["t"], &owned(has)))],
        ..JoinRequest::default()
    };
    Join { request, fresh_id: "fresh".to_owned(), waiter: 1 }
}

pub(super) fn identity(member: &str, generation: i32) -> MemberIdentity {
    MemberIdentity { member_id: member.to_owned(), instance_id: None, generation, before_epochs: false }
}

impl Rig {
    pub(super) fn join_classic(&mut self, join: &Join) -> Result<Joined, GroupError> {
        let ctx = Context { config: &self.config, now: self.now, image: &self.image };
        let joined = self.group.join_classic(ctx, join);
        if joined.is_err() {
            assert!(self.group.take_change().is_none(), "a refusal changes nothing");
        }
        self.commit();
        joined
    }

    /// What SyncGroup says that the member has.
    pub(super) fn sync_classic(&mut self, member: &str, generation: i32) -> Result<Vec<i32>, GroupError> {
        let request = SyncRequest { member_id: member.to_owned(), generation, ..SyncRequest::default() };
        let ctx = Context { config: &self.config, now: self.now, image: &self.image };
        let synced = self.group.sync_classic(ctx, &request)?;
        assert_eq!(&*synced.protocol, "cooperative-sticky");
        let partitions = parse_assignment(&synced.assignment).unwrap();
        Ok(partitions.into_iter().flat_map(|(_, numbers)| numbers).collect())
    }

    pub(super) fn beat_classic(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let ctx = Context { config: &self.config, now: self.now, image: &self.image };
        let answer = self.group.heartbeat_classic(ctx, &identity(member, generation));
        self.commit();
        answer
    }
}

#[test]
fn a_classic_member_gets_its_share_when_it_is_free() {
    let mut rig = Rig::new();
    rig.join("a");
    let joined = rig.join_classic(&join("", &[])).unwrap();
    assert_eq!((joined.generation, &*joined.member_id, &*joined.leader), (2, "fresh", ""));
    assert_eq!(rig.sync_classic("fresh", 2), Ok(vec![]));
    assert_eq!(rig.beat_classic("fresh", 2), Ok(()), "there is nothing for it yet");
    rig.beat(&alive("a", 1)).unwrap();
    rig.beat(&owning("a", 1, &[("t", &[0, 1, 2])])).unwrap();
    assert_eq!(rig.beat_classic("fresh", 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(rig.join_classic(&join("fresh", &[])).unwrap().generation, 2);
    assert_eq!(rig.sync_classic("fresh", 2), Ok(vec![3, 4, 5]));
    assert_eq!(rig.group.state(), "Stable");
    assert!(rig.group.describe(rig.ctx()).members.iter().any(|member| member.is_classic));
}

#[test]
fn a_classic_member_gives_up_first_too() {
    let mut rig = Rig::new();
    rig.join_classic(&join("", &[])).unwrap();
    assert_eq!(rig.sync_classic("fresh", 1), Ok(vec![0, 1, 2, 3, 4, 5]));
    rig.join("a");
    assert_eq!(rig.beat_classic("fresh", 1), Err(GroupError::RebalanceInProgress));
    let all = [0, 1, 2, 3, 4, 5];
    assert_eq!(rig.join_classic(&join("fresh", &all)).unwrap().generation, 1, "it still has too much");
    let keeps = rig.sync_classic("fresh", 1).unwrap();
    assert_eq!(keeps.len(), 3);
    assert_eq!(rig.beat(&alive("a", 2)).unwrap().assignment, None);
    assert_eq!(rig.beat_classic("fresh", 1), Err(GroupError::RebalanceInProgress));
    assert_eq!(rig.join_classic(&join("fresh", &keeps)).unwrap().generation, 2);
    assert_eq!(rig.sync_classic("fresh", 2), Ok(keeps));
    let taken = rig.beat(&alive("a", 2)).unwrap().assignment.unwrap();
    assert_eq!(taken[&topic_id("t")].len(), 3);
    assert_eq!(rig.group.state(), "Stable");
}

#[test]
fn who_does_not_join_again_in_time_is_removed() {
    let mut rig = Rig::new();
    rig.join_classic(&join("", &[])).unwrap();
    rig.sync_classic("fresh", 1).unwrap();
    rig.join("a");
    for _ in 0..4 {
        assert_eq!(rig.beat_classic("fresh", 1), Err(GroupError::RebalanceInProgress));
        rig.advance(9_000);
    }
    assert_eq!(rig.beat_classic("fresh", 1), Err(GroupError::UnknownMember));
}

#[test]
fn who_does_not_ask_for_its_assignment_or_is_silent_is_removed() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join_classic(&join("", &[])).unwrap();
    rig.advance(9_999);
    assert!(rig.group.members.contains_key("fresh"));
    rig.advance(1);
    assert!(!rig.group.members.contains_key("fresh"), "its own session time-out counts");
}

#[test]
fn strangers_and_stragglers_are_told_what_they_know_from_classic_groups() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join_classic(&join("", &[])).unwrap();
    assert_eq!(rig.beat_classic("x", 2), Err(GroupError::UnknownMember));
    assert_eq!(rig.beat_classic("a", 1), Err(GroupError::UnknownMember), "it speaks the other protocol");
    assert_eq!(rig.beat_classic("fresh", 1), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.sync_classic("fresh", 3), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.group.check_commit(&identity("fresh", 3)), Err(GroupError::IllegalGeneration));
    let mut other = join("m", &[]);
    other.request.protocols[0].0 = "own".to_owned();
    assert!(matches!(rig.join_classic(&other), Err(GroupError::InconsistentProtocol(_))));
    let mut unreadable = join("m", &[]);
    unreadable.request.protocols[0].1 = bytes::Bytes::from_static(b"?");
    assert!(matches!(rig.join_classic(&unreadable), Err(GroupError::InconsistentProtocol(_))));
    let mut careful = join("", &[]);
    careful.request.require_known_member_id = true;
    let given = Err(GroupError::MemberIdRequired { member_id: "fresh".to_owned() });
    assert_eq!(rig.join_classic(&careful).map(|_| ()), given);
    rig.config.consumer.migration = crate::MigrationPolicy::Disabled;
    assert!(matches!(rig.join_classic(&join("m", &[])), Err(GroupError::InconsistentProtocol(_))));
}

#[test]
fn leave_group_takes_members_of_either_protocol_out() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join_classic(&join("", &[])).unwrap();
    let ctx = Context { config: &rig.config, now: rig.now, image: &rig.image };
    let leaving = [identity("a", -1), identity("fresh", -1), identity("x", -1)];
    assert_eq!(rig.group.leave_classic(ctx, &leaving), [Ok(()), Ok(()), Err(GroupError::UnknownMember)]);
    assert!(rig.group.is_empty());
}

#[test]
fn a_member_that_has_been_updated_goes_on_in_the_new_protocol() {
    let mut rig = Rig::new();
    let mut with_instance = join("", &[]);
    with_instance.request.instance_id = Some("i".to_owned());
    rig.join_classic(&with_instance).unwrap();
    let updated = Heartbeat { instance_id: Some("i".to_owned()), ..joining("new") };
    let answer = rig.beat(&updated).unwrap();
    assert_eq!(answer.assignment, Some(partitions(&[("t", &[0, 1, 2, 3, 4, 5])])));
    assert!(rig.group.members.values().all(|member| member.row.classic.is_none()));
    assert_eq!(rig.beat_classic("fresh", 1), Err(GroupError::UnknownMember));
}

fn classic_row(state: RestState) -> GroupRow {
    let member = |id: &str, numbers: &[i32]| MemberRow {
        id: id.to_owned(),
        session_timeout_ms: CLASSIC_SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocols: vec![("range".to_owned(), subscription(&["t"], &Vec::new()))],
        assignment: crate::embedded::assignment(3, &owned(numbers)),
        ..MemberRow::default()
    };
    GroupRow {
        state,
        generation: 7,
        state_since: 0,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        leader: Some("x".to_owned()),
        members: vec![member("x", &[0, 1, 2]), member("y", &[3, 4, 5])],
    }
}

#[test]
fn a_classic_group_goes_over_with_what_its_members_have() {
    let mut rig = Rig::new();
    rig.group = ConsumerGroup::from_classic("g".into(), &classic_row(RestState::Stable), rig.ctx()).unwrap();
    let answer = rig.beat(&joining("a")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (8, Some(Partitions::new())), "everything is in use");
    assert_eq!(rig.beat_classic("x", 7), Err(GroupError::RebalanceInProgress));
    let held = |member: &str| rig.group.members[member].row.progress.held[&topic_id("t")].len();
    assert_eq!((held("x"), held("y")), (3, 3));
    let rows = rig.tables.consumer_group("g").unwrap();
    assert_eq!((rows.members.len(), rows.targets.len()), (3, 3));
}

#[test]
fn a_group_that_is_not_of_consumers_does_not_go_over() {
    let rig = Rig::new();
    let refused = |row: &GroupRow, ctx: Context<'_>| {
        assert!(matches!(ConsumerGroup::from_classic("g".into(), row, ctx), Err(GroupError::OtherProtocol(_))));
    };
    refused(&GroupRow { protocol_type: Some("connect".to_owned()), ..classic_row(RestState::Stable) }, rig.ctx());
    let mut own = classic_row(RestState::Stable);
    own.members[0].assignment = bytes::Bytes::from_static(b"\0\x01\0\0\0\0\0\0\0\x01x");
    refused(&own, rig.ctx());
    let mut config = rig.config.clone();
    config.consumer.migration = crate::MigrationPolicy::Downgrade;
    refused(&classic_row(RestState::Stable), Context { config: &config, ..rig.ctx() });
    let mut config = rig.config.clone();
    config.consumer.max_size = 1;
    refused(&classic_row(RestState::Stable), Context { config: &config, ..rig.ctx() });
}

#[test]
fn a_group_goes_back_when_its_last_member_of_the_new_protocol_has_left() {
    let mut rig = Rig::new();
    rig.group = ConsumerGroup::from_classic("g".into(), &classic_row(RestState::Stable), rig.ctx()).unwrap();
    rig.beat(&joining("a")).unwrap();
    assert!(rig.group.to_classic(rig.ctx()).is_none());
    rig.beat(&alive("a", -1)).unwrap();
    let row = rig.group.to_classic(rig.ctx()).unwrap();
    assert_eq!((row.generation, row.members.len()), (8, 2));
    assert_eq!(row.members[0].protocols, classic_row(RestState::Stable).members[0].protocols);
    let mut config = rig.config.clone();
    config.consumer.migration = crate::MigrationPolicy::Upgrade;
    assert!(rig.group.to_classic(Context { config: &config, ..rig.ctx() }).is_none());
}
