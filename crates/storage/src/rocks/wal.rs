//! Whether the write-ahead log has lost what was synced.
//!
//! RocksDB replays the log up to the first record that it cannot read, and takes that for what a crash left half written. But a record that comes *behind*
//! an unreadable one was written after that one had been synced: there the log is damaged, and votes and entries that others rely on may be gone. Only
//! whoever asks the other replicas can tell which ones.
//!
//! The format, as far as it matters: blocks of 32 KiB, each beginning with a fragment of a record; a fragment has a masked CRC32C (u32), a length (u16), a
//! type (u8), the log's number (u32), all little-endian, and its payload. A file that was in use before keeps older fragments behind the newest, with
//! another number. A record is a batch of writes; it begins with the number of its first write (u64) and how many there are (u32).
//!
//! A log that was cut off cleanly ends like one that was never longer. There the [note](super::synced) of the last synced write tells.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::synced;
use crate::StorageError;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 11;
/// A record in one fragment, and the first one of a record in several.
const FULL: u8 = 5;
const FIRST: u8 = 6;
/// The middle and the end of a record in several.
const MIDDLE: u8 = 7;
const LAST: u8 = 8;
/// What RocksDB says about the log itself.
const OTHERS: [u8; 2] = [11, 131];
/// What a record begins with.
const RECORD_HEADER: usize = 12;
/// A piece of a record that is for the log alone: its tag and length stand before it.
const LOG_DATA: u8 = 3;
/// A [mark](mark): a version (u8) and a number (u64, big-endian).
const MARK_VERSION: u8 = 1;
const MARK_LENGTH: u8 = 9;
/// As much of a record as is looked at: its header and the mark, if it begins with one.
const RECORD_START: usize = RECORD_HEADER + 2 + MARK_LENGTH as usize;

/// Where a log cannot be read though it goes on behind, or went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalDamage {
    /// The file.
    pub file: PathBuf,
    /// The first byte that cannot be read, or is missing.
    pub offset: u64,
}

/// Looks through all write-ahead logs of the database in `directory`, which is not open. Blocks.
///
/// # Errors
/// When the disk refuses.
pub fn damage(directory: &Path) -> Result<Option<WalDamage>, StorageError> {
    let failed = |error: io::Error| {
        StorageError::Io(format!("cannot look through the log in '{}': {error}", directory.display()))
    };
    if !directory.try_exists().map_err(failed)? {
        return Ok(None);
    }
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(number) = log_number(&path) {
            logs.push((number, path));
        }
    }
    logs.sort();
    let mut newest = None;
    for (number, file) in logs {
        let log = read(File::open(&file).map_err(failed)?, number).map_err(failed)?;
        if log.goes_on {
            return Ok(Some(WalDamage { file, offset: log.end }));
        }
        newest = Some((file, log));
    }
    // Where the newest log has no record, all that is synced may be in tables: that shows when the database is open.
    let Some((file, Log { end, last: Some(last), .. })) = newest else { return Ok(None) };
    let is_cut_off = synced::read(directory).map_err(failed)?.is_some_and(|synced| synced > last);
    Ok(is_cut_off.then_some(WalDamage { file, offset: end }))
}

/// What a record begins with that is written while the log is not wholly synced: up to which write it is.
pub(super) fn mark(synced: u64) -> [u8; MARK_LENGTH as usize] {
    let mut mark = [MARK_VERSION; MARK_LENGTH as usize];
    mark[1..].copy_from_slice(&synced.to_be_bytes());
    mark
}

/// The number in a log's name, as fragments carry it: its lower half.
fn log_number(path: &Path) -> Option<u32> {
    let is_log = path.extension().is_some_and(|extension| extension == "log");
    let number: u64 = path.file_stem().filter(|_| is_log)?.to_str()?.parse().ok()?;
    u32::try_from(number & u64::from(u32::MAX)).ok()
}

/// What a log holds.
#[derive(Debug, Default)]
struct Log {
    /// Where it first cannot be read.
    end: u64,
    /// A record begins behind that was written after what is missing had been synced.
    goes_on: bool,
    /// The number of the last write before.
    last: Option<u64>,
}

