//! Whether the write-ahead log has lost what was synced.
//!
//! RocksDB replays the log up to the first record that it cannot read, and takes that for what a crash left half written. But a record that comes *behind*
//! an unreadable one was written after that one had been synced: there the log is damaged, and votes and entries that others rely on may be gone. Only
//! whoever asks the other replicas can tell which ones.
//!
//! The format, as far as it matters: blocks of 32 KiB, each beginning with a fragment of a record; a fragment has a masked CRC32C (u32), a length (u16), a
//! type (u8), the log's number (u32), all little-endian, and its payload. A file that was in use before keeps older fragments behind the newest, with
//! another number.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::StorageError;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 11;
/// A record in one fragment, and the first one of a record in several.
const FULL: u8 = 5;
const FIRST: u8 = 6;
/// Others that belong to the log: the middle and the end of a record, and what RocksDB says about the log itself.
const OTHERS: [u8; 4] = [7, 8, 11, 131];

/// Where a log cannot be read though it goes on behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalDamage {
    /// The file.
    pub file: PathBuf,
    /// The first byte that cannot be read.
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
    for (number, file) in logs {
        let opened = File::open(&file).map_err(failed)?;
        if let Some(offset) = first_damage(opened, number).map_err(failed)? {
            return Ok(Some(WalDamage { file, offset }));
        }
    }
    Ok(None)
}

/// The number in a log's name, as fragments carry it: its lower half.
fn log_number(path: &Path) -> Option<u32> {
    let is_log = path.extension().is_some_and(|extension| extension == "log");
    let number: u64 = path.file_stem().filter(|_| is_log)?.to_str()?.parse().ok()?;
    u32::try_from(number & u64::from(u32::MAX)).ok()
}

/// Where the log first cannot be read, if a record begins behind.
fn first_damage(mut log: impl Read, number: u32) -> io::Result<Option<u64>> {
    let mut block = vec![0; BLOCK];
    let (mut start, mut unreadable) = (0, None);
    loop {
        let length = fill(&mut log, &mut block)?;
        let mut at = 0;
        while let Some(fragment) = fragment(&block[at..length], number) {
            if unreadable.is_some() && matches!(fragment.kind, FULL | FIRST) {
                return Ok(unreadable);
            }
            at += fragment.length;
        }
        // What is left of a block is too short for a fragment, or all of the block was read.
        if unreadable.is_none() && BLOCK - at >= HEADER {
            unreadable = Some(start + at as u64);
        }
        if length < BLOCK {
            return Ok(None);
        }
        start += BLOCK as u64;
    }
}

struct Fragment {
    kind: u8,
    /// With its header.
    length: usize,
}

/// The fragment at the beginning of `bytes`, if there is a whole one of this log.
fn fragment(bytes: &[u8], number: u32) -> Option<Fragment> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [c0, c1, c2, c3, l0, l1, kind, n0, n1, n2, n3] = *header;
    let payload = rest.get(..usize::from(u16::from_le_bytes([l0, l1])))?;
    let known = matches!(kind, FULL | FIRST) || OTHERS.contains(&kind);
    if !known || u32::from_le_bytes([n0, n1, n2, n3]) != number {
        return None;
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header[6..]), payload);
    let is_sound = masked(sum) == u32::from_le_bytes([c0, c1, c2, c3]);
    is_sound.then_some(Fragment { kind, length: HEADER + payload.len() })
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
            let (directory, log, end) = database();
            change(&log, |bytes| bytes[end - torn..end].fill(0));
            assert_eq!(damage(directory.path()).unwrap(), None, "the last {torn} bytes are missing");
            let (directory, log, end) = database();
            change(&log, |bytes| bytes.truncate(end - torn));
            assert_eq!(damage(directory.path()).unwrap(), None, "it ends {torn} bytes early");
        }
    }

    #[test]
    fn a_hole_in_the_last_record_is_no_damage() {
        let (directory, log, end) = database();
        let engine = RocksEngine::open(directory.path(), &RocksOptions::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Log, "large", vec![9; 200_000]);
        engine.write(batch, Durability::Synced).unwrap();
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
