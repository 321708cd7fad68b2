use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use caudal_types::{NodeId, TopicId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::*;
use crate::controller::wish::{AlterConfigs, AlterGroups, AlterQuotas, CreateTopics, MorePartitions};
use crate::quotas::{EntityName, Payer, QuotaEntity, QuotaKey, QuotaLevels, QuotaValue, QuotaWindows};
use crate::table::Table;
use crate::{
    AlterClientQuotas, AlterGroupConfigs, AlterTopicConfigs, ConfigOp, CreatePartitions, CreateTopic, CreatedTopic,
    NodeImage, NodeRegistration, TopicImage,
};

/// A controller without a network: decisions are applied to a table at once.
struct Bench {
    table: Table,
    config: ControllerConfig,
    dead: BTreeSet<NodeId>,
    rng: StdRng,
    meters: MutationMeters,
    now: i64,
    throttle_ms: i32,
}

impl Bench {
    /// A cluster of which some nodes have registered.
    fn new(registered: u32) -> Self {
        let registration = NodeRegistration { host: "h".into(), port: 1, rack: None };
        let config = ControllerConfig {
            node_id: NodeId(1),
            nodes: (1..=3).map(NodeId).collect(),
            cluster_id: "c".into(),
            registration,
            coordinator_shards: 4,
            num_partitions: 2,
            default_replication_factor: None,
            topic_defaults: BTreeMap::new(),
            mutation_windows: QuotaWindows::default(),
        };
        let rng = StdRng::seed_from_u64(1);
        let meters = MutationMeters::new(QuotaWindows::default());
        let dead = BTreeSet::new();
        let mut bench = Self { table: Table::default(), config, dead, rng, meters, now: 0, throttle_ms: 0 };
        for id in 1..=registered {
            let node = NodeImage { id: NodeId(id), host: "h".into(), port: 1, rack: None };
            bench.wish(Wish::RegisterNode(node));
        }
        bench
    }

    fn ask(&mut self, request: Request) -> Results {
        let image = Arc::clone(self.table.image());
        let alive = |node| !self.dead.contains(&node);
        let charge = if let Wish::Charged(payer, _) = &request.wish {
            let levels = QuotaLevels::of(&image.client_quotas, QuotaKey::ControllerMutationRate);
            let limit = levels.and_then(|levels| levels.find(&payer.user, &payer.client_id));
            Some(Charge::new(&self.meters, limit, payer, self.now))
        } else {
            None
        };
        let facts = Facts { image: &image, config: &self.config, alive: &alive, charge: charge.as_ref() };
        let decision = decide(request, &facts, &mut self.rng);
        self.throttle_ms = charge.map_or(0, |charge| charge.throttle_ms());
        match decision.command.clone() {
            Some(command) => {
                let (_, reply) = self.table.apply(image.version + 1, command);
                decision.finish(reply)
            }
            None => decision.unchanged(),
        }
    }

    fn wish(&mut self, wish: Wish) -> Results {
        self.ask(Request { again: false, wish })
    }

    fn create_all(&mut self, topics: Vec<CreateTopic>) -> Vec<Result<CreatedTopic, MetadataError>> {
        let topics = topics.into_iter().map(|topic| (TopicId(Uuid::new_v4()), topic)).collect();
        topics_of(self.wish(Wish::CreateTopics(CreateTopics { topics, validate_only: false })))
    }

    fn create(&mut self, topic: CreateTopic) -> Result<CreatedTopic, MetadataError> {
        self.create_all(vec![topic]).remove(0)
    }

    fn grow(&mut self, topic: &str, count: i32, assignments: Option<Vec<Vec<NodeId>>>) -> Result<(), MetadataError> {
        let topics = vec![CreatePartitions { topic: topic.into(), count, assignments }];
        each_of(self.wish(Wish::CreatePartitions(MorePartitions { topics, validate_only: false }))).remove(0)
    }

    fn alter(&mut self, replace: bool, ops: Vec<ConfigOp>) -> Result<BTreeMap<String, String>, MetadataError> {
        let topics = vec![AlterTopicConfigs { topic: "t".into(), replace, ops }];
        let wish = Wish::AlterTopicConfigs(AlterConfigs { topics, validate_only: false });
        each_of(self.wish(wish)).remove(0).map(|()| self.topic("t").configs.clone())
    }

    fn topic(&self, name: &str) -> Arc<TopicImage> {
        Arc::clone(self.table.image().topic(name).unwrap())
    }
}

fn topics_of(results: Results) -> Vec<Result<CreatedTopic, MetadataError>> {
    match results {
        Results::Topics(results) => results,
        other => panic!("{other:?}"),
    }
}

fn each_of(results: Results) -> Vec<Result<(), MetadataError>> {
    match results {
        Results::Each(results) => results,
        other => panic!("{other:?}"),
    }
}

fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic { name: name.into(), partitions, replication_factor, ..CreateTopic::default() }
}

