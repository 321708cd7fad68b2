//! Figures, printed. Run with `--ignored --nocapture`.

use std::time::Instant;

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
    let began = Instant::now();
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
    println!("batched: {:.0} entries/s", f64::from(count) / began.elapsed().as_secs_f64());
    let began = Instant::now();
    for _ in 0..1000 {
        group.read_barrier().await.unwrap();
    }
    println!("read barrier: {:?}", began.elapsed() / 1000);
    cluster.stop().await;
}
