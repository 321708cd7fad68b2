//! Power loss: makes a stopped process's folder what it may be after a power cut.
//!
//! What was not synced may be lost, or not: POSIX leaves it to the disk. So there are several cuts, and a seed chooses among all
//! that they permit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::records::{self, Change, Name};

/// How much of what may be lost is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// All of it, names too.
    Clean,
    /// All unsynced bytes; names as a journaling filesystem has them.
    Journaled,
    /// Each page of 4 KiB that is not synced may be there or not, and the last names too: writes are torn, and out of order.
    Torn,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Clean, Self::Journaled, Self::Torn];
}

/// What a cut took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Bytes that were reverted or cut off.
    pub bytes: u64,
    /// Names that came, went or changed back.
    pub names: u64,
    /// All of it, in words.
    pub what: Vec<String>,
}

/// Cuts the power of the folder `data`, with what the library kept of it in `state`. No process may use it. Afterwards all is on
/// the disk as it is.
///
/// # Errors
/// When files cannot be read or written.
pub fn cut(data: &Path, state: &Path, cut: Cut, seed: u64) -> Result<Lost> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut lost = Lost::default();
    let mut names = records::names(state, cut != Cut::Clean)?;
    if cut == Cut::Torn {
        // Names reach a journal in order.
        let kept = random.random_range(0..=names.len());
        names.drain(..kept);
    }
    for name in names.iter().rev() {
        undo_name(name, &state.join("grave")).with_context(|| format!("cannot undo {name:?}"))?;
        lost.names += 1;
        lost.what.push(describe(name, data));
    }
    let paths = by_inode(data)?;
    let mut logs: Vec<_> = fs::read_dir(state.join("files"))?.collect::<Result<_, _>>()?;
    // The same seed, the same cut.
    logs.sort_by_key(fs::DirEntry::file_name);
    for log in logs {
        let inode = log.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(path) = inode.and_then(|inode: u64| paths.get(&inode)) {
            let bytes = undo_changes(path, &records::changes(&log.path())?, cut, &mut random)
                .with_context(|| format!("cannot undo changes of {}", path.display()))?;
            lost.bytes += bytes;
            if bytes > 0 {
                lost.what.push(format!("{bytes} bytes of {}", inside(path, data)));
            }
        }
    }
    forget(state)?;
    Ok(lost)
}

fn describe(name: &Name, data: &Path) -> String {
    match name {
        Name::Created(path) => format!("the creation of {}", inside(path, data)),
        Name::Removed(path, _) => format!("the removal of {}", inside(path, data)),
        Name::Renamed(from, to, _) => format!("the renaming of {} to {}", inside(from, data), inside(to, data)),
    }
}

fn inside(path: &Path, data: &Path) -> String {
    path.strip_prefix(data).unwrap_or(path).display().to_string()
}

/// Makes everything as it is now count as synced.
///
/// # Errors
/// When files cannot be removed.
pub fn forget(state: &Path) -> Result<()> {
    for folder in ["files", "grave"] {
        fs::remove_dir_all(state.join(folder))?;
        fs::create_dir(state.join(folder))?;
    }
    let directories = state.join("directories");
    if directories.try_exists()? { Ok(fs::remove_file(directories)?) } else { Ok(()) }
}

fn undo_name(name: &Name, graves: &Path) -> Result<()> {
    match name {
        Name::Created(path) if path.is_dir() => Ok(fs::remove_dir_all(path)?),
        Name::Created(path) => ignore_missing(fs::remove_file(path)),
        Name::Removed(path, None) => Ok(fs::create_dir_all(path)?),
        Name::Removed(path, Some(grave)) => dig_up(&graves.join(grave.to_string()), path),
        // The process was killed before it came to that: everything later that could have made `from` again is undone already.
        Name::Renamed(from, ..) if from.try_exists()? => Ok(()),
        Name::Renamed(from, to, grave) => {
            ignore_missing(fs::rename(to, from))?;
            grave.map_or(Ok(()), |grave| dig_up(&graves.join(grave.to_string()), to))
        }
    }
}

/// The process may have been killed before it did what the record tells of.
fn dig_up(grave: &Path, path: &Path) -> Result<()> {
    if path.try_exists()? { Ok(()) } else { ignore_missing(fs::hard_link(grave, path)) }
}

fn ignore_missing(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn by_inode(folder: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.metadata()?.ino(), entry.path());
            }
        }
    }
    Ok(found)
}

/// Undoes changes, newest first; how many bytes are not what they were.
fn undo_changes(path: &Path, changes: &[Change], cut: Cut, random: &mut StdRng) -> Result<u64> {
    if changes.is_empty() {
        return Ok(0);
    }
    let written = fs::read(path)?;
    let mut synced = written.clone();
    for change in changes.iter().rev() {
        let offset = usize::try_from(change.offset)?;
        let end = offset + change.old.len();
        if synced.len() < end {
            synced.resize(end, 0);
        }
        synced[offset..end].copy_from_slice(&change.old);
        synced.resize(usize::try_from(change.old_size)?, 0);
    }
    let after = if cut == Cut::Torn { tear(&written, synced, random) } else { synced };
    let file = OpenOptions::new().write(true).open(path)?;
    let mut lost = written.len().saturating_sub(after.len()) as u64;
    for page in differing(&written, &after) {
        let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(after.len()));
        file.write_all_at(&after[from..to], from as u64)?;
        lost += (to - from) as u64;
    }
    file.set_len(after.len() as u64)?;
    Ok(lost)
}

/// What is on the disk when each written page got there or not, and so did the length.
fn tear(written: &[u8], synced: Vec<u8>, random: &mut StdRng) -> Vec<u8> {
    let mut torn = synced;
    if written.len() != torn.len() {
        let (shorter, longer) = (written.len().min(torn.len()), written.len().max(torn.len()));
        torn.resize(random.random_range(shorter..=longer), 0);
    }
    let pages: BTreeSet<_> = differing(written, &torn).collect();
    for page in pages {
        let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(torn.len()).min(written.len()));
        if random.random() && from < to {
            torn[from..to].copy_from_slice(&written[from..to]);
        }
    }
    torn
}

/// The pages of `new` that differ from `old`.
fn differing<'a>(old: &'a [u8], new: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let page = |bytes: &'a [u8], at: usize| {
        let from = (at * PAGE).min(bytes.len());
        &bytes[from..(from + PAGE).min(bytes.len())]
    };
    (0..new.len().div_ceil(PAGE)).filter(move |at| page(old, *at) != page(new, *at))
}

const PAGE: usize = 4096;
