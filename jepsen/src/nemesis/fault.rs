//! The faults, and their names.

use anyhow::{Result, bail};

use crate::disk::damage::Damage;
use crate::net::shape::Shape;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; started again later.
    Kill,
    /// SIGSTOP; SIGCONT later.
    Pause,
    /// Killed and started again several times, without waiting until it serves.
    RestartStorm,
    /// SIGTERM, with which a node gives its leaderships away; started again.
    Transfer,
    /// A partition of a kind.
    Partition(Shape),
    /// A partition of any kind.
    AnyPartition,
    /// A partition that comes and goes.
    Flapping,
    /// Packets take longer.
    Delay,
    /// Packets are lost.
    Loss,
    /// The time of day is another.
    ClockJump,
    /// The time of day goes back and forth.
    ClockStrobe,
    /// Syncs take seconds.
    SlowDisk,
    /// Nothing that takes space can be written.
    FullDisk,
    /// Writes and syncs fail.
    IoErrors,
    /// Killed, and what was not synced is lost.
    PowerLoss,
    /// A node's files are damaged while it is down.
    Damage(Damage),
    /// The log of a node is damaged that has, with others which stay away longer, what was acknowledged while the rest was down: that rest and it are a
    /// majority, and must not go on without what it has lost.
    Outvote(Damage),
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Kill,
        Self::Pause,
        Self::RestartStorm,
        Self::Transfer,
        Self::Partition(Shape::One),
        Self::Partition(Shape::Halves),
        Self::Partition(Shape::Bridge),
        Self::Partition(Shape::Ring),
        Self::Partition(Shape::OneWay),
        Self::AnyPartition,
        Self::Flapping,
        Self::Delay,
        Self::Loss,
        Self::ClockJump,
        Self::ClockStrobe,
        Self::SlowDisk,
        Self::FullDisk,
        Self::IoErrors,
        Self::PowerLoss,
        Self::Damage(Damage::BitFlip),
        Self::Damage(Damage::Truncate),
        Self::Damage(Damage::Wipe),
        Self::Outvote(Damage::BitFlip),
        Self::Outvote(Damage::Truncate),
        Self::Outvote(Damage::Wipe),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::RestartStorm => "restart-storm",
            Self::Transfer => "transfer",
            Self::Partition(Shape::One) => "partition-one",
            Self::Partition(Shape::Halves) => "partition-halves",
            Self::Partition(Shape::Bridge) => "partition-bridge",
            Self::Partition(Shape::Ring) => "partition-ring",
            Self::Partition(Shape::OneWay) => "partition-one-way",
            Self::AnyPartition => "partition",
            Self::Flapping => "flapping",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::ClockJump => "clock-jump",
            Self::ClockStrobe => "clock-strobe",
            Self::SlowDisk => "slow-disk",
            Self::FullDisk => "full-disk",
            Self::IoErrors => "io-errors",
            Self::PowerLoss => "power",
            Self::Damage(Damage::BitFlip) => "bit-flip",
            Self::Damage(Damage::Truncate) => "truncate",
            Self::Damage(Damage::Wipe) => "wipe",
            Self::Outvote(Damage::BitFlip) => "outvote-bit-flip",
            Self::Outvote(Damage::Truncate) => "outvote-truncate",
            Self::Outvote(Damage::Wipe) => "outvote-wipe",
        }
    }

    /// Faults by their names, separated by commas; `mixed` stands for those that need no excuse, `none` for none.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let mut faults = Vec::new();
        for name in text.split(',').filter(|name| !name.is_empty() && *name != "none") {
            match Self::ALL.into_iter().find(|fault| fault.name() == name) {
                Some(fault) => faults.push(fault),
                None if name == "mixed" => faults.extend(Self::MIXED),
                None => {
                    let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
                    bail!("there is no fault '{name}'; there are mixed, none, {}", names.join(", "));
                }
            }
        }
        Ok(faults)
    }

    /// Whether it may be done to one node of a run only, and once: a second one could take what a majority has promised.
    pub fn is_damage(self) -> bool {
        matches!(self, Self::Damage(_) | Self::Outvote(_))
    }

    /// Those that a node must survive without help.
    const MIXED: [Self; 9] = [
        Self::Kill,
        Self::Pause,
        Self::RestartStorm,
        Self::Transfer,
        Self::AnyPartition,
        Self::Flapping,
        Self::ClockJump,
        Self::SlowDisk,
        Self::PowerLoss,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for fault in Fault::ALL {
            assert_eq!(Fault::parse_list(fault.name()).unwrap(), [fault]);
        }
        assert_eq!(Fault::parse_list("kill,pause").unwrap(), [Fault::Kill, Fault::Pause]);
        assert_eq!(Fault::parse_list("none").unwrap(), []);
        assert!(Fault::parse_list("kil").unwrap_err().to_string().contains("kill"));
    }
}
