//! `kill -9` at random moments: every acknowledged entry is there after each restart.

use std::collections::HashMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use caudal_types::RaftGroupId;
use tempfile::TempDir;

use crate::{entries, writer};

/// The last index that each Raft group has acknowledged.
type Acked = HashMap<RaftGroupId, u64>;

#[test]
fn every_acknowledged_entry_survives_kill_9() {
    let rounds = if env::var("CAUDAL_SLOW").is_ok_and(|slow| slow == "1") { 50 } else { 5 };
    let directory = TempDir::new().unwrap();
    let random = RandomState::new();
    let mut acked = Acked::new();
    for round in 0..rounds {
        let acks = 1 + random.hash_one(round) % MAX_ACKS;
        let before: u64 = acked.values().sum();
        run_and_kill(directory.path(), acks, &mut acked);
        println!("round {round}: killed after {acks} of {} acknowledgements", acked.values().sum::<u64>() - before);
        check(directory.path(), &acked);
    }
    assert_eq!(acked.len(), writer::groups().count(), "every Raft group has acknowledged something");
}

/// Starts the writer, kills it once it has acknowledged `acks` entries, and adds to `acked` all that it has acknowledged.
fn run_and_kill(directory: &Path, acks: u64, acked: &mut Acked) {
    let mut child = start_writer(directory);
    let lines = read_acks(&mut child);
    for _ in 0..acks {
        note(lines.recv_timeout(DEADLINE).expect("the writer acknowledges"), acked);
    }
    child.kill().unwrap();
    // What it has said before its death counts.
    for ack in lines {
        note(ack, acked);
    }
    child.wait().unwrap();
}

fn note((group, index): (RaftGroupId, u64), acked: &mut Acked) {
    let last = acked.entry(group).or_default();
    assert!(index > *last, "Raft group {group} acknowledged {index} after {last}");
    *last = index;
}

fn start_writer(directory: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["writer_process", "--exact", "--ignored", "--nocapture"])
        .env(writer::DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn read_acks(child: &mut Child) -> Receiver<(RaftGroupId, u64)> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        // Whatever else it says is the test harness's; the last line may be cut off in the middle of a number.
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8(line).unwrap();
            let Some((group, index)) = line.strip_prefix(writer::ACK).and_then(|ack| ack.split_once(' ')) else {
                continue;
            };
            sender.send((RaftGroupId(group.parse().unwrap()), index.parse().unwrap())).unwrap();
        }
    };
    thread::Builder::new().name("acks".to_owned()).spawn(read).unwrap();
    receiver
}

fn check(directory: &Path, acked: &Acked) {
    let (_lock, engine) = entries::open(directory);
    for group in writer::groups() {
        let acked = acked.get(&group).copied().unwrap_or_default();
        let last = entries::check_log(&engine, group);
        assert!(last >= acked, "Raft group {group}: {acked} was acknowledged, but the log ends at {last}");
        let applied = entries::applied(&engine, group);
        assert!((acked..=last).contains(&applied), "Raft group {group}: {applied} is not within {acked}..={last}");
    }
}

const MAX_ACKS: u64 = 3000;
const DEADLINE: Duration = Duration::from_secs(60);
