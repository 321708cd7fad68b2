//! Groups of the consumer protocol (KIP-848) with the Java client and franz-go, on real nodes: members come, go, die; topics grow; coordinators are
//! killed. Every record is processed, and what was processed is committed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use caudal_tests::{Cluster, Driver, until, until_some};
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
    let quick = [
        "group.consumer.min.heartbeat.interval.ms=100",
        "group.consumer.heartbeat.interval.ms=500",
        "group.consumer.min.session.timeout.ms=5000",
        "group.consumer.session.timeout.ms=10000",
    ];
    let cluster = Cluster::start(nodes, &quick);
    let replicas = nodes.min(3).to_string();
    let create = ["topic", "create", TOPIC, "--partitions", "6", "--replication-factor", &replicas];
    let output = cluster.caudal(&create);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster
}

/// A member of the group in a process of its own, and what it has said.
struct Member {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Member {
    fn start(driver: Driver, cluster: &Cluster) -> Self {
        let mut child = driver.member(cluster.bootstrap(), TOPIC, GROUP);
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
    let config = [("bootstrap.servers", cluster.bootstrap()), ("group.id", GROUP)];
    let consumer: BaseConsumer = config.iter().copied().collect::<ClientConfig>().create().expect("a consumer");
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
    let franz = Member::start(Driver::FranzGo, &cluster);
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

/// Whichever node coordinates the group, it is killed in its turn: the members notice nothing but a pause.
#[test]
fn members_go_on_when_their_coordinator_is_killed() {
    let cluster = cluster(3);
    let members = [Member::start(Driver::JavaConsumer, &cluster), Member::start(Driver::FranzGo, &cluster)];
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
