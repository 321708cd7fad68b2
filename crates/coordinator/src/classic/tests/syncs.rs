use super::*;

fn completing() -> (Rig, Vec<String>) {
    let (mut rig, ids) = Rig::stable(2);
    rig.join(known(&ids[0]));
    rig.join(known(&ids[1]));
    assert_eq!(rig.state(), "CompletingRebalance");
    (rig, ids)
}

#[test]
fn followers_wait_for_the_leader_and_everyone_gets_its_own() {
    let (mut rig, ids) = completing();
    let second = rig.sync(follower(&ids[1], 2));
    assert!(rig.is_waiting(second));
    let assignments = vec![(ids[0].clone(), Bytes::from_static(b"a")), (ids[1].clone(), Bytes::from_static(b"b"))];
    let first = rig.sync(SyncRequest { assignments, ..follower(&ids[0], 2) });
    assert_eq!((rig.assignment(first), rig.assignment(second)), (Bytes::from_static(b"a"), Bytes::from_static(b"b")));
    assert_eq!(rig.syncs[&first].as_ref().unwrap().protocol, "range");
    assert_eq!(rig.state(), "Stable");
}

#[test]
fn who_comes_after_the_leader_is_answered_at_once() {
    let (mut rig, ids) = completing();
    let assignments = vec![(ids[1].clone(), Bytes::from_static(b"b"))];
    let first = rig.sync(SyncRequest { assignments, ..follower(&ids[0], 2) });
    assert_eq!(rig.assignment(first), Bytes::new(), "the leader has forgotten itself");
    let second = rig.sync(follower(&ids[1], 2));
    assert_eq!(rig.assignment(second), Bytes::from_static(b"b"));
}

#[test]
fn assignments_of_strangers_are_left_out() {
    let (mut rig, ids) = completing();
    rig.commands();
    let assignments = vec![("stranger".to_owned(), Bytes::from_static(b"a"))];
    rig.sync(SyncRequest { assignments, ..follower(&ids[0], 2) });
    let commands = rig.commands();
    let [Command::Assign { assignments, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    assert!(assignments.iter().all(|(id, assignment)| ids.contains(id) && assignment.is_empty()));
}

#[test]
fn syncs_that_do_not_fit_are_refused() {
    let (mut rig, ids) = completing();
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (follower("stranger", 2), GroupError::UnknownMember),
        (follower(&ids[0], 1), GroupError::IllegalGeneration),
        (follower(&ids[0], 3), GroupError::IllegalGeneration),
        (SyncRequest { instance_id: text("i"), ..follower(&ids[0], 2) }, GroupError::UnknownMember),
    ];
    for (request, error) in cases {
        let waiter = rig.sync(request);
        assert_eq!(rig.sync_error(waiter), Some(error));
    }
    for (protocol_type, protocol) in [(text("connect"), None), (None, text("sticky"))] {
        let waiter = rig.sync(SyncRequest { protocol_type, protocol, ..follower(&ids[0], 2) });
        assert!(matches!(rig.sync_error(waiter), Some(GroupError::InconsistentProtocol(_))));
    }
    let right = SyncRequest { protocol_type: text("consumer"), protocol: text("range"), ..follower(&ids[0], 2) };
    let waiter = rig.sync(right);
    assert_eq!(rig.sync_error(waiter), None);
}

#[test]
fn a_sync_during_a_rebalance_is_told_to_join() {
    let (mut rig, ids) = Rig::stable(2);
    rig.join(new_member());
    let waiter = rig.sync(follower(&ids[0], 1));
    assert_eq!(rig.sync_error(waiter), Some(GroupError::RebalanceInProgress));
}

#[test]
fn an_empty_group_has_nothing_to_sync() {
    let mut rig = Rig::new();
    let id = rig.known_id();
    let waiter = rig.sync(follower(&id, 0));
    assert_eq!(rig.sync_error(waiter), Some(GroupError::UnknownMember));
}

#[test]
fn a_client_that_syncs_twice_is_answered_on_its_newest_request() {
    let (mut rig, ids) = completing();
    let first = rig.sync(follower(&ids[1], 2));
    let second = rig.sync(follower(&ids[1], 2));
    assert_eq!(rig.sync_error(first), Some(GroupError::RebalanceInProgress));
    rig.sync(follower(&ids[0], 2));
    assert!(!rig.is_waiting(second));
}

#[test]
fn heartbeats_are_fine_while_assignments_are_made() {
    let (mut rig, ids) = completing();
    assert_eq!(rig.heartbeat(&ids[1], 2), Ok(()));
    assert_eq!(rig.heartbeat(&ids[1], 1), Err(GroupError::IllegalGeneration));
}

#[test]
fn a_stable_group_shows_everything_and_another_one_no_subscriptions() {
    let (mut rig, ids) = Rig::stable(2);
    let described = rig.group.describe();
    assert_eq!(
        (described.state, described.protocol.as_str(), described.protocol_type.as_str()),
        ("Stable", "range", "consumer")
    );
    let member = described.members.iter().find(|member| member.member_id == ids[1]).unwrap();
    assert_eq!((member.metadata.clone(), member.assignment.clone()), (subscription(&["t"]), Bytes::from_static(b"1")));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("c", "/127.0.0.1"));
    rig.join(new_member());
    let described = rig.group.describe();
    assert_eq!((described.state, described.protocol.as_str()), ("PreparingRebalance", ""));
    assert!(described.members[0].metadata.is_empty());
    let listed = rig.group.list();
    assert_eq!(
        (listed.state, listed.group_type, listed.protocol_type.as_str()),
        ("PreparingRebalance", "classic", "consumer")
    );
}
