//! Groups of the consumer protocol (KIP-848) with the Java client and franz-go, on real nodes: members come, go, die; topics grow; coordinators are
//! killed. Every record is processed, and what was processed is committed.
//!
//! # Layout
//! - `patterns`: subscriptions by pattern
//! - `policies`: where groups may not go from one protocol to the other
//! - `statics`: static members
//! - `by_hand`: what no client library would send, and what tools see

mod by_hand;
mod patterns;
mod policies;
mod statics;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use caudal_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use caudal_tests::raw::Raw;
use caudal_tests::{Cluster, Driver, topics, until, until_some};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TOPIC: &str = "encomendas";
const GROUP: &str = "expedicao";
const SOON: Duration = Duration::from_secs(60);

fn cluster(nodes: u32) -> Cluster {
    cluster_with(nodes, &["group.consumer.session.timeout.ms=10000"])
}

fn cluster_with(nodes: u32, more: &[&str]) -> Cluster {
    let mut set = vec![
        "group.consumer.min.heartbeat.interval.ms=100",
        "group.consumer.heartbeat.interval.ms=500",
        "group.consumer.min.session.timeout.ms=5000",
    ];
    set.extend(more);
    let cluster = Cluster::start(nodes, &set);
    let replicas = nodes.min(3).to_string();
    let create = ["topic", "create", TOPIC, "--partitions", "6", "--replication-factor", &replicas];
    let output = cluster.caudal(&create);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster
}

/// The node that coordinates the group.
fn coordinator(cluster: &Cluster) -> u32 {
    let request = FindCoordinatorRequest::default().with_key(GROUP.into());
    until_some(SOON, "the group to have a coordinator", || {
        let answer: FindCoordinatorResponse = Raw::connect(cluster.bootstrap()).call(10, 3, true, &request);
        (answer.error_code == 0).then(|| answer.node_id.0.unsigned_abs())
    })
}

/// A member of the group in a process of its own, and what it has said.
struct Member {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Member {
    fn start(driver: Driver, cluster: &Cluster) -> Self {
        Self::start_with(driver, cluster, TOPIC, &[])
    }

    /// One that is told more by its environment, `tests/clients/README.md`.
    fn start_with(driver: Driver, cluster: &Cluster, topic: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = driver.member(cluster.bootstrap(), topic, GROUP, environment);
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (heard, stdout) = (Arc::clone(&said), child.stdout.take().expect("piped"));
        let listen = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                heard.lock().expect("no panic while locked").push(line);
            }
        };
        thread::Builder::new().name("member".to_owned()).spawn(listen).expect("a thread");
        Self { child, said }
    }

    fn said(&self, word: &str) -> Vec<String> {
        let said = self.said.lock().expect("no panic while locked");
        said.iter().filter_map(|line| Some(line.strip_prefix(word)?.trim().to_owned())).collect()
    }

    /// The partitions that it has.
    fn has(&self) -> BTreeSet<i32> {
        let last = self.said("assigned").pop().unwrap_or_default();
        last.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }

    /// The same with their topics, where it may have several.
    fn places(&self) -> BTreeSet<String> {
        let last = self.said("assigned").pop().unwrap_or_default();
        last.split_whitespace().map(str::to_owned).collect()
    }

    /// How often that has changed.
    fn changes(&self) -> usize {
        self.said("assigned").len()
    }

    fn processed(&self) -> BTreeSet<u32> {
        self.said("record").iter().map(|value| value.parse().expect("a number")).collect()
    }

    fn leave(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success(), "it said {:?}", self.said.lock());
    }

    /// Waits until the coordinator has refused it with this error, of which the client tells its application.
    fn refused(mut self, error: &str) {
        until(SOON, &format!("the member to be refused with {error}"), || !self.said("refused").is_empty());
        let why = self.said("refused").remove(0);
        assert!(why.contains(error), "{why}");
        assert!(!self.child.wait().expect("it ends").success(), "it said {:?}", self.said.lock());
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("dead");
    }
}