fn read(mut file: impl Read, number: u32) -> io::Result<Log> {
    let mut block = vec![0; BLOCK];
    let (mut log, mut record, mut behind) = (Log::default(), Record::default(), Behind::default());
    let (mut start, mut is_readable) = (0, true);
    loop {
        let length = fill(&mut file, &mut block)?;
        let mut at = 0;
        while let Some(fragment) = fragment(&block[at..length], number) {
            if !is_readable && behind.proves_damage(&fragment, log.last) {
                return Ok(Log { goes_on: true, ..log });
            }
            if is_readable && let Some(last) = record.extend(&fragment) {
                log.last = Some(last);
            }
            at += HEADER + fragment.payload.len();
        }
        // What is left of a block is too short for a fragment, or all of the block was read.
        if BLOCK - at >= HEADER {
            // The next block does not go on with the record that was being read.
            behind = Behind::default();
            if is_readable {
                log.end = start + at as u64;
                is_readable = false;
            }
        }
        if length < BLOCK {
            return Ok(if is_readable { Log { end: start + length as u64, ..log } } else { log });
        }
        start += BLOCK as u64;
    }
}

/// The beginning of the record whose fragments are being read.
#[derive(Debug, Default)]
struct Record(Vec<u8>);

impl Record {
    /// The number of the record's last write, if it ends with this fragment.
    fn extend(&mut self, fragment: &Fragment<'_>) -> Option<u64> {
        match fragment.kind {
            FULL | FIRST => self.0.clear(),
            MIDDLE | LAST => {}
            _ => return None,
        }
        let missing = RECORD_START.saturating_sub(self.0.len()).min(fragment.payload.len());
        self.0.extend_from_slice(&fragment.payload[..missing]);
        let (first, rest) = self.0.split_first_chunk().filter(|_| matches!(fragment.kind, FULL | LAST))?;
        let count = rest.first_chunk()?;
        Some((u64::from_le_bytes(*first) + u64::from(u32::from_le_bytes(*count))).saturating_sub(1))
    }

    /// How far the log was synced when the record was written, if the record says so.
    fn mark(&self) -> Option<u64> {
        let number = self.0.get(RECORD_HEADER..)?.strip_prefix(&[LOG_DATA, MARK_LENGTH, MARK_VERSION])?;
        Some(u64::from_be_bytes(*number.first_chunk()?))
    }
}

/// What is read behind an unreadable place.
#[derive(Debug, Default)]
struct Behind {
    record: Record,
    /// Fragments are being read of a record whose beginning is there.
    begun: bool,
}

impl Behind {
    /// Whether the record of which `fragment` is a part was written after something that is missing had been synced. `last` is the number of the last write
    /// that is there before in this log. A record that does not say how far the log was synced came after all before was. Where nothing is there before, what
    /// was synced may lie in logs before this one, or in tables: whether it is there shows when the database is open.
    fn proves_damage(&mut self, fragment: &Fragment<'_>, last: Option<u64>) -> bool {
        self.begun |= matches!(fragment.kind, FULL | FIRST);
        if !self.begun {
            return false;
        }
        self.record.extend(fragment);
        let is_whole = matches!(fragment.kind, FULL | LAST);
        if !is_whole && self.record.0.len() < RECORD_START {
            return false;
        }
        self.begun = false;
        self.record.mark().is_none_or(|synced| last.is_some_and(|last| synced > last))
    }
}

struct Fragment<'b> {
    kind: u8,
    payload: &'b [u8],
}

/// The fragment at the beginning of `bytes`, if there is a whole one of this log.
fn fragment(bytes: &[u8], number: u32) -> Option<Fragment<'_>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [c0, c1, c2, c3, l0, l1, kind, n0, n1, n2, n3] = *header;
    let payload = rest.get(..usize::from(u16::from_le_bytes([l0, l1])))?;
    let known = matches!(kind, FULL | FIRST | MIDDLE | LAST) || OTHERS.contains(&kind);
    if !known || u32::from_le_bytes([n0, n1, n2, n3]) != number {
        return None;
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header[6..]), payload);
    let is_sound = masked(sum) == u32::from_le_bytes([c0, c1, c2, c3]);
    is_sound.then_some(Fragment { kind, payload })
}

