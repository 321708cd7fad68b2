//! Finding a batch by its offset: the last index row at or before an offset, and a page of rows from there on, as a read off the tail does.

use std::hint::black_box;

use caudal_storage::keys::index::{self, IndexRow};
use caudal_storage::{ColumnFamily, Durability, Engine, MemEngine, RocksEngine, RocksOptions, ScanLimit, WriteBatch};
use caudal_types::RaftGroupId;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const GROUP: RaftGroupId = RaftGroupId(7);
const BATCHES: i64 = 100_000;
const RECORDS: i64 = 10;
const PAGES: [usize; 2] = [1, 256];

fn fill(engine: &dyn Engine) {
    for from in (0..BATCHES).step_by(1000) {
        let mut batch = WriteBatch::new();
        for number in from..from + 1000 {
            let base_offset = number * RECORDS;
            let row = IndexRow {
                base_offset,
                last_offset: base_offset + RECORDS - 1,
                raft_index: number.unsigned_abs(),
                leader_epoch: 1,
                position: 12,
                length: 1000,
                max_timestamp: 0,
            };
            batch.put(ColumnFamily::Index, index::key(GROUP, base_offset), index::encode(&row));
        }
        engine.write(batch, Durability::Buffered).expect("written");
    }
}

fn look_ups(criterion: &mut Criterion, name: &str, engine: &dyn Engine) {
    fill(engine);
    let mut group = criterion.benchmark_group(format!("index/{name}"));
    let (first, end) = index::group_range(GROUP);
    let mut offset = 0;
    let mut next = move || {
        offset = (offset + 7_919) % (BATCHES * RECORDS);
        offset
    };
    group.bench_function("batch of an offset", |bencher| {
        bencher.iter(|| {
            let past = index::key(GROUP, next() + 1);
            let range = first.as_ref()..past.as_ref();
            let rows = engine.scan_back(ColumnFamily::Index, black_box(range), ScanLimit::rows(1)).expect("rows");
            index::decode(&rows[0].0, &rows[0].1).expect("a row")
        });
    });
    for rows in PAGES {
        group.bench_function(BenchmarkId::new("rows from an offset on", rows), |bencher| {
            bencher.iter(|| {
                let from = index::key(GROUP, next());
                let range = from.as_ref()..end.as_ref();
                engine.scan(ColumnFamily::Index, black_box(range), ScanLimit::rows(rows)).expect("rows")
            });
        });
    }
    group.finish();
}

fn indexes(criterion: &mut Criterion) {
    look_ups(criterion, "memory", &MemEngine::new());
    let folder = tempfile::tempdir().expect("a folder");
    let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).expect("a database");
    look_ups(criterion, "disk", &engine);
}

criterion_group!(benches, indexes);
criterion_main!(benches);
