//! What was written and is not synced.
//!
//! The pages of unsynced writes reach the disk in any order. So after a power cut a record of the log may be there though an earlier one is not, and neither
//! was ever synced: no damage. To tell that from damage, a record that is written while earlier ones are unsynced says how far the log was synced by then.
//!
//! A sync that fails may take what was unsynced with it, as a power cut does, though the machine runs on: what the kernel could not write, it forgets. That is
//! noted in a file beside the database, and makes another run of the machine of what comes after.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The kernel's name for the time since it was started.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The file, beside RocksDB's own: a number (u128, big-endian), another one after each failure.
const FAILED: &str = "UNSYNCED";

/// How far an open database is synced. Those who write do so one at a time (see [`WriteBehind`](crate::WriteBehind)); should some not, a record says too
/// little of what was synced, or that nothing is unsynced while another write sets out.
#[derive(Debug)]
pub(super) struct Unsynced {
    synced: AtomicU64,
    something: AtomicBool,
    directory: PathBuf,
}

impl Unsynced {
    /// All writes up to `sequence` of the database in `directory` are safe.
    pub(super) fn after(sequence: u64, directory: &Path) -> Self {
        let (synced, something) = (AtomicU64::new(sequence), AtomicBool::new(false));
        Self { synced, something, directory: directory.to_owned() }
    }

    /// How far the log is synced, if there is more in it.
    pub(super) fn mark(&self) -> Option<u64> {
        self.something.load(Ordering::Acquire).then(|| self.synced.load(Ordering::Acquire))
    }

    /// Something is written that is not synced with it.
    pub(super) fn begin(&self) {
        self.something.store(true, Ordering::Release);
    }

    /// All writes up to `sequence` are synced, and nothing was written behind it.
    pub(super) fn synced(&self, sequence: u64) {
        self.synced.fetch_max(sequence, Ordering::AcqRel);
        self.something.store(false, Ordering::Release);
    }

    /// The disk has refused: what is unsynced may be lost.
    pub(super) fn failed(&self) {
        if self.mark().is_some()
            && let Err(error) = fs::write(self.directory.join(FAILED), another().to_be_bytes())
        {
            tracing::error!(%error, "a sync has failed, and that cannot be noted: restart the machine before this node, or its disk may be believed too much");
        }
    }
}

/// Names the run of the machine. In a container it is the host's. Where the kernel does not tell, every start of the process counts as one of the machine.
pub(super) fn boot(directory: &Path) -> u128 {
    let named = fs::read_to_string(BOOT_ID).ok().and_then(|text| parse(&text));
    named.zip(last_failure(directory)).map_or_else(another, |(named, failure)| named ^ failure)
}

/// Zero when there was none, and nothing when that cannot be told.
fn last_failure(directory: &Path) -> Option<u128> {
    match fs::read(directory.join(FAILED)) {
        Ok(bytes) => Some(u128::from_be_bytes(bytes.try_into().ok()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}

/// A number that was not there before.
fn another() -> u128 {
    u128::from(RandomState::new().build_hasher().finish())
}

fn parse(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_boot_id_is_read() {
        let number = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
        assert_eq!(parse("01234567-89ab-cdef-0123-456789abcdef\n"), Some(number));
        assert_eq!(parse("what?"), None);
        let directory = TempDir::new().unwrap();
        assert_eq!(boot(directory.path()), boot(directory.path()), "this machine has not been started anew");
    }

    #[test]
    fn after_a_failure_that_took_something_another_run_begins() {
        let directory = TempDir::new().unwrap();
        let unsynced = Unsynced::after(5, directory.path());
        let before = boot(directory.path());
        unsynced.failed();
        assert_eq!(boot(directory.path()), before, "nothing was unsynced");
        unsynced.begin();
        unsynced.failed();
        let after = boot(directory.path());
        assert_ne!(after, before);
        assert_eq!(boot(directory.path()), after);
        fs::write(directory.path().join(FAILED), "torn").unwrap();
        assert_ne!(boot(directory.path()), boot(directory.path()), "nobody can tell");
    }

    #[test]
    fn a_mark_is_needed_from_an_unsynced_write_to_the_next_sync() {
        let unsynced = Unsynced::after(5, Path::new("."));
        assert_eq!(unsynced.mark(), None);
        unsynced.begin();
        assert_eq!(unsynced.mark(), Some(5));
        unsynced.synced(9);
        assert_eq!(unsynced.mark(), None);
        unsynced.begin();
        assert_eq!(unsynced.mark(), Some(9));
    }
}
