//! From one assignment to the next.

use super::*;
use crate::rows::MemberState;

#[test]
fn the_first_member_has_everything_at_once() {
    let mut rig = Rig::new();
    let (epoch, assignment) = rig.join("a");
    assert_eq!((epoch, assignment), (1, partitions(&[("t", &[0, 1, 2, 3, 4, 5])])));
    assert_eq!(rig.group.state(), "Stable");
    let answer = rig.beat(&alive("a", 1)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment, answer.heartbeat_interval_ms), (1, None, 5_000));
}

#[test]
fn a_partition_goes_to_its_new_owner_when_the_old_one_is_without_it() {
    let mut rig = Rig::new();
    rig.join("a");
    let (epoch, assignment) = rig.join("b");
    assert_eq!((epoch, assignment), (2, Partitions::new()), "everything is in use");
    assert_eq!((rig.group.state(), rig.state_of("b")), ("Reconciling", MemberState::UnreleasedPartitions));

    let answer = rig.beat(&alive("a", 1)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(partitions(&[("t", &[0, 1, 2])]))));
    assert_eq!(rig.state_of("a"), MemberState::UnrevokedPartitions);
    assert_eq!(rig.beat(&alive("b", 2)).unwrap().assignment, None);
    let answer = rig.beat(&owning("a", 1, &[("t", &[0, 1, 2, 3])])).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (1, None), "it still has one of them");

    let answer = rig.beat(&owning("a", 1, &[("t", &[0, 1, 2])])).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, None));
    let answer = rig.beat(&alive("b", 2)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(partitions(&[("t", &[3, 4, 5])]))));
    assert_eq!(rig.group.state(), "Stable");
}

#[test]
fn whoever_gives_nothing_up_in_time_is_removed() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join("b");
    rig.beat(&alive("a", 1)).unwrap();
    for _ in 0..3 {
        rig.advance(9_000);
        rig.beat(&alive("a", 1)).unwrap();
        rig.beat(&alive("b", 2)).unwrap();
    }
    rig.advance(3_000);
    assert_eq!(rig.beat(&alive("a", 1)), Err(GroupError::UnknownMember));
    assert_eq!(rig.beat(&alive("b", 2)).unwrap().assignment, Some(partitions(&[("t", &[0, 1, 2, 3, 4, 5])])));
}

#[test]
fn whoever_is_silent_is_removed_and_its_partitions_are_free() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    rig.advance(SESSION - 1);
    rig.beat(&alive("b", epoch)).unwrap();
    rig.advance(1);
    assert_eq!(rig.group.state(), "Assigning");
    let answer = rig.beat(&alive("b", epoch)).unwrap();
    assert_eq!(answer.assignment, Some(partitions(&[("t", &[0, 1, 2, 3, 4, 5])])));
    rig.advance(SESSION);
    assert_eq!(rig.group.state(), "Empty");
    assert!(rig.tables.consumer_group("g").unwrap().members.is_empty());
    assert!(rig.tables.consumer_group("g").unwrap().targets.is_empty());
}

#[test]
fn who_leaves_is_gone_at_once() {
    let mut rig = Rig::new();
    let epoch = rig.pair();
    let answer = rig.beat(&alive("a", -1)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (-1, None));
    let answer = rig.beat(&alive("b", epoch)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(partitions(&[("t", &[0, 1, 2, 3, 4, 5])]))));
    assert_eq!(rig.beat(&alive("a", -1)), Err(GroupError::UnknownMember));
}

#[test]
fn topics_that_come_grow_and_go_are_noticed() {
    let mut rig = Rig::new();
    rig.beat(&Heartbeat { topic_names: Some(vec!["t".to_owned(), "u".to_owned()]), ..joining("a") }).unwrap();
    put_topic(&mut rig.image, "t", 7);
    put_topic(&mut rig.image, "u", 1);
    let answer = rig.beat(&alive("a", 1)).unwrap();
    let all: &[i32] = &[0, 1, 2, 3, 4, 5, 6];
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(partitions(&[("t", all), ("u", &[0])]))));
    put_topic(&mut rig.image, "other", 1);
    assert_eq!(rig.beat(&alive("a", 2)).unwrap().member_epoch, 2, "nobody subscribes to it");

    rig.image.topics.remove("u");
    rig.image.topic_names.remove(&topic_id("u"));
    rig.image.version += 1;
    let answer = rig.beat(&alive("a", 2)).unwrap();
    assert_eq!(
        (answer.member_epoch, answer.assignment),
        (2, Some(partitions(&[("t", all)]))),
        "it must give it up first"
    );
    assert_eq!(rig.beat(&owning("a", 2, &[("t", all)])).unwrap().member_epoch, 3);
}

