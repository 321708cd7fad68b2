//! Clients' metrics (KIP-714) with real clients, which push what they are asked for: it is told with the node's own metrics, and goes when the client goes.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

use caudal_tests::metrics::Metrics;
use caudal_tests::{Cluster, Driver, topics, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

/// Clients wait for up to one and a half of their interval, and look for subscriptions only so often.
const DEADLINE: Duration = Duration::from_secs(90);
const CONNECTIONS: &str = "caudal_client_org_apache_kafka_producer_connection_creation_total";

fn subscribe(cluster: &Cluster, settings: &[&str]) {
    cluster.must(&[&["config", "set", "--client-metrics", "test"], settings].concat());
}

/// The values that clients have pushed whose names begin with `name`, of all nodes.
fn pushed(cluster: &Cluster, name: &str) -> BTreeMap<String, f64> {
    let of_node = |node| Metrics::of(cluster, node).since(&Metrics::default(), |found| found.starts_with(name));
    cluster.nodes().flat_map(of_node).collect()
}

fn of_client(cluster: &Cluster, name: &str, client_id: &str) -> Option<f64> {
    let label = format!("client_id=\"{client_id}\"");
    pushed(cluster, name).into_iter().find(|(found, _)| found.contains(&label)).map(|(_, value)| value)
}

/// A producer of Apache Kafka's client that ends when its input does.
struct Java(Child);

impl Java {
    fn start(cluster: &Cluster) -> Self {
        Self(Driver::Java.load(cluster.bootstrap(), "t", 1, 20))
    }

    /// It closes, and says that nothing follows.
    fn close(mut self) {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn java_pushes_what_it_is_asked_for_until_it_closes() {
    let cluster = Cluster::start(1, &[]);
    topics::create(cluster.bootstrap(), "t", 1, 1, &[]);
    subscribe(
        &cluster,
        &[
            "metrics=org.apache.kafka.producer.connection.",
            "interval.ms=500",
            "match=client_software_name=apache-kafka-java",
        ],
    );
    let java = Java::start(&cluster);
    let connections = until_some(DEADLINE, "a value of the client", || of_client(&cluster, CONNECTIONS, "producer-1"));
    assert!(connections >= 1.0, "{connections}");
    let sent = "caudal_client_org_apache_kafka_producer_record_send_total";
    assert!(pushed(&cluster, sent).is_empty(), "nobody asked for it");

    // The client learns of it with its next push.
    subscribe(&cluster, &["metrics=org.apache.kafka.producer."]);
    let unknown = "caudal_telemetry_unknown_subscriptions_total";
    until(DEADLINE, "the client to hear that its subscription has changed", || {
        Metrics::of(&cluster, 1).get(unknown) > 0.0
    });
    let connections_kept = || of_client(&cluster, CONNECTIONS, "producer-1");
    until(DEADLINE, "values of the new subscription", || {
        pushed(&cluster, "caudal_client_org_apache_kafka_producer_").len() > 10 && connections_kept() >= Some(1.0)
    });

    java.close();
    until(DEADLINE, "the values to go", || pushed(&cluster, "caudal_client_").is_empty());
    assert!(Metrics::of(&cluster, 1).get("caudal_telemetry_pushes_total") >= 2.0);
    assert_eq!(Metrics::of(&cluster, 1).get("caudal_telemetry_push_errors_total"), 0.0);
}

#[test]
fn librdkafka_pushes_what_it_is_asked_for_until_it_is_gone() {
    let cluster = Cluster::start(1, &[]);
    topics::create(cluster.bootstrap(), "t", 1, 1, &[]);
    subscribe(&cluster, &["metrics=*", "interval.ms=500", "match=client_id=loja-.*"]);
    let producer = |client_id: &str| -> ThreadedProducer<_> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap()).set("client.id", client_id);
        config.create::<ThreadedProducer<rdkafka::producer::DefaultProducerContext>>().expect("a producer")
    };
    let (matched, other) = (producer("loja-7"), producer("other"));
    for producer in [&matched, &other] {
        producer.send(BaseRecord::<(), str>::to("t").payload("v")).map_err(|(error, _)| error).expect("queued");
        producer.flush(DEADLINE).expect("acknowledged");
    }
    // librdkafka counts connections from when it is asked for them: there need not be any.
    until(DEADLINE, "a value of the client", || of_client(&cluster, CONNECTIONS, "loja-7").is_some());
    assert_eq!(of_client(&cluster, "caudal_client_", "other"), None, "no subscription is for it");
    assert_eq!(Metrics::of(&cluster, 1).get("caudal_telemetry_push_errors_total"), 0.0);
    drop(matched);
    until(DEADLINE, "the values to go", || pushed(&cluster, "caudal_client_").is_empty());
}
