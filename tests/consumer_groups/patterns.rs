//! Subscriptions by pattern with Java's client: one that the client resolves, and one that the coordinator does (`SubscriptionPattern`).

use super::*;

const PATTERN: &str = "enc.*";
const LATE: &str = "encargos";
const OTHER: &str = "outras";

/// Partitions with their topics.
fn places(topics: &[(&str, u32)]) -> BTreeSet<String> {
    topics.iter().flat_map(|(topic, count)| (0..*count).map(move |partition| format!("{topic}-{partition}"))).collect()
}

/// Waits until the members have all of these between them, each of them some, none twice, and nothing else.
fn share_places(members: &[&Member], wanted: &BTreeSet<String>) {
    until(SOON, "the members to share what matches", || {
        let all: Vec<String> = members.iter().flat_map(|member| member.places()).collect();
        let distinct: BTreeSet<String> = all.iter().cloned().collect();
        all.len() == distinct.len() && distinct == *wanted && members.iter().all(|member| !member.places().is_empty())
    });
}

fn members_have_what_matches(nodes: u32) {
    let cluster = cluster(nodes);
    topics::create(cluster.bootstrap(), OTHER, 2, nodes.cast_signed(), &[]);
    let member = |how| Member::start_with(Driver::JavaConsumer, &cluster, PATTERN, &[("SUBSCRIBE", how)]);
    let by_client = member("client-pattern");
    share_places(&[&by_client], &places(&[(TOPIC, 6)]));
    let by_coordinator = member("broker-pattern");
    share_places(&[&by_client, &by_coordinator], &places(&[(TOPIC, 6)]));
    write(&cluster, 6, 0..300);
    until_processed(&[&by_client, &by_coordinator], 300);
    topics::create(cluster.bootstrap(), LATE, 2, nodes.cast_signed(), &[]);
    share_places(&[&by_client, &by_coordinator], &places(&[(TOPIC, 6), (LATE, 2)]));
    by_client.leave();
    share_places(&[&by_coordinator], &places(&[(TOPIC, 6), (LATE, 2)]));
    write(&cluster, 6, 300..600);
    until(SOON, "the last one to process alone", || {
        let processed = by_coordinator.processed();
        (300..600).all(|number| processed.contains(&number))
    });
    by_coordinator.leave();
    until(SOON, "everything to be committed", || committed(&cluster, 6) == Some(600));
}

#[test]
fn members_have_what_matches_on_three_nodes() {
    members_have_what_matches(3);
}

#[test]
fn members_have_what_matches_on_one_node() {
    members_have_what_matches(1);
}
