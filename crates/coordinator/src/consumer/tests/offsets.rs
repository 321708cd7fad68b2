//! Who may commit and fetch offsets.

use super::*;
use crate::model::MemberIdentity;

fn identity(member: &str, epoch: i32) -> MemberIdentity {
    MemberIdentity { member_id: member.to_owned(), instance_id: None, generation: epoch, before_epochs: false }
}

#[test]
fn a_commit_needs_a_member_unless_there_is_none() {
    let mut rig = Rig::new();
    assert_eq!(rig.group.check_commit(&identity("", -1)), Ok(()));
    let epoch = rig.pair();
    assert_eq!(rig.group.check_commit(&identity("", -1)), Err(GroupError::UnknownMember));
    assert_eq!(rig.group.check_commit(&identity("x", epoch)), Err(GroupError::UnknownMember));
    assert_eq!(rig.group.check_commit(&identity("a", epoch + 1)), Err(GroupError::StaleMemberEpoch));
    assert_eq!(rig.group.check_commit(&identity("a", epoch)), Ok(()));
}

#[test]
fn a_member_that_is_behind_commits_what_it_has_had_since() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    let may = |member: &str, at, partition| {
        let who = identity(member, at);
        rig.group.check_commit(&who)?;
        rig.group.check_commit_of(&who, topic_id("t"), partition)
    };
    assert_eq!(may("a", epoch - 1, 0), Ok(()), "it has had this one from the beginning");
    assert_eq!(may("a", epoch - 1, 3), Err(GroupError::StaleMemberEpoch), "it has it no longer");
    assert_eq!(may("b", epoch - 1, 3), Err(GroupError::StaleMemberEpoch), "it did not have it then");
    assert_eq!(may("b", epoch, 3), Ok(()));
    assert_eq!(may("a", epoch, 3), Ok(()), "in its own epoch it may say anything, as in Kafka");
}

#[test]
fn a_version_from_before_epochs_is_for_members_of_the_classic_protocol() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    let old = |member: &str| MemberIdentity { before_epochs: true, ..identity(member, epoch) };
    assert_eq!(rig.group.check_commit(&old("a")), Err(GroupError::VersionBeforeEpochs));
    assert_eq!(rig.group.check_commit(&old("x")), Err(GroupError::UnknownMember));
}

#[test]
fn what_is_being_given_up_can_still_be_committed() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join("b");
    rig.beat(&alive("a", 1)).unwrap();
    assert_eq!(rig.group.check_commit_of(&identity("a", 1), topic_id("t"), 5), Ok(()));
}

#[test]
fn a_fetch_names_the_members_epoch() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    assert_eq!(rig.group.check_fetch(None, -1), Ok(()));
    assert_eq!(rig.group.check_fetch(Some("a"), epoch), Ok(()));
    assert_eq!(rig.group.check_fetch(Some("a"), epoch - 1), Err(GroupError::StaleMemberEpoch));
    assert_eq!(rig.group.check_fetch(Some("x"), epoch), Err(GroupError::UnknownMember));
}
