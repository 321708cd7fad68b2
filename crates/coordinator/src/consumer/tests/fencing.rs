//! Who is turned away, and why.

use super::*;

#[test]
fn only_members_are_heard() {
    let mut rig = Rig::new();
    rig.join("a");
    assert_eq!(rig.beat(&alive("x", 1)), Err(GroupError::UnknownMember));
    assert_eq!(rig.beat(&alive("x", -1)), Err(GroupError::UnknownMember));
}

#[test]
fn an_epoch_that_is_not_the_members_fences_it() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    let fenced = |got| Err(GroupError::FencedMemberEpoch { got, current: epoch });
    assert_eq!(rig.beat(&alive("a", epoch + 1)), fenced(epoch + 1));
    assert_eq!(rig.beat(&alive("a", epoch - 1)), fenced(epoch - 1), "it does not say what it has");
    let too_much = owning("a", epoch - 1, &[("t", &[0, 3])]);
    assert_eq!(rig.beat(&too_much), fenced(epoch - 1));
    let lost_answer = Heartbeat { member_epoch: epoch - 1, ..owning("a", 0, &[("t", &[0, 1])]) };
    assert_eq!(rig.beat(&lost_answer).unwrap().member_epoch, epoch, "the answer with its new epoch was lost");
}

#[test]
fn whoever_was_fenced_joins_again_and_has_its_place() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    let (again, assignment) = rig.join("a");
    assert_eq!((again, assignment), (epoch, partitions(&[("t", &[0, 1, 2])])));
}

#[test]
fn a_full_request_is_answered_in_full() {
    let mut rig = Rig::new();
    rig.join("a");
    let full = Heartbeat { member_epoch: 1, ..joining("a") };
    let answer = rig.beat(&full).unwrap();
    assert_eq!(answer.assignment, Some(partitions(&[("t", &[0, 1, 2, 3, 4, 5])])));
}

#[test]
fn a_group_that_is_full_takes_no_more() {
    let mut rig = Rig::new();
    rig.config.consumer.max_size = 1;
    rig.join("a");
    assert_eq!(rig.beat(&joining("b")), Err(GroupError::ConsumerGroupFull(1)));
    assert!(rig.beat(&joining("a")).is_ok() && rig.beat(&alive("a", 1)).is_ok());
}
