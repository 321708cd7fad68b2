//! Which faults, when, and on which nodes: all from a seed.

use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::Fault;
use crate::net::shape::{Deaf, Shape};

/// How many nodes a fault is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One.
    One,
    /// As many as can be missed.
    Minority,
    /// More than can be missed.
    Majority,
    /// All.
    All,
    /// The one that coordinates something of the workload's at that time.
    Coordinator,
    /// Each time another of these.
    Any,
}

impl Targets {
    /// By name.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "one" => Self::One,
            "minority" => Self::Minority,
            "majority" => Self::Majority,
            "all" => Self::All,
            "coordinator" => Self::Coordinator,
            "any" => Self::Any,
            _ => bail!("'{name}' are no targets; there are one, minority, majority, all, coordinator, any"),
        })
    }

    fn draw(self, nodes: u32, random: &mut StdRng) -> Vec<u32> {
        let count = match self {
            // Which one is not known beforehand: this is who is taken when nobody tells.
            Self::One | Self::Coordinator => 1,
            Self::Minority => ((nodes - 1) / 2).max(1),
            Self::Majority => nodes / 2 + 1,
            Self::All => nodes,
            Self::Any => {
                let one_of = [Self::One, Self::Minority, Self::Majority, Self::All];
                return one_of.choose(random).unwrap_or(&Self::One).draw(nodes, random);
            }
        };
        let mut chosen: Vec<_> = (1..=nodes).collect();
        chosen.shuffle(random);
        chosen.truncate(count as usize);
        chosen.sort_unstable();
        chosen
    }
}

/// One fault, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Which.
    pub fault: Fault,
    /// On which nodes; of a partition those that it keeps from being part of a majority.
    pub nodes: Vec<u32>,
    /// Whether it is meant for a coordinator: the nodes are others then, where one tells who that is.
    pub aimed: bool,
    /// Of a partition: who does not hear whom.
    pub deaf: Deaf,
    /// How long it lasts.
    pub hold: Duration,
    /// Where the rest of its chance comes from.
    pub seed: u64,
}

/// Faults at the same time, and the rest before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// How long nothing happens before.
    pub rest: Duration,
    /// The faults; none where there is nothing left to do.
    pub episodes: Vec<Episode>,
}

/// Rounds without end.
#[derive(Debug)]
pub struct Schedule {
    faults: Vec<Fault>,
    targets: Targets,
    nodes: u32,
    random: StdRng,
    damaged: bool,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn new(seed: u64, faults: Vec<Fault>, targets: Targets, nodes: u32) -> Self {
        Self { faults, targets, nodes, random: StdRng::seed_from_u64(seed), damaged: false }
    }

    /// What comes next.
    pub fn next_round(&mut self) -> Round {
        let rest = Duration::from_millis(self.random.random_range(2000..7000));
        let at_once = if self.faults.len() > 1 && self.random.random_ratio(1, 3) { 2 } else { 1 };
        let chosen: Vec<_> = self.faults.choose_multiple(&mut self.random, at_once).copied().collect();
        let episodes = chosen.into_iter().filter_map(|fault| self.episode(fault)).collect();
        Round { rest, episodes }
    }

    fn episode(&mut self, fault: Fault) -> Option<Episode> {
        let mut targets = self.targets;
        if fault.is_damage() {
            if self.damaged {
                return None;
            }
            self.damaged = true;
            targets = Targets::One;
        }
        let mut nodes = targets.draw(self.nodes, &mut self.random);
        let shape = match fault {
            Fault::Partition(shape) => Some(shape),
            Fault::AnyPartition => Shape::ALL.choose(&mut self.random).copied(),
            _ => None,
        };
        let (mut deaf, mut aimed) = (Deaf::new(), targets == Targets::Coordinator);
        if let Some(shape) = shape {
            (deaf, nodes) = shape.draw(self.nodes, &mut self.random);
            aimed = false;
        } else if matches!(fault, Fault::Flapping | Fault::Outvote(_)) {
            nodes = (1..=self.nodes).collect();
            aimed = false;
        }
        let hold = Duration::from_millis(self.random.random_range(2000..9000));
        Some(Episode { fault, nodes, aimed, deaf, hold, seed: self.random.random() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::damage::Damage;

    #[test]
    fn a_seed_gives_one_schedule() {
        let rounds = |seed| {
            let mut schedule = Schedule::new(seed, Fault::ALL.to_vec(), Targets::Any, 5);
            (0..50).map(|_| schedule.next_round()).collect::<Vec<_>>()
        };
        assert_eq!(rounds(1), rounds(1));
        assert_ne!(rounds(1), rounds(2));
    }

    #[test]
    fn damage_is_done_once_and_to_one() {
        let mut schedule =
            Schedule::new(1, vec![Fault::Damage(Damage::BitFlip), Fault::Damage(Damage::Truncate)], Targets::All, 3);
        let episodes: Vec<_> = (0..50).flat_map(|_| schedule.next_round().episodes).collect();
        assert_eq!(episodes.len(), 1);
        assert_eq!(episodes[0].nodes.len(), 1);
    }

    #[test]
    fn only_what_is_done_to_chosen_nodes_is_aimed() {
        let aimed = |fault, targets| {
            let mut schedule = Schedule::new(1, vec![fault], targets, 3);
            schedule
                .next_round()
                .episodes
                .iter()
                .map(|episode| (episode.aimed, episode.nodes.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(aimed(Fault::Kill, Targets::Coordinator), [(true, 1)]);
        assert_eq!(aimed(Fault::PowerLoss, Targets::Coordinator), [(true, 1)]);
        assert_eq!(aimed(Fault::Kill, Targets::One), [(false, 1)]);
        assert_eq!(aimed(Fault::Flapping, Targets::Coordinator), [(false, 3)]);
        assert!(!aimed(Fault::AnyPartition, Targets::Coordinator)[0].0);
        // Damage is done once, and to one that is chosen beforehand.
        assert_eq!(aimed(Fault::Damage(Damage::Wipe), Targets::Coordinator), [(false, 1)]);
    }

    #[test]
    fn targets_are_as_many_as_they_say() {
        let mut random = StdRng::seed_from_u64(1);
        let mut count = |targets: Targets, nodes| targets.draw(nodes, &mut random).len();
        assert_eq!(
            [Targets::One, Targets::Minority, Targets::Majority, Targets::All].map(|t| count(t, 3)),
            [1, 1, 2, 3]
        );
        assert_eq!(
            [Targets::One, Targets::Minority, Targets::Majority, Targets::All].map(|t| count(t, 5)),
            [1, 2, 3, 5]
        );
    }
}
