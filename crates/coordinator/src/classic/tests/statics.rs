use super::*;

/// A stable group of static members `a` and `b`, of which `a` leads; their member ids.
fn stable_statics() -> (Rig, Vec<String>) {
    let mut rig = Rig::new();
    let joins = ["a", "b"].map(|instance_id| rig.join(static_member(instance_id)));
    rig.advance(2 * DELAY);
    let ids = joins.map(|waiter| rig.joined(waiter).member_id).to_vec();
    rig.sync_all(&ids, 1);
    assert_eq!(rig.state(), "Stable");
    rig.commands();
    (rig, ids)
}

#[test]
fn a_restarted_follower_takes_its_place_and_nobody_notices() {
    let (mut rig, ids) = stable_statics();
    let waiter = rig.join(static_member("b"));
    let joined = rig.joined(waiter);
    assert_eq!((joined.generation, joined.leader.as_str(), rig.state()), (1, ids[0].as_str(), "Stable"));
    assert!(joined.member_id.starts_with("b-") && joined.member_id != ids[1]);
    let sync = rig.sync(follower(&joined.member_id, 1));
    assert_eq!(rig.assignment(sync), Bytes::from_static(b"1"));
    let commands = rig.commands();
    let [Command::PutGroup { row, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    assert!(row.members.iter().any(|member| member.id == joined.member_id && member.assignment.as_ref() == b"1"));
}

#[test]
fn the_old_incarnation_is_fenced() {
    let (mut rig, ids) = stable_statics();
    rig.join(static_member("b"));
    let old = static_identity(&ids[1], "b", 1);
    assert_eq!(rig.decide(|group, ctx, _| group.heartbeat(ctx, &old)), Err(GroupError::FencedInstance));
    assert_eq!(rig.decide(|group, ctx, _| group.check_commit(ctx, &old)), Err(GroupError::FencedInstance));
    assert_eq!(rig.leave(std::slice::from_ref(&old)), [Err(GroupError::FencedInstance)]);
    let sync = rig.sync(SyncRequest { instance_id: Some("b".to_owned()), ..follower(&ids[1], 1) });
    assert_eq!(rig.sync_error(sync), Some(GroupError::FencedInstance));
    let join = rig.join(JoinRequest { member_id: ids[1].clone(), ..static_member("b") });
    assert_eq!(rig.join_error(join), Some(GroupError::FencedInstance));
    assert_eq!(rig.state(), "Stable");
}

#[test]
fn a_restarted_leader_does_not_assign_again() {
    let (mut rig, ids) = stable_statics();
    let waiter = rig.join(JoinRequest { supports_skip_assignment: true, ..static_member("a") });
    let joined = rig.joined(waiter);
    assert!(joined.skip_assignment);
    assert_eq!((joined.leader.as_str(), joined.members.len()), (joined.member_id.as_str(), 2));
    let waiter = rig.join(static_member("a"));
    let again = rig.joined(waiter);
    assert_eq!(again.leader, joined.member_id, "an old client must not find that it leads");
    assert!(!again.skip_assignment && again.members.is_empty());
    assert_eq!((rig.group.leader.as_ref(), rig.state()), (Some(&again.member_id), "Stable"));
    assert_ne!(again.member_id, ids[0]);
}

#[test]
fn a_follower_never_skips() {
    let (mut rig, _) = stable_statics();
    let waiter = rig.join(JoinRequest { supports_skip_assignment: true, ..static_member("b") });
    let joined = rig.joined(waiter);
    assert!(!joined.skip_assignment && joined.members.is_empty());
}

#[test]
fn a_restart_that_changes_the_assignor_rebalances() {
    let mut rig = Rig::new();
    let likes: [&[&str]; 3] = [&["range", "sticky"], &["sticky", "range"], &["range", "sticky"]];
    let joins: Vec<_> =
        likes.iter().zip(["a", "b", "c"]).map(|(names, i)| rig.join(with_protocols(static_member(i), names))).collect();
    rig.advance(2 * DELAY);
    let ids: Vec<_> = joins.iter().map(|waiter| rig.joined(*waiter).member_id).collect();
    assert_eq!(rig.joined(joins[0]).protocol, "range");
    rig.sync_all(&ids, 1);
    let waiter = rig.join(with_protocols(static_member("c"), &["sticky", "range"]));
    assert!(rig.is_waiting(waiter));
    assert_eq!(rig.state(), "PreparingRebalance");
}

#[test]
fn a_restart_while_assignments_are_made_begins_another_rebalance() {
    let (mut rig, ids) = stable_statics();
    rig.join(JoinRequest { member_id: ids[0].clone(), ..static_member("a") });
    rig.join(JoinRequest { member_id: ids[1].clone(), ..static_member("b") });
    assert_eq!(rig.state(), "CompletingRebalance");
    let sync = rig.sync(follower(&ids[1], 2));
    let waiter = rig.join(static_member("b"));
    assert_eq!(rig.sync_error(sync), Some(GroupError::FencedInstance));
    assert!(rig.is_waiting(waiter));
    assert_eq!(rig.state(), "PreparingRebalance");
}

#[test]
fn a_restart_during_a_rebalance_takes_part_in_it() {
    let (mut rig, ids) = stable_statics();
    let old = rig.join(JoinRequest { member_id: ids[0].clone(), ..static_member("a") });
    let new = rig.join(static_member("a"));
    assert_eq!(rig.join_error(old), Some(GroupError::FencedInstance));
    let other = rig.join(JoinRequest { member_id: ids[1].clone(), ..static_member("b") });
    assert_eq!((rig.joined(new).generation, rig.joined(other).generation), (2, 2));
    assert_eq!(rig.joined(new).leader, rig.joined(new).member_id);
}

#[test]
fn a_static_member_that_does_not_join_again_stays_until_its_session_ends() {
    let (mut rig, ids) = stable_statics();
    let waiter = rig.join(JoinRequest { member_id: ids[0].clone(), ..static_member("a") });
    for _ in 0..BEATS {
        assert!(rig.is_waiting(waiter));
        rig.decide(|group, ctx, _| group.heartbeat(ctx, &static_identity(&ids[1], "b", 1))).unwrap_err();
        rig.advance(BEAT);
    }
    assert_eq!(rig.joined(waiter).members.len(), 2, "it may be restarting");
    rig.sync(follower(&ids[0], 2));
    rig.advance(SESSION as Millis / 2);
    rig.heartbeat(&ids[0], 2).unwrap();
    rig.advance(SESSION as Millis / 2);
    assert_eq!(rig.state(), "PreparingRebalance");
    assert_eq!(rig.group.describe().members.len(), 1);
}

#[test]
fn a_rebalance_of_silent_static_members_ends_with_their_sessions() {
    let (mut rig, ids) = stable_statics();
    let short = |request: JoinRequest| JoinRequest { rebalance_timeout_ms: 1_000, ..request };
    for (id, instance) in ids.iter().zip(["a", "b"]) {
        rig.join(short(JoinRequest { member_id: id.clone(), ..static_member(instance) }));
    }
    rig.sync_all(&ids, 2);
    let stranger = rig.join(short(new_member()));
    rig.leave(&[identity(&rig.group.members.keys().find(|id| id.starts_with("m-")).unwrap().clone(), -1)]);
    assert!(rig.join_error(stranger).is_some());
    rig.advance(1_500);
    assert_eq!(rig.state(), "PreparingRebalance", "nobody has joined, so no generation can begin");
    rig.advance(SESSION as Millis);
    assert_eq!(rig.state(), "Empty");
}

#[test]
fn an_instance_id_is_free_again_when_its_member_has_left() {
    let (mut rig, _) = stable_statics();
    rig.leave(&[static_identity("", "b", -1)]);
    let waiter = rig.join(static_member("b"));
    assert!(rig.is_waiting(waiter));
    assert_eq!(rig.group.members.len(), 2);
}
