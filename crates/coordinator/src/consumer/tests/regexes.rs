//! Subscriptions by regular expression.

use super::*;

fn matching(member: &str, regex: &str) -> Heartbeat {
    Heartbeat { topic_names: None, topic_regex: Some(regex.to_owned()), ..joining(member) }
}

#[test]
fn topics_that_match_come_and_go() {
    let mut rig = Rig::new();
    put_topic(&mut rig.image, "upload", 1);
    let answer = rig.beat(&matching("a", "u.*")).unwrap();
    assert_eq!(answer.assignment, Some(partitions(&[("upload", &[0])])));
    assert!(rig.group.is_subscribed("up") && !rig.group.is_subscribed("t"));

    put_topic(&mut rig.image, "x", 1);
    rig.advance(1_000);
    assert_eq!(rig.beat(&alive("a", 1)).unwrap().member_epoch, 1, "it does not match");
    rig.image.topics.remove("upload");
    rig.image.topic_names.remove(&topic_id("upload"));
    rig.image.version += 1;
    rig.advance(1_000);
    assert_eq!(rig.beat(&alive("a", 1)).unwrap().assignment, Some(Partitions::new()));
    assert_eq!(rig.beat(&owning("a", 1, &[])).unwrap().member_epoch, 2);
}

#[test]
fn topics_that_come_by_the_hundred_are_looked_at_once_a_second() {
    let mut rig = Rig::new();
    rig.beat(&matching("a", "u|v")).unwrap();
    put_topic(&mut rig.image, "u", 1);
    assert_eq!(rig.beat(&alive("a", 1)).unwrap().member_epoch, 1);
    put_topic(&mut rig.image, "v", 1);
    rig.advance(1_000);
    assert_eq!(rig.beat(&alive("a", 1)).unwrap().member_epoch, 2);
}

#[test]
fn names_and_an_expression_go_together() {
    let mut rig = Rig::new();
    put_topic(&mut rig.image, "u", 1);
    let both = Heartbeat { topic_regex: Some("u".to_owned()), ..joining("a") };
    let all: &[i32] = &[0, 1, 2, 3, 4, 5];
    assert_eq!(rig.beat(&both).unwrap().assignment, Some(partitions(&[("t", all), ("u", &[0])])));
    let without = Heartbeat { topic_regex: Some(String::new()), ..alive("a", 1) };
    assert_eq!(rig.beat(&without).unwrap().assignment, Some(partitions(&[("t", all)])));
}

#[test]
fn what_is_no_expression_is_refused_and_changes_nothing() {
    let mut rig = Rig::new();
    assert!(matches!(rig.beat(&matching("a", "(")), Err(GroupError::InvalidRegex(_))));
    assert_eq!(rig.group.state(), "Empty");
    rig.join("a");
    let wrong = Heartbeat { topic_regex: Some("[".to_owned()), ..alive("a", 1) };
    assert!(matches!(rig.beat(&wrong), Err(GroupError::InvalidRegex(_))));
    assert!(rig.beat(&alive("a", 1)).is_ok());
}

#[test]
fn another_coordinator_matches_again() {
    let mut rig = Rig::new();
    put_topic(&mut rig.image, "u", 2);
    rig.beat(&matching("a", "u")).unwrap();
    rig.fail_over();
    let answer = rig.beat(&alive("a", 1)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (1, None), "nothing has changed");
}
