//! Programs of the Java virtual machine that are built on Kafka: Streams, Connect, MirrorMaker, and Apache Kafka itself.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::{root, until};

/// Lines of a program's output that a failed test shows.
const LAST_LINES: usize = 120;
const KILLED: i32 = 9;
/// How long a program may take to close what it has open.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// A running program; it is killed when dropped.
#[derive(Debug)]
pub struct Jvm {
    name: String,
    child: Child,
    /// All that it prints.
    output: NamedTempFile,
}

impl Jvm {
    /// Starts the class `class` of `tests/ecosystem` or of its dependencies.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(class: &str, args: &[&str]) -> Self {
        let output = NamedTempFile::with_prefix("caudal-jvm-").expect("a file for the output");
        // One open file for both, or they would overwrite each other.
        let writer = || Stdio::from(output.as_file().try_clone().expect("the file can be written"));
        let child = Command::new(root().join("scripts/clients"))
            .args(["class", class])
            .args(args)
            .stdin(Stdio::null())
            .stdout(writer())
            .stderr(writer())
            .spawn()
            .expect("scripts/clients runs");
        Self { name: class.to_owned(), child, output }
    }

    /// What it has printed so far.
    ///
    /// # Panics
    /// When that cannot be read.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path()).expect("the output can be read")).into_owned()
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When nobody knows.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child's state").is_none()
    }

    /// Waits until it has ended, which it has to do well.
    ///
    /// # Panics
    /// When it does not.
    pub fn succeed(self) {
        self.succeed_with_output();
    }

    /// Waits until it has ended, which it has to do well. All that it printed.
    ///
    /// # Panics
    /// When it does not.
    pub fn succeed_with_output(mut self) -> String {
        let status = self.child.wait().expect("a child ends");
        assert!(status.success(), "{} ended with {status}", self.name);
        self.output()
    }

    /// Waits until it has ended: whether well, and what it has printed.
    ///
    /// # Panics
    /// When that cannot be known.
    pub fn ended(mut self) -> (bool, String) {
        let status = self.child.wait().expect("a child ends");
        (status.success(), self.output())
    }

    /// Tells it to end, as `kill` does, and waits until it has.
    ///
    /// # Panics
    /// When it had ended by itself, or does not end in time.
    pub fn stop(&mut self) {
        assert!(self.runs(), "{} ended before it was told to", self.name);
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a child can be told to end");
        until(STOPS_WITHIN, "a program to end", || !self.runs());
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Panics
    /// When it had ended by itself, or cannot be killed.
    pub fn kill(&mut self) {
        let status = self.end();
        assert_eq!(status.signal(), Some(KILLED), "{} ended before it was killed, with {status}", self.name);
    }

    fn end(&mut self) -> ExitStatus {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child ends")
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        let status = self.end();
        if std::thread::panicking() {
            let output = self.output();
            let last: Vec<_> = output.lines().rev().take(LAST_LINES).collect();
            println!("{} ended with {status}; its last lines:", self.name);
            last.into_iter().rev().for_each(|line| println!("{line}"));
        }
    }
}
