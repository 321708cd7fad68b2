//! Static members (`group.instance.id`) of the consumer protocol with Java's client.

use super::*;

/// A static member leaves and comes back: it has what it had, and nobody else notices, though the coordinator was killed in between.
fn a_static_member_returns(nodes: u32) {
    // Longer than the member is away.
    let cluster = cluster_with(nodes, &["group.consumer.session.timeout.ms=45000"]);
    let start = |id| Member::start_with(Driver::JavaConsumer, &cluster, TOPIC, &[("GROUP_INSTANCE_ID", id)]);
    let (stays, goes) = (start("a"), start("b"));
    share(&[&stays, &goes], 6);
    write(&cluster, 6, 0..300);
    until_processed(&[&stays, &goes], 300);
    let (had, kept, changes) = (goes.has(), stays.has(), stays.changes());

    // While it is there, nobody else can be it.
    start("b").refused("UnreleasedInstanceIdException");
    assert_eq!(goes.has(), had, "who is refused takes nothing away");
    goes.leave();
    let node = coordinator(&cluster);
    cluster.signal(node, "KILL");
    cluster.start_node(node);
    write(&cluster, 6, 300..600);
    let of = |partitions: &BTreeSet<i32>| -> BTreeSet<u32> {
        (300_u32..600).filter(|number| partitions.contains(&number.rem_euclid(6).cast_signed())).collect()
    };
    until(SOON, "the one that stayed to process what is its own", || of(&kept).is_subset(&stays.processed()));

    let back = start("b");
    until(SOON, "the one that returned to have what it had", || back.has() == had);
    until(SOON, "it to process what came meanwhile", || of(&had).is_subset(&back.processed()));
    assert_eq!(back.processed(), of(&had), "what it had committed does not come again");
    assert_eq!((stays.has(), stays.changes()), (kept, changes), "the other one has what it had all the time");
    for member in [stays, back] {
        member.leave();
    }
    until(SOON, "everything to be committed", || committed(&cluster, 6) == Some(600));
}

#[test]
fn a_static_member_returns_on_three_nodes() {
    a_static_member_returns(3);
}

#[test]
fn a_static_member_returns_on_one_node() {
    a_static_member_returns(1);
}
