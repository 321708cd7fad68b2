use super::*;

#[test]
fn a_new_member_is_given_an_id_and_is_no_member_before_it_comes_back() {
    let mut rig = Rig::new();
    let id = rig.known_id();
    assert_eq!(rig.state(), "Empty");
    assert_eq!(rig.heartbeat(&id, 0), Err(GroupError::UnknownMember));
    rig.join(known(&id));
    assert_eq!(rig.state(), "PreparingRebalance");
}

#[test]
fn an_id_that_nobody_comes_back_with_lapses_with_the_session() {
    let mut rig = Rig::new();
    let id = rig.known_id();
    rig.advance(SESSION as Millis - 1);
    assert!(!rig.group.is_at_rest());
    rig.advance(1);
    assert!(rig.group.is_at_rest());
    let waiter = rig.join(known(&id));
    assert_eq!(rig.join_error(waiter), Some(GroupError::UnknownMember));
}

#[test]
fn an_old_client_joins_without_an_id_at_once() {
    let mut rig = Rig::new();
    let waiter = rig.join(new_member());
    assert!(rig.is_waiting(waiter));
    rig.advance(DELAY);
    let joined = rig.joined(waiter);
    assert_eq!((joined.generation, joined.leader.as_str()), (1, joined.member_id.as_str()));
}

#[test]
fn ids_that_were_given_out_are_bounded() {
    let mut rig = Rig::new();
    let request = || JoinRequest { require_known_member_id: true, ..new_member() };
    for _ in 0..caudal_types::limits::PENDING_MEMBERS_PER_GROUP_MAX {
        rig.join(request());
    }
    let waiter = rig.join(request());
    assert!(matches!(rig.join_error(waiter), Some(GroupError::GroupFull(_))));
}

#[test]
fn a_member_with_an_id_that_nobody_gave_is_unknown() {
    let (mut rig, _) = Rig::stable(1);
    let waiter = rig.join(known("stranger"));
    assert_eq!(rig.join_error(waiter), Some(GroupError::UnknownMember));
    assert_eq!(rig.state(), "Stable");
}

#[test]
fn a_given_id_cannot_become_static() {
    let mut rig = Rig::new();
    let id = rig.known_id();
    let waiter = rig.join(JoinRequest { member_id: id, ..static_member("i") });
    assert!(matches!(rig.join_error(waiter), Some(GroupError::InvalidRequest(_))));
}

#[test]
fn protocol_types_and_assignors_must_go_together() {
    let (mut rig, _) = Rig::stable(1);
    let other_type = JoinRequest { protocol_type: "connect".to_owned(), ..new_member() };
    for request in [other_type, with_protocols(new_member(), &["sticky"]), with_protocols(new_member(), &[])] {
        let waiter = rig.join(request);
        assert!(matches!(rig.join_error(waiter), Some(GroupError::InconsistentProtocol(_))));
    }
    assert_eq!(rig.state(), "Stable");
}

#[test]
fn an_empty_group_takes_any_protocol_but_none() {
    let mut rig = Rig::new();
    let no_type = JoinRequest { protocol_type: String::new(), ..new_member() };
    for request in [no_type, with_protocols(new_member(), &[])] {
        let waiter = rig.join(request);
        assert!(matches!(rig.join_error(waiter), Some(GroupError::InconsistentProtocol(_))));
    }
    assert!(rig.group.is_at_rest());
    let (mut rig, ids) = Rig::stable(1);
    rig.leave(&[identity(&ids[0], -1)]);
    let waiter = rig.join(JoinRequest { protocol_type: "connect".to_owned(), ..with_protocols(new_member(), &["x"]) });
    rig.advance(DELAY);
    assert_eq!(rig.joined(waiter).protocol_type, "connect");
}

#[test]
fn most_votes_choose_among_what_all_support() {
    let mut rig = Rig::new();
    let likes: [&[&str]; 3] = [&["range", "sticky", "own"], &["sticky", "range"], &["sticky", "range"]];
    let joins = likes.map(|names| rig.join(with_protocols(new_member(), names)));
    rig.advance(2 * DELAY);
    assert_eq!(rig.joined(joins[0]).protocol, "sticky");
    let mut rig = Rig::new();
    let joins = [["range", "sticky"], ["sticky", "range"]].map(|names| rig.join(with_protocols(new_member(), &names)));
    rig.advance(2 * DELAY);
    assert_eq!(rig.joined(joins[0]).protocol, "range", "a tie goes by the leader's liking");
}

