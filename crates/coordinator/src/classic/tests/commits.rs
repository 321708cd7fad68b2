use super::*;

#[test]
fn an_empty_group_takes_commits_of_those_that_are_no_members() {
    let mut rig = Rig::new();
    assert_eq!(rig.commit("", -1), Ok(()));
    assert_eq!(rig.commit("tool", -1), Ok(()));
    assert_eq!(rig.commit("member", 1), Err(GroupError::UnknownMember));
}

#[test]
fn a_group_with_members_takes_commits_of_its_members_alone() {
    let (mut rig, ids) = Rig::stable(1);
    assert_eq!(rig.commit(&ids[0], 1), Ok(()));
    assert_eq!(rig.commit("", -1), Err(GroupError::UnknownMember));
    assert_eq!(rig.commit("stranger", 1), Err(GroupError::UnknownMember));
    assert_eq!(rig.commit(&ids[0], 0), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.commit(&ids[0], -1), Err(GroupError::IllegalGeneration));
}

#[test]
fn members_commit_what_they_have_while_a_rebalance_is_prepared() {
    let (mut rig, ids) = Rig::stable(1);
    rig.join(new_member());
    assert_eq!(rig.commit(&ids[0], 1), Ok(()));
    rig.join(known(&ids[0]));
    assert_eq!(rig.state(), "CompletingRebalance");
    assert_eq!(rig.commit(&ids[0], 1), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.commit(&ids[0], 2), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let (mut rig, ids) = Rig::stable(1);
    rig.advance(SESSION as Millis - 1);
    rig.commit(&ids[0], 1).unwrap();
    rig.advance(SESSION as Millis - 1);
    assert_eq!(rig.heartbeat(&ids[0], 1), Ok(()));
}

#[test]
fn offsets_of_subscribed_topics_stay() {
    let (mut rig, ids) = Rig::stable(1);
    assert_eq!(rig.group.check_offset_delete(), Ok(()));
    assert!(rig.group.is_subscribed("t") && !rig.group.is_subscribed("u"));
    rig.leave(&[identity(&ids[0], -1)]);
    assert!(!rig.group.is_subscribed("t"));
}

#[test]
fn what_cannot_be_read_may_be_subscribed_to() {
    let mut rig = Rig::new();
    rig.join(JoinRequest { protocols: vec![("x".to_owned(), Bytes::new())], ..new_member() });
    rig.advance(DELAY);
    assert!(rig.group.is_subscribed("t"));
    assert_eq!(rig.group.check_offset_delete(), Ok(()));
}

#[test]
fn a_group_of_another_type_keeps_its_offsets_while_it_has_members() {
    let mut rig = Rig::new();
    rig.join(JoinRequest { protocol_type: "connect".to_owned(), ..new_member() });
    rig.advance(DELAY);
    assert_eq!(rig.group.check_offset_delete(), Err(GroupError::NonEmptyGroup));
    assert_eq!(rig.group.expiry_basis(), None);
}

#[test]
fn the_retention_counts_from_what_kafka_counts_it_from() {
    assert_eq!(Rig::new().group.expiry_basis(), Some(ExpiryBasis::Commit));
    let (mut rig, ids) = Rig::stable(1);
    assert_eq!(rig.group.expiry_basis(), Some(ExpiryBasis::Commit));
    rig.join(known(&ids[0]));
    assert_eq!(rig.group.expiry_basis(), None);
    rig.leave(&[identity(&ids[0], -1)]);
    assert_eq!(rig.group.expiry_basis(), Some(ExpiryBasis::Emptied));
}
