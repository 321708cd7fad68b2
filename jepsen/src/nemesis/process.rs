//! Faults of processes.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use super::{Episode, Fault, Nemesis};
use crate::cluster::Node;

impl Nemesis<'_> {
    pub(super) fn process(&self, episode: &Episode) {
        let mut random = StdRng::seed_from_u64(episode.seed);
        let nodes: Vec<_> = episode.nodes.iter().map(|id| self.cluster.node(*id)).collect();
        match episode.fault {
            Fault::Pause => {
                nodes.iter().for_each(|node| node.signal(Signal::STOP));
                self.hold(episode);
                nodes.iter().for_each(|node| node.signal(Signal::CONT));
            }
            Fault::RestartStorm => {
                let end = Instant::now() + episode.hold;
                while Instant::now() < end && !self.stop.is_stopped() {
                    nodes.iter().for_each(|node| node.take_down());
                    self.stop.wait(Duration::from_millis(random.random_range(0..300)));
                    nodes.iter().for_each(|node| node.bring_up());
                    self.stop
                        .wait_until((Instant::now() + Duration::from_millis(random.random_range(100..2500))).min(end));
                }
            }
            Fault::Transfer => nodes.iter().for_each(|node| self.restart(node)),
            _ => {
                nodes.iter().for_each(|node| node.take_down());
                self.hold(episode);
                nodes.iter().for_each(|node| node.bring_up());
            }
        }
    }

    /// As in an upgrade: one node after the other.
    fn restart(&self, node: &Node) {
        if !node.take_down_gently(STOPS_WITHIN) {
            self.note(format!("node {} did not stop within {STOPS_WITHIN:?} and was killed", node.id()));
        }
        node.bring_up();
        let deadline = Instant::now() + SERVES_WITHIN;
        while node.unready().is_some() && Instant::now() < deadline && !self.stop.wait(LOOK) {}
    }
}

const LOOK: Duration = Duration::from_millis(100);
const SERVES_WITHIN: Duration = Duration::from_secs(15);
const STOPS_WITHIN: Duration = Duration::from_secs(15);
