//! Packets that take longer: by the kernel's netem where there is one, else by a thread that holds the packets of a queue (NFQUEUE).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nfq::{Message, Queue, Verdict};
use rand::Rng;

use super::{Network, enter, run};
use crate::stop::Stop;

/// How packets can be delayed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The kernel's own.
    Netem,
    /// A queue to this process.
    Queue,
}

impl Means {
    /// Finds out, on the first node of a network that nobody uses yet. `None`: packets cannot be delayed here.
    pub fn probe(network: &Network) -> Option<Self> {
        let node = network.node(1);
        if tc(&node, "add", &["netem", "delay", "1ms"]).is_ok() {
            let _ = tc(&node, "del", &[]);
            return Some(Self::Netem);
        }
        let queue = queue_rule(&node, "-A").is_ok();
        let _ = queue_rule(&node, "-D");
        queue.then_some(Self::Queue)
    }
}

/// A delay of what a node sends, to nodes and clients. It ends when this is dropped.
#[derive(Debug)]
pub struct Delay {
    node: String,
    means: Means,
    stop: Stop,
    holder: Option<JoinHandle<()>>,
}

impl Delay {
    /// Delays packets by `base`, give or take `jitter`; they may overtake each other.
    ///
    /// # Errors
    /// When the machine refuses.
    pub fn start(network: &Network, node: u32, means: Means, base: Duration, jitter: Duration) -> Result<Self> {
        let node = network.node(node);
        let stop = Stop::default();
        let mut holder = None;
        match means {
            Means::Netem => {
                let [base, jitter] = [base, jitter].map(|time| format!("{}ms", time.as_millis()));
                tc(&node, "replace", &["netem", "limit", "100000", "delay", &base, &jitter])?;
            }
            Means::Queue => {
                let (name, stop) = (node.clone(), stop.clone());
                let hold = move || {
                    if let Err(error) = hold(&name, base, jitter, &stop) {
                        eprintln!("the packets of {name} are not delayed: {error:#}");
                    }
                };
                holder = Some(thread::Builder::new().name("delay".to_owned()).spawn(hold)?);
                queue_rule(&node, "-A")?;
            }
        }
        Ok(Self { node, means, stop, holder })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        let ended = match self.means {
            Means::Netem => tc(&self.node, "del", &[]),
            Means::Queue => queue_rule(&self.node, "-D"),
        };
        if let Err(error) = ended {
            eprintln!("the delay of {} does not end: {error:#}", self.node);
        }
        self.stop.stop();
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}

fn tc(node: &str, verb: &str, discipline: &[&str]) -> Result<String> {
    let args = ["-n", node, "qdisc", verb, "dev", "eth0", "root"];
    run("tc", &[&args, discipline].concat())
}

/// What nobody takes from the queue goes on at once.
fn queue_rule(node: &str, verb: &str) -> Result<String> {
    let rule = ["OUTPUT", "-o", "eth0", "-j", "NFQUEUE", "--queue-num", QUEUE_TEXT, "--queue-bypass"];
    run("ip", &[&["netns", "exec", node, "iptables", verb], &rule[..]].concat())
}

/// Holds each packet until its time has come.
fn hold(node: &str, base: Duration, jitter: Duration, stop: &Stop) -> Result<()> {
    enter(node)?;
    let mut queue = Queue::open().context("no queue can be opened")?;
    queue.bind(QUEUE)?;
    queue.set_queue_max_len(QUEUE, 100_000)?;
    queue.set_nonblocking(true);
    let mut random = rand::rng();
    let mut held: VecDeque<(Instant, Message)> = VecDeque::new();
    while !stop.wait(LOOK) {
        let now = Instant::now();
        loop {
            match queue.recv() {
                Ok(packet) => {
                    let due = now + base.saturating_sub(jitter) + jitter.mul_f64(2.0 * random.random::<f64>());
                    let at = held.partition_point(|(other, _)| *other <= due);
                    held.insert(at, (due, packet));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The kernel had more packets than the socket takes, and dropped some, as a network does.
                Err(error) if error.raw_os_error() == Some(NO_BUFFERS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        while held.front().is_some_and(|(due, _)| *due <= now) {
            release(&mut queue, held.pop_front())?;
        }
    }
    held.into_iter().try_for_each(|packet| release(&mut queue, Some(packet)))
}

fn release(queue: &mut Queue, packet: Option<(Instant, Message)>) -> Result<()> {
    if let Some((_, mut packet)) = packet {
        packet.set_verdict(Verdict::Accept);
        queue.verdict(packet)?;
    }
    Ok(())
}

const QUEUE: u16 = 5;
const QUEUE_TEXT: &str = "5";
const NO_BUFFERS: i32 = 105;
const LOOK: Duration = Duration::from_millis(1);
