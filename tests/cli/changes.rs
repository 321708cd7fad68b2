//! What commands that change something say of it: thing by thing, with the error of each.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use caudal_tests::cluster::binary;
use caudal_tests::{Cluster, topics};
use serde_json::{Value, json};

use crate::{TOPIC, cluster, commit, committed, each, failed, member, refused, setting, shown, stderr};

/// A field of the error of each element.
fn codes(items: &Value) -> Vec<&Value> {
    each(items, "error").into_iter().map(|error| &error["code"]).collect()
}

#[test]
fn what_is_done_to_topics_is_said_of_each() {
    let cluster = Cluster::start(3, &[]);
    let create = ["topic", "create", TOPIC, "--partitions", "2", "--replication-factor", "3"];
    let created = shown(&cluster, &create);
    let id = shown(&cluster, &["topic", "describe", TOPIC])["id"].clone();
    let mut facts = json!({ "name": TOPIC, "id": id, "partitions": 2, "replication_factor": 3, "error": null });
    facts["done"] = json!(true);
    assert_eq!(created, facts);
    facts["done"] = json!(false);
    assert_eq!(shown(&cluster, &[&create[..], &["--if-not-exists"]].concat()), facts);
    let (again, says) = failed(&cluster, &create);
    assert_eq!((&again["done"], &again["id"]), (&json!(false), &Value::Null));
    assert_eq!(again["error"]["code"], "TOPIC_ALREADY_EXISTS");
    assert_eq!(says, [format!("caudal: {}", again["error"]["message"].as_str().expect("a message"))]);

    let alter = ["topic", "alter", TOPIC, "--config", "retention.ms=60000", "--delete-config", "segment.ms"];
    let altered = shown(&cluster, &[&alter[..], &["--partitions", "3"]].concat());
    let settings = json!([
        { "change": "set", "name": "retention.ms", "value": "60000", "done": true, "error": null },
        { "change": "unset", "name": "segment.ms", "value": null, "done": true, "error": null },
    ]);
    let partitions = json!({ "from": 2, "to": 3, "done": true, "error": null });
    assert_eq!(altered, json!({ "name": TOPIC, "settings": settings, "partitions": partitions }));
    assert_eq!(topics::setting(cluster.bootstrap(), TOPIC, "retention.ms").as_deref(), Some("60000"));
    assert_eq!(topics::replicas(cluster.bootstrap(), TOPIC).len(), 3);

    // Partitions could not be taken away again.
    let (slip, _) = failed(&cluster, &["topic", "alter", TOPIC, "--config", "retention.ns=1", "--partitions", "9"]);
    assert_eq!(codes(&slip["settings"]), ["INVALID_CONFIG"]);
    assert_eq!((&slip["partitions"]["done"], &slip["partitions"]["error"]["code"]), (&json!(false), &Value::Null));
    assert_eq!(topics::replicas(cluster.bootstrap(), TOPIC).len(), 3);
    let (fewer, _) = failed(&cluster, &["topic", "alter", TOPIC, "--partitions", "1"]);
    assert_eq!((&fewer["settings"], &fewer["partitions"]["from"]), (&json!([]), &json!(3)));
    assert_eq!(fewer["partitions"]["error"]["code"], "INVALID_PARTITIONS");

    cluster.must(&["topic", "create", "outro"]);
    let (deleted, says) = failed(&cluster, &["topic", "delete", TOPIC, "nada", "outro"]);
    assert_eq!(each(&deleted["topics"], "name"), [TOPIC, "nada", "outro"]);
    assert_eq!(each(&deleted["topics"], "done"), [true, false, true], "one that fails does not stop the others");
    assert_eq!(codes(&deleted["topics"]), [&Value::Null, &json!("UNKNOWN_TOPIC_OR_PARTITION"), &Value::Null]);
    assert!(says.len() == 1 && says[0].contains("'nada'") && says[0].contains("topic list"), "{says:?}");
    let listed = shown(&cluster, &["topic", "list"]);
    let left = each(&listed["topics"], "name");
    assert!(!left.contains(&&json!(TOPIC)) && !left.contains(&&json!("outro")), "{left:?}");
    let (_, says) = failed(&cluster, &["topic", "delete", "nada", "nem"]);
    assert!(says.len() == 2 && says[0].contains("'nada'") && says[1].contains("'nem'"), "{says:?}");
}

#[test]
fn replicas_are_placed_by_hand() {
    let cluster = Cluster::start(3, &[]);
    let replicas = || {
        let described = shown(&cluster, &["topic", "describe", TOPIC]);
        each(&described["partitions"], "replicas").into_iter().cloned().collect::<Vec<_>>()
    };
    let created = shown(&cluster, &["topic", "create", TOPIC, "--replica-assignment", "1:2,3:1"]);
    assert_eq!((&created["partitions"], &created["replication_factor"]), (&json!(2), &json!(2)));
    assert_eq!(replicas(), [json!([1, 2]), json!([3, 1])]);
    refused(
        &cluster,
        &["topic", "create", "outro", "--replica-assignment", "1:9"],
        &["INVALID_REPLICA_ASSIGNMENT", "9"],
    );

    let alter = ["topic", "alter", TOPIC, "--partitions", "3", "--replica-assignment"];
    refused(&cluster, &[&alter[..], &["2:3"]].concat(), &["the nodes of 1 partitions", "of the 2 that there are"]);
    cluster.must(&[&alter[..], &["1:2,3:1,2:3"]].concat());
    assert_eq!(replicas(), [json!([1, 2]), json!([3, 1]), json!([2, 3])]);
}

