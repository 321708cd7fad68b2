//! Three nodes, of which one is killed and comes back.

use std::time::Duration;

use caudal_tests::tools::{Ran, Tools};
use caudal_tests::{Cluster, until};
use serde_json::Value;

use crate::cluster::partitions;

const SOON: Duration = Duration::from_secs(60);

/// The leader of each partition of a topic, by what kafka-topics says.
fn leaders(ran: &Ran) -> Vec<String> {
    let leader = |line: &&str| line.split_once("Leader: ")?.1.split_whitespace().next().map(str::to_owned);
    ran.lines().iter().filter_map(leader).collect()
}

#[test]
fn three_nodes() {
    // Leaderships go back only when they are told to.
    let cluster = Cluster::start(3, &["raft.rebalance.after.ms=3600000"]);
    let mut tools = Tools::start();
    let mut run = |tool: &str, line: &str, input: &str| tools.run(cluster.bootstrap(), tool, line, input);
    let create = "@ --create --topic lojas --replica-assignment 1:2:3,2:3:1,3:1:2";
    assert!(run("TopicCommand", create, "").succeeded());
    assert!(run("ConsoleProducer", "@ --topic lojas", "um\ndois\ntres\n").succeeded());
    let describe = "@ --describe --topic lojas";
    assert_eq!(leaders(&run("TopicCommand", describe, "")), ["1", "2", "3"]);

    cluster.signal(1, "KILL");
    until(SOON, "the partition's new leader", || {
        let leaders = leaders(&run("TopicCommand", describe, ""));
        leaders.len() == 3 && leaders.iter().all(|leader| leader == "2" || leader == "3")
    });
    let missing = run("TopicCommand", "@ --describe --under-replicated-partitions", "");
    assert_eq!(missing.lines().len(), 3, "{missing:?}");
    let elect = "@ --election-type preferred --topic lojas --partition 0";
    let refused = run("LeaderElectionCommand", elect, "");
    assert!(!refused.succeeded() && refused.out.contains("node 1, is not alive"), "{refused:?}");
    let unclean = run("LeaderElectionCommand", "@ --election-type unclean --topic lojas --partition 0", "");
    assert!(unclean.succeeded() && unclean.out.contains("Valid replica already elected"), "{unclean:?}");

    cluster.start_node(1);
    let listed = partitions(&[("lojas", 0), ("lojas", 1)]);
    let elect_listed = format!("@ --election-type preferred --path-to-json-file {}", listed.path());
    until(SOON, "the preferred leader to be elected", || {
        let elected = run("LeaderElectionCommand", &elect_listed, "");
        assert_ne!(leaders(&run("TopicCommand", describe, ""))[1], "1", "only what was asked for moves");
        assert!(
            elected.out.contains("Valid replica already elected") && elected.out.contains("lojas-1"),
            "{elected:?}"
        );
        elected.succeeded()
    });
    assert_eq!(leaders(&run("TopicCommand", describe, "")), ["1", "2", "3"]);
    let again = run("LeaderElectionCommand", elect, "");
    assert!(again.succeeded() && again.out.contains("Valid replica already elected"), "{again:?}");
    assert_eq!(run("LeaderElectionCommand", "@ --election-type preferred --all-topic-partitions", "").out, "");
    quorum(&mut run);
    directories(&mut run);
}

fn quorum(run: &mut impl FnMut(&str, &str, &str) -> Ran) {
    until(SOON, "everyone to have all metadata", || {
        let replication = run("MetadataQuorumCommand", "@ describe --replication", "");
        let rows = replication.rows();
        let lags: Vec<_> = rows.iter().map(|row| row[3]).collect();
        let mut roles: Vec<_> = rows.iter().filter_map(|row| row.last().copied()).collect();
        roles.sort_unstable();
        roles == ["Follower", "Follower", "Leader"] && lags == ["0"; 3]
    });
    let status = run("MetadataQuorumCommand", "@ describe --status", "");
    let voters = status.lines().into_iter().find_map(|line| line.strip_prefix("CurrentVoters:")).unwrap_or_default();
    let voters: Value = serde_json::from_str(voters).expect("JSON");
    assert_eq!(voters.as_array().map(Vec::len), Some(3), "{status:?}");
}

fn directories(run: &mut impl FnMut(&str, &str, &str) -> Ran) {
    let described = run("LogDirsCommand", "@ --describe --topic-list lojas", "");
    let described: Value = serde_json::from_str(described.lines().last().expect("a line")).expect("JSON");
    let sizes = |broker: &Value| -> Vec<(String, u64)> {
        let partitions = broker["logDirs"][0]["partitions"].as_array().expect("partitions");
        let size =
            |partition: &Value| (partition["partition"].to_string(), partition["size"].as_u64().expect("a size"));
        let mut sizes: Vec<_> = partitions.iter().map(size).collect();
        sizes.sort();
        sizes
    };
    let brokers = described["brokers"].as_array().expect("brokers");
    assert_eq!(brokers.len(), 3);
    let first = sizes(&brokers[0]);
    assert!(first.len() == 3 && first.iter().any(|(_, size)| *size > 0), "{described}");
    assert!(brokers.iter().all(|broker| sizes(broker) == first), "replicas are alike: {described}");
}
