//! kafka-client-metrics: subscriptions to clients' metrics (KIP-714).

use caudal_tests::tools::SideBySide;

const CLIENT_METRICS: &str = "ClientMetricsCommand";

/// Neither tells in an order.
fn sorted(text: String) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The same whatever names were made up.
fn unnamed(text: String) -> String {
    let stands_for =
        |word: &str| if word.trim_end_matches('.').len() == 22 { "NAME".to_owned() } else { word.to_owned() };
    text.split_whitespace().map(stands_for).collect::<Vec<_>>().join(" ")
}

#[test]
fn subscriptions() {
    let mut both = SideBySide::start();
    both.same(CLIENT_METRICS, "@ --list");
    both.same(CLIENT_METRICS, "@ --describe");
    let alter =
        "@ --alter --name lojas --metrics org.apache.kafka.producer.,org.apache.kafka.consumer. --interval 1000";
    both.same(CLIENT_METRICS, alter);
    both.same(
        CLIENT_METRICS,
        "@ --alter --name lojas --match client_software_name=apache-kafka-java,client_id=loja-.*",
    );
    let described = both.same_but(CLIENT_METRICS, "@ --describe --name lojas", sorted);
    assert!(described.out.contains("interval.ms=1000"), "{described:?}");
    both.same(CLIENT_METRICS, "@ --list");
    both.same_but(CLIENT_METRICS, "@ --alter --generate-name --metrics * --interval 60000", unnamed);
    assert_eq!(both.on_caudal(CLIENT_METRICS, "@ --list").lines().len(), 2);
    both.same_failure(CLIENT_METRICS, "@ --alter --name lojas --interval 99");
    both.same_failure(CLIENT_METRICS, "@ --alter --name lojas --interval often");
    both.same_failure(CLIENT_METRICS, "@ --alter --name lojas --match colour=red");
    both.same(CLIENT_METRICS, "@ --describe --name nope");
    both.same(CLIENT_METRICS, "@ --delete --name lojas");
    both.same(CLIENT_METRICS, "@ --describe --name lojas");
    assert_eq!(both.on_caudal(CLIENT_METRICS, "@ --list").lines().len(), 1);
}
