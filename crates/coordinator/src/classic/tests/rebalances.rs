use super::*;

#[test]
fn the_first_rebalance_waits_for_more_members_while_they_come() {
    let mut rig = Rig::new();
    let first = rig.join(new_member());
    rig.advance(DELAY - 1);
    let second = rig.join(new_member());
    rig.advance(DELAY);
    assert!(rig.is_waiting(first) && rig.is_waiting(second), "the second has put it off");
    rig.advance(1);
    assert_eq!((rig.joined(first).generation, rig.joined(second).generation), (1, 1));
}

#[test]
fn the_first_rebalance_waits_no_longer_than_a_rebalance_may() {
    let mut rig = Rig::new();
    let first = rig.join(JoinRequest { rebalance_timeout_ms: 7_000, ..new_member() });
    for _ in 0..6 {
        rig.join(JoinRequest { rebalance_timeout_ms: 7_000, ..new_member() });
        rig.advance(1_000);
    }
    assert!(rig.is_waiting(first));
    rig.join(JoinRequest { rebalance_timeout_ms: 7_000, ..new_member() });
    rig.advance(4_000);
    assert_eq!(rig.joined(first).generation, 1);
}

#[test]
fn a_generation_begins_when_all_have_joined_again() {
    let (mut rig, ids) = Rig::stable(2);
    let joiner = rig.join(new_member());
    assert_eq!(rig.heartbeat(&ids[0], 1), Err(GroupError::RebalanceInProgress));
    rig.join(known(&ids[0]));
    assert!(rig.is_waiting(joiner));
    rig.join(known(&ids[1]));
    assert_eq!(rig.joined(joiner).generation, 2);
    assert_eq!(rig.joined(joiner).leader, ids[0]);
}

#[test]
fn who_does_not_join_again_in_time_is_removed() {
    let (mut rig, ids) = Rig::stable(2);
    let waiter = rig.join(known(&ids[0]));
    for _ in 0..BEATS {
        assert!(rig.is_waiting(waiter));
        rig.heartbeat(&ids[1], 1).unwrap_err();
        rig.advance(BEAT);
    }
    let joined = rig.joined(waiter);
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
    assert_eq!(rig.heartbeat(&ids[1], 1), Err(GroupError::UnknownMember));
}

#[test]
fn a_new_leader_is_chosen_among_those_that_have_joined() {
    let (mut rig, ids) = Rig::stable(3);
    let newest = rig.join(new_member());
    let waiter = rig.join(known(&ids[2]));
    rig.advance(SESSION as Millis);
    let (joined, newest) = (rig.joined(waiter), rig.joined(newest));
    assert_eq!(joined.leader, newest.leader);
    assert!([&ids[2], &newest.member_id].contains(&&joined.leader));
    assert_eq!(joined.members.len() + newest.members.len(), 2, "the leader alone sees the two members");
}

#[test]
fn an_id_given_out_is_waited_for() {
    let (mut rig, ids) = Rig::stable(1);
    let pending = rig.known_id();
    let waiter = rig.join(known(&ids[0]));
    assert!(rig.is_waiting(waiter), "someone is about to join");
    let second = rig.join(known(&pending));
    assert_eq!((rig.joined(waiter).generation, rig.joined(second).generation), (2, 2));
}

#[test]
fn an_id_given_out_is_waited_for_no_longer_than_its_session() {
    let (mut rig, ids) = Rig::stable(1);
    rig.known_id();
    let waiter = rig.join(known(&ids[0]));
    rig.advance(SESSION as Millis);
    assert_eq!(rig.joined(waiter).generation, 2);
}

#[test]
fn a_silent_member_is_removed_with_its_session() {
    let (mut rig, ids) = Rig::stable(2);
    rig.advance(SESSION as Millis - 1);
    assert_eq!(rig.heartbeat(&ids[0], 1), Ok(()));
    rig.advance(1);
    assert_eq!(rig.state(), "PreparingRebalance");
    assert_eq!(rig.heartbeat(&ids[1], 1), Err(GroupError::UnknownMember));
    assert_eq!(rig.heartbeat(&ids[0], 1), Err(GroupError::RebalanceInProgress));
    let waiter = rig.join(known(&ids[0]));
    assert_eq!(rig.joined(waiter).members.len(), 1);
}

