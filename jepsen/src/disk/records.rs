//! What the preloaded library keeps so that unsynced changes can be undone; `faultdisk/faultdisk.c` writes it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A change of a file's bytes that is not synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it wrote.
    pub offset: u64,
    /// The bytes that it replaced.
    pub old: Vec<u8>,
    /// How long the file was.
    pub old_size: u64,
}

/// A change of names that is not synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A name came to be.
    Created(PathBuf),
    /// A name went; what had it lies in the grave of this number, unless it was a folder.
    Removed(PathBuf, Option<u64>),
    /// A name became another; what had that lies in the grave of this number, if anything had.
    Renamed(PathBuf, PathBuf, Option<u64>),
}

impl Name {
    fn folders(&self) -> impl Iterator<Item = &Path> {
        let paths = match self {
            Self::Created(path) | Self::Removed(path, _) => [Some(path), None],
            Self::Renamed(from, to, _) => [Some(from), Some(to)],
        };
        paths.into_iter().flatten().filter_map(|path| path.parent())
    }
}

/// The unsynced changes of one file, oldest first.
///
/// # Errors
/// When the log cannot be read or is none.
pub fn changes(log: &Path) -> Result<Vec<Change>> {
    let bytes = fs::read(log)?;
    let mut changes: Vec<(u64, Change)> = Vec::new();
    for (at, record) in file_records(&bytes) {
        match record {
            FileRecord::Change(change) => changes.push((at, change)),
            FileRecord::Synced(until) => changes.retain(|(at, _)| *at >= until),
        }
    }
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

/// The unsynced changes of names, oldest first. As a journaling filesystem has it, a file's sync brings all names along when
/// `journaled`; POSIX promises that of a folder's own sync alone.
///
/// # Errors
/// When the log cannot be read or is none.
pub fn names(state: &Path, journaled: bool) -> Result<Vec<Name>> {
    let path = state.join("directories");
    if !path.try_exists()? {
        return Ok(Vec::new());
    }
    let bytes = fs::read(&path)?;
    let mut names: Vec<(u64, Name)> = Vec::new();
    for (at, record) in name_records(&bytes) {
        match record {
            NameRecord::Name(name) => names.push((at, name)),
            NameRecord::DirectorySynced(folder, until) => {
                names.retain(|(at, name)| *at >= until || !name.folders().any(|of| of == folder));
            }
            NameRecord::FileSynced(until) if journaled => names.retain(|(at, _)| *at >= until),
            NameRecord::FileSynced(_) => {}
        }
    }
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// Cuts off what a killed process had half written, so that the next one can go on behind it.
///
/// # Errors
/// When files cannot be read or cut.
pub fn mend(state: &Path) -> Result<()> {
    let whole = |path: &Path, end: u64| -> Result<()> {
        let file = OpenOptions::new().write(true).open(path).with_context(|| path.display().to_string())?;
        if file.metadata()?.len() > end { Ok(file.set_len(end)?) } else { Ok(()) }
    };
    let directories = state.join("directories");
    if directories.try_exists()? {
        let bytes = fs::read(&directories)?;
        let mut records = name_records(&bytes);
        records.by_ref().for_each(drop);
        whole(&directories, records.at())?;
    }
    for entry in fs::read_dir(state.join("files"))? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        let mut records = file_records(&bytes);
        records.by_ref().for_each(drop);
        whole(&path, records.at())?;
    }
    Ok(())
}

enum FileRecord {
    Change(Change),
    Synced(u64),
}

enum NameRecord {
    Name(Name),
    DirectorySynced(PathBuf, u64),
    FileSynced(u64),
}

/// Records one after the other, with their places; ends at the first that is not whole.
struct Records<'a, T> {
    bytes: &'a [u8],
    at: usize,
    parse: fn(&mut Reader<'_>) -> Option<T>,
}

impl<T> Records<'_, T> {
    fn at(&self) -> u64 {
        self.at as u64
    }
}

impl<T> Iterator for Records<'_, T> {
    type Item = (u64, T);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader(&self.bytes[self.at..]);
        let record = (self.parse)(&mut reader)?;
        let at = self.at();
        self.at = self.bytes.len() - reader.0.len();
        Some((at, record))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn small(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn path(&mut self, length: u32) -> Option<PathBuf> {
        Some(PathBuf::from(std::str::from_utf8(self.take(length.into())?).ok()?))
    }
}

fn file_records(bytes: &[u8]) -> Records<'_, FileRecord> {
    let parse = |reader: &mut Reader<'_>| {
        let kind = reader.number()?;
        let [offset, _length, saved, old_size] =
            [reader.number()?, reader.number()?, reader.number()?, reader.number()?];
        match kind {
            1 => {
                let old = reader.take(saved)?.to_vec();
                Some(FileRecord::Change(Change { offset, old, old_size }))
            }
            2 => Some(FileRecord::Synced(offset)),
            _ => None,
        }
    };
    Records { bytes, at: 0, parse }
}

fn name_records(bytes: &[u8]) -> Records<'_, NameRecord> {
    let parse = |reader: &mut Reader<'_>| {
        let [kind, grave, until] = [reader.number()?, reader.number()?, reader.number()?];
        let lengths = [reader.small()?, reader.small()?];
        let [first, second] = [reader.path(lengths[0])?, reader.path(lengths[1])?];
        let grave = Some(grave).filter(|grave| *grave != 0);
        match kind {
            1 => Some(NameRecord::Name(Name::Created(first))),
            2 => Some(NameRecord::Name(Name::Removed(first, grave))),
            3 => Some(NameRecord::Name(Name::Renamed(first, second, grave))),
            4 => Some(NameRecord::DirectorySynced(first, until)),
            5 => Some(NameRecord::FileSynced(until)),
            _ => None,
        }
    };
    Records { bytes, at: 0, parse }
}
