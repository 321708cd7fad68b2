//! The view over record batches: what each batch costs on its way in (checked) and out (patched).

use std::hint::black_box;

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Record, RecordBatch};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Bytes of records.
const SIZES: [usize; 3] = [1 << 10, 16 << 10, 1 << 20];
const VALUE_BYTES: usize = 100;

fn batch(bytes: usize) -> RecordBatch {
    let record = Record { value: Some(Bytes::from(vec![7; VALUE_BYTES])), ..Record::default() };
    BatchBuilder::new().build(&vec![record; bytes / VALUE_BYTES]).expect("a batch")
}

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for bytes in SIZES {
        let batch = batch(bytes);
        group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
        group.bench_with_input(BenchmarkId::new("validate", bytes), batch.bytes(), |bencher, bytes| {
            bencher.iter(|| RecordBatch::parse(black_box(bytes.clone())).expect("a sound batch"));
        });
        group.bench_with_input(BenchmarkId::new("log append time", bytes), &batch, |bencher, batch| {
            bencher.iter(|| black_box(batch).with_log_append_time(1));
        });
    }
    group.finish();
    let batch = batch(SIZES[1]);
    criterion.bench_function("batch/patch", |bencher| bencher.iter(|| black_box(&batch).patched(42, 7)));
}

criterion_group!(benches, batches);
criterion_main!(benches);
