//! Static members (KIP-345): they go for a while, and what they have waits for them.

use super::*;

fn joining_static(member: &str) -> Heartbeat {
    Heartbeat { instance_id: Some("i".to_owned()), ..joining(member) }
}

fn alive_static(member: &str, epoch: i32) -> Heartbeat {
    Heartbeat { instance_id: Some("i".to_owned()), ..alive(member, epoch) }
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let mut rig = Rig::new();
    rig.beat(&joining_static("a")).unwrap();
    rig.join("b");
    rig.beat(&alive_static("a", 1)).unwrap();
    rig.beat(&Heartbeat { instance_id: Some("i".to_owned()), ..owning("a", 1, &[("t", &[0, 1, 2])]) }).unwrap();
    rig.beat(&alive("b", 2)).unwrap();
    assert_eq!(rig.beat(&alive_static("a", -2)).unwrap().member_epoch, -2);
    assert_eq!(rig.beat(&alive("b", 2)).unwrap().assignment, None, "nobody else gets it");
    rig.fail_over();

    let answer = rig.beat(&joining_static("a2")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(partitions(&[("t", &[0, 1, 2])]))));
    assert_eq!(rig.beat(&alive("b", 2)).unwrap().member_epoch, 2, "no rebalance");
    assert_eq!(rig.group.state(), "Stable");
    let rows = rig.tables.consumer_group("g").unwrap();
    assert_eq!(rows.members.keys().map(|id| &**id).collect::<Vec<_>>(), ["a2", "b"]);
    assert_eq!(rows.targets.keys().map(|id| &**id).collect::<Vec<_>>(), ["a2", "b"]);
}

#[test]
fn a_static_member_that_stays_away_is_removed_when_its_session_ends() {
    let mut rig = Rig::new();
    rig.beat(&joining_static("a")).unwrap();
    rig.beat(&alive_static("a", -2)).unwrap();
    rig.advance(SESSION);
    assert_eq!(rig.group.state(), "Empty");
}

#[test]
fn a_static_member_that_leaves_for_good_is_gone() {
    let mut rig = Rig::new();
    rig.beat(&joining_static("a")).unwrap();
    rig.beat(&alive_static("a", -1)).unwrap();
    assert_eq!(rig.group.state(), "Empty");
}

#[test]
fn an_instance_id_belongs_to_one_member() {
    let mut rig = Rig::new();
    rig.beat(&joining_static("a")).unwrap();
    assert_eq!(rig.beat(&joining_static("b")), Err(GroupError::UnreleasedInstance("a".to_owned())));
    assert_eq!(rig.beat(&alive_static("b", 1)), Err(GroupError::FencedInstance));
    assert_eq!(rig.beat(&alive_static("b", -1)), Err(GroupError::FencedInstance));
    assert_eq!(rig.beat(&alive_static("b", -2)), Err(GroupError::FencedInstance));
    let other = Heartbeat { instance_id: Some("j".to_owned()), ..alive("a", 1) };
    assert_eq!(rig.beat(&other), Err(GroupError::UnknownMember));
    rig.beat(&alive_static("a", -2)).unwrap();
    assert!(rig.beat(&joining_static("b")).is_ok());
    assert_eq!(rig.beat(&alive_static("a", 1)), Err(GroupError::FencedInstance));
}

#[test]
fn a_member_that_has_gone_for_a_while_is_not_heard() {
    let mut rig = Rig::new();
    rig.beat(&joining_static("a")).unwrap();
    rig.beat(&alive_static("a", -2)).unwrap();
    let late = Heartbeat { instance_id: Some("i".to_owned()), ..owning("a", 1, &[]) };
    assert_eq!(rig.beat(&late), Err(GroupError::FencedMemberEpoch { got: 1, current: -2 }));
}

#[test]
fn a_full_group_takes_back_its_static_member() {
    let mut rig = Rig::new();
    rig.config.consumer.max_size = 1;
    rig.beat(&joining_static("a")).unwrap();
    rig.beat(&alive_static("a", -2)).unwrap();
    assert!(rig.beat(&joining_static("a2")).is_ok());
}
