//! The cluster itself: what it serves, its features, its quorum, its data directories, its leaders.

use caudal_tests::tools::{InputFile, SideBySide};
use serde_json::{Value, json};

const ELECTIONS: &str = "LeaderElectionCommand";
const FEATURES: &str = "FeatureCommand";
const QUORUM: &str = "MetadataQuorumCommand";

#[test]
fn the_cluster() {
    let mut both = SideBySide::start();
    both.same("TopicCommand", "@ --create --topic lojas --partitions 2");
    // The key decides on the partition.
    let keyed = "@ --topic lojas --reader-property parse.key=true --reader-property key.separator=:";
    both.same_with("ConsoleProducer", keyed, "a:um\n");
    versions(&mut both);
    features(&mut both);
    quorum(&mut both);
    directories(&mut both);
    elections(&mut both);
    nodes(&mut both);
    let refused = both.same_failure("AclCommand", "@ --list");
    assert!(refused.out.contains("SecurityDisabledException"), "{refused:?}");
    let acl = "@ --add --allow-principal User:ana --operation Read --topic lojas";
    both.same_failure("AclCommand", acl);
}

/// What is served at all is served in the versions of Apache Kafka.
fn versions(both: &mut SideBySide) {
    let line = |text: &str| text.trim().trim_end_matches(',').to_owned();
    let (caudal, kafka) =
        (both.on_caudal("BrokerApiVersionsCommand", "@"), both.on_kafka("BrokerApiVersionsCommand", "@"));
    let served: Vec<_> = caudal.lines().into_iter().map(line).filter(|line| line.contains("usable")).collect();
    let theirs: Vec<_> = kafka.lines().into_iter().map(line).collect();
    assert!(served.len() > 40, "{served:?}");
    let others: Vec<_> = served.iter().filter(|line| !theirs.contains(line) && !line.contains("Telemetry")).collect();
    assert!(others.is_empty(), "{others:?}");
}

fn features(both: &mut SideBySide) {
    let columns = |line: &&str| line.split("Epoch:").next().unwrap_or_default().trim_end().to_owned();
    let (caudal, kafka) = (both.on_caudal(FEATURES, "@ describe"), both.on_kafka(FEATURES, "@ describe"));
    let theirs: Vec<_> = kafka.lines().iter().map(columns).collect();
    let ours: Vec<_> = caudal.lines().iter().map(columns).collect();
    assert_eq!(ours.len(), 3, "{ours:?}");
    assert!(ours.iter().all(|feature| theirs.contains(feature)), "{ours:?} {theirs:?}");
    for same in [
        "upgrade --feature transaction.version=2",
        "upgrade --feature group.version=1 --dry-run",
        "downgrade --feature transaction.version=2",
    ] {
        both.same_but(FEATURES, &format!("@ {same}"), |text| {
            // Apache Kafka has more features.
            let ours = |line: &&str| {
                ["group.version", "metadata.version", "transaction.version"].iter().any(|f| line.contains(f))
            };
            text.lines().filter(ours).collect::<Vec<_>>().join("\n")
        });
    }
    both.same_failure(FEATURES, "@ upgrade --feature nope=1");
    both.same_failure(FEATURES, "@ upgrade --feature transaction.version=9");
    // The release 4.3 has features that are not claimed.
    let refused = both.on_caudal(FEATURES, "@ upgrade --release-version 4.3");
    assert!(!refused.succeeded() && refused.out.contains("does not have the feature"), "{refused:?}");
    let kept = both.on_caudal(FEATURES, "@ downgrade --feature transaction.version=1");
    assert!(!kept.succeeded() && kept.out.contains("cannot be lowered"), "{kept:?}");
}

fn quorum(both: &mut SideBySide) {
    let names = |text: String| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    };
    let status = both.same_but(QUORUM, "@ describe --status", names);
    let value = |name: &str| {
        let line = status.lines().into_iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_eq!((value("LeaderId").as_str(), value("MaxFollowerLag").as_str()), ("1", "0"), "{status:?}");
    assert!(value("CurrentVoters").contains(both.caudal.bootstrap()), "{status:?}");
    let head = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let replication = both.same_but(QUORUM, "@ describe --replication", head);
    let rows = replication.rows();
    assert!(rows.len() == 1 && rows[0].first() == Some(&"1") && rows[0].last() == Some(&"Leader"), "{replication:?}");
}

