//! The preloaded library alone: a program that writes, renames and syncs at random is killed, the power is cut, and what is left is compared with what
//! the program knows to be synced.

#![expect(clippy::unwrap_used, reason = "helpers of tests, whose panics are how they fail")]

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use caudal_jepsen::disk::power::{self, Cut};
use caudal_jepsen::disk::{Control, records};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

type Files = BTreeMap<String, Vec<u8>>;

/// The library, compiled once per test.
fn library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faultdisk");
    let library = folder.join("faultdisk.so");
    let status = Command::new("cc")
        .args(["-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&library)
        .args([source.join("faultdisk.c"), source.join("clock.c")])
        .args(["-ldl", "-lpthread"])
        .status()
        .expect("cc runs");
    assert!(status.success());
    library
}

struct Rig {
    folder: tempfile::TempDir,
    library: PathBuf,
    control: Control,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let control = Control::create(&folder.path().join("state")).unwrap();
        Self { library: library(folder.path()), folder, control }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Runs one of the ignored tests below in a process of its own, with the library.
    fn run(&self, child: &str, seed: u64) -> bool {
        records::mend(&self.state()).unwrap();
        Command::new(env::current_exe().unwrap())
            .args(["--exact", child, "--ignored", "--quiet", "--test-threads=1"])
            .env("LD_PRELOAD", &self.library)
            .env("FAULTDISK_ROOT", self.data())
            .env("FAULTDISK_STATE", self.state())
            .env("CHILD_FOLDER", self.folder.path())
            .env("CHILD_SEED", seed.to_string())
            .output()
            .unwrap()
            .status
            .success()
    }

    fn found(&self) -> Files {
        read_all(&self.data())
    }
}

fn read_all(folder: &Path) -> Files {
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect()
}

/// What a program did to a folder, and what a power cut leaves of it: the bytes that each file had when it was last synced, under the names
/// that were there when the folder was.
struct Model {
    folder: PathBuf,
    random: StdRng,
    /// Names, as numbers of files.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    synced: Vec<Vec<u8>>,
}

impl Model {
    fn step(&mut self) {
        let name = format!("f{}", self.random.random_range(0..5));
        let path = self.folder.join(&name);
        match self.random.random_range(0..10) {
            0..=4 => self.write(&name, &path),
            5 => self.truncate(&name, &path),
            6 => self.rename(&name, &path),
            7 if self.names.remove(&name).is_some() => fs::remove_file(&path).unwrap(),
            8 => {
                File::open(&self.folder).unwrap().sync_all().unwrap();
                self.synced_names = self.names.clone();
            }
            _ => {
                if let Some(file) = self.names.get(&name) {
                    OpenOptions::new().write(true).open(&path).unwrap().sync_data().unwrap();
                    self.synced[*file] = self.files[*file].clone();
                }
            }
        }
    }

    fn write(&mut self, name: &str, path: &Path) {
        let file = *self.names.entry(name.to_owned()).or_insert_with(|| {
            self.files.push(Vec::new());
            self.synced.push(Vec::new());
            self.files.len() - 1
        });
        let bytes = vec![self.random.random(); self.random.random_range(1..20_000)];
        let offset = self.random.random_range(0..=self.files[file].len());
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        open.write_all_at(&bytes, offset as u64).unwrap();
        let end = offset + bytes.len();
        if self.files[file].len() < end {
            self.files[file].resize(end, 0);
        }
        self.files[file][offset..end].copy_from_slice(&bytes);
    }

    fn truncate(&mut self, name: &str, path: &Path) {
        if let Some(file) = self.names.get(name) {
            let length = self.random.random_range(0..=self.files[*file].len() * 2);
            OpenOptions::new().write(true).open(path).unwrap().set_len(length as u64).unwrap();
            self.files[*file].resize(length, 0);
        }
    }

    fn rename(&mut self, name: &str, path: &Path) {
        if let Some(file) = self.names.remove(name) {
            let to = format!("f{}", self.random.random_range(5..8));
            fs::rename(path, self.folder.join(&to)).unwrap();
            self.names.insert(to, file);
        }
    }
}

/// Runs in a process of its own: writes what it knows to be synced beside its folder, and dies.
#[test]
#[ignore = "a part of other tests"]
fn child_at_random() {
    let folder = PathBuf::from(env::var("CHILD_FOLDER").unwrap());
    let seed = env::var("CHILD_SEED").unwrap().parse().unwrap();
    // Files that an earlier process left are synced, since the power was cut after it.
    let (mut names, mut files) = (BTreeMap::new(), Vec::new());
    for (name, bytes) in read_all(&folder.join("data")) {
        names.insert(name, files.len());
        files.push(bytes);
    }
    let mut model = Model {
        folder: folder.join("data"),
        random: StdRng::seed_from_u64(seed),
        synced_names: names.clone(),
        names,
        synced: files.clone(),
        files,
    };
    for _ in 0..200 {
        model.step();
    }
    let left: Files =
        model.synced_names.iter().map(|(name, file)| (name.clone(), model.synced[*file].clone())).collect();
    fs::write(folder.join("expected"), serde_json::to_vec(&left).unwrap()).unwrap();
    std::process::abort();
}

#[test]
fn a_clean_cut_leaves_exactly_what_was_synced() {
    let rig = Rig::new();
    for seed in 0..30 {
        rig.run("child_at_random", seed);
        let expected: Files = serde_json::from_slice(&fs::read(rig.folder.path().join("expected")).unwrap()).unwrap();
        let before = rig.found();
        let lost = power::cut(&rig.data(), &rig.state(), Cut::Clean, seed).unwrap();
        assert!(rig.found() == expected, "seed {seed}: {lost:?}");
        assert_eq!(lost.names + lost.bytes == 0, before == expected, "seed {seed}: {lost:?}");
    }
    let counters = rig.control.counters().unwrap();
    for counter in ["writes", "saved_bytes", "truncates", "file_syncs", "directory_syncs", "renames", "unlinks"] {
        assert!(counters[counter] > 30, "{counters:?}");
    }
    assert_eq!(counters["untracked"], 0);
}

/// Overwrites a synced file without a sync, and dies.
#[test]
#[ignore = "a part of other tests"]
fn child_overwrites() {
    let path = PathBuf::from(env::var("CHILD_FOLDER").unwrap()).join("data/file");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).unwrap();
    file.write_all_at(&[1; 100_000], 0).unwrap();
    file.sync_all().unwrap();
    File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
    file.write_all_at(&[2; 120_000], 0).unwrap();
    std::process::abort();
}

