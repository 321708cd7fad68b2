//! One `caudal` process, its files, and the faults of its disk and clock.

use std::fs::{self, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::{Programs, http};
use crate::disk::{Control, records};
use crate::net::address;
use crate::stop::Stop;

/// A node.
#[derive(Debug)]
pub struct Node {
    id: u32,
    folder: PathBuf,
    namespace: String,
    programs: Programs,
    control: Control,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Child>,
    /// How many want it to be down.
    downs: u32,
    /// Ends that nobody asked for.
    own_ends: Vec<String>,
}

impl Node {
    /// A node that does not run yet, with its files in `folder`.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn create(id: u32, folder: &Path, namespace: &str, programs: Programs) -> Result<Self> {
        fs::create_dir_all(folder.join("data")).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let control = Control::create(&folder.join("undo"))?;
        let (namespace, state) = (namespace.to_owned(), Mutex::default());
        Ok(Self { id, folder, namespace, programs, control, state })
    }

    /// Its number, from 1.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it keeps.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the preloaded library keeps of it.
    pub fn undo(&self) -> PathBuf {
        self.folder.join("undo")
    }

    /// Where it listens for clients.
    pub fn listener(&self) -> String {
        format!("{}:9092", address(self.id))
    }

    /// Where it listens for operators.
    pub fn admin_listener(&self) -> String {
        format!("{}:11092", address(self.id))
    }

    /// The faults of its disk and clock.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Starts it, unless it runs, or someone wants it to be down.
    ///
    /// # Errors
    /// When it cannot be run at all.
    pub fn start(&self) -> Result<()> {
        let mut state = self.state.lock();
        reap(&mut state);
        if state.process.is_some() || state.downs > 0 {
            return Ok(());
        }
        records::mend(&self.undo())?;
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("log"))?;
        let preload = |key: &str, path: &Path| format!("{key}={}", path.display());
        let process = Command::new("ip")
            .args(["netns", "exec", &self.namespace, "env"])
            .arg(preload("LD_PRELOAD", &self.programs.library))
            .arg(preload("FAULTDISK_ROOT", &self.data()))
            .arg(preload("FAULTDISK_STATE", &self.undo()))
            .arg(&self.programs.caudal)
            .args(["start", "--config"])
            .arg(self.folder.join("caudal.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Of a group of its own: who interrupts the runner does not mean the node.
            .process_group(0)
            .spawn()
            .context("cannot run ip")?;
        state.process = Some(process);
        Ok(())
    }

    /// Whether its process is there, be it paused.
    pub fn is_running(&self) -> bool {
        let mut state = self.state.lock();
        reap(&mut state);
        state.process.is_some()
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        let mut state = self.state.lock();
        reap(&mut state);
        if let Some(process) = &state.process {
            let _ = kill_process(Pid::from_child(process), signal);
        }
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&self) {
        self.end(Signal::KILL, Duration::MAX);
    }

    /// Kills it; until [`Node::bring_up`] nothing starts it again.
    pub fn take_down(&self) {
        self.state.lock().downs += 1;
        self.kill();
    }

    /// Like [`Node::take_down`], but asks it to stop first; whether it did within that time.
    pub fn take_down_gently(&self, within: Duration) -> bool {
        self.state.lock().downs += 1;
        self.end(Signal::TERM, within)
    }

    /// Starts it again, unless another one wants it to be down still.
    pub fn bring_up(&self) {
        {
            let mut state = self.state.lock();
            state.downs = state.downs.saturating_sub(1);
        }
        if let Err(error) = self.start() {
            eprintln!("node {} cannot be started: {error:#}", self.id);
        }
    }

    fn end(&self, signal: Signal, within: Duration) -> bool {
        let mut state = self.state.lock();
        reap(&mut state);
        let Some(mut process) = state.process.take() else { return true };
        let pid = Pid::from_child(&process);
        let _ = kill_process(pid, signal);
        // One that is paused hears of it only then.
        let _ = kill_process(pid, Signal::CONT);
        let (deadline, stop) = (Instant::now().checked_add(within), Stop::default());
        while matches!(process.try_wait(), Ok(None)) {
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                let _ = process.kill();
                let _ = process.wait();
                return false;
            }
            stop.wait(Duration::from_millis(5));
        }
        true
    }

    /// Why it does not serve; `None` if it does.
    pub fn unready(&self) -> Option<String> {
        if !self.is_running() {
            return Some(format!("it has ended; its last words: {}", self.last_words()));
        }
        match http::get(&self.admin_listener(), "/readyz") {
            Ok((200, _)) => None,
            Ok((_, why)) => Some(why),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Whether its store takes writes; a node whose disk has failed says that it does not until it is started again.
    pub fn is_sound(&self) -> bool {
        http::get(&self.admin_listener(), "/healthz").is_ok_and(|(status, _)| status == 200)
    }

    /// When it ended without having been told to: how.
    pub fn own_ends(&self) -> Vec<String> {
        let mut state = self.state.lock();
        reap(&mut state);
        state.own_ends.clone()
    }

    /// The last line of its log that is not blank.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(nothing)").to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn reap(state: &mut State) {
    if let Some(process) = &mut state.process
        && let Ok(Some(status)) = process.try_wait()
    {
        state.process = None;
        state.own_ends.push(describe(status));
    }
}

fn describe(status: ExitStatus) -> String {
    status
        .signal()
        .map_or_else(|| format!("exit code {}", status.code().unwrap_or(-1)), |signal| format!("signal {signal}"))
}
