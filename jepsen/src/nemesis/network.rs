//! Faults of the network.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{Episode, Fault, Nemesis};
use crate::net::delay::Delay;
use crate::net::shape::{Deaf, Shape};

impl Nemesis<'_> {
    pub(super) fn network(&self, episode: &Episode) -> Result<()> {
        let mut random = StdRng::seed_from_u64(episode.seed);
        let network = self.cluster.network();
        match episode.fault {
            Fault::Delay => {
                let means = self.delays.context("packets cannot be delayed here")?;
                let base = Duration::from_millis(*[20, 100, 300, 1000, 3000].choose(&mut random).unwrap_or(&100));
                let jitter = base.mul_f64(random.random_range(0.0..0.9));
                let start = |node: &u32| Delay::start(network, *node, means, base, jitter);
                let delays = episode.nodes.iter().map(start).collect::<Result<Vec<_>>>()?;
                self.note(format!("packets of {:?} took {base:?} longer, give or take {jitter:?}", episode.nodes));
                self.hold(episode);
                drop(delays);
            }
            Fault::Loss => {
                let percent = random.random_range(5..50);
                episode.nodes.iter().try_for_each(|node| self.rules.lose(network, *node, percent))?;
                self.hold(episode);
                episode.nodes.iter().try_for_each(|node| self.rules.lose(network, *node, 0))?;
            }
            Fault::Flapping => {
                let end = Instant::now() + episode.hold;
                while Instant::now() < end && !self.stop.is_stopped() {
                    self.rules.partition(network, &self.draw(&mut random))?;
                    self.stop.wait(Duration::from_millis(random.random_range(50..1500)));
                    self.rules.partition(network, &BTreeMap::new())?;
                    self.stop.wait(Duration::from_millis(random.random_range(50..1500)));
                }
            }
            _ => {
                self.rules.partition(network, &episode.deaf)?;
                self.hold(episode);
                self.rules.partition(network, &BTreeMap::new())?;
            }
        }
        Ok(())
    }

    fn draw(&self, random: &mut StdRng) -> Deaf {
        let shape = Shape::ALL.choose(random).unwrap_or(&Shape::One);
        let nodes = u32::try_from(self.cluster.nodes().len()).unwrap_or(u32::MAX);
        shape.draw(nodes, random).0
    }
}
