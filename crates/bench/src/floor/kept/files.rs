//! A plain file per partition, to which its batches are appended. They are read to memory that is used again once it was sent, so that nothing is copied but
//! from the page cache to there, and no page of it is new.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use parking_lot::Mutex;

use super::index::Entry;
use crate::floor::batches;

/// A partition's file.
#[derive(Debug)]
pub(super) struct FileLog {
    file: File,
    /// Where the last reader's batches were read to.
    memory: Mutex<Bytes>,
}

impl FileLog {
    /// Makes an empty one.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Self { file, memory: Mutex::new(Bytes::new()) })
    }

    /// Writes a batch.
    pub(super) fn append(&self, entry: &Entry, batch: &[u8]) -> io::Result<()> {
        self.file.write_all_at(batch, entry.at)
    }

    /// Reads batches that follow each other, with one call.
    pub(super) fn read(&self, entries: &[Entry]) -> io::Result<Vec<Bytes>> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(Vec::new()) };
        let place = |entry: &Entry| (entry.at - first.at) as usize;
        let length = place(last) + last.length;
        // Still in use, or not there yet: then it is new memory.
        let mut memory = mem::take(&mut *self.memory.lock()).try_into_mut().unwrap_or_default();
        if memory.len() < length {
            memory.resize(length, 0);
        }
        self.file.read_exact_at(&mut memory[..length], first.at)?;
        for entry in entries {
            batches::set_offset(&mut memory[place(entry)..], entry.offset);
        }
        let memory = memory.freeze();
        let read = memory.slice(..length);
        *self.memory.lock() = memory;
        Ok(vec![read])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::batches::{at, example};
    use crate::floor::kept::index::Index;

    #[test]
    fn memory_is_used_again_once_nobody_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = FileLog::create(&folder.path().join("log")).unwrap();
        let mut index = Index::default();
        let batches = [example(1, &[1; 3000]), example(1, &[2; 500])];
        for batch in &batches {
            let entry = index.next_entry(batch.len());
            log.append(&entry, batch).unwrap();
            index.push(entry, 1);
        }
        let read = |offset| log.read(&index.find(offset, 1).entries).unwrap().remove(0);
        let first = read(0);
        let lay_at = first.as_ptr();
        let second = read(1);
        assert_ne!(second.as_ptr(), lay_at, "the first is not sent yet");
        assert_eq!((first.to_vec(), second.to_vec()), (at(0, batches[0].clone()), at(1, batches[1].clone())));
        drop(first);
        let lay_at = second.as_ptr();
        drop(second);
        let again = read(1);
        assert_eq!((again.as_ptr(), again.len()), (lay_at, batches[1].len()));
    }
}