/// RocksDB does not store checksums as they are, since records may contain some.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Reads until `block` is full or the file ends.
fn fill(log: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match log.read(&mut block[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::synced::Synced;
    use super::*;
    use crate::{ColumnFamily, Durability, Engine, RocksEngine, RocksOptions, WriteBatch};

    const ROWS: u8 = 20;

    fn write(engine: &RocksEngine, row: u8) {
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Log, vec![row], vec![row; 20_000]);
        engine.write(batch, Durability::Synced).unwrap();
    }

    /// A database that went down with rows in its log, the path of the log, and where the log ends.
    fn database() -> (TempDir, PathBuf, usize) {
        let directory = TempDir::new().unwrap();
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        (0..ROWS).for_each(|row| write(&engine, row));
        drop(engine);
        let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let log = files.filter(|path| log_number(path).is_some()).max_by_key(|path| fs::metadata(path).unwrap().len());
        let log = log.unwrap();
        let end = fs::read(&log).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1;
        (directory, log, end)
    }

    fn change(log: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(log).unwrap();
        change(&mut bytes);
        fs::write(log, bytes).unwrap();
    }

    fn rows(directory: &TempDir) -> usize {
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        (0..ROWS).filter(|row| engine.get(ColumnFamily::Log, &[*row]).unwrap().is_some()).count()
    }

    #[test]
    fn a_sound_log_is_sound() {
        let (directory, _, end) = database();
        assert!(end > usize::from(ROWS) * 20_000);
        assert_eq!(damage(directory.path()).unwrap(), None);
        assert_eq!(rows(&directory), usize::from(ROWS));
    }

    #[test]
    fn a_flipped_bit_is_found_where_rocksdb_would_drop_the_rest_in_silence() {
        let (directory, log, end) = database();
        change(&log, |bytes| bytes[end / 2] ^= 1);
        let found = damage(directory.path()).unwrap().unwrap();
        assert_eq!(found.file, log);
        assert!(found.offset <= (end / 2) as u64 && found.offset + (BLOCK as u64) > (end / 2) as u64, "{found:?}");
        assert!(rows(&directory) < usize::from(ROWS), "otherwise there would be no need to look");
    }

    #[test]
    fn what_a_crash_leaves_half_written_is_no_damage() {
        for torn in [1, 100, 12_000, 19_999] {
            // Of a write that was not acknowledged there is no note.
            let (directory, log, end) = database();
            Synced::open(directory.path()).unwrap().note(u64::from(ROWS) - 1);
            change(&log, |bytes| bytes[end - torn..end].fill(0));
            assert_eq!(damage(directory.path()).unwrap(), None, "the last {torn} bytes are missing");
            let (directory, log, end) = database();
            Synced::open(directory.path()).unwrap().note(u64::from(ROWS) - 1);
            change(&log, |bytes| bytes.truncate(end - torn));
            assert_eq!(damage(directory.path()).unwrap(), None, "it ends {torn} bytes early");
        }
    }

    #[test]
    fn a_log_that_was_cut_off_is_damaged_though_it_ends_well() {
        for cut in [1, 20_000, 200_000] {
            let (directory, log, end) = database();
            change(&log, |bytes| bytes.truncate(end - cut));
            let found = damage(directory.path()).unwrap().expect("what was synced is missing");
            assert!(
                found.file == log && found.offset <= (end - cut) as u64,
                "the last {cut} bytes are missing: {found:?}"
            );
        }
    }

    #[test]
    fn a_log_that_was_emptied_shows_when_the_database_is_open() {
        let (directory, log, _) = database();
        change(&log, Vec::clear);
        assert_eq!(damage(directory.path()).unwrap(), None);
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        assert!(engine.has_lost_synced());
    }

    #[test]
    fn what_went_to_tables_is_not_lost() {
        let (directory, _, _) = database();
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        assert!(!engine.has_lost_synced());
        engine.reclaim().unwrap();
        drop(engine);
        assert_eq!(damage(directory.path()).unwrap(), None);
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        assert!(!engine.has_lost_synced());
        write(&engine, 0);
        drop(engine);
        assert_eq!(damage(directory.path()).unwrap(), None);
    }

    fn write_as(engine: &RocksEngine, row: u8, durability: Durability) {
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Log, vec![row], vec![row; 60_000]);
        engine.write(batch, durability).unwrap();
    }

    /// Takes a page out of a row, which lies in a log.
    fn take_page_of(directory: &TempDir, row: u8) {
        let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        for log in files.filter(|path| log_number(path).is_some()) {
            let bytes = fs::read(&log).unwrap();
            if let Some(from) = bytes.windows(4096).position(|page| page.iter().all(|byte| *byte == row)) {
                return change(&log, |bytes| bytes[from..from + 4096].fill(0));
            }
        }
        panic!("row {row} is in no log");
    }

    /// Rows 1 to 5 are synced, 6 to 10 are not, and `more` behind are again.
    fn half_synced(more: u8) -> TempDir {
        let directory = TempDir::new().unwrap();
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        (1..=5).for_each(|row| write_as(&engine, row, Durability::Synced));
        (6..=10).for_each(|row| write_as(&engine, row, Durability::Written));
        (11..11 + more).for_each(|row| write_as(&engine, row, Durability::Synced));
        drop(engine);
        directory
    }

    #[test]
    fn unsynced_records_whose_pages_reached_the_disk_in_another_order_are_no_damage() {
        for missing in 6..=9 {
            let directory = half_synced(0);
            take_page_of(&directory, missing);
            assert_eq!(
                damage(directory.path()).unwrap(),
                None,
                "row {missing} is missing, and what came before the last sync is there"
            );
            let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
            assert!(!engine.has_lost_synced());
            let found = (1..=10).filter(|row| engine.get(ColumnFamily::Log, &[*row]).unwrap().is_some()).count();
            assert_eq!(found, usize::from(missing) - 1, "what is there has no gap");
        }
    }

    #[test]
    fn a_hole_before_the_last_sync_is_damage_though_unsynced_records_follow() {
        let directory = half_synced(0);
        take_page_of(&directory, 3);
        assert!(damage(directory.path()).unwrap().is_some());
        // Row 11 is synced with the unsynced ones before it, and 12 was written after that.
        let directory = half_synced(2);
        take_page_of(&directory, 8);
        assert!(damage(directory.path()).unwrap().is_some());
        // Were row 11 the last, its sync may not have returned.
        let directory = half_synced(1);
        Synced::open(directory.path()).unwrap().note(5);
        take_page_of(&directory, 8);
        assert_eq!(damage(directory.path()).unwrap(), None);
    }

    /// A record of one write, as it lies in log 7.
    fn record(number: u64, synced: Option<u64>) -> Vec<u8> {
        let mut payload = [&number.to_le_bytes()[..], &1_u32.to_le_bytes()].concat();
        if let Some(synced) = synced {
            payload.extend([LOG_DATA, MARK_LENGTH]);
            payload.extend(mark(synced));
        }
        payload.extend([5; 50]);
        let length = u16::try_from(payload.len()).unwrap();
        let kind = [&[FULL][..], &7_u32.to_le_bytes(), &payload].concat();
        [&masked(crc32c::crc32c(&kind)).to_le_bytes()[..], &length.to_le_bytes(), &kind].concat()
    }

    /// Blocks that begin with these records; the rest of each is missing.
    fn log(blocks: &[Vec<u8>]) -> Vec<u8> {
        let padded = |block: &Vec<u8>| [&block[..], &vec![0; BLOCK - block.len()]].concat();
        blocks.iter().flat_map(padded).collect()
    }

    #[test]
    fn what_comes_behind_a_hole_tells_whether_something_was_synced_there() {
        let goes_on = |blocks: &[Vec<u8>]| read(&log(blocks)[..], 7).unwrap().goes_on;
        assert!(!goes_on(&[record(1, None), record(3, Some(1)), record(4, Some(1))]));
        assert!(goes_on(&[record(1, None), record(3, Some(1)), record(4, Some(2))]));
        assert!(goes_on(&[record(1, None), record(3, Some(1)), record(4, None)]));
        assert!(!goes_on(&[record(1, None)]));
        // What came before this log is in tables, or it is not.
        assert!(!goes_on(&[Vec::new(), record(3, Some(1))]));
        assert!(goes_on(&[Vec::new(), record(3, None)]));
    }

    #[test]
    fn a_hole_in_the_last_record_is_no_damage() {
        let (directory, log, end) = database();
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Log, "large", vec![9; 200_000]);
        engine.write(batch, Durability::Buffered).unwrap();
        drop(engine);
        let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs: Vec<_> = files.filter(|path| log_number(path).is_some()).collect();
        assert!(!logs.is_empty() && end > 0, "{log:?}");
        for log in logs {
            let bytes = fs::read(&log).unwrap();
            let Some(from) = bytes.windows(4096).position(|window| window.iter().all(|byte| *byte == 9)) else {
                continue;
            };
            change(&log, |bytes| bytes[from + 50_000..from + 54_096].fill(0));
        }
        assert_eq!(damage(directory.path()).unwrap(), None, "its pages may reach the disk in any order");
    }
}
