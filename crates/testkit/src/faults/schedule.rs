//! A list of timed faults.

use std::fmt;
use std::str::FromStr;

use rand::Rng;
use rand::rngs::StdRng;

/// Something that goes wrong. Nodes count from 1, times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets from one node to another.
    Cut(u64, u64),
    /// Nothing gets from or to the other nodes.
    Isolate(u64),
    /// Nothing gets from or to anybody, clients included.
    Unplug(u64),
    /// Everything takes longer from one node to another, by so much.
    Delay(u64, u64, u64),
    /// So many of a thousand packets are lost from one node to another.
    Lose(u64, u64, u64),
    /// The connections between two nodes break.
    Reset(u64, u64),
    /// The process ends; of its last writes so many thousandths reached the disk.
    Kill(u64, u64),
    /// The machine loses power; of its last writes so many thousandths reached the disk.
    PowerOff(u64, u64),
    /// All machines lose power; of the last writes so many thousandths reached the disks.
    PowerOffAll(u64),
    /// Syncs take up to so long.
    SlowDisk(u64, u64),
    /// The disk refuses writes; afterwards the node is restarted with another one that has what was synced.
    BreakDisk(u64),
    /// The process ends, and comes back with an empty disk. Once in a schedule: others must have what was lost.
    LoseDisk(u64),
    /// The clock is so far ahead, less 5 seconds.
    Skew(u64, u64),
    /// The n-th partition or table is given to a node.
    Transfer(u64, u64),
}

/// A fault with its time, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When it begins, in milliseconds after clients have begun to work.
    pub at: u64,
    /// How long it lasts.
    pub lasts: u64,
    /// What it is.
    pub fault: Fault,
}

/// Faults, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Timed>);

impl Schedule {
    /// A schedule for so many nodes, in which faults begin for `span` milliseconds.
    pub fn draw(chance: &mut StdRng, nodes: u64, span: u64) -> Self {
        let count = chance.random_range(1..=9);
        let mut faults: Vec<_> = (0..count).map(|_| draw(chance, nodes, span)).collect();
        faults.sort_by_key(|timed| timed.at);
        let mut disks = 0;
        faults.retain(|timed| {
            disks += u32::from(matches!(timed.fault, Fault::LoseDisk(_)));
            disks <= 1 || !matches!(timed.fault, Fault::LoseDisk(_))
        });
        Self(faults)
    }

    /// When the last fault is over.
    pub fn end(&self) -> u64 {
        self.0.iter().map(|timed| timed.at + timed.lasts).max().unwrap_or_default()
    }
}

fn draw(chance: &mut StdRng, nodes: u64, span: u64) -> Timed {
    let at = chance.random_range(0..span);
    let lasts = if chance.random_bool(0.7) { chance.random_range(50..1500) } else { chance.random_range(1500..5000) };
    let one = chance.random_range(1..=nodes);
    let other = (one + chance.random_range(1..nodes) - 1) % nodes + 1;
    let kept = if chance.random_bool(0.5) { 0 } else { chance.random_range(0..=1000) };
    let fault = match chance.random_range(0..100) {
        0..10 => Fault::Cut(one, other),
        10..22 => Fault::Isolate(one),
        22..27 => Fault::Unplug(one),
        27..33 => Fault::Delay(one, other, chance.random_range(1..300)),
        33..38 => Fault::Lose(one, other, chance.random_range(10..500)),
        38..43 => Fault::Reset(one, other),
        43..53 => Fault::Kill(one, kept),
        53..66 => Fault::PowerOff(one, kept),
        66..71 => Fault::PowerOffAll(kept),
        71..80 => Fault::SlowDisk(one, chance.random_range(10..3000)),
        80..84 => Fault::BreakDisk(one),
        84..87 => Fault::Skew(one, chance.random_range(0..10_000)),
        87..91 => Fault::LoseDisk(one),
        _ => Fault::Transfer(chance.random_range(0..6), one),
    };
    Timed { at, lasts, fault }
}

/// The variants by their names and the number of their arguments.
macro_rules! faults {
    ($($name:ident $word:literal ($($argument:ident),*);)*) => {
        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name($($argument),*) => {
                        f.write_str($word)?;
                        $(write!(f, ",{}", $argument)?;)*
                        Ok(())
                    })*
                }
            }
        }

        impl FromStr for Fault {
            type Err = BadSchedule;

            fn from_str(text: &str) -> Result<Self, BadSchedule> {
                let mut parts = text.split(',');
                let word = parts.next().unwrap_or_default();
                let mut number = || number(parts.next());
                match word {
                    $($word => {
                        $(let $argument = number()?;)*
                        Ok(Self::$name($($argument),*))
                    })*
                    _ => Err(BadSchedule(text.to_owned())),
                }
            }
        }
    };
}

faults! {
    Cut "cut" (from, to);
    Isolate "isolate" (node);
    Unplug "unplug" (node);
    Delay "delay" (from, to, by);
    Lose "lose" (from, to, share);
    Reset "reset" (one, other);
    Kill "kill" (node, kept);
    PowerOff "power-off" (node, kept);
    PowerOffAll "power-off-all" (kept);
    SlowDisk "slow-disk" (node, longest);
    BreakDisk "break-disk" (node);
    LoseDisk "lose-disk" (node);
    Skew "skew" (node, ms);
    Transfer "transfer" (group, node);
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no fault: {0:?}")]
pub struct BadSchedule(String);

fn number(text: Option<&str>) -> Result<u64, BadSchedule> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| BadSchedule(text.unwrap_or_default().to_owned()))
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}:{}", self.at, self.lasts, self.fault)
    }
}

impl FromStr for Timed {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let bad = || BadSchedule(text.to_owned());
        let (times, fault) = text.split_once(':').ok_or_else(bad)?;
        let (at, lasts) = times.split_once('+').ok_or_else(bad)?;
        Ok(Self { at: number(Some(at))?, lasts: number(Some(lasts))?, fault: fault.parse()? })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let texts: Vec<_> = self.0.iter().map(Timed::to_string).collect();
        f.write_str(&texts.join(";"))
    }
}

impl FromStr for Schedule {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.split(';').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_back_as_it_was_printed() {
        for seed in 0..200 {
            let schedule = Schedule::draw(&mut crate::entropy::generator(seed, 0), 3, 10_000);
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
        assert_eq!("none".parse(), Ok(Schedule::default()));
        assert!("5+5:eat,1".parse::<Schedule>().is_err() && "5:kill,1".parse::<Schedule>().is_err());
    }
}