fn nodes(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn set(key: &str, value: &str) -> ConfigOp {
    ConfigOp::Set(key.into(), value.into())
}

/// Asserts that a refusal is of a kind and says something.
macro_rules! assert_refused {
    ($result:expr, $kind:ident, $text:expr) => {
        match $result {
            Err(MetadataError::$kind(text)) => assert!(text.contains($text), "{text}"),
            other => panic!("expected {}, got {other:?}", stringify!($kind)),
        }
    };
}

#[test]
fn a_topic_without_numbers_gets_the_defaults() {
    let mut bench = Bench::new(3);
    let created = bench.create(topic("t", -1, -1)).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 3));
    assert_eq!(bench.topic("t").id, created.id);
    bench.config.default_replication_factor = Some(2);
    bench.config.num_partitions = 7;
    let created = bench.create(topic("u", -1, -1)).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (7, 2));
}

#[test]
fn names_follow_kafkas_rules() {
    let mut bench = Bench::new(3);
    assert_refused!(bench.create(topic("", 1, 1)), InvalidTopic, "empty");
    assert_refused!(bench.create(topic("a b", 1, 1)), InvalidTopic, "a b");
    bench.create(topic("a.b", 1, 1)).unwrap();
    assert_refused!(bench.create(topic("a.b", 1, 1)), TopicExists, "'a.b'");
    assert_refused!(bench.create(topic("a_b", 1, 1)), InvalidTopic, "collides with the topic 'a.b'");
    bench.create(topic("ab", 1, 1)).unwrap();
    let both = bench.create_all(vec![topic("x.y", 1, 1), topic("x_y", 1, 1)]);
    assert!(both[0].is_ok());
    assert_refused!(both[1].clone(), InvalidTopic, "collides");
}

#[test]
fn numbers_are_checked_and_the_reason_is_the_true_one() {
    let mut bench = Bench::new(2);
    assert_refused!(bench.create(topic("t", 0, 1)), InvalidPartitions, "below 1");
    assert_refused!(bench.create(topic("t", -2, 1)), InvalidPartitions, "below 1");
    assert_refused!(bench.create(topic("t", 10_001, 1)), InvalidPartitions, "at most 10000");
    assert_refused!(bench.create(topic("t", 1, 0)), InvalidReplicationFactor, "below 1");
    assert_refused!(bench.create(topic("t", 1, -2)), InvalidReplicationFactor, "below 1");
    assert_refused!(bench.create(topic("t", 1, 3)), InvalidReplicationFactor, "only 2 broker(s) are registered");
    assert!(bench.table.image().topics.is_empty());
}

#[test]
fn one_request_creates_a_bounded_number_of_partitions() {
    let mut bench = Bench::new(3);
    let results = bench.create_all(vec![topic("a", 6000, 1), topic("b", 6000, 1), topic("c", 4000, 1)]);
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_refused!(results[1].clone(), InvalidPartitions, "split it");
}

