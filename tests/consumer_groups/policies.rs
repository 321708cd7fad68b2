//! `group.consumer.migration.policy=disabled`: who comes with the other protocol is refused, and those that are there notice nothing.

use super::*;

#[test]
fn where_groups_may_not_go_over_the_other_protocol_is_refused() {
    let set = ["group.consumer.session.timeout.ms=10000", "group.consumer.migration.policy=disabled"];
    let cluster = cluster_with(1, &set);
    let classic = Member::start(Driver::Java, &cluster);
    share(&[&classic], 6);
    let changes = classic.changes();
    // The coordinator says why, and the client passes it on.
    Member::start(Driver::JavaConsumer, &cluster)
        .refused("GroupIdNotFoundException: the classic group 'expedicao' cannot become a consumer group");
    write(&cluster, 6, 0..300);
    until_processed(&[&classic], 300);
    assert_eq!(classic.changes(), changes, "it has what it had");
    classic.leave();

    // Who comes to a group without members decides.
    let consumer = Member::start(Driver::JavaConsumer, &cluster);
    share(&[&consumer], 6);
    let changes = consumer.changes();
    Member::start(Driver::Java, &cluster).refused("InconsistentGroupProtocolException");
    write(&cluster, 6, 300..600);
    until(SOON, "the one of the consumer protocol to go on", || {
        let processed = consumer.processed();
        (300..600).all(|number| processed.contains(&number))
    });
    assert_eq!(consumer.changes(), changes, "it has what it had");
    consumer.leave();
    until(SOON, "everything to be committed", || committed(&cluster, 6) == Some(600));
}
