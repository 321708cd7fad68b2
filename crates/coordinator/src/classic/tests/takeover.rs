//! A new coordinator goes on from the row.

use super::*;
use crate::command::Entry;
use crate::tables::{Changes, Tables};

/// What another coordinator makes of the commands so far.
fn take_over(rig: &Rig) -> Rig {
    let mut tables = Tables::default();
    let entry = Entry { time: 7, image_version: 0, commands: rig.commands.clone() };
    tables.apply_next(entry, &mut Changes::default());
    let mut new = Rig::new();
    new.now = 50;
    new.last_waiter = 1_000;
    let ctx = Context { config: &new.config, now: new.now };
    new.group = ClassicGroup::from_row("g".into(), tables.group("g").unwrap(), ctx);
    new
}

#[test]
fn a_stable_group_goes_on_without_a_rebalance() {
    let (mut old, ids) = Rig::stable(2);
    old.advance(SESSION as Millis - 1);
    let mut new = take_over(&old);
    new.advance(SESSION as Millis - 1);
    for id in &ids {
        assert_eq!(new.heartbeat(id, 1), Ok(()), "everyone has a whole session");
        assert_eq!(new.commit(id, 1), Ok(()));
    }
    let sync = new.sync(follower(&ids[1], 1));
    assert_eq!(new.assignment(sync), Bytes::from_static(b"1"));
    assert!(new.group.is_subscribed("t") && !new.group.is_subscribed("u"));
    assert_eq!(new.group.describe().members.len(), 2);
    new.advance(SESSION as Millis);
    assert_eq!(new.state(), "Empty", "who is silent is removed as ever");
}

#[test]
fn assignments_can_be_made_at_the_new_coordinator() {
    let (mut old, ids) = Rig::stable(2);
    old.join(known(&ids[0]));
    old.join(known(&ids[1]));
    let mut new = take_over(&old);
    assert_eq!(new.state(), "CompletingRebalance");
    let again = new.join(known(&ids[1]));
    assert_eq!(new.joined(again).generation, 2, "whose answer was lost gets it again");
    new.sync_all(&ids, 2);
    assert_eq!(new.state(), "Stable");
}

#[test]
fn who_does_not_come_to_the_new_coordinator_to_sync_is_removed() {
    let (mut old, ids) = Rig::stable(2);
    old.join(known(&ids[0]));
    old.join(known(&ids[1]));
    let mut new = take_over(&old);
    for _ in 0..BEATS {
        new.heartbeat(&ids[0], 2).unwrap();
        new.heartbeat(&ids[1], 2).unwrap();
        new.advance(BEAT);
    }
    assert_eq!(new.state(), "Empty");
}

#[test]
fn who_has_left_does_not_come_back() {
    let (mut old, ids) = Rig::stable(3);
    old.leave(&[identity(&ids[0], -1)]);
    let mut new = take_over(&old);
    assert_eq!(new.state(), "PreparingRebalance");
    assert_eq!(new.heartbeat(&ids[0], 1), Err(GroupError::UnknownMember));
    assert_eq!(new.heartbeat(&ids[1], 1), Err(GroupError::RebalanceInProgress));
    let first = new.join(known(&ids[1]));
    let second = new.join(known(&ids[2]));
    assert_eq!((new.joined(first).generation, new.joined(second).generation), (2, 2));
}

#[test]
fn a_restarted_static_member_leaves_under_the_id_that_the_row_has() {
    let mut old = Rig::new();
    let waiters = ["a", "b"].map(|instance| old.join(static_member(instance)));
    old.advance(2 * DELAY);
    let ids = waiters.map(|waiter| old.joined(waiter).member_id).to_vec();
    old.sync_all(&ids, 1);
    old.join(JoinRequest { member_id: ids[0].clone(), ..static_member("a") });
    old.join(static_member("b"));
    let restarted = old.group.instances["b"].clone();
    old.join(new_member());
    old.leave(&[identity(&restarted, -1)]);
    let new = take_over(&old);
    let members: Vec<_> = new.group.members.keys().cloned().collect();
    assert_eq!(members, ids[..1]);
}

#[test]
fn an_empty_group_keeps_its_generation() {
    let (mut old, ids) = Rig::stable(1);
    old.leave(&[identity(&ids[0], -1)]);
    let mut new = take_over(&old);
    assert!(new.group.is_at_rest());
    let waiter = new.join(new_member());
    new.advance(DELAY);
    assert_eq!(new.joined(waiter).generation, 3);
}

#[test]
fn a_group_that_is_too_large_by_now_rebalances() {
    let (old, _) = Rig::stable(2);
    let mut new = take_over(&old);
    new.config.max_group_size = 1;
    new.decide(|group, ctx, out| group.check_size(ctx, out));
    assert_eq!(new.state(), "PreparingRebalance");
}
