//! How far the database is synced, noted beside it.
//!
//! RocksDB takes the end of its log for the place where a crash ended it, so that a log which was cut off looks like one that was never longer. Hence the
//! number of the last synced write is noted after each sync, in a file that is itself not synced: the kernel writes it when it likes. So the note may be
//! older than the log, but never newer. After the death of the process it is exact; after a power cut it finds less than there may be to find.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file, beside RocksDB's own.
const NAME: &str = "SYNCED";
/// A number (u64) and its CRC32C, little-endian.
const LENGTH: usize = 12;

/// The note of an open database.
#[derive(Debug)]
pub(super) struct Synced {
    file: File,
    has_failed: AtomicBool,
}

impl Synced {
    /// Opens the note of the database in `directory`, which is there.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(directory.join(NAME))?;
        Ok(Self { file, has_failed: AtomicBool::new(false) })
    }

    /// All writes up to this number are synced.
    pub(super) fn note(&self, sequence: u64) {
        if let Err(error) = self.file.write_all_at(&encode(sequence), 0)
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "how far the log is synced cannot be noted: were it cut off later, this node would not notice");
        }
    }
}

/// Up to which number writes were synced in the database in `directory`, if that was noted and can be read.
pub(super) fn read(directory: &Path) -> io::Result<Option<u64>> {
    let mut bytes = [0; LENGTH];
    match File::open(directory.join(NAME)).and_then(|file| file.read_exact_at(&mut bytes, 0)) {
        Ok(()) => Ok(decode(&bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode(sequence: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let number = sequence.to_le_bytes();
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32c::crc32c(&number).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; LENGTH]) -> Option<u64> {
    let (number, sum) = bytes.split_first_chunk::<8>()?;
    (sum == crc32c::crc32c(number).to_le_bytes()).then(|| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_last_note_counts() {
        let directory = TempDir::new().unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
        let synced = Synced::open(directory.path()).unwrap();
        assert_eq!(read(directory.path()).unwrap(), None, "nothing was noted");
        synced.note(u64::MAX);
        synced.note(7);
        assert_eq!(read(directory.path()).unwrap(), Some(7));
        drop(synced);
        Synced::open(directory.path()).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Some(7));
    }

    #[test]
    fn a_damaged_note_says_nothing() {
        let directory = TempDir::new().unwrap();
        Synced::open(directory.path()).unwrap().note(7);
        let mut bytes = fs::read(directory.path().join(NAME)).unwrap();
        bytes[3] ^= 1;
        fs::write(directory.path().join(NAME), &bytes).unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
        fs::write(directory.path().join(NAME), &bytes[..5]).unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
    }
}
