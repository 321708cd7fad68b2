//! A cluster of real processes, through `scripts/cluster` as a user would.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::root;

/// Lines of a node's log that a failed test shows.
const LAST_LINES: usize = 60;

/// A running cluster; it is killed and its data removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    bootstrap: String,
    nodes: u32,
}

impl Cluster {
    /// Starts `nodes` nodes with configuration keys `set` (`num.partitions=4`, `broker.rack=rack-{node}` ...), and waits until every one serves.
    ///
    /// # Panics
    /// When the cluster does not start.
    pub fn start(nodes: u32, set: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("caudal-test-").tempdir().expect("a folder for the cluster");
        let (nodes_text, port) = (nodes.to_string(), free_ports().to_string());
        let mut args = vec!["start", "--nodes", &nodes_text, "--port", &port];
        for key in set {
            args.extend(["--set", key]);
        }
        let output = cluster_script(&args, &dir);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "scripts/cluster start: {text}{}", String::from_utf8_lossy(&output.stderr));
        let last = text.lines().last().unwrap_or_default();
        let bootstrap = last.strip_prefix("bootstrap.servers=").expect("the last line names the servers").to_owned();
        Self { dir, bootstrap, nodes }
    }

    /// What clients are given.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where a node listens for clients.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn address(&self, node: u32) -> &str {
        let mut addresses = (1..).zip(self.bootstrap.split(','));
        addresses.find(|(number, _)| *number == node).expect("a node of the cluster").1
    }

    /// Sends a signal (`KILL`, `STOP`, `CONT`, `TERM` ...) to a node's process.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, node: u32, signal: &str) {
        let output = cluster_script(&["kill", &node.to_string(), signal], &self.dir);
        assert!(output.status.success(), "scripts/cluster kill: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a node again that was killed, and waits until it serves.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_node(&self, node: u32) {
        let output = cluster_script(&["start-node", &node.to_string()], &self.dir);
        assert!(output.status.success(), "scripts/cluster start-node: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts all nodes again after all were killed: side by side, since each serves only once a majority is back.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start_all_nodes(&self) {
        std::thread::scope(|scope| {
            for node in self.nodes() {
                scope.spawn(move || self.start_node(node));
            }
        });
    }

    /// The folder of a node: `caudal.toml`, `data`, `log`, `pid`.
    pub fn node_dir(&self, node: u32) -> PathBuf {
        self.dir.path().join(format!("node-{node}"))
    }

    /// A node's log so far.
    pub fn log(&self, node: u32) -> String {
        fs::read_to_string(self.node_dir(node).join("log")).unwrap_or_default()
    }

    /// The numbers of the nodes.
    pub fn nodes(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.nodes
    }

    /// What `caudal cluster status --json` says.
    pub fn status(&self) -> Option<Value> {
        let output = self.caudal(&["cluster", "status", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
    }

    /// Runs the `caudal` binary's client commands against this cluster.
    ///
    /// # Panics
    /// When there is no such binary.
    pub fn caudal(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .env("CAUDAL_BOOTSTRAP", &self.bootstrap)
            .output()
            .expect("the caudal binary runs; build it with cargo build --release")
    }

    /// Runs a client command that has to succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn must(&self, args: &[&str]) {
        let output = self.caudal(args);
        assert!(output.status.success(), "caudal {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Cluster {
    /// What a test that failed leaves behind for whoever has to find out why.
    fn explain(&self) {
        println!("the cluster says: {}", self.status().map_or("nothing".to_owned(), |status| status.to_string()));
        for node in self.nodes() {
            let log = fs::read_to_string(self.node_dir(node).join("log")).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(LAST_LINES).collect();
            println!("node {node}'s last lines:");
            last.into_iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        for node in self.nodes() {
            let pid = fs::read_to_string(self.node_dir(node).join("pid")).unwrap_or_default();
            let _ = Command::new("kill").args(["-9", pid.trim()]).output();
        }
    }
}

/// The `caudal` binary that was built beside this test.
///
/// # Panics
/// When the test's own place is unknown.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(2).expect("target/release/deps").join("caudal")
}

fn cluster_script(args: &[&str], dir: &TempDir) -> Output {
    Command::new(root().join("scripts/cluster"))
        .args(args)
        .arg("--dir")
        .arg(dir.path())
        .env("CAUDAL_BINARY", binary())
        .output()
        .expect("scripts/cluster runs")
}

/// A port for the first node's clients, such that it and those behind it that `scripts/cluster` derives are free.
fn free_ports() -> u16 {
    let derived = [0, 1000, 2000].iter().flat_map(|role| (0..5).map(move |node| role + node));
    caudal_testing::port_block(&derived.collect::<Vec<_>>())
}
