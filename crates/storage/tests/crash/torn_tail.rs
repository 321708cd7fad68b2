//! What a power cut does to the end of the write-ahead log: the database opens, and everything before is there.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use caudal_storage::{Durability, Engine};
use caudal_types::RaftGroupId;
use tempfile::TempDir;

use crate::entries;

const GROUP: RaftGroupId = RaftGroupId(1);

#[test]
fn a_cut_tail_costs_only_what_it_held() {
    for cut in [1, 10, 1000] {
        let (directory, last) = database_with_entries(40);
        let wal = newest_wal(directory.path());
        let len = wal.metadata().unwrap().len();
        wal.set_len(len - cut).unwrap();
        reopen(&directory, last - 1..=last - 1);
    }
}

#[test]
fn garbage_in_the_last_record_costs_only_that_record() {
    for garbage in [0x00, 0xff, 0x01] {
        let (directory, last) = database_with_entries(40);
        let mut wal = newest_wal(directory.path());
        wal.seek(SeekFrom::End(-20)).unwrap();
        wal.write_all(&[garbage; 20]).unwrap();
        reopen(&directory, last - 1..=last - 1);
    }
}

#[test]
fn garbage_behind_the_last_record_costs_nothing() {
    for garbage in [vec![0; 5], vec![0; 70_000], vec![0xff; 70_000], vec![1; 300]] {
        let (directory, last) = database_with_entries(40);
        let mut wal = newest_wal(directory.path());
        wal.seek(SeekFrom::End(0)).unwrap();
        wal.write_all(&garbage).unwrap();
        reopen(&directory, last..=last);
    }
}

#[test]
fn recycled_files_are_as_good_as_new_ones() {
    // So many that files are filled, flushed and used again.
    let (directory, last) = database_with_entries(1500);
    let wal = newest_wal(directory.path());
    wal.set_len(wal.metadata().unwrap().len() - 3).unwrap();
    reopen(&directory, last - 1..=last);
}

/// A closed database whose last entries are in the write-ahead log alone.
fn database_with_entries(count: u64) -> (TempDir, u64) {
    let directory = TempDir::new().unwrap();
    let (_lock, engine) = entries::open(directory.path());
    (1..=count).for_each(|index| engine.write(entries::append(GROUP, index), Durability::Synced).unwrap());
    (directory, count)
}

/// Opens the database, expects its last entry in `lasts`, goes on from there, and finds what it wrote after another restart.
fn reopen(directory: &TempDir, lasts: std::ops::RangeInclusive<u64>) {
    let (lock, engine) = entries::open(directory.path());
    let last = entries::check_log(&engine, GROUP);
    assert!(lasts.contains(&last), "the log ends at {last}, expected {lasts:?}");
    engine.write(entries::append(GROUP, last + 1), Durability::Synced).unwrap();
    drop((engine, lock));
    let (_lock, engine) = entries::open(directory.path());
    assert_eq!(entries::check_log(&engine, GROUP), last + 1);
}

fn newest_wal(directory: &Path) -> File {
    let files = fs::read_dir(directory.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let wals = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    File::options().write(true).open(wals.max_by_key(number).unwrap()).unwrap()
}
