//! What was written and is not synced.
//!
//! The pages of unsynced writes reach the disk in any order. So after a power cut a record of the log may be there though an earlier one is not, and neither
//! was ever synced: no damage. To tell that from damage, a record that is written while earlier ones are unsynced says how far the log was synced by then.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The kernel's name for the time since it was started.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How far an open database is synced. Those who write do so one at a time (see [`WriteBehind`](crate::WriteBehind)); should some not, a record says too
/// little of what was synced, or that nothing is unsynced while another write sets out.
#[derive(Debug)]
pub(super) struct Unsynced {
    synced: AtomicU64,
    something: AtomicBool,
}

impl Unsynced {
    /// All writes up to `sequence` are safe.
    pub(super) fn after(sequence: u64) -> Self {
        Self { synced: AtomicU64::new(sequence), something: AtomicBool::new(false) }
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
}

/// Names the run of the machine. In a container it is the host's. Where the kernel does not tell, every start of the process counts as one of the machine.
pub(super) fn boot() -> u128 {
    let named = fs::read_to_string(BOOT_ID).ok().and_then(|text| parse(&text));
    named.unwrap_or_else(|| u128::from(RandomState::new().build_hasher().finish()))
}

fn parse(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read() {
        let number = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
        assert_eq!(parse("01234567-89ab-cdef-0123-456789abcdef\n"), Some(number));
        assert_eq!(parse("what?"), None);
        assert_eq!(boot(), boot(), "this machine has not been started anew");
    }

    #[test]
    fn a_mark_is_needed_from_an_unsynced_write_to_the_next_sync() {
        let unsynced = Unsynced::after(5);
        assert_eq!(unsynced.mark(), None);
        unsynced.begin();
        assert_eq!(unsynced.mark(), Some(5));
        unsynced.synced(9);
        assert_eq!(unsynced.mark(), None);
        unsynced.begin();
        assert_eq!(unsynced.mark(), Some(9));
    }
}