/// Waits until the members have all partitions between them, each of them some, and none twice.
fn share(members: &[&Member], partitions: usize) {
    until(SOON, "the members to share the partitions", || {
        let all: Vec<i32> = members.iter().flat_map(|member| member.has()).collect();
        let distinct: BTreeSet<i32> = all.iter().copied().collect();
        let least = partitions / members.len();
        all.len() == partitions && distinct.len() == partitions && members.iter().all(|m| m.has().len() >= least)
    });
}

/// Writes numbered records over all partitions.
fn write(cluster: &Cluster, partitions: u32, numbers: std::ops::Range<u32>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("a producer");
    for number in numbers {
        let value = number.to_string();
        let partition = i32::try_from(number % partitions).expect("fits");
        let record: BaseRecord<'_, (), str> = BaseRecord::to(TOPIC).partition(partition).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("the client's queue has room");
    }
    producer.flush(SOON).expect("written");
}

fn until_processed(members: &[&Member], up_to: u32) {
    until(SOON, "every record to be processed", || {
        let processed: BTreeSet<u32> = members.iter().flat_map(|member| member.processed()).collect();
        processed == (0..up_to).collect()
    });
}

/// What the group has committed, over all partitions.
fn committed(cluster: &Cluster, partitions: i32) -> Option<i64> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", cluster.bootstrap()).set("group.id", GROUP).create().expect("a consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_range(TOPIC, 0, partitions - 1);
    let places = consumer.committed_offsets(places, Duration::from_secs(10)).ok()?;
    let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    Some(places.elements().iter().map(|place| offset(place.offset())).sum())
}

fn grow(cluster: &Cluster, partitions: usize) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("an admin client");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let grown =
        runtime.block_on(admin.create_partitions(&[NewPartitions::new(TOPIC, partitions)], &AdminOptions::new()));
    assert!(grown.expect("answered")[0].is_ok());
}

fn members_come_go_and_die(nodes: u32) {
    let cluster = cluster(nodes);
    let java = Member::start(Driver::JavaConsumer, &cluster);
    share(&[&java], 6);
    write(&cluster, 6, 0..600);
    let franz = Member::start(Driver::FranzGoConsumer, &cluster);
    share(&[&java, &franz], 6);
    write(&cluster, 6, 600..1200);
    let victim = Member::start(Driver::JavaConsumer, &cluster);
    share(&[&java, &franz, &victim], 6);
    until_processed(&[&java, &franz, &victim], 1200);
    victim.kill();
    share(&[&java, &franz], 6);
    grow(&cluster, 8);
    share(&[&java, &franz], 8);
    write(&cluster, 8, 1200..2000);
    // What the victim has processed was all written before; what it had not committed came again.
    until(SOON, "the rest to be processed", || {
        let processed = &java.processed() | &franz.processed();
        (1200..2000).all(|number| processed.contains(&number))
    });
    java.leave();
    share(&[&franz], 8);
    write(&cluster, 8, 2000..2100);
    until(SOON, "the last one to process alone", || (2000..2100).all(|number| franz.processed().contains(&number)));
    franz.leave();
    until(SOON, "everything to be committed", || committed(&cluster, 8) == Some(2100));
}

#[test]
fn members_come_go_and_die_on_three_nodes() {
    members_come_go_and_die(3);
}

#[test]
fn members_come_go_and_die_on_one_node() {
    members_come_go_and_die(1);
}

