//! Consumer groups that commit offsets at a steady pace, all of them with one coordinator, through that coordinator's death.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use caudal_client::Connection;
use caudal_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use caudal_protocol::messages::offset_fetch_request::{self, OffsetFetchRequestTopic};
use caudal_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetFetchRequest, TopicName};
use futures::future;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use crate::client::{TIMEOUT, TopicAt};
use crate::latency::Latencies;

/// Of the command `commits`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: TopicAt,
    /// How many groups
    #[arg(long)]
    groups: usize,
    /// Between two commits of a group, in milliseconds
    #[arg(long, default_value_t = 50)]
    every_ms: u64,
    /// How many other groups commit once, before, an offset for each of the topic's partitions
    #[arg(long, default_value_t = 0)]
    held_groups: usize,
    /// How many partitions the topic has
    #[arg(long)]
    partitions: i32,
}

/// A request is given up after this, and its connection with it.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// The version that both systems know for sure: topics by name.
const COMMIT_VERSION: i16 = 8;
const FETCH_VERSION: i16 = 7;
const FIND_VERSION: i16 = 2;
/// How many of the groups that are only held commit at a time.
const AT_A_TIME: usize = 50;

/// Says which node coordinates all of the groups, commits until the standard input ends, and tells the figures.
///
/// # Errors
/// When nobody coordinates the groups, or a committed offset is lost.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(commit_all(args))
}

async fn commit_all(args: &Args) -> anyhow::Result<()> {
    let bootstrap: Arc<[String]> = args.at.bootstrap.split(',').map(str::to_owned).collect();
    hold(args, &bootstrap).await?;
    let (node, groups) = neighbours(&bootstrap, args.groups).await?;
    let (stop, stopped) = watch::channel(false);
    let working = groups.into_iter().map(|name| Group::new(args, &bootstrap, name).commit_until(stopped.clone()));
    println!("{}", json!({"coordinator": node}));
    let hearing = async {
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        stop.send_replace(true);
        Ok(())
    };
    let (all, ()) = future::try_join(future::try_join_all(working), hearing).await?;
    let (mut commits, mut longest) = (Latencies::whole(), Vec::new());
    for done in all {
        commits.merge(&done.latencies);
        longest.push(done.longest_gap.as_secs_f64());
    }
    longest.sort_by(f64::total_cmp);
    let mut figures = commits.figures();
    figures.insert("commits".to_owned(), json!(commits.len()));
    figures.insert("longest time without a commit s".to_owned(), json!(longest.last()));
    figures.insert("median of the groups s".to_owned(), json!(longest.get(longest.len() / 2)));
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}

/// Commits what is only to be there.
async fn hold(args: &Args, bootstrap: &Arc<[String]>) -> anyhow::Result<()> {
    for first in (0..args.held_groups).step_by(AT_A_TIME) {
        let last = args.held_groups.min(first + AT_A_TIME);
        let commits = (first..last).map(|n| {
            let mut group = Group::new(args, bootstrap, format!("held-{n}"));
            async move {
                let deadline = Instant::now() + TIMEOUT;
                while let Err(error) = group.commit(0..args.partitions, 1).await {
                    if Instant::now() > deadline {
                        return Err(error.context("a group that is only held cannot commit"));
                    }
                    group.begin_anew().await;
                }
                Ok(())
            }
        });
        future::try_join_all(commits).await?;
    }
    Ok(())
}

/// So many groups with the same coordinator, and which node that is.
async fn neighbours(bootstrap: &Arc<[String]>, count: usize) -> anyhow::Result<(i32, Vec<String>)> {
    let mut connection = Connection::open(&bootstrap[0], "caudal-bench", TIMEOUT).await?;
    let mut by_node: HashMap<i32, Vec<String>> = HashMap::new();
    let deadline = Instant::now() + TIMEOUT;
    let mut number = 0;
    while Instant::now() < deadline {
        let name = format!("committing-{number}");
        let request = FindCoordinatorRequest::default().with_key(name.clone().into());
        let found = connection.call_version(FIND_VERSION, &request).await?;
        if found.error_code != 0 {
            sleep(RETRY_AFTER).await;
            continue;
        }
        number += 1;
        let groups = by_node.entry(found.node_id.0).or_default();
        groups.push(name);
        if groups.len() == count {
            return Ok((found.node_id.0, std::mem::take(groups)));
        }
    }
    bail!("nobody coordinates {count} groups")
}

