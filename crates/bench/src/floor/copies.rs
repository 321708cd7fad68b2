//! Three copies of every request on the one disk, as three nodes on one machine have them: each in a file of its own, written by a thread of
//! its own.
//!
//! A writer takes all that is queued, writes it with one call and syncs it with another. The files are filled before the first request and
//! overwritten again and again, as logs that recycle their segments do: then a sync has no new blocks to note, and the disk does not fill up.

use std::fs::File;
use std::io::{self, IoSlice, Seek, Write};
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::Context;
use bytes::Bytes;

use super::answers::{Answers, Due, Ticket};
use super::vectored;

const COPIES: usize = 3;
/// How large a file is, but for its last write.
const FILE: u64 = 256 * 1024 * 1024;
/// How much is written at once to fill it.
const FILL: usize = 4 * 1024 * 1024;
/// How many requests wait for a writer, and how many it takes at once: as many as the system writes with one call.
const QUEUED: usize = 1024;

/// The way to the three writers.
#[derive(Debug)]
pub(super) struct Copies<W>(Vec<SyncSender<Entry<W>>>);

/// A request that is to be stored, and whose answer waits for that.
#[derive(Debug)]
struct Entry<W> {
    request: Bytes,
    due: Due<W>,
}

impl<W: Write + Send + 'static> Copies<W> {
    /// Makes the three files, of `bytes` bytes each, and starts their writers.
    fn with_size(folder: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let writers = (1..=COPIES).map(|n| {
            let file = Recycled::fill(&folder.join(format!("copy-{n}")), bytes)?;
            let (sender, entries) = sync_channel(QUEUED);
            thread::Builder::new().name(format!("copy-{n}")).spawn(move || write_all(file, &entries))?;
            Ok(sender)
        });
        let writers = writers.collect::<anyhow::Result<_>>();
        Ok(Self(writers.with_context(|| format!("cannot write to {}", folder.display()))?))
    }

    /// Makes the three files, and starts their writers.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        Self::with_size(folder, FILE)
    }

    /// Hands a request to all writers; its answer leaves once a majority has synced it.
    pub(super) fn store(&self, request: &Bytes, ticket: &Arc<Ticket>, answers: &Arc<Answers<W>>) {
        for writer in &self.0 {
            let entry = Entry { request: request.clone(), due: Due::new(ticket, answers) };
            // A writer that fails ends the process.
            let _ = writer.send(entry);
        }
    }
}

/// Writes what comes until nobody can send any more.
fn write_all<W: Write>(mut file: Recycled, entries: &Receiver<Entry<W>>) {
    while let Ok(first) = entries.recv() {
        let batch: Vec<_> = iter::once(first).chain(entries.try_iter()).take(QUEUED).collect();
        if let Err(error) = file.append(&mut batch.iter().map(|entry| IoSlice::new(&entry.request)).collect::<Vec<_>>())
        {
            eprintln!("a copy cannot be written: {error}");
            std::process::exit(1);
        }
        Due::settle(batch.into_iter().map(|entry| entry.due));
    }
}

/// A file that begins anew when it is full.
struct Recycled {
    file: File,
    at: u64,
    size: u64,
}

impl Recycled {
    /// Fills a new file, so that it has its blocks.
    fn fill(path: &Path, size: u64) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let noise = crate::payload::blank(FILL);
        let mut left = size as usize;
        while left > 0 {
            file.write_all(&noise[..left.min(FILL)])?;
            left = left.saturating_sub(FILL);
        }
        file.sync_all()?;
        file.rewind()?;
        Ok(Self { file, at: 0, size })
    }

    /// Writes with one call, unless the system takes less, and syncs.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if self.at >= self.size {
            self.file.rewind()?;
            self.at = 0;
        }
        self.at += vectored::write_all(&mut self.file, parts)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::testing::{REQUESTS, assert_answered_in_order};
    use super::*;

    #[test]
    fn an_answer_comes_when_two_copies_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::with_size(folder.path(), 1000).unwrap();
        assert_answered_in_order(|request, ticket, answers| copies.store(request, ticket, answers));
        let wanted = REQUESTS.map(|n| [n; 10]).concat();
        let read = |n| std::fs::read(folder.path().join(format!("copy-{n}"))).unwrap();
        assert!((1..=COPIES).filter(|n| read(*n).starts_with(&wanted)).count() >= 2);
    }

    #[test]
    fn a_full_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let mut file = Recycled::fill(&path, 8).unwrap();
        for part in [b"abcde", b"fghij", b"klmno"] {
            file.append(&mut [IoSlice::new(&part[..2]), IoSlice::new(&[]), IoSlice::new(&part[2..])]).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"klmnofghij");
    }
}
