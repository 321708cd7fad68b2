//! kafka-configs for everything that has settings, kafka-delete-records, and the list of the settings that a broker of Apache Kafka has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use caudal_tests::jvm::Jvm;
use caudal_tests::tools::{InputFile, SideBySide};
use caudal_tests::{root, topics, until};

use crate::described::types_and_texts;

const CONFIGS: &str = "kafka.admin.ConfigCommand";
const DELETE_RECORDS: &str = "DeleteRecordsCommand";

/// Settings that differ by intention: Caudal's own default, and one that Apache Kafka sets for the whole cluster once it knows of eligible leader replicas.
const OTHERWISE: [&str; 2] = ["flush.messages", "min.insync.replicas"];

/// What a node of Caudal leaves unset, where Apache Kafka has a default: a number that is no limit, an empty text, and a number of threads, which Caudal makes
/// follow from the cores.
const UNSET: [&str; 3] = ["log.cleaner.io.max.bytes.per.second", "max.connections.per.ip.overrides", "num.io.threads"];

/// The source of what a node was started with.
const GIVEN: &str = "STATIC_BROKER_CONFIG:";

/// What Apache Kafka can change while it runs, and Caudal cannot: it is refused whatever the value, or is read at the start.
const FIXED: [&str; 7] = [
    "config.providers",
    "cordoned.log.dirs",
    "listeners",
    "num.io.threads",
    "principal.builder.class",
    "sasl.",
    "ssl.",
];

/// The places that a setting's value may come from, the strongest first, by sources and names: their values are as different as defaults are.
fn places(synonyms: &str) -> Vec<String> {
    let synonyms = synonyms.trim_end().trim_end_matches('}').split(", ");
    let place = |synonym: &str| synonym.split('=').next().unwrap_or_default().to_owned();
    synonyms.map(place).filter(|place| !place.is_empty()).collect()
}

/// Each setting with its value and the places that it might have come from.
fn essence(text: String) -> String {
    let lines = text.lines().filter(|line| !OTHERWISE.iter().any(|name| line.trim_start().starts_with(name)));
    let value_and_places = |line: &str| match line.split_once(" synonyms={") {
        Some((value, synonyms)) => format!("{value} {}", places(synonyms).join(" ")),
        None => line.to_owned(),
    };
    lines.map(value_and_places).collect::<Vec<_>>().join("\n")
}

#[test]
fn settings() {
    let mut both = SideBySide::start();
    of_topics(&mut both);
    of_nodes(&mut both);
    of_loggers(&mut both);
    of_groups_and_subscriptions(&mut both);
    types_and_texts(&both);
    quotas(&mut both);
    delete_records(&mut both);
}

fn of_topics(both: &mut SideBySide) {
    both.same("TopicCommand", "@ --create --topic lojas --partitions 2");
    let lojas = "--entity-type topics --entity-name lojas";
    let changed = both.same(
        CONFIGS,
        &format!(
            "@ --alter {lojas} --add-config retention.ms=86400000,cleanup.policy=[compact,delete],segment.ms=5000"
        ),
    );
    assert_eq!(changed.out, "Completed updating config for topic lojas.\n");
    let described = both.same_but(CONFIGS, &format!("@ --describe {lojas}"), essence);
    assert_eq!(described.rows().len(), 3, "{described:?}");
    assert!(both.same_but(CONFIGS, &format!("@ --describe --all {lojas}"), essence).lines().len() > 30);
    both.same(CONFIGS, &format!("@ --alter {lojas} --delete-config segment.ms --add-config max.message.bytes=2000000"));
    both.same_but(CONFIGS, &format!("@ --describe {lojas}"), essence);
    for refused in ["no.such=1", "retention.ms=breve", "cleanup.policy=shred"] {
        assert!(!both.same_failure(CONFIGS, &format!("@ --alter {lojas} --add-config {refused}")).succeeded());
    }
    both.same(CONFIGS, "@ --describe --entity-type topics --entity-name nope");
}

