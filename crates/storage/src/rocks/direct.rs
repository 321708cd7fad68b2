//! Whether the filesystem lets files go around the page cache.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file with which it is tried.
const PROBE: &str = "direct-io.probe";

/// Tries it in `folder`, which is made if it is not there. RocksDB would only find out when it first writes a file, and fail.
pub(super) fn is_possible(folder: &Path) -> bool {
    let probe = folder.join(PROBE);
    let opened = fs::create_dir_all(folder).and_then(|()| {
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT).open(&probe)
    });
    // Not there when it could not be made.
    let _ = fs::remove_file(&probe);
    if let Err(error) = &opened {
        tracing::warn!(%error, folder = %folder.display(), "files cannot go around the page cache here; they go through it, which takes more CPU");
    }
    opened.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        is_possible(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!is_possible(Path::new("/proc/1/no-such-folder")));
    }
}
