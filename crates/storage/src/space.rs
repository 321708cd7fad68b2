//! How much space the disk has left, and what that allows.
//!
//! A disk that is full to the last byte takes nothing: no vote, no word of what may be deleted, nothing that would make space again. So a node keeps a
//! reserve. Below it, it takes no more records from clients and leads only what no other node can; below half of it, it takes none from leaders either. What
//! makes space, metadata, votes and commits of consumer groups go on, and records are served all the while.

use std::io;
use std::path::Path;

use crate::StorageError;

/// How much more than the reserve must be free before records are taken again; of a small reserve an eighth.
const MARGIN_MAX: u64 = 256 << 20;

/// How much space there is beside the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum DiskSpace {
    /// Half of the reserve is used: records are not taken from leaders.
    Exhausted,
    /// The reserve is being used: records are not taken from clients.
    Low,
    /// Everything is taken.
    #[default]
    Enough,
}

impl DiskSpace {
    /// What follows when so many bytes are free. Things get better only when there is some more than they need, lest they go back and forth.
    #[must_use]
    pub fn next(self, free: u64, reserve: u64) -> Self {
        let of = |free| match free {
            free if free < reserve / 2 => Self::Exhausted,
            free if free < reserve => Self::Low,
            _ => Self::Enough,
        };
        of(free).min(of(free.saturating_sub((reserve / 8).min(MARGIN_MAX))).max(self))
    }
}

/// The size of a filesystem, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesystemSize {
    /// What this process may still use.
    pub free: u64,
    /// All.
    pub total: u64,
}

impl FilesystemSize {
    /// Of the filesystem that holds `path`.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(path: &Path) -> Result<Self, StorageError> {
        let failed = |error: io::Error| {
            StorageError::Io(format!("the system does not tell how much space '{}' has: {error}", path.display()))
        };
        let told = rustix::fs::statvfs(path).map_err(|error| failed(error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
        Ok(Self { free: bytes(told.f_bavail), total: bytes(told.f_blocks) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: u64 = 800;

    #[test]
    fn it_gets_worse_at_once_and_better_with_some_more() {
        use DiskSpace::{Enough, Exhausted, Low};
        let steps = [
            (Enough, 800, Enough),
            (Enough, 799, Low),
            (Enough, 399, Exhausted),
            (Low, 400, Low),
            (Low, 399, Exhausted),
            (Low, 899, Low),
            (Low, 900, Enough),
            (Exhausted, 499, Exhausted),
            (Exhausted, 500, Low),
            (Exhausted, 899, Low),
            (Exhausted, 900, Enough),
        ];
        for (now, free, then) in steps {
            assert_eq!(now.next(free, RESERVE), then, "{now:?} with {free}");
        }
        assert_eq!(Enough.next(0, 0), Enough, "without a reserve nothing is refused");
    }

    #[test]
    fn filesystems_tell() {
        let size = FilesystemSize::of(Path::new("/")).unwrap();
        assert!(size.total > 0 && size.free <= size.total, "{size:?}");
        assert!(matches!(FilesystemSize::of(Path::new("/no/such/folder")), Err(StorageError::Io(_))));
    }
}