/// What the tool shows of a setting.
#[derive(Debug)]
struct Shown {
    value: String,
    is_secret: bool,
    places: Vec<String>,
}

impl Shown {
    fn is_given(&self) -> bool {
        self.places.iter().any(|place| place.starts_with(GIVEN))
    }
}

fn shown(text: &str) -> BTreeMap<String, Shown> {
    let setting = |line: &str| {
        let (name, rest) = line.strip_prefix("  ")?.split_once('=')?;
        let (value, rest) = rest.split_once(" sensitive=")?;
        let (secret, synonyms) = rest.split_once(" synonyms={")?;
        let shown = Shown { value: value.to_owned(), is_secret: secret == "true", places: places(synonyms) };
        Some((name.to_owned(), shown))
    };
    text.lines().filter_map(setting).collect()
}

fn of_nodes(both: &mut SideBySide) {
    let all = "@ --describe --all --entity-type brokers --entity-name 1";
    let (ours, theirs) = (shown(&both.on_caudal(CONFIGS, all).out), shown(&both.on_kafka(CONFIGS, all).out));
    assert!(theirs.len() > 300, "{theirs:?}");
    for (name, theirs) in &theirs {
        let ours = ours.get(name).unwrap_or_else(|| panic!("{name} is not shown"));
        assert_eq!(ours.is_secret, theirs.is_secret, "{name}");
        let differs = UNSET.contains(&name.as_str()) || OTHERWISE.contains(&name.as_str());
        // Each was started with what it needs.
        if !differs && !ours.is_given() && !theirs.is_given() {
            assert_eq!(ours.places, theirs.places, "{name}");
        }
    }
    let password = &ours["ssl.keystore.password"];
    assert!(password.is_secret && password.value == "null", "{password:?}");
    read_only(both);

    let one = "--entity-type brokers --entity-name 1";
    for (whose, changed) in
        [(one, "log.cleaner.threads=2,background.threads=12"), ("--broker-defaults", "max.connections=5000")]
    {
        both.same(CONFIGS, &format!("@ --alter {whose} --add-config {changed}"));
        let described = both.same_but(CONFIGS, &format!("@ --describe {whose}"), essence);
        assert_eq!(described.rows().len(), changed.split(',').count(), "{described:?}");
    }
    both.same_but(CONFIGS, "@ --describe --entity-type brokers --entity-default", essence);
    let log = || both.caudal.log(1);
    until(Duration::from_secs(10), "the limits to change", || log().contains("connections are limited otherwise"));
    until(Duration::from_secs(30), "the cleaner to change", || log().contains("log compaction goes by other settings"));
    both.same(CONFIGS, &format!("@ --alter {one} --delete-config log.cleaner.threads,background.threads"));
    both.same(CONFIGS, "@ --alter --broker-defaults --delete-config max.connections");
    both.same_but(CONFIGS, &format!("@ --describe {one}"), essence);
    for refused in ["log.dirs=/data", "log.retention.hours=5", "log.cleaner.threads=0", "log.cleaner.threads=some"] {
        let refused = format!("@ --alter {one} --add-config {refused}");
        assert!(both.same_failure(CONFIGS, &refused).err.contains("InvalidRequestException"), "{refused}");
    }
    both.same_failure(CONFIGS, "@ --alter --broker-defaults --add-config ssl.keystore.location=/keys");
    let map = "listener.security.protocol.map=[CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SOBRA:PLAINTEXT]";
    both.same_failure(CONFIGS, &format!("@ --alter --broker-defaults --add-config {map}"));
    both.same(CONFIGS, &format!("@ --alter {one} --add-config {map}"));
    both.same_but(CONFIGS, &format!("@ --describe {one}"), essence);
    both.same(CONFIGS, &format!("@ --alter {one} --delete-config listener.security.protocol.map"));
    both.same(CONFIGS, "@ --describe --entity-type brokers --entity-name 9");
}

