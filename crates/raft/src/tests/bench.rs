//! Figures, printed. Run with `--ignored --nocapture`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::tests::support::{Cluster, ON_REQUEST, members, soon};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn latency_and_throughput() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    let group = cluster.replica(1, 1);
    let command = Bytes::from(vec![1; 100]);
    for _ in 0..200 {
        group.propose(command.clone()).await.unwrap();
    }
    let mut took: Vec<_> = Vec::new();
    for _ in 0..2000 {
        let began = Instant::now();
        group.propose(command.clone()).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    println!("propose: p50 {:?}, p99 {:?}", took[1000], took[1980]);
    let count = 100_000;
    let (began, before) = (Instant::now(), cpu());
    let mut pending = FuturesUnordered::new();
    for _ in 0..count {
        pending.push(group.enqueue(command.clone()).await.unwrap());
        while pending.len() > 5000 {
            soon(pending.next()).await.unwrap().unwrap();
        }
    }
    while let Some(outcome) = soon(pending.next()).await {
        outcome.unwrap();
    }
    let (wall, used) = (began.elapsed().as_secs_f64(), (cpu() - before).as_secs_f64());
    println!("batched: {:.0} entries/s, {:.2} us of CPU per entry on three nodes", f64::from(count) / wall, used / 0.1);
    let began = Instant::now();
    for _ in 0..1000 {
        group.read_barrier().await.unwrap();
    }
    println!("read barrier: {:?}", began.elapsed() / 1000);
    cluster.stop().await;
}

/// The CPU time that this process has used.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn many_groups_idle() {
    const GROUPS: u64 = 500;
    let orders = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    let mut cluster = Cluster::of(3);
    cluster.start_all().await;
    let began = Instant::now();
    for group in 0..GROUPS {
        cluster.open(group, &members(orders[(group % 3) as usize]), ON_REQUEST).await;
    }
    for group in 0..GROUPS {
        cluster.leader(group).await;
    }
    println!("{GROUPS} groups x 3 opened and led in {:?}, CPU {:?}", began.elapsed(), cpu());
    let (began, before) = (Instant::now(), cpu());
    // Not a wait for a state: the span over which the idle CPU is measured.
    let span = tokio::time::timeout(Duration::from_secs(10), std::future::pending::<()>()).await;
    assert!(span.is_err());
    println!("idle: {:.3} cores", (cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64());
    cluster.crash(1).await;
    let began = Instant::now();
    for group in 0..GROUPS {
        cluster.leader(group).await;
    }
    println!("{GROUPS} groups led without node 1 after {:?}", began.elapsed());
    let began = Instant::now();
    cluster.start_node(1).await;
    for group in 0..GROUPS {
        cluster.open_on(1, group, &members(orders[(group % 3) as usize]), ON_REQUEST).await;
    }
    println!("node 1 reopened its groups in {:?}", began.elapsed());
    let began = Instant::now();
    cluster.node(2).groups.transfer_all(Duration::from_secs(10)).await;
    println!("node 2 handed everything over in {:?}", began.elapsed());
    let began = Instant::now();
    cluster.stop().await;
    println!("stopped in {:?}", began.elapsed());
}
