//! Appends through the log writer, from the call to the completion: alone, and in the company that group commit is for. On the disk this is
//! mostly the disk; in memory it is the writer.

use std::sync::Arc;

use bytes::Bytes;
use caudal_storage::keys::log::{self, EntryKind, StoredEntry};
use caudal_storage::{ColumnFamily, Engine, LogWriter, MemEngine, RocksEngine, RocksOptions, WriteBatch};
use caudal_types::RaftGroupId;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use tokio::runtime::{Builder, Runtime};

const ENTRY_BYTES: usize = 16 << 10;
/// Raft groups that append at the same time.
const COMPANY: [u64; 2] = [1, 64];
/// Indexes that are written again and again, so that a long run does not fill the memory.
const INDEXES: u64 = 64;

fn append(group: u64, index: u64, payload: &Bytes) -> WriteBatch {
    let (group, index) = (RaftGroupId(group), index % INDEXES);
    let entry = StoredEntry { term: 1, kind: EntryKind::Normal, payload: payload.clone() };
    let mut batch = WriteBatch::new();
    let head = log::encode_head(group, index, &entry);
    batch.put_parts(ColumnFamily::Log, log::key(group, index), head, entry.payload);
    batch
}

fn appends(criterion: &mut Criterion, name: &str, runtime: &Runtime, engine: Arc<dyn Engine>) {
    let writer = LogWriter::start(engine);
    let payload = Bytes::from(vec![7; ENTRY_BYTES]);
    let mut group = criterion.benchmark_group(format!("log writer/{name}"));
    let mut index = 0;
    for company in COMPANY {
        group.throughput(Throughput::Elements(company));
        group.bench_function(BenchmarkId::new("appends of 16 KiB together", company), |bencher| {
            bencher.iter(|| {
                index += 1;
                let appends = (0..company).map(|group| writer.write(append(group, index, &payload)));
                runtime.block_on(join_all(appends)).into_iter().for_each(|result| result.expect("written"));
            });
        });
    }
    group.finish();
    runtime.block_on(writer.close());
}

fn log_writer(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    appends(criterion, "memory", &runtime, Arc::new(MemEngine::new()));
    let folder = tempfile::tempdir().expect("a folder");
    let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).expect("a database");
    appends(criterion, "disk", &runtime, Arc::new(engine));
}

criterion_group!(benches, log_writer);
criterion_main!(benches);