#[test]
fn the_clients_own_assignment_is_checked() {
    let mut bench = Bench::new(3);
    let mut assign = |assignments: &[(i32, &[u32])], partitions| {
        let assignments = assignments.iter().map(|(number, ids)| (*number, nodes(ids))).collect();
        bench.create(CreateTopic { assignments, ..topic("t", partitions, -1) })
    };
    assert_refused!(assign(&[(0, &[1])], 1), InvalidRequest, "set both numbers to -1");
    assert_refused!(assign(&[(0, &[1]), (2, &[1])], -1), InvalidReplicaAssignment, "partition 2 where 1 is due");
    assert_refused!(assign(&[(1, &[1])], -1), InvalidReplicaAssignment, "partition 1 where 0 is due");
    assert_refused!(assign(&[(-1, &[1])], -1), InvalidReplicaAssignment, "partition -1");
    assert_refused!(assign(&[(0, &[])], -1), InvalidReplicaAssignment, "no brokers");
    assert_refused!(assign(&[(0, &[1, 1])], -1), InvalidReplicaAssignment, "broker 1 twice");
    assert_refused!(assign(&[(0, &[1, 9])], -1), InvalidReplicaAssignment, "broker 9");
    assert_refused!(assign(&[(0, &[1, 2]), (1, &[3])], -1), InvalidReplicaAssignment, "same number");
    let created = assign(&[(1, &[2, 1]), (0, &[3, 2])], -1).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 2));
    assert_eq!(bench.topic("t").partitions[0].replicas, nodes(&[3, 2]));
    bench.dead.insert(NodeId(2));
    let assignments = BTreeMap::from([(0, nodes(&[2]))]);
    let dead = bench.create(CreateTopic { assignments, ..topic("u", -1, -1) });
    assert_refused!(dead, InvalidReplicaAssignment, "is alive");
}

#[test]
fn settings_are_checked_when_a_topic_is_created() {
    let mut bench = Bench::new(3);
    let mut with = |key: &str, value: Option<&str>| {
        bench.create(CreateTopic { configs: vec![(key.into(), value.map(str::to_owned))], ..topic("t", 1, 1) })
    };
    assert_refused!(with("no.such.key", Some("1")), InvalidConfig, "no.such.key");
    assert_refused!(with("retention.ms", Some("soon")), InvalidConfig, "at least -1");
    assert_refused!(with("retention.ms", None), InvalidConfig, "has no value");
    assert_eq!(with("retention.ms", Some("5")).unwrap().configs["retention.ms"], "5");
}

#[test]
fn validation_creates_nothing() {
    let mut bench = Bench::new(3);
    let topics = vec![(TopicId(Uuid::new_v4()), topic("t", 5, 3)), (TopicId(Uuid::new_v4()), topic("!", 5, 3))];
    let results = topics_of(bench.wish(Wish::CreateTopics(CreateTopics { topics, validate_only: true })));
    let created = results[0].clone().unwrap();
    assert_eq!((created.id, created.partitions, created.replication_factor), (TopicId::NIL, 5, 3));
    assert!(results[1].is_err());
    assert!(bench.table.image().topics.is_empty());
}

#[test]
fn asking_again_finds_what_the_same_wish_has_done() {
    let mut bench = Bench::new(3);
    let topics = vec![(TopicId(Uuid::new_v4()), topic("t", 1, 1))];
    let wish = || Wish::CreateTopics(CreateTopics { topics: topics.clone(), validate_only: false });
    let first = topics_of(bench.wish(wish()));
    assert_eq!(topics_of(bench.ask(Request { again: true, wish: wish() })), first);
    assert_refused!(bench.create(topic("t", 1, 1)), TopicExists, "'t'");

    let grow = |again| {
        let topics = vec![CreatePartitions { topic: "t".into(), count: 3, assignments: None }];
        Request { again, wish: Wish::CreatePartitions(MorePartitions { topics, validate_only: false }) }
    };
    assert_eq!(each_of(bench.ask(grow(false))), [Ok(())]);
    assert_eq!(each_of(bench.ask(grow(true))), [Ok(())]);
    assert_refused!(each_of(bench.ask(grow(false))).remove(0), InvalidPartitions, "has 3 partition(s) already");

    let delete = |again| Request { again, wish: Wish::DeleteTopics(vec![topics[0].0]) };
    assert_eq!(each_of(bench.ask(delete(false))), [Ok(())]);
    assert_eq!(each_of(bench.ask(delete(true))), [Ok(())]);
    assert_refused!(each_of(bench.ask(delete(false))).remove(0), UnknownTopicId, &topics[0].0.to_string());
}

#[test]
fn replicas_go_to_live_nodes_if_there_are_enough() {
    let mut bench = Bench::new(3);
    bench.dead.insert(NodeId(2));
    bench.create(topic("few", 20, 2)).unwrap();
    let used: BTreeSet<NodeId> = bench.topic("few").partitions.iter().flat_map(|one| one.replicas.clone()).collect();
    assert_eq!(used, BTreeSet::from([NodeId(1), NodeId(3)]));
    bench.create(topic("all", 20, 3)).unwrap();
    assert!(bench.topic("all").partitions.iter().all(|one| one.replicas[0] != NodeId(2) && one.replicas.len() == 3));
}

