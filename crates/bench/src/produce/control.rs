//! What the harness says while the load runs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use serde_json::json;

use crate::acks::Recovery;

/// The load's clock, and what was said to it.
#[derive(Debug)]
pub struct Control {
    start: Instant,
    stopped: AtomicBool,
    is_marked: AtomicBool,
    recovery: Mutex<Option<Recovery>>,
    partitions: usize,
}

impl Control {
    /// The clock starts now.
    #[must_use]
    pub fn start(partitions: usize) -> Self {
        Self {
            start: Instant::now(),
            stopped: AtomicBool::new(false),
            is_marked: AtomicBool::new(false),
            recovery: Mutex::new(None),
            partitions,
        }
    }

    /// Microseconds since the start.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Whether the load shall end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// A partition acknowledged. Says so on the standard output when it was the last that was awaited since the mark.
    pub fn acknowledged(&self, partition: i32, now_us: u64) {
        if !self.is_marked.load(Ordering::Relaxed) {
            return;
        }
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(us) = recovery.as_mut().and_then(|recovery| recovery.acknowledged(partition, now_us)) {
            println!("{}", json!({"recovered s": us as f64 / 1e6}));
        }
    }

    /// Listens to the standard input.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn listen(self: &Arc<Self>, until_told: bool) -> anyhow::Result<()> {
        let control = Arc::clone(self);
        let hear = move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                control.hear(line.trim());
            }
            if until_told {
                control.hear("stop");
            }
        };
        thread::Builder::new().name("control".to_owned()).spawn(hear).context("cannot start a thread")?;
        Ok(())
    }

    fn hear(&self, word: &str) {
        match word {
            "stop" => self.stopped.store(true, Ordering::Relaxed),
            "mark" => {
                let recovery = Recovery::new(self.now_us(), self.partitions);
                *self.recovery.lock().unwrap_or_else(PoisonError::into_inner) = Some(recovery);
                self.is_marked.store(true, Ordering::Relaxed);
            }
            _ => eprintln!("what is {word:?}? Say mark or stop"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard() {
        let control = Control::start(2);
        assert!(!control.is_stopped());
        control.hear("nonsense");
        assert!(!control.is_stopped());
        control.hear("mark");
        assert!(control.is_marked.load(Ordering::Relaxed) && !control.is_stopped());
        control.hear("stop");
        assert!(control.is_stopped());
    }
}