fn read_only(both: &SideBySide) {
    let (ours, theirs) =
        (topics::node_settings(both.caudal.bootstrap(), 1), topics::node_settings(both.kafka.bootstrap(), 1));
    let fixed = |name: &String| FIXED.iter().any(|fixed| name.starts_with(fixed));
    let differ: Vec<_> = theirs.iter().filter(|(name, read_only)| ours.get(*name) != Some(*read_only)).collect();
    let differ: BTreeSet<_> = differ.into_iter().filter(|(name, _)| !fixed(name)).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

fn of_loggers(both: &mut SideBySide) {
    let root = |text: String| text.lines().filter(|line| line.contains("root=")).collect::<Vec<_>>().join("\n");
    let loggers = "--entity-type broker-loggers --entity-name 1";
    both.same(CONFIGS, &format!("@ --alter {loggers} --add-config root=WARN"));
    let described = both.same_but(CONFIGS, &format!("@ --describe {loggers}"), root);
    assert!(described.out.contains("  root=WARN sensitive=false synonyms={}"), "{described:?}");
    both.same(CONFIGS, &format!("@ --alter {loggers} --add-config root=INFO"));
    for refused in ["--add-config no.such.logger=INFO", "--add-config root=LOUD", "--delete-config root"] {
        both.same_failure(CONFIGS, &format!("@ --alter {loggers} {refused}"));
    }
    both.same(CONFIGS, "@ --describe --entity-type broker-loggers --entity-name 9");

    let set =
        both.on_caudal(CONFIGS, &format!("@ --alter {loggers} --add-config caudal_broker=TRACE,caudal_raft=ERROR"));
    assert!(set.succeeded(), "{set:?}");
    let levels = both.on_caudal(CONFIGS, &format!("@ --describe {loggers}")).out;
    assert!(levels.contains("  caudal_broker=TRACE ") && levels.contains("  caudal_raft=ERROR "), "{levels}");
    let unset = both.on_caudal(CONFIGS, &format!("@ --alter {loggers} --delete-config caudal_broker,caudal_raft"));
    assert!(unset.succeeded(), "{unset:?}");
    assert!(both.on_caudal(CONFIGS, &format!("@ --describe {loggers}")).out.contains("  caudal_broker=INFO "));
}

fn of_groups_and_subscriptions(both: &mut SideBySide) {
    for (whose, set, unset, refused) in [
        (
            "--entity-type groups --entity-name turma",
            "consumer.session.timeout.ms=50000,share.isolation.level=read_committed",
            "share.isolation.level",
            "consumer.session.timeout.ms=1",
        ),
        (
            "--entity-type client-metrics --entity-name medidas",
            "interval.ms=1000,metrics=[org.apache.kafka.],match=[client_id=a]",
            "match",
            "interval.ms=1",
        ),
    ] {
        both.same(CONFIGS, &format!("@ --alter {whose} --add-config {set}"));
        both.same_but(CONFIGS, &format!("@ --describe {whose}"), essence);
        both.same_but(CONFIGS, &format!("@ --describe --all {whose}"), essence);
        both.same(CONFIGS, &format!("@ --alter {whose} --delete-config {unset}"));
        both.same_but(CONFIGS, &format!("@ --describe {whose}"), essence);
        both.same_failure(CONFIGS, &format!("@ --alter {whose} --add-config {refused}"));
        both.same_failure(CONFIGS, &format!("@ --alter {whose} --add-config no.such=1"));
    }
    // Groups inherit what is set for all nodes.
    let interval = "group.consumer.assignment.interval.ms";
    both.same(CONFIGS, &format!("@ --alter --broker-defaults --add-config {interval}=2000"));
    both.same_but(CONFIGS, "@ --describe --all --entity-type groups --entity-name turma", essence);
    both.same(CONFIGS, &format!("@ --alter --broker-defaults --delete-config {interval}"));
    both.same(CONFIGS, "@ --describe --entity-type client-metrics --entity-name nope");
    both.same(CONFIGS, "@ --describe --entity-type groups --entity-name nope");
}

fn quotas(both: &mut SideBySide) {
    for (whose, set, unset) in [
        (
            "--entity-type clients --entity-name painel",
            "consumer_byte_rate=1000000,producer_byte_rate=2000000",
            "producer_byte_rate",
        ),
        ("--client-defaults", "request_percentage=150", "request_percentage"),
        ("--user-defaults", "controller_mutation_rate=100", "controller_mutation_rate"),
        (
            "--entity-type users --entity-name ana --entity-type clients --entity-name painel",
            "consumer_byte_rate=5000",
            "consumer_byte_rate",
        ),
        ("--entity-type ips --entity-name 10.0.0.7", "connection_creation_rate=20", "connection_creation_rate"),
        ("--ip-defaults", "connection_creation_rate=300", "connection_creation_rate"),
    ] {
        both.same(CONFIGS, &format!("@ --alter {whose} --add-config {set}"));
        let described = both.same_but(CONFIGS, &format!("@ --describe {whose}"), sorted);
        assert!(described.out.contains("Quota configs for"), "{described:?}");
        both.same(CONFIGS, &format!("@ --alter {whose} --delete-config {unset}"));
        both.same_but(CONFIGS, &format!("@ --describe {whose}"), sorted);
    }
    both.same_failure(
        CONFIGS,
        "@ --alter --entity-type clients --entity-name painel --add-config consumer_byte_rate=muito",
    );
    both.same_failure(CONFIGS, "@ --alter --entity-type ips --entity-name 10.0.0.7 --add-config consumer_byte_rate=5");
    both.same_failure(
        CONFIGS,
        "@ --alter --entity-type clients --entity-name painel --delete-config request_percentage",
    );
}

/// Quotas come in no order.
fn sorted(text: String) -> String {
    let words = text.replace(',', " ");
    let mut words: Vec<_> = words.split_whitespace().collect();
    words.sort_unstable();
    words.join(" ")
}

fn delete_records(both: &mut SideBySide) {
    both.same("TopicCommand", "@ --create --topic velhos --partitions 1");
    both.same_with("ConsoleProducer", "@ --topic velhos", "um\ndois\ntres\nquatro\n");
    let delete = |both: &mut SideBySide, offset: i64| {
        let wanted = serde_json::json!({
            "version": 1,
            "partitions": [{ "topic": "velhos", "partition": 0, "offset": offset }],
        });
        let file = InputFile::of(&wanted.to_string());
        // The words for what is refused are one's own.
        let outcome = |text: String| {
            let words = |line: &str| line.split("Exception").next().unwrap_or_default().to_owned();
            text.lines().map(words).collect::<Vec<_>>().join("\n")
        };
        both.same_but(DELETE_RECORDS, &format!("@ --offset-json-file {}", file.path()), outcome)
    };
    let deleted = delete(both, 3);
    assert!(deleted.out.contains("low_watermark: 3"), "{deleted:?}");
    both.same("GetOffsetShell", "@ --topic velhos --time earliest");
    // What is gone already, and what is not there yet.
    delete(both, 1);
    let refused = delete(both, 99);
    assert!(refused.out.contains("OffsetOutOfRangeException"), "{refused:?}");
    let deleted = delete(both, -1);
    assert!(deleted.out.contains("low_watermark: 4"), "{deleted:?}");
}

/// Run it with `UPDATE=1` to write the list anew, when there is a new version of Apache Kafka.
#[test]
fn the_list_of_kafkas_settings_is_current() {
    let path = root().join("tests/ecosystem/broker-settings.tsv");
    let output = Jvm::start("BrokerSettings", &[]).succeed_with_output();
    let list: String =
        output.lines().filter(|line| line.split('\t').count() == 5).map(|line| format!("{line}\n")).collect();
    assert!(list.lines().count() > 300, "{output}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &list).expect("the list is written");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(list == known, "tests/ecosystem/broker-settings.tsv is not current: run this test with UPDATE=1");
}