#[test]
fn many_topics_of_one_partition_spread_their_leaders() {
    let mut bench = Bench::new(3);
    bench.create_all((0..30).map(|number| topic(&format!("t{number}"), 1, 3)).collect());
    let mut led = BTreeMap::<NodeId, usize>::new();
    for topic in bench.table.image().topics.values() {
        *led.entry(topic.partitions[0].replicas[0]).or_default() += 1;
    }
    assert_eq!(led.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn partitions_are_added_with_the_topics_replication_factor() {
    let mut bench = Bench::new(3);
    bench.create(topic("t", 1, 2)).unwrap();
    assert_refused!(bench.grow("u", 3, None), UnknownTopic, "'u'");
    assert_refused!(bench.grow("t", 1, None), InvalidPartitions, "would not be an increase");
    assert_refused!(bench.grow("t", -5, None), InvalidPartitions, "-5 would not be an increase");
    assert_refused!(bench.grow("t", 10_001, None), InvalidPartitions, "at most 10000");
    assert_refused!(bench.grow("t", 3, Some(vec![])), InvalidReplicaAssignment, "the assignment has 0");
    assert_refused!(bench.grow("t", 2, Some(vec![nodes(&[1])])), InvalidReplicaAssignment, "same number");
    bench.grow("t", 2, Some(vec![nodes(&[3, 1])])).unwrap();
    assert_eq!(bench.topic("t").partitions[1].replicas, nodes(&[3, 1]));
    bench.grow("t", 9, None).unwrap();
    assert!(bench.topic("t").partitions.iter().all(|partition| partition.replicas.len() == 2));
}

#[test]
fn settings_are_set_deleted_and_lists_amended() {
    let mut bench = Bench::new(3);
    bench.create(topic("t", 1, 1)).unwrap();
    let append = |value: &str| ConfigOp::Append("cleanup.policy".into(), value.into());
    let subtract = |value: &str| ConfigOp::Subtract("cleanup.policy".into(), value.into());
    assert_eq!(bench.alter(false, vec![append("compact")]).unwrap()["cleanup.policy"], "delete,compact");
    assert_eq!(bench.alter(false, vec![append("compact, delete")]).unwrap()["cleanup.policy"], "delete,compact");
    assert_eq!(bench.alter(false, vec![subtract("delete")]).unwrap()["cleanup.policy"], "compact");
    assert_eq!(bench.alter(false, vec![set("retention.ms", "9")]).unwrap().len(), 2);
    let deleted = bench.alter(false, vec![ConfigOp::Delete("cleanup.policy".into())]).unwrap();
    assert_eq!(deleted, BTreeMap::from([("retention.ms".to_owned(), "9".to_owned())]));
    let replaced = bench.alter(true, vec![set("segment.ms", "7")]).unwrap();
    assert_eq!(replaced, BTreeMap::from([("segment.ms".to_owned(), "7".to_owned())]));
    bench.config.topic_defaults.insert("log.cleanup.policy".into(), "compact".into());
    assert_eq!(bench.alter(false, vec![append("delete")]).unwrap()["cleanup.policy"], "compact,delete");
}

#[test]
fn wrong_changes_of_settings_are_refused_whole() {
    let mut bench = Bench::new(3);
    bench.create(topic("t", 1, 1)).unwrap();
    let wrong = vec![set("segment.ms", "7"), set("retention.ms", "-2")];
    assert_refused!(bench.alter(false, wrong), InvalidConfig, "'retention.ms'");
    assert!(bench.topic("t").configs.is_empty());
    let twice = vec![set("segment.ms", "7"), ConfigOp::Delete("segment.ms".into())];
    assert_refused!(bench.alter(false, twice), InvalidRequest, "twice");
    let append = |key: &str| vec![ConfigOp::Append(key.into(), "x".into())];
    assert_refused!(bench.alter(false, append("segment.ms")), InvalidConfig, "not a list");
    assert_refused!(bench.alter(false, append("no.such.key")), InvalidConfig, "no.such.key");
    assert_refused!(bench.alter(false, append("cleanup.policy")), InvalidConfig, "compact, delete");
    assert_refused!(bench.alter(false, vec![set("no.such.key", "1")]), InvalidConfig, "no.such.key");
    let topics = vec![AlterTopicConfigs { topic: "u".into(), replace: false, ops: vec![] }];
    let unknown = each_of(bench.wish(Wish::AlterTopicConfigs(AlterConfigs { topics, validate_only: false })));
    assert_refused!(unknown[0].clone(), UnknownTopic, "'u'");
}

#[test]
fn a_cluster_is_formed_on_configured_nodes_before_any_registers() {
    let mut bench = Bench::new(0);
    assert_eq!(each_of(bench.wish(Wish::FormCluster)), [Ok(())]);
    let image = Arc::clone(bench.table.image());
    assert_eq!((image.cluster_id.as_str(), image.coordinator_shards.len()), ("c", 4));
    let shards = &image.coordinator_shards;
    assert!(shards.iter().all(|shard| shard.replicas.iter().collect::<BTreeSet<_>>().len() == 3));
    assert_eq!(each_of(bench.wish(Wish::FormCluster)), [Ok(())]);
    assert_eq!(bench.table.image().version, image.version);
}

#[test]
fn a_node_is_registered_only_when_it_changed() {
    let mut bench = Bench::new(1);
    let node = NodeImage { id: NodeId(1), host: "h".into(), port: 1, rack: None };
    bench.wish(Wish::RegisterNode(node.clone()));
    assert_eq!(bench.table.image().version, 1);
    bench.wish(Wish::RegisterNode(NodeImage { port: 2, ..node }));
    assert_eq!((bench.table.image().version, bench.table.image().nodes[&NodeId(1)].port), (2, 2));
}

#[test]
fn producer_ids_come_in_blocks() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.wish(Wish::AllocateProducerIds(1000)), Results::ProducerIds(Ok(0)));
    assert_eq!(bench.wish(Wish::AllocateProducerIds(0)), Results::ProducerIds(Ok(1000)));
    assert_eq!(bench.wish(Wish::AllocateProducerIds(1000)), Results::ProducerIds(Ok(1001)));
}

