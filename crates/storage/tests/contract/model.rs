//! All engines are the same to whoever uses them: random batches, the same answers, also after a restart.

use bytes::Bytes;
use caudal_storage::{
    ColumnFamily, Durability, Engine, MemEngine, RocksEngine, RocksOptions, ScanLimit, WriteBatch, WriteBehind,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Op {
    Put(ColumnFamily, Vec<u8>, usize),
    Delete(ColumnFamily, Vec<u8>),
    DeleteRange(ColumnFamily, Vec<u8>, Vec<u8>),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn engines_agree(batches in vec((vec(any_op(), 0..8), any::<bool>()), 1..20), limit in any_limit()) {
        let directory = TempDir::new().unwrap();
        let (rocks, behind_directory) = (open(&directory), TempDir::new().unwrap());
        let (mem, behind) = (MemEngine::new(), WriteBehind::new(open(&behind_directory)));
        for (ops, synced) in &batches {
            let durability = if *synced { Durability::Synced } else { Durability::Buffered };
            rocks.write(encode(ops), durability).unwrap();
            mem.write(encode(ops), durability).unwrap();
            behind.write(encode(ops), durability).unwrap();
            assert_same(&behind, &mem, limit)?;
        }
        assert_same(&rocks, &mem, limit)?;
        drop((rocks, behind));
        assert_same(&open(&behind_directory), &mem, limit)?;
        assert_same(&open(&directory), &mem, limit)?;
    }
}

fn assert_same(a: &dyn Engine, b: &dyn Engine, limit: ScanLimit) -> Result<(), TestCaseError> {
    let bounds: [&'static [u8]; 6] = [&[], &[0], &[1, 2], &[2], &[3, 0], &[9]];
    let keys = bounds.map(Bytes::from_static);
    for cf in ColumnFamily::ALL {
        for from in bounds {
            prop_assert_eq!(a.get(cf, from).unwrap(), b.get(cf, from).unwrap());
            prop_assert_eq!(a.get_many(cf, &keys).unwrap(), b.get_many(cf, &keys).unwrap());
            for to in bounds {
                for limit in [limit, ScanLimit::NONE] {
                    prop_assert_eq!(a.scan(cf, from..to, limit).unwrap(), b.scan(cf, from..to, limit).unwrap());
                    prop_assert_eq!(
                        a.scan_back(cf, from..to, limit).unwrap(),
                        b.scan_back(cf, from..to, limit).unwrap()
                    );
                }
            }
        }
    }
    Ok(())
}

fn open(directory: &TempDir) -> RocksEngine {
    let options = RocksOptions { log_memtable_bytes: 64 << 10, ..RocksOptions::default() };
    RocksEngine::open(directory.path(), &options).unwrap()
}

fn encode(ops: &[Op]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for op in ops {
        match op.clone() {
            Op::Put(cf, key, len) => {
                let head = Bytes::from(key.clone());
                batch.put_parts(cf, key, head, vec![7; len]);
            }
            Op::Delete(cf, key) => batch.delete(cf, key),
            Op::DeleteRange(cf, from, to) => batch.delete_range(cf, from, to),
        }
    }
    batch
}

fn any_op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => 0..100_usize, 1 => 4000..20_000_usize];
    prop_oneof![
        6 => (any_cf(), any_key(), len).prop_map(|(cf, key, len)| Op::Put(cf, key, len)),
        2 => (any_cf(), any_key()).prop_map(|(cf, key)| Op::Delete(cf, key)),
        1 => (any_cf(), any_key(), any_key()).prop_map(|(cf, from, to)| Op::DeleteRange(cf, from, to)),
    ]
}

fn any_cf() -> impl Strategy<Value = ColumnFamily> {
    prop::sample::select(&ColumnFamily::ALL)
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    vec(0..4_u8, 0..3)
}

fn any_limit() -> impl Strategy<Value = ScanLimit> {
    (0..10_usize, 0..10_000_usize).prop_map(|(rows, bytes)| ScanLimit { rows, bytes })
}
