//! What happened, as a digest and, if wanted, as text.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The record of a run; clones share it. Two runs with the same digest did the same.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    print: bool,
    digest: Mutex<Digest>,
}

#[derive(Debug, Default)]
struct Digest {
    value: u64,
    events: u64,
}

/// What kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// Bytes entered the network.
    Sent,
    /// Bytes reached a disk.
    Written,
    /// A disk has synced.
    Synced,
    /// A node was started or crashed, or a fault was made or mended.
    Fault,
    /// A client has begun or ended something.
    Client,
    /// What a node had applied was looked at.
    Applied,
}

impl Trace {
    /// An empty trace that begins now; `print` also writes faults and what clients do to the standard error.
    pub fn new(print: bool) -> Self {
        Self(Arc::new(Inner { began: Instant::now(), print, digest: Mutex::default() }))
    }

    /// How long the run has lasted, in virtual time.
    pub fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Adds an event: who (or between whom), and what.
    pub fn add(&self, event: Event, place: u64, content: &[u8]) {
        let now = u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX);
        let crc = crc32c::crc32c(content);
        let mut digest = self.0.digest.lock();
        let mut value = digest.value;
        for part in [now, event as u64, place, content.len() as u64, u64::from(crc)] {
            value = (value.rotate_left(5) ^ part).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        digest.value = value;
        digest.events += 1;
    }

    /// Adds an event that is worth reading.
    pub fn say(&self, event: Event, text: &impl Display) {
        let text = text.to_string();
        self.add(event, 0, text.as_bytes());
        if self.0.print {
            eprintln!("{:>9.3} {event:?}: {text}", self.elapsed().as_secs_f64());
        }
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> u64 {
        self.0.digest.lock().value
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.0.digest.lock().events
    }
}
