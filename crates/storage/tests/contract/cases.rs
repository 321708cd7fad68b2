//! The promises, one function each, on an empty engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use caudal_storage::ColumnFamily::{self, Index, Log, Raft, State};
use caudal_storage::Durability::{Buffered, Synced};
use caudal_storage::{Engine, ScanLimit, WriteBatch};

pub(super) fn a_value_comes_back(engine: &dyn Engine) {
    for (cf, durability) in [(Log, Synced), (Raft, Buffered), (Index, Synced), (State, Buffered)] {
        assert_eq!(engine.get(cf, b"k").unwrap(), None);
        engine.write(one(cf, b"k", b"v"), durability).unwrap();
        assert_eq!(get(engine, cf, b"k"), b"v");
        engine.write(one(cf, b"empty", b""), durability).unwrap();
        assert_eq!(get(engine, cf, b"empty"), b"");
    }
}

pub(super) fn the_last_write_wins(engine: &dyn Engine) {
    for value in [b"1", b"2", b"3"] {
        engine.write(one(State, b"k", value), Buffered).unwrap();
    }
    assert_eq!(get(engine, State, b"k"), b"3");
    assert_eq!(keys(engine, State, b"", b"z").len(), 1);
}

pub(super) fn values_in_two_parts_are_joined(engine: &dyn Engine) {
    let parts: [(&str, &str); 4] = [("head", "body"), ("", "body"), ("head", ""), ("", "")];
    for (head, body) in parts {
        let mut batch = WriteBatch::new();
        batch.put_parts(Log, &b"k"[..], head.to_owned(), body.to_owned());
        engine.write(batch, Synced).unwrap();
        assert_eq!(get(engine, Log, b"k"), [head, body].concat().as_bytes());
    }
}

pub(super) fn large_values_come_back_whole(engine: &dyn Engine) {
    let value = |i: u8| Bytes::from(vec![i; 100_000 + usize::from(i)]);
    for i in 0..40 {
        let mut batch = WriteBatch::new();
        batch.put_parts(Log, vec![i], vec![i; 14], value(i));
        engine.write(batch, Buffered).unwrap();
    }
    for i in 0..40 {
        assert_eq!(get(engine, Log, &[i]), [&vec![i; 14][..], &value(i)].concat());
    }
}

pub(super) fn many_values_come_back_in_the_order_of_their_keys(engine: &dyn Engine) {
    let value = |i: u8| vec![i; usize::from(i) * 900];
    for i in 0..100 {
        for cf in [Log, State] {
            let durability = if i % 3 == 0 { Synced } else { Buffered };
            engine.write(one(cf, &[i], &value(i)), durability).unwrap();
        }
    }
    let mut batch = WriteBatch::new();
    batch.delete(Log, vec![50]);
    batch.delete(State, vec![50]);
    engine.write(batch, Buffered).unwrap();
    for cf in [Log, State] {
        for range in [0..0, 7..8, 40..60, 0..120] {
            let keys: Vec<_> = range.clone().map(|i| Bytes::from(vec![i])).collect();
            let expected: Vec<_> = range.map(|i| (i != 50 && i < 100).then(|| Bytes::from(value(i)))).collect();
            assert!(engine.get_many(cf, &keys).unwrap() == expected, "{cf:?}, {} keys", keys.len());
        }
    }
}

pub(super) fn column_families_are_apart(engine: &dyn Engine) {
    let mut batch = WriteBatch::new();
    for cf in ColumnFamily::ALL {
        batch.put(cf, &b"k"[..], cf.name());
    }
    engine.write(batch, Synced).unwrap();
    let mut batch = WriteBatch::new();
    batch.delete_range(Raft, &b""[..], &b"z"[..]);
    engine.write(batch, Synced).unwrap();
    assert_eq!(engine.get(Raft, b"k").unwrap(), None);
    for cf in [Log, Index, State] {
        assert_eq!(get(engine, cf, b"k"), cf.name().as_bytes());
    }
}

pub(super) fn deleting_what_is_not_there_is_fine(engine: &dyn Engine) {
    let mut batch = WriteBatch::new();
    batch.delete(State, &b"k"[..]);
    batch.delete_range(State, &b"a"[..], &b"z"[..]);
    engine.write(batch, Synced).unwrap();
    assert!(keys(engine, State, b"", b"z").is_empty());
}

pub(super) fn a_deleted_range_is_half_open(engine: &dyn Engine) {
    fill(engine, State, b"abcdef");
    let mut batch = WriteBatch::new();
    batch.delete_range(State, &b"b"[..], &b"e"[..]);
    engine.write(batch, Buffered).unwrap();
    assert_eq!(keys(engine, State, b"", b"z"), b"aef");
    assert_eq!(engine.get(State, b"b").unwrap(), None);
    assert!(engine.get(State, b"e").unwrap().is_some());
}

pub(super) fn an_empty_or_backward_range_deletes_nothing(engine: &dyn Engine) {
    fill(engine, State, b"abc");
    let mut batch = WriteBatch::new();
    batch.delete_range(State, &b"b"[..], &b"b"[..]);
    batch.delete_range(State, &b"c"[..], &b"a"[..]);
    batch.put(State, &b"d"[..], &b""[..]);
    engine.write(batch, Synced).unwrap();
    assert_eq!(keys(engine, State, b"", b"z"), b"abcd");
}

