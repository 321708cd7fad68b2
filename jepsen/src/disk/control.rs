//! The page through which a node's preloaded library is commanded and its counters are read; `faultdisk/control.h` has the same layout.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// A page, shared with the process that has the library.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Makes what the library finds at its start in `state`: the page, with all faults off, and the folders.
    ///
    /// # Errors
    /// When files cannot be made.
    pub fn create(state: &Path) -> Result<Self> {
        for folder in ["files", "grave"] {
            std::fs::create_dir_all(state.join(folder)).with_context(|| format!("cannot make {}", state.display()))?;
        }
        let path = state.join("control");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.set_len(PAGE_BYTES)?;
        Ok(Self(file))
    }

    /// Makes each sync take longer.
    ///
    /// # Errors
    /// When the page cannot be written, as with all commands.
    pub fn delay_syncs(&self, delay: Duration) -> Result<()> {
        self.command(Command::SyncDelayUs, u64::try_from(delay.as_micros())?)
    }

    /// Makes what takes space fail, or not.
    ///
    /// # Errors
    /// See [`Control::delay_syncs`].
    pub fn fill(&self, full: bool) -> Result<()> {
        self.command(Command::NoSpace, u64::from(full))
    }

    /// Makes this many of a thousand writes and syncs fail.
    ///
    /// # Errors
    /// See [`Control::delay_syncs`].
    pub fn fail(&self, writes: u64, syncs: u64, reads: u64) -> Result<()> {
        self.command(Command::WriteErrors, writes)?;
        self.command(Command::SyncErrors, syncs)?;
        self.command(Command::ReadErrors, reads)
    }

    /// Moves the time of day, forth or back.
    ///
    /// # Errors
    /// See [`Control::delay_syncs`].
    pub fn shift_clock(&self, by_ms: i64) -> Result<()> {
        self.command(Command::ClockOffsetNs, (by_ms * 1_000_000).cast_unsigned())
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// See [`Control::delay_syncs`].
    pub fn heal(&self) -> Result<()> {
        self.delay_syncs(Duration::ZERO)?;
        self.fill(false)?;
        self.fail(0, 0, 0)?;
        self.shift_clock(0)
    }

    /// What the library has counted so far, over all processes that used the page.
    ///
    /// # Errors
    /// When the page cannot be read.
    pub fn counters(&self) -> Result<BTreeMap<&'static str, u64>> {
        let read = |(at, name): (u64, &&'static str)| {
            let mut bytes = [0; 8];
            self.0.read_exact_at(&mut bytes, COUNTERS_AT + at * 8)?;
            Ok((*name, u64::from_le_bytes(bytes)))
        };
        (0..).zip(COUNTERS).map(read).collect()
    }

    fn command(&self, command: Command, value: u64) -> Result<()> {
        Ok(self.0.write_all_at(&value.to_le_bytes(), command as u64 * 8)?)
    }
}

#[derive(Clone, Copy)]
enum Command {
    SyncDelayUs = 0,
    NoSpace = 1,
    WriteErrors = 2,
    SyncErrors = 3,
    ReadErrors = 4,
    ClockOffsetNs = 5,
}

const PAGE_BYTES: u64 = 4096;
const COUNTERS_AT: u64 = 16 * 8;
const COUNTERS: &[&str] = &[
    "opens",
    "creates",
    "writes",
    "written_bytes",
    "saved_bytes",
    "truncates",
    "file_syncs",
    "directory_syncs",
    "renames",
    "unlinks",
    "links",
    "mkdirs",
    "delayed",
    "refused",
    "failed",
    "clock_reads",
    "untracked",
];