#[test]
fn changes_of_settings_are_made_all_or_none() {
    let cluster = Cluster::start(1, &[]);
    topics::create(cluster.bootstrap(), TOPIC, 1, 1, &[]);
    let set = ["config", "set", "--topic", TOPIC, "retention.ms=60000"];
    let (refused, says) = failed(&cluster, &[&set[..], &["retention.ns=1"]].concat());
    assert_eq!(refused["resource"], json!({ "type": "topic", "name": TOPIC }));
    assert_eq!(each(&refused["changes"], "name"), ["retention.ms", "retention.ns"]);
    assert_eq!(each(&refused["changes"], "done"), [false, false]);
    assert_eq!(codes(&refused["changes"]), ["INVALID_CONFIG", "INVALID_CONFIG"]);
    assert_eq!(says.len(), 1, "what is wrong with all is said once: {says:?}");
    assert_eq!(setting(&cluster, &["--topic", TOPIC], "retention.ms"), None);

    let done = json!({ "change": "set", "name": "retention.ms", "value": "60000", "done": true, "error": null });
    assert_eq!(shown(&cluster, &set)["changes"], json!([done]));
    let undone = json!({ "change": "unset", "name": "retention.ms", "value": null, "done": true, "error": null });
    assert_eq!(shown(&cluster, &["config", "unset", "--topic", TOPIC, "retention.ms"])["changes"], json!([undone]));
    assert_eq!(setting(&cluster, &["--topic", TOPIC], "retention.ms"), None);
}

#[test]
fn what_is_done_to_groups_is_said_of_each() {
    let cluster = cluster();
    for group in ["faturas", "expedicao"] {
        cluster.must(&["group", "reset-offsets", group, "--to-latest", "--topic", TOPIC, "--execute"]);
    }
    let forgotten = shown(&cluster, &["group", "delete-offsets", "faturas", "--topic", "compras:0,2"]);
    let partition = |number: i32| json!({ "topic": TOPIC, "partition": number, "done": true, "error": null });
    assert_eq!(forgotten, json!({ "group": "faturas", "partitions": [partition(0), partition(2)] }));
    assert_eq!(committed(&cluster, "faturas"), BTreeMap::from([(1, 20)]));

    let consumer = member(&cluster, "faturas", "classic");
    commit(&consumer, &[(0, 4)]);
    let (kept, says) = failed(&cluster, &["group", "delete-offsets", "faturas", "--topic", TOPIC]);
    assert_eq!(codes(&kept["partitions"]), ["GROUP_SUBSCRIBED_TO_TOPIC"; 3]);
    assert_eq!(says.len(), 1, "what is wrong with all is said once: {says:?}");
    let (deleted, says) = failed(&cluster, &["group", "delete", "expedicao", "faturas", "nada"]);
    assert_eq!(each(&deleted["groups"], "group"), ["expedicao", "faturas", "nada"]);
    assert_eq!(each(&deleted["groups"], "done"), [true, false, false]);
    assert_eq!(codes(&deleted["groups"])[1..], ["NON_EMPTY_GROUP", "GROUP_ID_NOT_FOUND"]);
    assert_eq!(says.len(), 2, "{says:?}");
    assert_eq!(committed(&cluster, "faturas"), BTreeMap::from([(0, 4), (1, 20)]));
}

#[test]
fn who_does_not_answer_is_asked_once() {
    let cluster = Cluster::start(1, &[]);
    cluster.signal(1, "STOP");
    let (left, says) = failed(&cluster, &["topic", "delete", "a", "b", "c", "--timeout", "1"]);
    cluster.signal(1, "CONT");
    assert_eq!(each(&left["topics"], "done"), [false, false, false]);
    assert_eq!(codes(&left["topics"]), [&Value::Null; 3]);
    assert_eq!(left["topics"][1]["error"], left["topics"][2]["error"]);
    assert!(says.len() == 2 && says[0].contains("did not answer") && says[1].contains("was not tried"), "{says:?}");
}

fn produce(cluster: &Cluster, flags: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(["produce", TOPIC, "--json"])
        .args(flags)
        .env("CAUDAL_BOOTSTRAP", cluster.bootstrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the caudal binary runs");
    child.stdin.take().expect("a standard input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn records_that_are_written_are_counted() {
    let cluster = Cluster::start(1, &[]);
    topics::create(cluster.bootstrap(), TOPIC, 1, 1, &[]);
    let written = produce(&cluster, &["--key-separator", ":"], "a:1\nb:2\n");
    assert!(written.status.success(), "{}", stderr(&written));
    let json = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).expect("JSON");
    assert_eq!(json(&written), json!({ "topic": TOPIC, "records": 2, "error": null }));

    let stopped = produce(&cluster, &["--key-separator", ":"], "no key\n");
    assert_eq!(stopped.status.code(), Some(1), "{}", stderr(&stopped));
    let facts = json(&stopped);
    assert_eq!((&facts["records"], &facts["error"]["code"]), (&json!(0), &Value::Null));
    assert!(facts["error"]["message"].as_str().is_some_and(|message| message.contains("has no key")), "{facts}");
    assert_eq!(shown(&cluster, &["log", "offsets", TOPIC])["partitions"][0]["latest"], 2);
}