/// A service is updated member by member: from the classic protocol to the consumer protocol, and, since someone has second thoughts, back.
fn a_group_goes_over_while_it_works_and_back(nodes: u32) {
    let cluster = cluster(nodes);
    let old = [Member::start(Driver::Java, &cluster), Member::start(Driver::FranzGo, &cluster)];
    share(&[&old[0], &old[1]], 6);
    write(&cluster, 6, 0..300);
    until_processed(&[&old[0], &old[1]], 300);
    let new = Member::start(Driver::JavaConsumer, &cluster);
    share(&[&old[0], &old[1], &new], 6);
    write(&cluster, 6, 300..600);
    until_processed(&[&old[0], &old[1], &new], 600);
    let [java, franz] = old;
    java.leave();
    share(&[&franz, &new], 6);
    new.leave();
    share(&[&franz], 6);
    write(&cluster, 6, 600..900);
    until(SOON, "the old one to go on alone", || (600..900).all(|number| franz.processed().contains(&number)));
    let again = Member::start(Driver::FranzGoConsumer, &cluster);
    share(&[&franz, &again], 6);
    franz.leave();
    share(&[&again], 6);
    again.leave();
    until(SOON, "everything to be committed", || committed(&cluster, 6) == Some(900));
}

#[test]
fn a_group_goes_over_and_back_on_three_nodes() {
    a_group_goes_over_while_it_works_and_back(3);
}

#[test]
fn a_group_goes_over_and_back_on_one_node() {
    a_group_goes_over_while_it_works_and_back(1);
}

/// Whichever node coordinates the group, it is killed in its turn: the members notice nothing but a pause.
#[test]
fn members_go_on_when_their_coordinator_is_killed() {
    let cluster = cluster(3);
    let members = [Member::start(Driver::JavaConsumer, &cluster), Member::start(Driver::FranzGoConsumer, &cluster)];
    let [java, franz] = &members;
    share(&[java, franz], 6);
    write(&cluster, 6, 0..300);
    until_processed(&[java, franz], 300);
    let before = (java.changes(), franz.changes());
    for node in 1..=3 {
        cluster.signal(node, "KILL");
        let from = 300 * node;
        until_some(SOON, "records to be written", || {
            write(&cluster, 6, from..from + 300);
            Some(())
        });
        until_processed(&[java, franz], from + 300);
        cluster.start_node(node);
    }
    assert_eq!((java.changes(), franz.changes()), before, "nobody's assignment has changed");
    for member in members {
        member.leave();
    }
    until(SOON, "everything to be committed", || committed(&cluster, 6) == Some(1200));
}

/// A member in the rack of a node.
fn member_beside(node: u32, bootstrap: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", GROUP)
        .set("group.protocol", "consumer")
        .set("client.rack", format!("rack-{node}"))
        .create()
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    consumer
}

#[test]
fn members_are_given_what_lies_in_their_own_racks() {
    let cluster = Cluster::start(3, &["broker.rack=rack-{node}", "group.consumer.heartbeat.interval.ms=5000"]);
    topics::create(cluster.bootstrap(), TOPIC, 6, 1, &[]);
    let leader = |partition| until_some(SOON, "a leader", || topics::leader(cluster.bootstrap(), TOPIC, partition));
    let leaders: Vec<u32> = (0..6).map(leader).collect();
    let of =
        |node: u32| (0..).zip(&leaders).filter(move |(_, leader)| **leader == node).map(|(partition, _)| partition);
    assert!(cluster.nodes().all(|node| of(node).count() == 2), "two partitions on each node: {leaders:?}");

    let members: Vec<_> = [3, 1, 2].map(|node| (node, member_beside(node, cluster.bootstrap()))).into();
    until(SOON, "each member to have what is on the node in its rack", || {
        // All of them, whatever the others have: only who polls gives back what another one waits for. Errors are passing ones, and there are no records.
        for (_, member) in &members {
            let _ = member.poll(Duration::from_millis(10));
        }
        members.iter().all(|(node, member)| {
            let has = member.assignment().expect("known");
            let has: BTreeSet<i32> = has.elements().iter().map(|place| place.partition()).collect();
            has == of(*node).collect::<BTreeSet<i32>>()
        })
    });
}