#[test]
fn only_the_leader_sees_the_members() {
    let (rig, ids) = Rig::stable(2);
    let answers: Vec<&Joined> = rig.joins.values().filter_map(|answer| answer.as_ref().ok()).collect();
    let of = |id: &str| *answers.iter().find(|joined| joined.member_id == id).unwrap();
    let seen: Vec<_> = of(&ids[0]).members.iter().map(|member| member.member_id.clone()).collect();
    assert_eq!(seen, ids);
    assert_eq!(of(&ids[0]).members[1].metadata, subscription(&["t"]));
    assert!(of(&ids[1]).members.is_empty());
    assert_eq!(of(&ids[1]).leader, ids[0]);
}

#[test]
fn a_full_group_takes_no_more() {
    let (mut rig, ids) = Rig::stable(2);
    rig.config.max_group_size = 2;
    let waiter = rig.join(new_member());
    assert_eq!(rig.join_error(waiter), Some(GroupError::GroupFull(2)));
    assert_eq!(rig.state(), "Stable");
    let waiter = rig.join(known(&ids[1]));
    assert_eq!(rig.joined(waiter).generation, 1, "a member that is there already may join again");
}

#[test]
fn a_group_that_has_become_too_large_keeps_those_that_come_first() {
    let (mut rig, ids) = Rig::stable(3);
    rig.config.max_group_size = 2;
    let first = rig.join(known(&ids[0]));
    let second = rig.join(known(&ids[2]));
    let third = rig.join(known(&ids[1]));
    assert_eq!(rig.join_error(third), Some(GroupError::GroupFull(2)));
    assert_eq!(rig.joined(first).generation, 2, "nobody else is waited for");
    assert_eq!(rig.joined(second).generation, 2);
}

#[test]
fn a_leader_that_joins_again_rebalances_a_stable_group() {
    let (mut rig, ids) = Rig::stable(2);
    let leader = rig.join(known(&ids[0]));
    assert_eq!(rig.state(), "PreparingRebalance");
    let other = rig.join(known(&ids[1]));
    assert_eq!((rig.joined(leader).generation, rig.joined(other).generation), (2, 2));
    assert_eq!(rig.state(), "CompletingRebalance");
}

#[test]
fn a_follower_rebalances_a_stable_group_only_with_news() {
    let (mut rig, ids) = Rig::stable(2);
    let waiter = rig.join(known(&ids[1]));
    let joined = rig.joined(waiter);
    assert_eq!((joined.generation, rig.state()), (1, "Stable"));
    let changed = JoinRequest { protocols: vec![("range".to_owned(), subscription(&["t", "u"]))], ..known(&ids[1]) };
    let waiter = rig.join(changed);
    assert!(rig.is_waiting(waiter));
    assert_eq!(rig.state(), "PreparingRebalance");
}

#[test]
fn a_member_that_missed_the_answer_gets_it_again() {
    let (mut rig, ids) = Rig::stable(2);
    let join = rig.join(known(&ids[0]));
    rig.join(known(&ids[1]));
    let generation = rig.joined(join).generation;
    let again = rig.join(known(&ids[0]));
    assert_eq!(rig.joined(again).generation, generation);
    assert_eq!(rig.joined(again).members.len(), 2);
    assert_eq!(rig.state(), "CompletingRebalance");
}

#[test]
fn news_while_assignments_are_made_begin_another_rebalance() {
    let (mut rig, ids) = Rig::stable(2);
    rig.join(known(&ids[0]));
    rig.join(known(&ids[1]));
    let sync = rig.sync(follower(&ids[1], 2));
    let changed = JoinRequest { protocols: vec![("range".to_owned(), subscription(&["u"]))], ..known(&ids[0]) };
    let waiter = rig.join(changed);
    assert_eq!(rig.sync_error(sync), Some(GroupError::RebalanceInProgress));
    assert!(rig.is_waiting(waiter));
    assert_eq!(rig.state(), "PreparingRebalance");
}

#[test]
fn a_client_that_joins_twice_is_answered_on_its_newest_request() {
    let (mut rig, ids) = Rig::stable(2);
    let first = rig.join(known(&ids[0]));
    let second = rig.join(known(&ids[0]));
    assert_eq!(rig.join_error(first), Some(GroupError::RebalanceInProgress));
    rig.join(known(&ids[1]));
    assert_eq!(rig.joined(second).generation, 2);
}
