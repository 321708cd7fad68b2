//! The program from outside: what it says, and with which exit code it ends.

#![expect(clippy::unwrap_used, reason = "a test that fails here shows where")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

/// How long a node may take to start or to stop before a test gives up. Much more than it takes, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn caudal(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    command.args(arguments).env_remove("CAUDAL_CONFIG").stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself.
fn run(arguments: &[&str]) -> Output {
    caudal(arguments).output().unwrap()
}

/// Ends with exit code 1 and one line, which is returned.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    let says = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{says}");
    assert_eq!(says.trim_end().lines().count(), 1, "{says}");
    assert!(says.starts_with("caudal: "), "{says}");
    says
}

/// A port for clients that is free; so is the admin listener's, behind it.
fn free_port() -> u16 {
    caudal_testing::port_block(&[2000])
}

struct Dev {
    process: Child,
    lines: Vec<String>,
}

impl Dev {
    /// Starts `caudal dev`, and waits until it says where it serves.
    async fn start(dir: &Path, port: u16) -> Self {
        let (dir, port) = (dir.to_str().unwrap(), port.to_string());
        let mut command = tokio::process::Command::from(caudal(&["dev", "--dir", dir, "--port", &port]));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = Vec::new();
        while let Some(line) = timeout(PATIENCE, out.next_line()).await.expect("it serves").unwrap() {
            lines.push(line);
            if lines.last().is_some_and(|line| line.starts_with("bootstrap.servers=")) {
                return Self { process, lines };
            }
        }
        let mut says = String::new();
        process.stderr.take().unwrap().read_to_string(&mut says).await.unwrap();
        let status = process.wait().await.unwrap();
        panic!("caudal dev ended with {status}: {says}");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().unwrap().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, and answers the exit code and how long it took.
    async fn end(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let status = timeout(PATIENCE, self.process.wait()).await.expect("it ends").unwrap();
        (status.code(), began.elapsed())
    }
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("caudal.toml");
    std::fs::write(&file, "node.id = 1\nlog.dirss = \"data\"\n").unwrap();
    let path = file.to_str().unwrap();
    let says = refusal(&["start", "--config", path]);
    assert_eq!(says, format!("caudal: {path}:2: unknown key 'log.dirss'; did you mean 'log.dirs'?\n"));
}

#[test]
fn a_missing_file_is_refused_in_one_line() {
    let says = refusal(&["start", "--config", "/no/such/caudal.toml"]);
    assert!(says.contains("cannot read the configuration file /no/such/caudal.toml"), "{says}");
}

#[test]
fn what_must_be_set_is_asked_for() {
    assert!(refusal(&["start"]).starts_with("caudal: node.id is not set"));
}

#[test]
fn flags_that_do_not_exist_end_with_code_2() {
    assert_eq!(run(&["start", "--no.such.key", "1"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn help_lists_every_key() {
    let help = String::from_utf8(run(&["start", "--help"]).stdout).unwrap();
    for key in caudal_server::config::layers::own_names() {
        assert!(help.contains(&format!("--{key} ")), "{key}");
    }
}

#[tokio::test]
async fn a_node_serves_and_stops_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let node = Dev::start(folder.path(), port).await;
    assert_eq!(node.lines.last().unwrap(), &format!("bootstrap.servers=127.0.0.1:{port}"));

    let taken = refusal(&["dev", "--dir", folder.path().to_str().unwrap(), "--port", &free_port().to_string()]);
    assert!(taken.contains("log.dirs"), "a data folder in use: {taken}");
    let other = tempfile::tempdir().unwrap();
    let busy = refusal(&["dev", "--dir", other.path().to_str().unwrap(), "--port", &port.to_string()]);
    assert!(busy.contains("(admin.listener)"), "{busy}");
    // By then the node is up but for its clients: it is stopped in order, and says nothing else.
    let third = tempfile::tempdir().unwrap();
    let (dir, port) = (third.path().to_str().unwrap(), port.to_string());
    let busy = refusal(&["dev", "--dir", dir, "--port", &port, "--admin.listener", ""]);
    assert!(busy.contains("(listeners)"), "{busy}");

    node.signal("TERM");
    let (code, took) = node.end().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_data_folder_of_another_node_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = Dev::start(folder.path(), free_port()).await;
    node.signal("INT");
    assert_eq!(node.end().await.0, Some(0));
    let dir = folder.path().to_str().unwrap();
    let port = free_port().to_string();
    let says = refusal(&["dev", "--dir", dir, "--port", &port, "--node.id", "2"]);
    assert!(says.contains(dir), "{says}");
    let says = refusal(&["dev", "--dir", dir, "--port", &port, "--cluster.id", "other"]);
    assert!(says.contains("other"), "{says}");
}
