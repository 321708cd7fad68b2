//! The commands of `caudal` against three real nodes: what they show as JSON is compared with what is true, and what they change with what clients see then.
//!
//! # Layout
//! - [`changes`]: what commands that change something say of it, and replicas placed by hand
//! - [`files`]: offsets of groups in files, also of Kafka's own tool
//! - [`limits`]: quotas, and the levels of log lines

mod changes;
mod files;
mod limits;

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use caudal_tests::{Cluster, topics, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

const TOPIC: &str = "compras";
const SOON: Duration = Duration::from_secs(60);
/// How many records each partition has.
const RECORDS: [i64; 3] = [10, 20, 30];
/// The timestamp of the first record of each partition; each further one is a second later.
const BEGAN_MS: i64 = 1_795_771_800_000;
const BEGAN: &str = "2026-11-27T09:30:00Z";

/// Three nodes with a topic of three partitions and records in them.
fn cluster() -> Cluster {
    let cluster =
        Cluster::start(3, &["group.initial.rebalance.delay.ms=0", "group.consumer.heartbeat.interval.ms=5000"]);
    topics::create(cluster.bootstrap(), TOPIC, 3, 3, &[]);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("a producer");
    for (partition, records) in (0..).zip(RECORDS) {
        for number in 0..records {
            let record: BaseRecord<'_, (), str> = BaseRecord::to(TOPIC).partition(partition).payload("value");
            let record = record.timestamp(BEGAN_MS + number * 1000);
            producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
        }
    }
    producer.flush(SOON).expect("written");
    cluster
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command that has to succeed shows as JSON.
fn shown(cluster: &Cluster, args: &[&str]) -> Value {
    let output = cluster.caudal(&[args, &["--json"]].concat());
    assert!(output.status.success(), "caudal {args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("caudal {args:?} shows no JSON: {error}"))
}

/// What a command that has to succeed says to people.
fn said(cluster: &Cluster, args: &[&str]) -> String {
    let output = cluster.caudal(args);
    assert!(output.status.success(), "caudal {args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Ends with exit code 1 and one line that has all of `words`, and none of a programmer's.
fn refused(cluster: &Cluster, args: &[&str], words: &[&str]) {
    let output = cluster.caudal(args);
    let says = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "caudal {args:?}: {says}");
    assert_eq!(says.trim_end().lines().count(), 1, "caudal {args:?}: {says}");
    assert!(says.starts_with("caudal: ") && !says.contains("{ "), "caudal {args:?}: {says}");
    for word in words {
        assert!(says.contains(word), "caudal {args:?} does not say '{word}': {says}");
    }
}

/// What a command that has to fail shows as JSON all the same, and its lines on the standard error.
fn failed(cluster: &Cluster, args: &[&str]) -> (Value, Vec<String>) {
    let output = cluster.caudal(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "caudal {args:?}: {}", stderr(&output));
    let shown = serde_json::from_slice(&output.stdout);
    let lines = stderr(&output).lines().map(str::to_owned).collect();
    (shown.unwrap_or_else(|error| panic!("caudal {args:?} shows no JSON: {error}")), lines)
}

/// A member that has all partitions of the topic.
fn member(cluster: &Cluster, group: &str, protocol: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", group)
        .set("group.protocol", protocol)
        .set("client.id", "tester")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    until(SOON, "the member to have everything", || {
        // Errors are passing ones.
        let _ = consumer.poll(Duration::from_millis(10));
        consumer.assignment().expect("known").count() == RECORDS.len()
    });
    consumer
}

fn commit(consumer: &BaseConsumer, offsets: &[(i32, i64)]) {
    let mut places = TopicPartitionList::new();
    for (partition, offset) in offsets {
        places.add_partition_offset(TOPIC, *partition, Offset::Offset(*offset)).expect("a valid offset");
    }
    consumer.commit(&places, CommitMode::Sync).expect("committed");
}

/// What a group has committed, as librdkafka sees it.
fn committed(cluster: &Cluster, group: &str) -> BTreeMap<i32, i64> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", cluster.bootstrap()).set("group.id", group).create().expect("a consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_range(TOPIC, 0, 2);
    let places = consumer.committed_offsets(places, SOON).expect("known");
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    places.elements().iter().filter_map(|place| Some((place.partition(), offset(place.offset())?))).collect()
}

/// A field of each element of an array.
fn each<'a>(array: &'a Value, field: &str) -> Vec<&'a Value> {
    array.as_array().expect("an array").iter().map(|element| &element[field]).collect()
}

#[test]
fn groups_are_listed_and_described() {
    let cluster = cluster();
    let classic = member(&cluster, "faturas", "classic");
    commit(&classic, &[(0, 4), (2, 30)]);
    let consumer = member(&cluster, "expedicao", "consumer");
    commit(&consumer, &[(1, 15)]);

    let listed = shown(&cluster, &["group", "list"]);
    assert_eq!(listed["not_answered"], json!([]));
    assert_eq!(each(&listed["groups"], "group"), ["expedicao", "faturas"]);
    assert_eq!(each(&listed["groups"], "type"), ["consumer", "classic"]);
    assert_eq!(each(&listed["groups"], "state"), ["Stable", "Stable"]);
    let only = |flags: &[&str]| shown(&cluster, &[&["group", "list"], flags].concat())["groups"].clone();
    assert_eq!(each(&only(&["--type", "classic"]), "group"), ["faturas"]);
    assert_eq!(only(&["--state", "empty"]), json!([]));

    let described = shown(&cluster, &["group", "describe", "faturas"]);
    assert_eq!((&described["type"], &described["state"]), (&json!("classic"), &json!("Stable")));
    assert_eq!(described["coordinator"]["node"], listed["groups"][1]["coordinator"]);
    assert_eq!(described["members"][0]["client_id"], "tester");
    let all = json!([{ "topic": TOPIC, "partitions": [0, 1, 2] }]);
    assert_eq!(described["members"][0]["assignment"], all);
    assert_eq!(each(&described["offsets"], "committed"), [&json!(4), &Value::Null, &json!(30)]);
    assert_eq!(each(&described["offsets"], "end"), [10, 20, 30]);
    assert_eq!(each(&described["offsets"], "lag"), [&json!(6), &Value::Null, &json!(0)]);
    assert_eq!(described["lag"], 6);
    let who = &described["members"][0]["member_id"];
    assert_eq!(each(&described["offsets"], "member_id"), [who, who, who]);

    let described = shown(&cluster, &["group", "describe", "expedicao"]);
    assert_eq!((&described["type"], &described["assignor"]), (&json!("consumer"), &json!("uniform")));
    assert!(described["epoch"].as_i64() > Some(0), "{described}");
    assert_eq!(described["members"][0]["assignment"], all);
    assert_eq!(described["lag"], 5);
    let text = said(&cluster, &["group", "describe", "expedicao"]);
    assert!(text.contains("Lag: 5") && text.contains("compras:0,1,2"), "{text}");
}

/// Resets a group's offsets, and answers what the plan says by partition; then the same with --execute, which librdkafka sees.
fn reset(cluster: &Cluster, group: &str, flags: &[&str]) -> BTreeMap<i32, i64> {
    let before = committed(cluster, group);
    let args = [&["group", "reset-offsets", group], flags].concat();
    let plan = shown(cluster, &args);
    assert_eq!((&plan["executed"], &plan["group"]), (&json!(false), &json!(group)));
    assert_eq!(committed(cluster, group), before, "{flags:?} only shows a plan");
    let done = shown(cluster, &[&args[..], &["--execute"]].concat());
    assert_eq!((&done["executed"], &done["partitions"]), (&json!(true), &plan["partitions"]), "{flags:?}");
    let number = |value: &Value| value.as_i64().expect("a number");
    let partitions = plan["partitions"].as_array().expect("an array").iter();
    let new: BTreeMap<i32, i64> = partitions
        .map(|change| {
            let partition = i32::try_from(number(&change["partition"])).expect("fits");
            assert_eq!(change["from"].as_i64(), before.get(&partition).copied(), "{change}");
            (partition, number(&change["to"]))
        })
        .collect();
    let after = committed(cluster, group);
    assert!(new.iter().all(|(partition, offset)| after.get(partition) == Some(offset)), "{new:?} {after:?}");
    new
}

fn by_partition(offsets: [i64; 3]) -> BTreeMap<i32, i64> {
    (0..).zip(offsets).collect()
}

fn groups_are_reset(protocol: &str) {
    let cluster = cluster();
    let group = "faturas";
    let consumer = member(&cluster, group, protocol);
    commit(&consumer, &[(0, 4), (1, 15), (2, 30)]);
    let to_latest = ["group", "reset-offsets", group, "--to-latest"];
    refused(
        &cluster,
        &[&to_latest[..], &["--execute"]].concat(),
        &["members (1)", "stop them first", "group describe"],
    );
    let dry = cluster.caudal(&to_latest);
    assert!(dry.status.success() && stderr(&dry).contains("stop them first"), "{}", stderr(&dry));
    refused(&cluster, &["group", "delete", group], &["NON_EMPTY_GROUP", "stop them first"]);
    let topic = ["group", "delete-offsets", group, "--topic", TOPIC];
    refused(&cluster, &topic, &["GROUP_SUBSCRIBED_TO_TOPIC", "stop them first"]);
    assert_eq!(committed(&cluster, group), by_partition([4, 15, 30]));
    drop(consumer);
    until(SOON, "the member to be gone", || shown(&cluster, &["group", "list"])["groups"][0]["state"] == "Empty");

    assert_eq!(reset(&cluster, group, &["--to-earliest"]), by_partition([0, 0, 0]));
    assert_eq!(reset(&cluster, group, &["--to-latest"]), by_partition([10, 20, 30]));
    assert_eq!(reset(&cluster, group, &["--to-offset", "15"]), by_partition([10, 15, 15]));
    assert_eq!(reset(&cluster, group, &["--shift-by", "-12"]), by_partition([0, 3, 3]));
    assert_eq!(reset(&cluster, group, &["--to-datetime", "2026-11-27T09:30:12Z"]), by_partition([10, 12, 12]));
    assert_eq!(reset(&cluster, group, &["--to-offset", "7", "--topic", "compras:1"]), BTreeMap::from([(1, 7)]));
    assert_eq!(reset(&cluster, group, &["--to-current"]), by_partition([10, 7, 12]));
    // All records are older, or of the future: the clock decides, so only what holds either way is looked at.
    let since = reset(&cluster, group, &["--by-duration", "5200w"]);
    assert_eq!(since, by_partition([0, 0, 0]));
    let clipped = shown(&cluster, &["group", "reset-offsets", group, "--to-offset", "25"]);
    assert_eq!(each(&clipped["partitions"], "clipped"), [true, true, false]);

    // A group that does not exist yet comes into being where it shall begin.
    assert_eq!(reset(&cluster, "novo", &["--to-earliest", "--topic", "compras:0,2"]), BTreeMap::from([(0, 0), (2, 0)]));
    refused(&cluster, &["group", "reset-offsets", "novo", "--shift-by", "1", "--topic", TOPIC], &["--to-offset"]);
    refused(&cluster, &["group", "reset-offsets", "nenhum", "--to-latest"], &["no offsets", "--topic", "group list"]);

    cluster.must(&["group", "delete-offsets", group, "--topic", "compras:0,1"]);
    assert_eq!(committed(&cluster, group), BTreeMap::from([(2, 0)]));
    cluster.must(&["group", "delete", group, "novo"]);
    assert_eq!(shown(&cluster, &["group", "list"])["groups"], json!([]));
}

#[test]
fn groups_of_the_classic_protocol_are_reset_and_deleted() {
    groups_are_reset("classic");
}

#[test]
fn groups_of_the_consumer_protocol_are_reset_and_deleted() {
    groups_are_reset("consumer");
}

/// A setting as `caudal config describe` shows it.
fn setting(cluster: &Cluster, whose: &[&str], name: &str) -> Option<Value> {
    let described = shown(cluster, &[&["config", "describe"], whose].concat());
    described["settings"].as_array().expect("an array").iter().find(|setting| setting["name"] == name).cloned()
}

#[test]
fn settings_are_shown_changed_and_found() {
    let cluster = Cluster::start(3, &["num.partitions=5"]);
    topics::create(cluster.bootstrap(), TOPIC, 1, 3, &[]);
    let topic = ["--topic", TOPIC];
    assert_eq!(setting(&cluster, &topic, "retention.ms"), None, "defaults are shown only if asked for");
    let all = [&topic[..], &["--all"]].concat();
    let default = setting(&cluster, &all, "retention.ms").expect("all are shown");
    assert_eq!((&default["source"], &default["value"]), (&json!("default"), &json!("604800000")));

    cluster.must(&["config", "set", "--topic", TOPIC, "segment.bytes=2000000", "segment.ms=120000"]);
    let expected = json!({
        "name": "segment.bytes", "value": "2000000", "source": "topic", "default": "1073741824",
        "read_only": false, "sensitive": false,
    });
    assert_eq!(setting(&cluster, &topic, "segment.bytes"), Some(expected));
    assert_eq!(topics::setting(cluster.bootstrap(), TOPIC, "segment.ms").as_deref(), Some("120000"));
    cluster.must(&["config", "unset", "--topic", TOPIC, "segment.bytes"]);
    assert_eq!(setting(&cluster, &topic, "segment.bytes"), None);

    cluster.must(&["config", "set", "--group", "faturas", "consumer.heartbeat.interval.ms=7000"]);
    let heartbeat = setting(&cluster, &["--group", "faturas"], "consumer.heartbeat.interval.ms").expect("it is set");
    assert_eq!((&heartbeat["value"], &heartbeat["source"]), (&json!("7000"), &json!("group")));
    for node in ["1", "2", "3"] {
        let id = setting(&cluster, &["--node", node], "node.id").expect("it is set");
        assert_eq!((&id["value"], &id["source"]), (&json!(node), &json!("configuration")));
    }
    assert_eq!(setting(&cluster, &["--node", "2"], "num.partitions").expect("it is set")["value"], "5");
    assert_eq!(shown(&cluster, &["config", "describe", "--cluster"])["settings"], json!([]));

    let found = shown(&cluster, &["config", "search", "retention.ms"]);
    let names: Vec<_> = each(&found["settings"], "name");
    assert!(names.contains(&&json!("retention.ms")) && names.contains(&&json!("log.retention.ms")), "{found}");
    refused(&cluster, &["config", "set", "--topic", TOPIC, "retention.ns=1"], &["retention.ns", "config search"]);
    refused(&cluster, &["config", "describe", "--topic", "nada"], &["nada", "topic list"]);
    refused(&cluster, &["config", "describe", "--node", "9"], &["no node 9", "1, 2, 3"]);
}

#[test]
fn topics_and_their_offsets_are_shown() {
    let cluster = cluster();
    let listed = shown(&cluster, &["topic", "list"]);
    let row = listed["topics"].as_array().expect("an array").iter().find(|topic| topic["name"] == TOPIC);
    let row = row.expect("the topic is listed");
    assert_eq!(
        (&row["partitions"], &row["replication_factor"], &row["internal"]),
        (&json!(3), &json!(3), &json!(false))
    );
    let described = shown(&cluster, &["topic", "describe", TOPIC]);
    assert_eq!((&described["name"], &described["id"]), (&json!(TOPIC), &row["id"]));
    assert_eq!(each(&described["partitions"], "latest"), [10, 20, 30]);
    assert_eq!(each(&described["partitions"], "earliest"), [0, 0, 0]);
    for (index, partition) in described["partitions"].as_array().expect("an array").iter().enumerate() {
        let leader = topics::leader(cluster.bootstrap(), TOPIC, index);
        assert_eq!(partition["leader"].as_u64(), leader.map(u64::from));
        assert_eq!(partition["replicas"].as_array().map(Vec::len), Some(3));
    }

    let offsets = shown(&cluster, &["log", "offsets", TOPIC, "--at", "2026-11-27T09:30:15.5Z"]);
    assert_eq!(each(&offsets["partitions"], "latest"), [10, 20, 30]);
    let at = json!({ "offset": 16, "timestamp_ms": BEGAN_MS + 16_000 });
    assert_eq!(each(&offsets["partitions"], "at"), [&Value::Null, &at, &at]);
    let one = shown(&cluster, &["log", "offsets", TOPIC, "--partition", "1", "--at", BEGAN]);
    let first = json!({ "offset": 0, "timestamp_ms": BEGAN_MS });
    assert_eq!(one["partitions"], json!([{ "partition": 1, "earliest": 0, "latest": 20, "at": first }]));
    refused(&cluster, &["log", "offsets", TOPIC, "--partition", "3"], &["no partition 3", "it has 3"]);

    let consume = ["consume", TOPIC, "--from-beginning", "--exit-at-end", "--partition", "1", "--json"];
    let lines = said(&cluster, &consume);
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(records.len(), 20);
    let last = json!({
        "topic": TOPIC, "partition": 1, "offset": 19, "timestamp_ms": BEGAN_MS + 19_000, "key": null, "value": "value",
        "headers": [],
    });
    assert_eq!(records[19], last);
}

#[test]
fn the_sizes_of_logs_are_shown() {
    let cluster = cluster();
    let whole = |listed: &Value| {
        let dirs = listed["dirs"].as_array().expect("an array");
        dirs.len() == 3 && dirs.iter().all(|dir| each(&dir["replicas"], "partition") == [0, 1, 2])
    };
    // The last replica may be a moment behind.
    let listed = until_some(SOON, "every node to have its replicas", || {
        Some(shown(&cluster, &["log", "list", "--topic", TOPIC])).filter(whole)
    });
    assert_eq!(each(&listed["dirs"], "node"), [1, 2, 3]);
    for dir in listed["dirs"].as_array().expect("an array") {
        assert!(dir["path"].as_str().is_some_and(|path| path.ends_with("data")), "{dir}");
        assert!(dir["total_bytes"].as_i64() > dir["usable_bytes"].as_i64() && dir["usable_bytes"].as_i64() > Some(0));
        for replica in dir["replicas"].as_array().expect("an array") {
            assert_eq!((&replica["topic"], &replica["offset_lag"]), (&json!(TOPIC), &json!(0)));
            assert!(replica["bytes"].as_i64() > Some(0), "{replica}");
        }
    }
    let one = shown(&cluster, &["log", "list", "--node", "2", "--topic", "nada"]);
    assert_eq!((each(&one["dirs"], "node"), each(&one["dirs"], "replicas")), (vec![&json!(2)], vec![&json!([])]));
}

#[test]
fn old_records_are_deleted() {
    let cluster = cluster();
    let delete = ["log", "delete-records", TOPIC, "--partition", "1", "--before"];
    let deleted = shown(&cluster, &[&delete[..], &["5"]].concat());
    assert_eq!(deleted, json!({ "topic": TOPIC, "partition": 1, "earliest": 5 }));
    let offsets = shown(&cluster, &["log", "offsets", TOPIC]);
    assert_eq!(each(&offsets["partitions"], "earliest"), [0, 5, 0]);
    refused(&cluster, &[&delete[..], &["21"]].concat(), &["OFFSET_OUT_OF_RANGE", "log offsets"]);
    assert_eq!(shown(&cluster, &[&delete[..], &["end"]].concat())["earliest"], 20);
    refused(&cluster, &["log", "delete-records", TOPIC, "--partition", "7", "--before", "1"], &["no partition 7"]);
}

#[test]
fn transactions_are_shown_and_aborted() {
    let cluster = cluster();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "billing")
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("the transactional id is taken over");
    producer.begin_transaction().expect("a transaction begins");
    let record: BaseRecord<'_, (), str> = BaseRecord::to(TOPIC).partition(1).payload("open");
    producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
    producer.flush(SOON).expect("it is written");

    let listed = shown(&cluster, &["transactions", "list"]);
    let row = &listed["transactions"][0];
    assert_eq!((&row["transactional_id"], &row["state"]), (&json!("billing"), &json!("Ongoing")));
    let described = shown(&cluster, &["transactions", "describe", "billing"]);
    assert_eq!(described["partitions"], json!([{ "topic": TOPIC, "partition": 1 }]));
    for field in ["producer_id", "producer_epoch", "coordinator", "timeout_ms"] {
        assert!(described[field].is_number() && described[field] == row[field], "{field}: {described} {row}");
    }
    let blocking = shown(&cluster, &["transactions", "list", "--blocking"]);
    let open = &blocking["open"][0];
    assert_eq!((&open["topic"], &open["partition"], &open["first_offset"]), (&json!(TOPIC), &json!(1), &json!(20)));
    assert_eq!((&open["transactional_id"], &open["producer_id"]), (&json!("billing"), &row["producer_id"]));
    // Its coordinator knows of it.
    assert_eq!(shown(&cluster, &["transactions", "find-hanging", "--idle", "0s"])["open"], json!([]));

    let abort = ["transactions", "abort", TOPIC, "--partition", "1", "--first-offset"];
    refused(&cluster, &[&abort[..], &["19"]].concat(), &["no transaction is open", "list --blocking"]);
    refused(&cluster, &[&abort[..], &["20"]].concat(), &["billing", "--force"]);
    let aborted = shown(&cluster, &[&abort[..], &["20", "--force"]].concat());
    assert_eq!((&aborted["producer_id"], &aborted["first_offset"]), (&row["producer_id"], &json!(20)));
    assert_eq!(shown(&cluster, &["transactions", "list", "--blocking"])["open"], json!([]));
    refused(&cluster, &["transactions", "describe", "nada"], &["nada", "transactions list"]);
}