#[test]
fn what_changed_meanwhile_is_told() {
    let mut bench = Bench::new(3);
    let image = Arc::clone(bench.table.image());
    bench.create(topic("t", 1, 1)).unwrap();
    let facts = Facts { image: &image, config: &bench.config, alive: &|_| true, charge: None };
    let topics = vec![(TopicId(Uuid::new_v4()), topic("!", 1, 1)), (TopicId(Uuid::new_v4()), topic("t", 1, 1))];
    let wish = Wish::CreateTopics(CreateTopics { topics, validate_only: false });
    let decision = decide(Request { again: false, wish }, &facts, &mut bench.rng);
    let (_, reply) = bench.table.apply(99, decision.command.clone().unwrap());
    let results = topics_of(decision.finish(reply));
    assert!(matches!(results[0], Err(MetadataError::InvalidTopic(_))));
    assert!(matches!(results[1], Err(MetadataError::TopicExists(_))));
}

#[test]
fn groups_have_settings_whether_they_exist_or_not() {
    const KEY: &str = "consumer.session.timeout.ms";
    let mut bench = Bench::new(3);
    let mut alter = |replace, ops: Vec<ConfigOp>| {
        let groups = vec![AlterGroupConfigs { group: "g".into(), replace, ops }];
        let result =
            each_of(bench.wish(Wish::AlterGroupConfigs(AlterGroups { groups, validate_only: false }))).remove(0);
        (result, bench.table.image().group_configs.get("g").cloned())
    };
    let set = |value: &str| ConfigOp::Set(KEY.into(), value.into());
    let of = |value: &str| Some(BTreeMap::from([(KEY.to_owned(), value.to_owned())]));
    assert_eq!(alter(false, vec![set("50000")]), (Ok(()), of("50000")));
    assert!(matches!(alter(false, vec![set("soon")]), (Err(MetadataError::InvalidConfig(_)), Some(_))));
    assert!(matches!(alter(false, vec![set("1"), set("2")]), (Err(MetadataError::InvalidRequest(_)), Some(_))));
    assert!(alter(false, vec![ConfigOp::Append(KEY.into(), "1".into())]).0.is_err());
    assert_eq!(alter(true, vec![]), (Ok(()), None));
    alter(false, vec![set("50000")]).0.unwrap();
    assert_eq!(alter(false, vec![ConfigOp::Delete(KEY.into())]), (Ok(()), None));
}

#[path = "quota_tests.rs"]
mod quota_tests;