#[test]
fn a_group_whose_members_are_all_silent_becomes_empty() {
    let (mut rig, _) = Rig::stable(3);
    rig.commands();
    rig.advance(SESSION as Millis);
    assert_eq!(rig.state(), "Empty");
    let commands = rig.commands();
    let [Command::PutGroup { row, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((row.generation, row.members.len(), row.protocol_type.as_deref()), (2, 0, Some("consumer")));
}

#[test]
fn a_member_that_waits_has_no_session_to_lose() {
    let (mut rig, ids) = Rig::stable(2);
    let waiter = rig.join(known(&ids[0]));
    for _ in 0..3 {
        rig.advance(SESSION as Millis - 1);
        assert_eq!(rig.heartbeat(&ids[1], 1), Err(GroupError::RebalanceInProgress));
    }
    rig.join(known(&ids[1]));
    assert_eq!(rig.joined(waiter).members.len(), 2);
    let sync = rig.sync(follower(&ids[1], 2));
    rig.advance(SESSION as Millis - 1);
    rig.heartbeat(&ids[0], 2).unwrap();
    rig.advance(SESSION as Millis - 1);
    rig.heartbeat(&ids[0], 2).unwrap();
    assert!(rig.is_waiting(sync), "it waits for the leader");
}

#[test]
fn a_new_member_whose_client_is_gone_is_not_waited_for_for_ever() {
    let (mut rig, ids) = Rig::stable(1);
    let lost = rig.join(JoinRequest { rebalance_timeout_ms: 3_600_000, ..new_member() });
    while rig.is_waiting(lost) {
        rig.heartbeat(&ids[0], 1).unwrap_err();
        rig.advance(SESSION as Millis / 2);
        assert!(rig.now < 1_000_000 + 2 * NEW_MEMBER_JOIN_TIMEOUT_MS);
    }
    assert_eq!(rig.join_error(lost), Some(GroupError::UnknownMember));
}

#[test]
fn who_does_not_ask_for_its_assignment_is_removed() {
    let (mut rig, ids) = Rig::stable(2);
    rig.join(known(&ids[0]));
    rig.join(known(&ids[1]));
    let leader = rig.sync(SyncRequest { assignments: vec![], ..follower(&ids[0], 2) });
    assert!(!rig.is_waiting(leader));
    for _ in 0..BEATS {
        assert_eq!(rig.state(), "Stable");
        rig.heartbeat(&ids[0], 2).unwrap();
        rig.heartbeat(&ids[1], 2).unwrap();
        rig.advance(BEAT);
    }
    assert_eq!(rig.state(), "PreparingRebalance");
    assert_eq!(rig.heartbeat(&ids[1], 2), Err(GroupError::UnknownMember));
}

#[test]
fn a_leader_that_does_not_assign_is_removed() {
    let (mut rig, ids) = Rig::stable(2);
    rig.join(known(&ids[0]));
    rig.join(known(&ids[1]));
    let waiting = rig.sync(follower(&ids[1], 2));
    for _ in 0..BEATS {
        rig.heartbeat(&ids[0], 2).unwrap();
        rig.advance(BEAT);
    }
    assert_eq!(rig.sync_error(waiting), Some(GroupError::RebalanceInProgress));
    assert_eq!(rig.heartbeat(&ids[0], 2), Err(GroupError::UnknownMember));
    let waiter = rig.join(known(&ids[1]));
    assert_eq!(rig.joined(waiter).leader, ids[1]);
}

#[test]
fn deadlines_can_be_put_off() {
    let (mut rig, ids) = Rig::stable(1);
    rig.group.postpone(5_000);
    rig.advance(SESSION as Millis + 4_999);
    assert_eq!(rig.heartbeat(&ids[0], 1), Ok(()));
}

#[test]
fn a_generation_is_stored_before_and_its_assignments_after() {
    let (mut rig, _) = Rig::stable(1);
    let commands = rig.commands();
    let [Command::PutGroup { row, .. }, Command::Assign { generation, assignments, .. }] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!((row.state, row.generation), (crate::rows::RestState::CompletingRebalance, 1));
    assert_eq!(row.members[0].protocols[0].0, "range");
    assert_eq!((*generation, assignments.len()), (1, 1));
}