#[test]
fn the_nodes_that_live_answer_for_those_that_do_not() {
    let cluster = cluster();
    // One of them at least is coordinated by each node.
    let groups: Vec<_> = (0..12).map(|number| format!("grupo-{number:02}")).collect();
    for group in &groups {
        cluster.must(&["group", "reset-offsets", group, "--to-earliest", "--topic", TOPIC, "--execute"]);
    }
    let names = |listed: &Value| each(&listed["groups"], "group").len();
    assert_eq!(names(&shown(&cluster, &["group", "list"])), groups.len());

    cluster.signal(3, "KILL");
    for command in [&["group", "list"][..], &["transactions", "list"]] {
        let output = cluster.caudal(&[command, &["--json"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("node 3 did not answer"), "{}", stderr(&output));
        let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(each(&listed["not_answered"], "node"), [3]);
    }
    until(SOON, "the others to answer for all groups", || names(&shown(&cluster, &["group", "list"])) == groups.len());
    let under = until_some(SOON, "the topic to be under-replicated", || {
        let listed = shown(&cluster, &["topic", "list", "--under-replicated"]);
        listed["topics"].as_array().expect("an array").iter().find(|topic| topic["name"] == TOPIC).cloned()
    });
    assert_eq!((&under["under_replicated"], &under["without_leader"]), (&json!(3), &json!(0)));
    let described = shown(&cluster, &["topic", "describe", TOPIC, "--under-replicated"]);
    assert_eq!(each(&described["partitions"], "partition"), [0, 1, 2]);
    let leaderless = shown(&cluster, &["topic", "describe", TOPIC, "--without-leader"]);
    assert_eq!(leaderless["partitions"], json!([]));
}

#[test]
fn errors_say_what_to_do() {
    let cluster = Cluster::start(1, &[]);
    let nobody = format!("127.0.0.1:{}", caudal_testing::port_block(&[]));
    refused(
        &cluster,
        &["topic", "list", "--bootstrap", &nobody, "--timeout", "1"],
        &[&nobody, "--bootstrap", "--timeout"],
    );
    refused(&cluster, &["topic", "list", "--bootstrap", "nowhere"], &["nowhere", "HOST:PORT", "CAUDAL_BOOTSTRAP"]);
    refused(&cluster, &["topic", "describe", "nada"], &["'nada'", "topic list"]);
    refused(&cluster, &["topic", "delete", "nada"], &["'nada'", "topic list"]);
    refused(&cluster, &["log", "offsets", "nada"], &["'nada'", "topic list"]);
    refused(&cluster, &["group", "describe", "nada"], &["'nada'", "group list"]);
    refused(&cluster, &["group", "delete", "nada"], &["'nada'", "group list"]);
    cluster.signal(1, "STOP");
    refused(&cluster, &["group", "list", "--timeout", "1"], &["did not answer", "--timeout", "cluster status"]);
    cluster.signal(1, "CONT");
    for wrong in [
        &["group", "reset-offsets", "g"][..],
        &["group", "reset-offsets", "g", "--to-datetime", "yesterday"],
        &["group", "reset-offsets", "g", "--to-latest", "--topic", "t:x"],
        &["config", "describe"],
        &["log", "delete-records", "t", "--partition", "0", "--before", "x"],
        &["topic", "create", "t", "--replica-assignment", "1:2,3"],
        &["topic", "create", "t", "--replica-assignment", "1:2", "--partitions", "1"],
        &["topic", "alter", "t", "--replica-assignment", "1:2"],
        &["group", "reset-offsets", "g", "--to-latest", "--export", "--json"],
        &["group", "reset-offsets", "g", "--from-file", "f", "--topic", "t"],
        &["quota", "set", "request_percentage=1"],
        &["quota", "set", "--user", "ana", "request_percentage=much"],
        &["quota", "set", "--user", "ana", "--ip", "10.0.0.1", "request_percentage=1"],
        &["config", "describe", "--node", "1", "--loggers", "1"],
        &["completion", "cmd"],
    ] {
        assert_eq!(cluster.caudal(wrong).status.code(), Some(2), "{wrong:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&cluster, &["completion", shell]);
        for word in ["reset-offsets", "by-duration", "from-file", "replica-assignment", "client-id-default", "loggers"]
        {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
}