pub(super) fn order_inside_a_batch_counts(engine: &dyn Engine) {
    let mut batch = WriteBatch::new();
    batch.put(Log, &b"a"[..], &b"1"[..]);
    batch.delete(Log, &b"a"[..]);
    batch.delete(Log, &b"b"[..]);
    batch.put(Log, &b"b"[..], &b"1"[..]);
    batch.put(Log, &b"c"[..], &b"1"[..]);
    batch.delete_range(Log, &b"c"[..], &b"e"[..]);
    batch.put(Log, &b"d"[..], &b"1"[..]);
    batch.put(Log, &b"d"[..], &b"2"[..]);
    engine.write(batch, Synced).unwrap();
    assert_eq!(keys(engine, Log, b"", b"z"), b"bd");
    assert_eq!(get(engine, Log, b"d"), b"2");
}

pub(super) fn an_empty_batch_is_fine(engine: &dyn Engine) {
    engine.write(WriteBatch::new(), Buffered).unwrap();
    engine.write(WriteBatch::new(), Synced).unwrap();
}

pub(super) fn scans_are_ordered_and_half_open(engine: &dyn Engine) {
    fill(engine, Index, b"dbace");
    assert_eq!(keys(engine, Index, b"b", b"e"), b"bcd");
    assert_eq!(keys(engine, Index, b"", b"\xff"), b"abcde");
    assert_eq!(keys(engine, Index, b"aa", b"bb"), b"b");
    assert_eq!(keys(engine, Index, b"f", b"z"), b"");
}

pub(super) fn scans_back_are_the_same_reversed(engine: &dyn Engine) {
    fill(engine, Index, b"dbace");
    for (from, to) in [(b"b", b"e"), (b"a", b"z"), (b"f", b"z"), (b"0", b"a"), (b"c", b"d")] {
        let mut forward = engine.scan(Index, from..to, ScanLimit::NONE).unwrap();
        forward.reverse();
        assert_eq!(engine.scan_back(Index, from..to, ScanLimit::NONE).unwrap(), forward);
    }
    let last = engine.scan_back(Index, b"a"..b"e", ScanLimit::rows(1)).unwrap();
    assert_eq!(last[0].0, "d");
}

pub(super) fn scans_of_empty_or_backward_ranges_are_empty(engine: &dyn Engine) {
    fill(engine, State, b"abc");
    for (from, to) in [(b"b", b"b"), (b"c", b"a")] {
        assert!(engine.scan(State, from..to, ScanLimit::NONE).unwrap().is_empty());
        assert!(engine.scan_back(State, from..to, ScanLimit::NONE).unwrap().is_empty());
    }
}

pub(super) fn scans_stop_at_the_row_limit(engine: &dyn Engine) {
    fill(engine, State, b"abcde");
    for rows in 0..=6 {
        let limit = ScanLimit::rows(rows);
        assert_eq!(engine.scan(State, b"a"..b"z", limit).unwrap().len(), rows.min(5));
        assert_eq!(engine.scan_back(State, b"a"..b"z", limit).unwrap().len(), rows.min(5));
    }
}

pub(super) fn scans_stop_behind_the_row_that_fills_the_bytes(engine: &dyn Engine) {
    // Each row has a key of one byte and a value of nine.
    fill(engine, State, b"abcde");
    for (bytes, rows) in [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (50, 5), (1000, 5)] {
        let limit = ScanLimit { rows: usize::MAX, bytes };
        assert_eq!(engine.scan(State, b"a"..b"z", limit).unwrap().len(), rows, "{bytes}");
        assert_eq!(engine.scan_back(State, b"a"..b"z", limit).unwrap().len(), rows, "{bytes}");
    }
}

pub(super) fn scans_do_not_see_deleted_rows(engine: &dyn Engine) {
    fill(engine, Log, b"abcde");
    let mut batch = WriteBatch::new();
    batch.delete(Log, &b"c"[..]);
    batch.delete_range(Log, &b"a"[..], &b"b"[..]);
    engine.write(batch, Synced).unwrap();
    assert_eq!(keys(engine, Log, b"a", b"z"), b"bde");
    let back = engine.scan_back(Log, b"a"..b"e", ScanLimit::NONE).unwrap();
    assert_eq!(back.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), b"db");
}

pub(super) fn concurrent_readers_see_batches_whole(engine: &dyn Engine) {
    let write = |round: u32| {
        let mut batch = WriteBatch::new();
        for key in 0..20_u8 {
            batch.put(State, vec![key], round.to_be_bytes().to_vec());
        }
        engine.write(batch, Buffered).unwrap();
    };
    write(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (1..500).for_each(write);
            over.store(true, Ordering::Release);
        });
        let mut newest = Bytes::new();
        while !over.load(Ordering::Acquire) {
            let rows = engine.scan(State, &[0]..&[100], ScanLimit::NONE).unwrap();
            assert_eq!(rows.len(), 20);
            assert!(rows.iter().all(|(_, value)| *value == rows[0].1), "a batch was seen in part");
            assert!(rows[0].1 >= newest, "a reader went back in time");
            newest = rows[0].1.clone();
        }
    });
}

fn one(cf: ColumnFamily, key: &[u8], value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(cf, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    batch
}

/// A row for each byte of `keys`, with a value of nine bytes, each written by itself.
fn fill(engine: &dyn Engine, cf: ColumnFamily, keys: &[u8]) {
    for &key in keys {
        let mut batch = WriteBatch::new();
        batch.put(cf, vec![key], vec![key; 9]);
        engine.write(batch, Synced).unwrap();
    }
}

fn get(engine: &dyn Engine, cf: ColumnFamily, key: &[u8]) -> Vec<u8> {
    engine.get(cf, key).unwrap().expect("the key has a value").to_vec()
}

/// The first bytes of the keys of all rows in the range.
fn keys(engine: &dyn Engine, cf: ColumnFamily, from: &[u8], to: &[u8]) -> Vec<u8> {
    engine.scan(cf, from..to, ScanLimit::NONE).unwrap().iter().map(|(key, _)| key[0]).collect()
}
