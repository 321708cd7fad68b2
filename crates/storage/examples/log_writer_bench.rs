//! How fast a node's log takes appends: `log_writer_bench [SECONDS] [ENTRY_BYTES] [CONCURRENT_APPENDS] [DIRECTORY] [direct]`.

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use bytes::Bytes;
use caudal_storage::keys::log::{self, EntryKind, StoredEntry};
use caudal_storage::log_writer::SYNC_BUCKETS_MICROS;
use caudal_storage::{ColumnFamily, LogWriter, RocksEngine, RocksOptions, WriteBatch};
use caudal_types::{RaftGroupId, Tasks};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let argument = |position, default| env::args().nth(position).map_or(default, |text| text.parse().unwrap());
    let (seconds, entry_bytes, concurrency) = (argument(1, 10), argument(2, 16 << 10), argument(3, 64));
    let directory = env::args().nth(4).map_or_else(|| PathBuf::from("target/log-writer-bench"), PathBuf::from);
    let _ = fs::remove_dir_all(&directory);
    let options =
        RocksOptions { direct_io: env::args().nth(5).is_some_and(|text| text == "direct"), ..RocksOptions::default() };
    let writer = LogWriter::start(Arc::new(RocksEngine::open(&directory, &options).unwrap()));

    let payload: Bytes = (0..entry_bytes).map(|i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let (cpu, written, start) = (cpu_seconds(), written_bytes(), Instant::now());
    let latency = Arc::new(AtomicU64::new(0));
    let tasks = Tasks::new();
    for group in 0..concurrency {
        let (payload, latency) = (payload.clone(), Arc::clone(&latency));
        tasks.spawn_to_end(
            "appender",
            append(writer.clone(), RaftGroupId(group), payload, start + Duration::from_secs(seconds), latency),
        );
    }
    tasks.shutdown().await;
    let (took, stats) = (start.elapsed().as_secs_f64(), writer.stats());
    writer.close().await;

    let mib = (stats.bytes >> 20) as f64;
    println!("{entry_bytes} bytes x {concurrency} concurrent appends for {took:.1} s");
    println!("  {:.0} MiB/s, {:.0} appends/s", mib / took, stats.appends as f64 / took);
    println!(
        "  {:.1} appends per sync, {:.0} us per sync",
        stats.appends as f64 / stats.syncs as f64,
        stats.sync_micros as f64 / stats.syncs as f64
    );
    println!("  {:.0} us per append", latency.load(Ordering::Relaxed) as f64 / stats.appends as f64);
    println!(
        "  {:.2} cores; {:.2} CPU s per GiB",
        (cpu_seconds() - cpu) / took,
        (cpu_seconds() - cpu) / (mib / 1024.0)
    );
    println!(
        "  {:.2} bytes written per byte appended; RSS {} MiB",
        (written_bytes() - written) as f64 / stats.bytes as f64,
        rss_mib()
    );
    println!("  syncs by microseconds, up to {SYNC_BUCKETS_MICROS:?} and more: {:?}", stats.sync_buckets);
    let _ = fs::remove_dir_all(&directory);
}

async fn append(writer: LogWriter, group: RaftGroupId, payload: Bytes, end: Instant, latency: Arc<AtomicU64>) {
    let entry = StoredEntry { term: 1, kind: EntryKind::Normal, payload };
    let mut index = 0;
    while Instant::now() < end {
        index += 1;
        let start = Instant::now();
        let mut batch = WriteBatch::new();
        let head = log::encode_head(group, index, &entry);
        batch.put_parts(ColumnFamily::Log, log::key(group, index), head, entry.payload.clone());
        writer.write(batch).await.unwrap();
        latency.fetch_add(start.elapsed().as_micros() as u64, Ordering::Relaxed);
    }
}

/// What this process has used, user and system.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}

fn written_bytes() -> u64 {
    number_after(&fs::read_to_string("/proc/self/io").unwrap(), "write_bytes:")
}

fn rss_mib() -> u64 {
    number_after(&fs::read_to_string("/proc/self/status").unwrap(), "VmRSS:") / 1024
}

fn number_after(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
