//! One consumer group of many members by the consumer protocol (KIP-848): how long it takes until everything is shared out again after one arrives or dies, and
//! what the others notice of it. The members only speak the protocol; they read nothing. One in twenty is a *witness*: it commits an offset all the time, as one
//! that works would, and tells how long it could not.

mod table;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use caudal_client::Connection;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::consumer_group_heartbeat_request::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetCommitRequest, TopicName};
use futures::future;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use self::table::{News, Place, Table};
use crate::client::{TIMEOUT, TopicAt};

/// Of the command `members`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: TopicAt,
    /// How many members there are before one more arrives
    #[arg(long)]
    members: usize,
    /// How many partitions the topic has
    #[arg(long)]
    partitions: usize,
}

const GROUP: &str = "members";
const FIND_VERSION: i16 = 2;
const HEARTBEAT_VERSION: i16 = 1;
/// The first that knows members' epochs; topics by name.
const COMMIT_VERSION: i16 = 9;
const WITNESS_EVERY: usize = 20;
const COMMIT_EVERY: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(10);
/// After how long without a change everything counts as shared out; longer than a heartbeat.
const QUIET: Duration = Duration::from_secs(8);
/// How long the group may take for one of these changes; the session of a dead member lasts 45 s.
const STABLE_WITHIN: Duration = Duration::from_secs(240);
const SESSION: Duration = Duration::from_secs(45);
const RETRY_AFTER: Duration = Duration::from_millis(50);

type Shared = Arc<Mutex<Table>>;

/// Lets all members join, one more arrive, and that one die; tells the figures.
///
/// # Errors
/// When it takes too long until everything is shared out, or two members have the same partition.
pub fn run(args: &Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(all(args))
}

async fn all(args: &Args) -> anyhow::Result<()> {
    let coordinator = Rc::new(Coordinator::find(args).await?);
    let table = Shared::default();
    let member = |number| Member::new(number, &args.at.topic, &coordinator, &table).live();
    let members = future::try_join_all((0..args.members).map(member));
    let figures = tokio::select! {
        ended = members => bail!("all members ended: {ended:?}"),
        figures = come_and_go(args, &table, member(args.members)) => figures?,
    };
    println!("{}", Value::Object(figures));
    Ok(())
}

/// All join, then one more does, and dies: the figures.
async fn come_and_go(
    args: &Args,
    table: &Shared,
    one_more: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Map<String, Value>> {
    let mut figures = Map::new();
    let mut tell = |what: &str, seconds: f64, news: &News, pause: Option<Duration>| {
        let mut put = |name: &str, value: Value| figures.insert(format!("{what}: {name}"), value);
        put("s until stable", json!(seconds));
        if let Some(pause) = pause {
            put("longest pause of who keeps its partitions s", json!(pause.as_secs_f64()));
            put("partitions that moved", json!(news.moved));
            put("longest time without an owner s", json!(news.longest_orphaned.as_secs_f64()));
        }
        put("members fenced", json!(news.fenced));
    };
    let begun = Instant::now();
    let news = until_stable(table, args.members, args.partitions).await?;
    tell("joining", news.last_change.duration_since(begun).as_secs_f64(), &news, None);

    let begun = Instant::now();
    table.lock().begin();
    let news = tokio::select! {
        ended = one_more => bail!("the last member ended: {ended:?}"),
        news = until_stable(table, args.members + 1, args.partitions) => news?,
    };
    tell("arrival", news.last_change.duration_since(begun).as_secs_f64(), &news, Some(longest_pause(table)?));

    let begun = Instant::now();
    table.lock().begin();
    // It is gone without a word.
    table.lock().gone(args.members);
    let news = until_stable(table, args.members, args.partitions).await?;
    let after_session = news.last_change.duration_since(begun).saturating_sub(SESSION);
    tell("death", after_session.as_secs_f64(), &news, Some(longest_pause(table)?));
    Ok(figures)
}

fn longest_pause(table: &Shared) -> anyhow::Result<Duration> {
    table.lock().longest_pause(Instant::now()).context("no witness has kept its partitions")
}

/// Where the group's coordinator is, for all members.
struct Coordinator {
    bootstrap: String,
    /// One looks for it at a time, and the others go by what it finds.
    known: tokio::sync::Mutex<String>,
}

impl Coordinator {
    async fn find(args: &Args) -> anyhow::Result<Self> {
        let bootstrap = args.at.bootstrap.split(',').next().unwrap_or_default().to_owned();
        let known = tokio::sync::Mutex::new(find_coordinator(&bootstrap).await?);
        Ok(Self { bootstrap, known })
    }

    async fn address(&self) -> String {
        self.known.lock().await.clone()
    }

    /// Looks for it again, unless somebody has since `address` was it.
    async fn moved_from(&self, address: &str) -> anyhow::Result<()> {
        let mut known = self.known.lock().await;
        if *known == address {
            sleep(RETRY_AFTER).await;
            *known = find_coordinator(&self.bootstrap).await?;
        }
        Ok(())
    }
}

async fn find_coordinator(any: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut connection = Connection::open(any, "caudal-bench", TIMEOUT).await?;
        let request = FindCoordinatorRequest::default().with_key(GROUP.into());
        let found = connection.call_version(FIND_VERSION, &request).await?;
        if found.error_code == 0 {
            return Ok(format!("{}:{}", found.host.as_str(), found.port));
        }
        anyhow::ensure!(Instant::now() < deadline, "nobody coordinates the group: {}", found.error_code);
        sleep(RETRY_AFTER).await;
    }
}