struct Group {
    name: String,
    topic: String,
    every: Duration,
    bootstrap: Arc<[String]>,
    asked: usize,
    connection: Option<Connection>,
}

struct Done {
    latencies: Latencies,
    longest_gap: Duration,
}

impl Group {
    fn new(args: &Args, bootstrap: &Arc<[String]>, name: String) -> Self {
        let (topic, every) = (args.at.topic.clone(), Duration::from_millis(args.every_ms));
        Self { name, topic, every, bootstrap: Arc::clone(bootstrap), asked: 0, connection: None }
    }

    async fn commit_until(mut self, stopped: watch::Receiver<bool>) -> anyhow::Result<Done> {
        let mut done = Done { latencies: Latencies::whole(), longest_gap: Duration::ZERO };
        let (mut last, mut offset, mut due) = (None, 0, tokio::time::Instant::now());
        while !*stopped.borrow() {
            sleep_until(due).await;
            let asked = Instant::now();
            if self.commit(0..1, offset + 1).await.is_err() {
                self.begin_anew().await;
                continue;
            }
            offset += 1;
            due += self.every;
            done.latencies.add(u64::try_from(asked.elapsed().as_micros())?);
            let now = Instant::now();
            if let Some(before) = last.replace(now) {
                done.longest_gap = done.longest_gap.max(now.duration_since(before));
            }
        }
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.committed().await {
                // The last one may have been committed without an answer.
                Ok(found) if found == offset || found == offset + 1 => return Ok(done),
                Ok(found) => bail!("{} committed {offset}, and {found} is there", self.name),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => self.begin_anew().await,
            }
        }
    }

    async fn begin_anew(&mut self) {
        self.connection = None;
        sleep(RETRY_AFTER).await;
    }

    async fn commit(&mut self, partitions: std::ops::Range<i32>, offset: i64) -> anyhow::Result<()> {
        let of = |partition| {
            OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset)
        };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(self.topic.clone().into()))
            .with_partitions(partitions.map(of).collect());
        let mut request = caudal_protocol::messages::OffsetCommitRequest::from(OffsetCommitRequest::default());
        request.0.group_id = GroupId(self.name.clone().into());
        request.0.generation_id_or_member_epoch = -1;
        request.0.group_instance_id = None;
        request.0.topics = vec![topic];
        let connection = self.connection().await?;
        let answer = timeout(PATIENCE, connection.call_version(COMMIT_VERSION, &request)).await??;
        let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|part| part.error_code);
        match codes.into_iter().find(|code| *code != 0) {
            None => Ok(()),
            Some(code) => bail!("a commit was answered with {code}"),
        }
    }

    async fn committed(&mut self) -> anyhow::Result<i64> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(self.topic.clone().into()))
            .with_partition_indexes(vec![0]);
        let request = offset_fetch_request::OffsetFetchRequest::default()
            .with_group_id(GroupId(self.name.clone().into()))
            .with_topics(Some(vec![topic]));
        let connection = self.connection().await?;
        let request = OffsetFetchRequest::from(request);
        let answer = timeout(PATIENCE, connection.call_version(FETCH_VERSION, &request)).await??;
        let part = answer.topics.iter().flat_map(|topic| &topic.partitions).next().context("no partition")?;
        anyhow::ensure!(answer.error_code == 0 && part.error_code == 0, "the offset is not told");
        Ok(part.committed_offset)
    }

    async fn connection(&mut self) -> anyhow::Result<&mut Connection> {
        if self.connection.is_none() {
            let address = &self.bootstrap[self.asked % self.bootstrap.len()];
            self.asked += 1;
            let mut any = Connection::open(address, "caudal-bench", PATIENCE).await?;
            let request = FindCoordinatorRequest::default().with_key(self.name.clone().into());
            let found = any.call_version(FIND_VERSION, &request).await?;
            anyhow::ensure!(found.error_code == 0, "no coordinator: {}", found.error_code);
            let address = format!("{}:{}", found.host.as_str(), found.port);
            self.connection = Some(Connection::open(&address, "caudal-bench", PATIENCE).await?);
        }
        self.connection.as_mut().context("just made")
    }
}