#[test]
fn a_torn_cut_mixes_old_and_new_pages_by_seed() {
    let mut images = Vec::new();
    for seed in [1, 1, 2] {
        let rig = Rig::new();
        rig.run("child_overwrites", 0);
        power::cut(&rig.data(), &rig.state(), Cut::Torn, seed).unwrap();
        images.push(rig.found()["file"].clone());
    }
    assert!(images[0] == images[1] && images[0] != images[2]);
    assert!((100_000..=120_000).contains(&images[0].len()));
    assert!(images[0].contains(&1) && images[0].contains(&2));
}

#[test]
fn what_a_killed_process_left_unsynced_stays_unsynced_for_the_next() {
    let rig = Rig::new();
    rig.run("child_overwrites", 0);
    assert_eq!(rig.found()["file"].len(), 120_000, "a kill alone loses nothing");
    rig.run("child_reads", 0);
    power::cut(&rig.data(), &rig.state(), Cut::Clean, 0).unwrap();
    assert!(rig.found()["file"] == [1; 100_000]);
}

/// Looks at a file, and changes nothing.
#[test]
#[ignore = "a part of other tests"]
fn child_reads() {
    fs::read(PathBuf::from(env::var("CHILD_FOLDER").unwrap()).join("data/file")).unwrap();
}

/// Writes to a socket whose number a file had, which was closed behind the library's back, as libc does with what it wraps.
#[test]
#[ignore = "a part of other tests"]
fn child_reuses_a_number() {
    let path = PathBuf::from(env::var("CHILD_FOLDER").unwrap()).join("data/file");
    let mut number: OwnedFd = File::create(path).unwrap().into();
    let (here, _there) = UnixStream::pair().unwrap();
    rustix::io::dup2(&here, &mut number).unwrap();
    File::from(number).write_all(b"to the socket").unwrap();
}

#[test]
fn a_socket_is_not_taken_for_the_file_whose_number_it_has() {
    let rig = Rig::new();
    assert!(rig.run("child_reuses_a_number", 0));
    assert_eq!(rig.control.counters().unwrap()["writes"], 0);
    power::cut(&rig.data(), &rig.state(), Cut::Clean, 0).unwrap();
}

/// Writes and syncs; fails when the disk does.
#[test]
#[ignore = "a part of other tests"]
fn child_writes() {
    let file = File::create(PathBuf::from(env::var("CHILD_FOLDER").unwrap()).join("data/file")).unwrap();
    file.write_all_at(&[1; 10], 0).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn the_disk_fails_and_fills_on_command() {
    let rig = Rig::new();
    rig.control.fill(true).unwrap();
    assert!(!rig.run("child_writes", 0));
    rig.control.fill(false).unwrap();
    rig.control.fail(0, 1000, 0).unwrap();
    assert!(!rig.run("child_writes", 0));
    rig.control.fail(1000, 0, 0).unwrap();
    assert!(!rig.run("child_writes", 0));
    rig.control.heal().unwrap();
    assert!(rig.run("child_writes", 0));
    let counters = rig.control.counters().unwrap();
    assert_eq!((counters["refused"], counters["failed"]), (1, 2));
}

/// Says whether it is tomorrow.
#[test]
#[ignore = "a part of other tests"]
fn child_tells_the_time() {
    let made = fs::metadata(PathBuf::from(env::var("CHILD_FOLDER").unwrap()).join("data")).unwrap().modified().unwrap();
    assert!(made.elapsed().unwrap() > std::time::Duration::from_secs(86_000));
}

#[test]
fn the_clock_jumps_on_command() {
    let rig = Rig::new();
    assert!(!rig.run("child_tells_the_time", 0));
    rig.control.shift_clock(86_400_000).unwrap();
    assert!(rig.run("child_tells_the_time", 0));
    assert!(rig.control.counters().unwrap()["clock_reads"] > 0);
}
