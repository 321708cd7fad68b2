//! The network of a cluster: each node in a network namespace of its own, joined to one bridge in a namespace where the clients are.
//! Nothing of it is seen from the host's network.
//!
//! # Layout
//! - [`shape`]: who hears whom under a partition
//! - [`rules`]: what a node's namespace drops
//! - [`delay`]: packets that take longer

pub mod delay;
pub mod rules;
pub mod shape;

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespaces of one run. They go when this is dropped; those of a run that died go at the next [`sweep`].
#[derive(Debug)]
pub struct Network {
    prefix: String,
    nodes: u32,
}

impl Network {
    /// Makes the network. The names of its namespaces tell which process they belong to.
    ///
    /// # Errors
    /// When the machine cannot do it.
    pub fn create(nodes: u32) -> Result<Self> {
        let network = Self { prefix: format!("{PREFIX}{}", std::process::id()), nodes };
        let hub = network.hub();
        run("ip", &["netns", "add", &hub])?;
        ip(&hub, "link set lo up")?;
        ip(&hub, "link add br0 type bridge")?;
        ip(&hub, &format!("addr add {SUBNET}.254/24 dev br0"))?;
        ip(&hub, "link set br0 up")?;
        for node in 1..=nodes {
            let name = network.node(node);
            run("ip", &["netns", "add", &name])?;
            ip(&hub, &format!("link add v{node} type veth peer name eth0 netns {name}"))?;
            ip(&hub, &format!("link set v{node} master br0 up"))?;
            ip(&name, &format!("addr add {} dev eth0", address(node) + "/24"))?;
            ip(&name, "link set eth0 up")?;
            ip(&name, "link set lo up")?;
        }
        Ok(network)
    }

    /// The namespace of the bridge and the clients.
    pub fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    /// A node's namespace.
    pub fn node(&self, node: u32) -> String {
        format!("{}-n{node}", self.prefix)
    }

    /// Moves the calling thread, and those that it starts from now on, into the bridge's namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter_hub(&self) -> Result<()> {
        enter(&self.hub())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in (1..=self.nodes).map(|node| self.node(node)).chain([self.hub()]) {
            remove(&name);
        }
    }
}

/// A node's address.
pub fn address(node: u32) -> String {
    format!("{SUBNET}.{node}")
}

/// Moves the calling thread into a namespace.
///
/// # Errors
/// When there is none, or the kernel refuses.
pub fn enter(namespace: &str) -> Result<()> {
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).with_context(|| path.clone())?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).with_context(|| path)
}

/// Removes what runs that died left behind: their namespaces, and the processes in these. Returns the names.
pub fn sweep() -> Vec<String> {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return Vec::new() };
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let dead = |name: &String| {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        owner.is_some_and(|pid| !is_runner(pid))
    };
    let left: Vec<_> = names.filter(dead).collect();
    left.iter().for_each(|name| remove(name));
    left
}

fn is_runner(pid: &str) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program.to_string_lossy().contains("caudal-jepsen"))
}

fn remove(namespace: &str) {
    if let Ok(pids) = run("ip", &["netns", "pids", namespace]) {
        for pid in pids.split_whitespace().filter(|pid| *pid != std::process::id().to_string()) {
            let _ = run("kill", &["-9", pid]);
        }
    }
    let _ = run("ip", &["netns", "del", namespace]);
}

/// Runs `ip` in a namespace.
pub(crate) fn ip(namespace: &str, words: &str) -> Result<String> {
    let args: Vec<_> = ["-n", namespace].into_iter().chain(words.split_whitespace()).collect();
    run("ip", &args)
}

/// Runs a program of the system, and returns what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String> {
    run_with_input(program, args, "")
}

/// Like [`run`], with a text on its standard input.
pub(crate) fn run_with_input(program: &str, args: &[&str], input: &str) -> Result<String> {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    // A program that ends before it has read everything says why below.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

const PREFIX: &str = "cj";
const SUBNET: &str = "10.77.0";
