//! Quotas, and the levels of log lines.

use std::collections::BTreeMap;

use caudal_tests::{Cluster, quotas, until};
use serde_json::{Value, json};

use crate::{SOON, each, failed, refused, said, setting, shown};

/// What a node knows, by entity.
fn known(cluster: &Cluster, node: u32) -> BTreeMap<String, BTreeMap<String, f64>> {
    quotas::all(cluster.address(node))
}

#[test]
fn quotas_are_set_listed_and_taken_away() {
    let cluster = Cluster::start(3, &[]);
    let ana = ["--user", "ana"];
    let set = [&["quota", "set"], &ana[..], &["producer_byte_rate=1048576", "request_percentage=12.5"]].concat();
    let done =
        |name: &str, value: f64| json!({ "change": "set", "name": name, "value": value, "done": true, "error": null });
    let changes = json!([done("producer_byte_rate", 1_048_576.0), done("request_percentage", 12.5)]);
    let entity = json!([{ "type": "user", "name": "ana" }]);
    assert_eq!(shown(&cluster, &set), json!({ "entity": entity, "changes": changes }));
    cluster.must(&["quota", "set", "--user", "ana", "--client-id-default", "consumer_byte_rate=2048"]);
    cluster.must(&["quota", "set", "--client-id", "relatorios", "controller_mutation_rate=0.5"]);
    cluster.must(&["quota", "set", "--ip-default", "connection_creation_rate=20"]);

    let values = |values: &[(&str, f64)]| -> BTreeMap<String, f64> {
        values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
    };
    let expected: BTreeMap<String, BTreeMap<String, f64>> = [
        ("user=ana", values(&[("producer_byte_rate", 1_048_576.0), ("request_percentage", 12.5)])),
        ("user=ana,client-id=<default>", values(&[("consumer_byte_rate", 2048.0)])),
        ("client-id=relatorios", values(&[("controller_mutation_rate", 0.5)])),
        ("ip=<default>", values(&[("connection_creation_rate", 20.0)])),
    ]
    .map(|(entity, values)| (entity.to_owned(), values))
    .into();
    for node in cluster.nodes() {
        until(SOON, "each node to know the quotas", || known(&cluster, node) == expected);
    }

    let listed = |flags: &[&str]| shown(&cluster, &[&["quota", "list"], flags].concat())["quotas"].clone();
    assert_eq!(listed(&[]).as_array().map(Vec::len), Some(4));
    let of_ana = listed(&ana);
    let with_any = json!([{ "type": "user", "name": "ana" }, { "type": "client_id", "name": null }]);
    assert_eq!(each(&of_ana, "entity"), [&entity, &with_any], "alone, and together with client ids");
    let rates = json!([
        { "name": "producer_byte_rate", "value": 1_048_576.0 },
        { "name": "request_percentage", "value": 12.5 },
    ]);
    assert_eq!(of_ana[0]["values"], rates);
    assert_eq!(each(&listed(&["--client-id-default"]), "entity"), [&with_any]);
    assert_eq!(each(&listed(&["--ip-default"]), "entity"), [&json!([{ "type": "ip", "name": null }])]);
    assert_eq!(listed(&["--ip", "10.0.0.1"]), json!([]));
    let text = said(&cluster, &["quota", "list"]);
    assert!(text.contains("ana   (default)   -          consumer_byte_rate        2048\n"), "{text}");

    let unset = [&["quota", "unset"], &ana[..], &["producer_byte_rate", "producer_bite_rate"]].concat();
    let unset = shown(&cluster, &unset);
    assert_eq!(each(&unset["changes"], "done"), [true, false], "there was nothing of such a name");
    assert_eq!(each(&unset["changes"], "error"), [&Value::Null, &Value::Null]);
    let left = json!([{ "name": "request_percentage", "value": 12.5 }]);
    assert_eq!(listed(&ana)[0]["values"], left);
}

#[test]
fn quotas_that_cannot_be_are_refused_with_those_that_can() {
    let cluster = Cluster::start(1, &[]);
    let set = ["quota", "set", "--user", "ana", "request_percentage=50", "connection_creation_rate=1"];
    let (refusal, says) = failed(&cluster, &set);
    assert_eq!(each(&refusal["changes"], "done"), [false, false], "all, or none");
    assert_eq!(refusal["changes"][0]["error"]["code"], "INVALID_REQUEST");
    assert_eq!(says.len(), 1, "{says:?}");
    refused(&cluster, &set, &["'connection_creation_rate'", "producer_byte_rate"]);
    refused(&cluster, &["quota", "set", "--user-default", "producer_byte_rate=-5"], &["above 0"]);
    assert_eq!(said(&cluster, &["quota", "list"]), "There are no quotas.\n");
}

#[test]
fn log_levels_are_each_nodes_own() {
    let cluster = Cluster::start(3, &[]);
    let level = |node: &str, target: &str| {
        let setting = setting(&cluster, &["--loggers", node], target).expect("it has a level");
        assert_eq!(setting["source"], "logger");
        setting["value"].clone()
    };
    let before = level("1", "caudal_raft");
    assert_ne!(before, "ERROR");
    let set = shown(&cluster, &["config", "set", "--loggers", "2", "caudal_raft=error", "root=warn"]);
    assert_eq!(set["resource"], json!({ "type": "loggers", "name": "2" }));
    assert_eq!(each(&set["changes"], "done"), [true, true]);
    assert_eq!((level("2", "caudal_raft"), level("2", "root")), (json!("ERROR"), json!("WARN")));
    assert_eq!(level("1", "caudal_raft"), before);
    until(SOON, "the node to say so", || cluster.log(2).contains("log levels have changed"));
    assert!(!cluster.log(1).contains("log levels have changed"));

    cluster.must(&["config", "unset", "--loggers", "2", "caudal_raft"]);
    assert_eq!(level("2", "caudal_raft"), level("2", "caudal_storage"));
    let change = ["config", "set", "--loggers", "2"];
    refused(&cluster, &[&change[..], &["nada=info"]].concat(), &["'nada'", "config describe --loggers 2"]);
    refused(&cluster, &[&change[..], &["root=loud"]].concat(), &["'LOUD'", "INFO"]);
    refused(&cluster, &["config", "describe", "--loggers", "9"], &["no node 9", "1, 2, 3"]);
}
