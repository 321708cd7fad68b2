//! Damage done to the files of a node that is down: what a bad disk, a bad controller or a careless hand does.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One to eight bits change.
    BitFlip,
    /// The last part of the file goes.
    Truncate,
    /// All files go: another disk.
    Wipe,
}

/// Which of a node's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The write-ahead log: the newest entries, and the votes.
    Wal,
    /// The tables: rows, indexes, and the keys of older entries.
    Sst,
    /// The record batches of older entries.
    Blob,
    /// The list of the files.
    Manifest,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Wal, Self::Sst, Self::Blob, Self::Manifest];

    fn has(self, path: &Path) -> bool {
        let (name, end) = (path.file_name(), path.extension().and_then(|end| end.to_str()));
        match self {
            Self::Wal => end == Some("log"),
            Self::Sst => end == Some("sst"),
            Self::Blob => end == Some("blob"),
            Self::Manifest => name.and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("MANIFEST")),
        }
    }
}

/// Damages one file of the folder, and says what it did; `None` when there is no such file with something in it.
///
/// # Errors
/// When files cannot be read or written.
pub fn damage(data: &Path, part: Part, damage: Damage, seed: u64) -> Result<Option<String>> {
    if damage == Damage::Wipe {
        fs::remove_dir_all(data)?;
        fs::create_dir(data)?;
        return Ok(Some("lost all its files".to_owned()));
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut files = files(data)?;
    files.retain(|path| part.has(path));
    files.sort();
    // The newest files are those in use.
    let Some(path) = files.iter().rev().find(|path| used_bytes(path).is_ok_and(|used| used > 0)) else {
        return Ok(None);
    };
    let used = used_bytes(path)?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let name = path.strip_prefix(data).unwrap_or(path).display();
    match damage {
        Damage::BitFlip => {
            let bits = random.random_range(1..=8);
            let mut places = Vec::new();
            for _ in 0..bits {
                let (at, bit) = (random.random_range(0..used), random.random_range(0..8));
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                byte[0] ^= 1 << bit;
                file.write_all_at(&byte, at)?;
                places.push(format!("{at}.{bit}"));
            }
            Ok(Some(format!("flipped bits {} of {name} ({used} bytes used)", places.join(" "))))
        }
        Damage::Truncate | Damage::Wipe => {
            let cut = random.random_range(1..=used.min(64 << 10));
            file.set_len(used - cut)?;
            Ok(Some(format!("cut the last {cut} of {used} used bytes of {name}")))
        }
    }
}

/// How many bytes there are before the zeros at the end: logs are allocated ahead.
fn used_bytes(path: &Path) -> Result<u64> {
    let bytes = fs::read(path)?;
    Ok(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}
