use super::*;

#[test]
fn a_leaving_member_lets_the_others_rebalance() {
    let (mut rig, ids) = Rig::stable(2);
    rig.commands();
    assert_eq!(rig.leave(&[identity(&ids[0], -1)]), [Ok(())]);
    assert_eq!(rig.state(), "PreparingRebalance");
    let commands = rig.commands();
    let [Command::RemoveMembers { members, leader, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((members.as_slice(), leader), (&ids[..1], &Some(ids[1].clone())));
    let waiter = rig.join(known(&ids[1]));
    assert_eq!(rig.joined(waiter).leader, ids[1]);
}

#[test]
fn the_last_to_leave_empties_the_group() {
    let (mut rig, ids) = Rig::stable(2);
    rig.commands();
    let members: Vec<_> = ids.iter().map(|id| identity(id, -1)).collect();
    assert_eq!(rig.leave(&members), [Ok(()), Ok(())]);
    assert_eq!(rig.state(), "Empty");
    assert!(matches!(rig.commands().as_slice(), [Command::PutGroup { .. }]));
    assert!(rig.group.is_at_rest());
}

#[test]
fn each_member_of_a_batch_has_its_own_result() {
    let (mut rig, ids) = Rig::stable(1);
    let results = rig.leave(&[identity("stranger", -1), identity("", -1), identity(&ids[0], -1)]);
    assert_eq!(results, [Err(GroupError::UnknownMember), Err(GroupError::UnknownMember), Ok(())]);
}

#[test]
fn nobody_leaves_nothing_happens() {
    let (mut rig, _) = Rig::stable(1);
    rig.commands();
    assert_eq!(rig.leave(&[identity("stranger", -1)]), [Err(GroupError::UnknownMember)]);
    assert_eq!(rig.state(), "Stable");
    assert!(rig.commands().is_empty());
}

#[test]
fn a_static_member_can_be_sent_away_by_its_instance_id() {
    let mut rig = Rig::new();
    let waiter = rig.join(static_member("i"));
    rig.advance(DELAY);
    let id = rig.joined(waiter).member_id;
    assert_eq!(rig.leave(&[static_identity("other", "i", -1)]), [Err(GroupError::FencedInstance)]);
    assert_eq!(rig.leave(&[static_identity("", "j", -1)]), [Err(GroupError::UnknownMember)]);
    assert_eq!(rig.leave(&[static_identity("", "i", -1)]), [Ok(())]);
    assert_eq!(rig.heartbeat(&id, 1), Err(GroupError::UnknownMember));
    assert_eq!(rig.state(), "Empty");
}

#[test]
fn who_leaves_while_it_waits_is_answered() {
    let (mut rig, ids) = Rig::stable(2);
    let waiter = rig.join(known(&ids[0]));
    assert_eq!(rig.leave(&[identity(&ids[0], -1)]), [Ok(())]);
    assert_eq!(rig.join_error(waiter), Some(GroupError::UnknownMember));
    let waiter = rig.join(known(&ids[1]));
    let sync = rig.sync(follower("x", 2));
    assert!(rig.sync_error(sync).is_some());
    assert_eq!(rig.joined(waiter).generation, 2);
}

#[test]
fn the_others_begin_when_the_last_missing_one_leaves() {
    let (mut rig, ids) = Rig::stable(2);
    rig.commands();
    let waiter = rig.join(known(&ids[0]));
    rig.leave(&[identity(&ids[1], -1)]);
    assert_eq!(rig.joined(waiter).members.len(), 1);
    assert!(matches!(rig.commands().as_slice(), [Command::PutGroup { .. }]));
}

#[test]
fn an_id_given_out_can_be_given_back() {
    let (mut rig, ids) = Rig::stable(1);
    let pending = rig.known_id();
    let waiter = rig.join(known(&ids[0]));
    assert!(rig.is_waiting(waiter));
    assert_eq!(rig.leave(&[identity(&pending, -1)]), [Ok(())]);
    assert_eq!(rig.joined(waiter).generation, 2);
}

#[test]
fn leaving_while_assignments_are_made_begins_another_rebalance() {
    let (mut rig, ids) = Rig::stable(3);
    for id in &ids {
        rig.join(known(id));
    }
    let sync = rig.sync(follower(&ids[1], 2));
    let leaver = rig.sync(follower(&ids[2], 2));
    rig.leave(&[identity(&ids[2], -1)]);
    assert_eq!(rig.sync_error(sync), Some(GroupError::RebalanceInProgress));
    assert_eq!(rig.sync_error(leaver), Some(GroupError::UnknownMember));
    assert_eq!(rig.state(), "PreparingRebalance");
}
