//! Faults of disks and clocks.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use super::{Episode, Fault, Nemesis};
use crate::cluster::Node;
use crate::disk::damage::{Damage, Part, damage};
use crate::disk::power::{self, Cut};

impl Nemesis<'_> {
    pub(super) fn disk(&self, episode: &Episode) -> Result<()> {
        let mut random = StdRng::seed_from_u64(episode.seed);
        let nodes: Vec<_> = episode.nodes.iter().map(|id| self.cluster.node(*id)).collect();
        match episode.fault {
            Fault::ClockJump => {
                for node in &nodes {
                    let sizes = [50, 1000, 10_000, 120_000, 3_600_000, 86_400_000];
                    let by = sizes.choose(&mut random).unwrap_or(&1000) * random.random_range(1..10) / 5;
                    node.control().shift_clock(if random.random() { by } else { -by })?;
                }
                self.hold(episode);
                nodes.iter().try_for_each(|node| node.control().shift_clock(0))
            }
            Fault::ClockStrobe => self.strobe(episode, &nodes, &mut random),
            Fault::SlowDisk => {
                for node in &nodes {
                    let seconds = 30f64.powf(random.random_range(0.0..1.0));
                    node.control().delay_syncs(Duration::from_secs_f64(seconds))?;
                }
                self.hold(episode);
                nodes.iter().try_for_each(|node| node.control().delay_syncs(Duration::ZERO))
            }
            Fault::FullDisk => {
                self.excuse(episode);
                nodes.iter().try_for_each(|node| node.control().fill(true))?;
                self.hold(episode);
                nodes.iter().try_for_each(|node| node.control().fill(false))?;
                self.restart_unsound(&nodes);
                Ok(())
            }
            Fault::IoErrors => {
                self.excuse(episode);
                for node in &nodes {
                    let rates = [(1000, 0), (0, 1000), (20, 20), (200, 0), (0, 200)];
                    let (writes, syncs) = rates.choose(&mut random).copied().unwrap_or((0, 1000));
                    node.control().fail(writes, syncs, 0)?;
                }
                self.hold(episode);
                nodes.iter().try_for_each(|node| node.control().fail(0, 0, 0))?;
                self.restart_unsound(&nodes);
                Ok(())
            }
            Fault::Damage(how) => self.damage(episode, &nodes, how, &mut random),
            Fault::Outvote(how) => self.outvote(episode, nodes, how, &mut random),
            _ => self.cut_power(episode, &nodes, &mut random),
        }
    }

    fn strobe(&self, episode: &Episode, nodes: &[&Node], random: &mut StdRng) -> Result<()> {
        let end = Instant::now() + episode.hold;
        let by = *[10, 200, 2000, 60_000].choose(random).unwrap_or(&200);
        while Instant::now() < end && !self.stop.is_stopped() {
            for node in nodes {
                node.control().shift_clock(random.random_range(-by..=by))?;
            }
            self.stop.wait(Duration::from_millis(random.random_range(5..200)));
        }
        nodes.iter().try_for_each(|node| node.control().shift_clock(0))
    }

    /// All at the same instant; half of the time while the disk is slow, so that much is under way.
    fn cut_power(&self, episode: &Episode, nodes: &[&Node], random: &mut StdRng) -> Result<()> {
        if random.random() {
            nodes.iter().try_for_each(|node| node.control().delay_syncs(Duration::from_secs(5)))?;
            self.stop.wait(Duration::from_millis(random.random_range(50..1500)));
        }
        nodes.iter().for_each(|node| node.signal(Signal::STOP));
        nodes.iter().for_each(|node| node.take_down());
        // All have the same kind of filesystem.
        let how = *Cut::ALL.choose(random).unwrap_or(&Cut::Clean);
        let mut cut = || {
            for node in nodes {
                node.control().delay_syncs(Duration::ZERO)?;
                let seed = random.random();
                let lost = power::cut(&node.data(), &node.undo(), how, seed)?;
                let what = if lost.what.is_empty() { "nothing".to_owned() } else { lost.what.join(", ") };
                self.note(format!("node {} lost its power ({how:?}), and with it {what}", node.id()));
            }
            anyhow::Ok(())
        };
        let result = cut();
        self.hold(episode);
        nodes.iter().for_each(|node| node.bring_up());
        result
    }

    fn damage(&self, episode: &Episode, nodes: &[&Node], how: Damage, random: &mut StdRng) -> Result<()> {
        for node in nodes {
            node.take_down();
            let mut parts = Part::ALL;
            parts.shuffle(random);
            let damaged = self.damage_node(node, &parts, how, random);
            self.hold(episode);
            node.bring_up();
            damaged?;
        }
        Ok(())
    }

    fn outvote(&self, episode: &Episode, mut nodes: Vec<&Node>, how: Damage, random: &mut StdRng) -> Result<()> {
        nodes.shuffle(random);
        let (late, others) = nodes.split_at((nodes.len() - 1) / 2);
        late.iter().for_each(|node| node.take_down());
        self.hold(episode);
        others.iter().for_each(|node| node.take_down());
        let damaged = others.first().map_or(Ok(()), |node| self.damage_node(node, &[Part::Wal], how, random));
        late.iter().chain(others.first()).for_each(|node| node.bring_up());
        self.stop.wait(OUTVOTED_FOR);
        others.iter().skip(1).for_each(|node| node.bring_up());
        damaged
    }

    /// Damages the first of these parts that it has.
    fn damage_node(&self, node: &Node, parts: &[Part], how: Damage, random: &mut StdRng) -> Result<()> {
        {
            let mut done = self.done.lock();
            done.excused.insert(node.id());
            done.damaged.insert(node.id());
        }
        for part in parts {
            if let Some(what) = damage(&node.data(), *part, how, random.random())? {
                if how == Damage::Wipe {
                    // Of another disk nothing is to be undone.
                    power::forget(&node.undo())?;
                }
                self.note(format!("node {} {what}", node.id()));
                return Ok(());
            }
        }
        self.note(format!("node {} had no file to damage", node.id()));
        Ok(())
    }

    fn excuse(&self, episode: &Episode) {
        self.done.lock().excused.extend(&episode.nodes);
    }

    /// As operators are told: mend the disk, restart the node.
    fn restart_unsound(&self, nodes: &[&Node]) {
        for node in nodes {
            if !node.is_sound() {
                self.note(format!(
                    "node {} took no more writes after its disk had failed, and was restarted",
                    node.id()
                ));
                node.take_down();
                node.bring_up();
            }
        }
    }
}

const OUTVOTED_FOR: Duration = Duration::from_secs(8);