/// Waits until all is shared out and nothing changes any more; what has happened until then.
async fn until_stable(table: &Shared, members: usize, partitions: usize) -> anyhow::Result<News> {
    let deadline = Instant::now() + STABLE_WITHIN;
    loop {
        {
            let mut table = table.lock();
            if table.is_shared_out(members, partitions) && table.news.last_change.elapsed() > QUIET {
                anyhow::ensure!(table.news.double == 0, "a partition had two members at once");
                return Ok(std::mem::take(&mut table.news));
            }
            if Instant::now() > deadline {
                let (held, owned) = (table.held.len(), table.owners.len());
                bail!("after {STABLE_WITHIN:?} {held} members have {owned} of {partitions} partitions");
            }
        }
        sleep(LOOK).await;
    }
}

struct Member {
    number: usize,
    id: String,
    topic: String,
    coordinator: Rc<Coordinator>,
    table: Shared,
    epoch: i32,
    held: BTreeSet<Place>,
}

impl Member {
    fn new(number: usize, topic: &str, coordinator: &Rc<Coordinator>, table: &Shared) -> Self {
        let (topic, coordinator, table) = (topic.to_owned(), Rc::clone(coordinator), Arc::clone(table));
        Self { number, id: Uuid::new_v4().to_string(), topic, coordinator, table, epoch: 0, held: BTreeSet::new() }
    }

    /// Joins, takes what it is given, gives up what it is asked for, for ever.
    async fn live(mut self) -> anyhow::Result<()> {
        let mut address = self.coordinator.address().await;
        let mut connection = Connection::open(&address, "caudal-bench", TIMEOUT).await?;
        let mut tell_all = true;
        loop {
            let request = self.heartbeat(tell_all);
            let answer = timeout(TIMEOUT, connection.call_version(HEARTBEAT_VERSION, &request)).await??;
            match ErrorCode(answer.error_code) {
                ErrorCode::NONE => {}
                ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID => {
                    self.fenced();
                    tell_all = true;
                    continue;
                }
                ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                    self.coordinator.moved_from(&address).await?;
                    address = self.coordinator.address().await;
                    connection = Connection::open(&address, "caudal-bench", TIMEOUT).await?;
                    tell_all = true;
                    continue;
                }
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    sleep(RETRY_AFTER).await;
                    continue;
                }
                code => bail!("a heartbeat was answered with {code}: {:?}", answer.error_message),
            }
            self.epoch = answer.member_epoch;
            tell_all = false;
            let told = answer.assignment.map(|assignment| {
                let of = |topic: caudal_protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
                    topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
                };
                assignment.topic_partitions.into_iter().flat_map(of).collect::<BTreeSet<Place>>()
            });
            if let Some(places) = told.filter(|places| *places != self.held) {
                self.held = places;
                self.table.lock().hold(self.number, self.held.clone());
                // What it has now is told at once.
                tell_all = true;
                continue;
            }
            let interval = u64::try_from(answer.heartbeat_interval_ms).context("no interval")?;
            self.rest(&mut connection, Duration::from_millis(interval)).await?;
        }
    }

    /// Waits until it has to be heard of again; a witness commits meanwhile, on the connection of its heartbeats, as clients do.
    async fn rest(&self, connection: &mut Connection, interval: Duration) -> anyhow::Result<()> {
        if !self.number.is_multiple_of(WITNESS_EVERY) {
            sleep(interval).await;
            return Ok(());
        }
        let end = Instant::now() + interval;
        loop {
            if self.commit(connection).await? {
                self.table.lock().committed(self.number, Instant::now());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(COMMIT_EVERY)).await;
        }
    }

    /// Commits an offset of one of its partitions; whether it could.
    async fn commit(&self, connection: &mut Connection) -> anyhow::Result<bool> {
        let Some((_, partition)) = self.held.first() else { return Ok(false) };
        let place = OffsetCommitRequestPartition::default().with_partition_index(*partition).with_committed_offset(0);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(self.topic.clone().into()))
            .with_partitions(vec![place]);
        let mut request = OffsetCommitRequest::default();
        request.0.group_id = GroupId(GROUP.into());
        request.0.member_id = self.id.clone().into();
        request.0.generation_id_or_member_epoch = self.epoch;
        request.0.topics = vec![topic];
        let answer = timeout(TIMEOUT, connection.call_version(COMMIT_VERSION, &request)).await??;
        let mut codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        Ok(codes.all(|code| code == 0))
    }

    fn fenced(&mut self) {
        (self.epoch, self.held) = (0, BTreeSet::new());
        let mut table = self.table.lock();
        table.news.fenced += 1;
        table.hold(self.number, BTreeSet::new());
    }

    fn heartbeat(&self, tell_all: bool) -> ConsumerGroupHeartbeatRequest {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(GROUP.into()))
            .with_member_id(self.id.clone().into())
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(-1);
        if tell_all {
            let mut topics: HashMap<Uuid, Vec<i32>> = HashMap::new();
            self.held.iter().for_each(|(topic, partition)| topics.entry(*topic).or_default().push(*partition));
            let owned = topics
                .into_iter()
                .map(|(topic, partitions)| TopicPartitions::default().with_topic_id(topic).with_partitions(partitions))
                .collect();
            request.rebalance_timeout_ms = 60_000;
            request.subscribed_topic_names = Some(vec![TopicName(self.topic.clone().into())]);
            request.topic_partitions = Some(owned);
        }
        request
    }
}