fn directories(both: &mut SideBySide) {
    let described = |text: &str| -> Value {
        let json = text.lines().last().expect("a line of JSON");
        serde_json::from_str(json).expect("JSON")
    };
    let line = "@ --describe --topic-list lojas";
    let (caudal, kafka) = (both.on_caudal("LogDirsCommand", line), both.on_kafka("LogDirsCommand", line));
    let essence = |text: &str| {
        let value = described(text);
        let dirs = &value["brokers"][0]["logDirs"];
        let dir = &dirs[0];
        let mut partitions: Vec<_> = dir["partitions"]
            .as_array()
            .expect("partitions")
            .iter()
            .map(|partition| {
                let size = partition["size"].as_u64().expect("a size");
                (
                    partition["partition"].to_string(),
                    size > 0,
                    partition["offsetLag"].to_string(),
                    partition["isFuture"].to_string(),
                )
            })
            .collect();
        partitions.sort();
        (dirs.as_array().map(Vec::len), dir["error"].clone(), partitions)
    };
    let ours = essence(&caudal.out);
    assert_eq!(ours, essence(&kafka.out));
    assert_eq!(ours.2.iter().filter(|(_, has_bytes, ..)| *has_bytes).count(), 1, "{caudal:?}");
    let folder = both.caudal.node_dir(1).join("data");
    let told = described(&caudal.out)["brokers"][0]["logDirs"][0]["logDir"].clone();
    assert_eq!(told.as_str(), folder.to_str());
    both.same_failure("LogDirsCommand", "@ --describe --broker-list 9");
}

fn elections(both: &mut SideBySide) {
    for kind in ["preferred", "unclean"] {
        both.same(ELECTIONS, &format!("@ --election-type {kind} --topic lojas --partition 0"));
        both.same(ELECTIONS, &format!("@ --election-type {kind} --all-topic-partitions"));
        both.same_failure(ELECTIONS, &format!("@ --election-type {kind} --topic nope --partition 0"));
        both.same_failure(ELECTIONS, &format!("@ --election-type {kind} --topic lojas --partition 9"));
        let listed = partitions(&[("lojas", 0), ("lojas", 1)]);
        let elected = both.same(ELECTIONS, &format!("@ --election-type {kind} --path-to-json-file {}", listed.path()));
        assert!(elected.out.contains("lojas-0") && elected.out.contains("lojas-1"), "{elected:?}");
        let listed = partitions(&[("lojas", 0), ("nope", 0)]);
        both.same_failure(ELECTIONS, &format!("@ --election-type {kind} --path-to-json-file {}", listed.path()));
    }
}

/// Partitions to elect leaders for, as kafka-leader-election reads them.
pub(crate) fn partitions(of: &[(&str, i32)]) -> InputFile {
    let partition = |(topic, partition): &(&str, i32)| json!({ "topic": topic, "partition": partition });
    InputFile::of(&json!({ "partitions": of.iter().map(partition).collect::<Vec<_>>() }).to_string())
}

fn nodes(both: &mut SideBySide) {
    let id = both.on_caudal("ClusterTool", "cluster-id @");
    assert!(id.succeeded() && id.out.starts_with("Cluster ID: "), "{id:?}");
    let anywhere = |text: String| {
        let words = |line: &str| {
            line.split_whitespace().filter(|word| word.parse::<u16>().is_err()).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(words).collect::<Vec<_>>().join("\n")
    };
    let listed = both.same_but("ClusterTool", "list-endpoints @", anywhere);
    assert_eq!(listed.rows().len(), 1, "{listed:?}");
    both.same_failure("ClusterTool", "unregister --id 7 @");
    let kept = both.on_caudal("ClusterTool", "unregister --id 1 @");
    assert!(!kept.succeeded() && kept.err.contains("no node can be taken out"), "{kept:?}");
    // None is under way, nor can be, on Caudal.
    let none = both.same("reassign.ReassignPartitionsCommand", "@ --list");
    assert!(none.out.contains("No partition reassignments found."), "{none:?}");
}