#[test]
fn a_new_subscription_takes_away_at_once_what_is_not_in_it() {
    let mut rig = Rig::new();
    put_topic(&mut rig.image, "u", 2);
    rig.join("a");
    let change = Heartbeat { topic_names: Some(vec!["u".to_owned()]), ..alive("a", 1) };
    let answer = rig.beat(&change).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(Partitions::new())));
    let answer = rig.beat(&owning("a", 1, &[])).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(partitions(&[("u", &[0, 1])]))));
}

#[test]
fn a_member_that_subscribes_to_nothing_is_a_member() {
    let mut rig = Rig::new();
    let answer = rig.beat(&Heartbeat { topic_names: Some(Vec::new()), ..joining("a") }).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(Partitions::new())));
    assert_eq!(rig.group.state(), "Stable");
}

#[test]
fn most_members_choose_the_assignor() {
    let mut rig = Rig::new();
    let wishing = |member: &str, assignor: &str| Heartbeat { assignor: Some(assignor.to_owned()), ..joining(member) };
    rig.join("a");
    assert_eq!(rig.group.describe(rig.ctx()).assignor, "uniform");
    rig.beat(&wishing("b", "range")).unwrap();
    assert_eq!(rig.group.describe(rig.ctx()).assignor, "range");
    rig.beat(&wishing("c", "uniform")).unwrap();
    rig.beat(&wishing("d", "uniform")).unwrap();
    assert_eq!(rig.group.describe(rig.ctx()).assignor, "uniform");
}

#[test]
fn another_coordinator_goes_on_where_the_last_one_was() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join("b");
    rig.beat(&alive("a", 1)).unwrap();
    rig.fail_over();
    assert_eq!(rig.state_of("a"), MemberState::UnrevokedPartitions);
    assert_eq!(rig.beat(&alive("b", 2)).unwrap().assignment, None, "what is in use is known to the new one");
    assert_eq!(rig.beat(&owning("a", 1, &[("t", &[0, 1, 2])])).unwrap().member_epoch, 2);
    rig.fail_over();
    assert_eq!(rig.beat(&alive("b", 2)).unwrap().assignment, Some(partitions(&[("t", &[3, 4, 5])])));
    rig.fail_over();
    assert_eq!(rig.beat(&alive("a", 2)).unwrap().member_epoch, 2);
    assert_eq!(rig.group.state(), "Stable");
}

#[test]
fn a_takeover_gives_time_to_give_partitions_up() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.join("b");
    rig.beat(&alive("a", 1)).unwrap();
    rig.advance(29_000);
    rig.fail_over();
    rig.advance(29_000);
    assert!(rig.beat(&alive("a", 1)).is_ok());
    rig.advance(1_000);
    assert_eq!(rig.beat(&alive("a", 1)), Err(GroupError::UnknownMember));
}

#[test]
fn a_stall_of_the_process_costs_no_member_its_session() {
    let mut rig = Rig::new();
    rig.join("a");
    rig.group.postpone(60_000);
    rig.advance(60_000 + SESSION - 1);
    assert!(rig.beat(&alive("a", 1)).is_ok());
}

#[test]
fn a_groups_own_session_timeout_counts() {
    let mut rig = Rig::new();
    let own = std::collections::BTreeMap::from([(config::SESSION_TIMEOUT.to_owned(), "60000".to_owned())]);
    rig.image.group_configs.insert("g".into(), own);
    rig.join("a");
    rig.advance(59_999);
    assert_eq!(rig.group.state(), "Stable");
    rig.advance(1);
    assert_eq!(rig.group.state(), "Empty");
}
