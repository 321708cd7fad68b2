//! Fault injection: real `caudal` processes under kills, pauses, partitions, clock jumps and disk faults, with a checker over the
//! histories that real clients saw.
//!
//! # Layout
//! - [`history`]: what clients asked for and were told
//! - [`check`]: whether a correct system could have told them that
//! - [`report`]: a folder that shows a person what a run was
//! - [`run`]: one run, from an empty folder to a verdict; [`judge`] gives the verdict
//! - [`suite`], [`recipe`]: many runs, and which
//! - [`cluster`], [`net`], [`disk`]: the nodes, their network, their disks
//! - [`nemesis`]: who breaks them
//! - [`workload`]: what clients do
//! - [`recorder`], [`stop`]: what threads of a run share

pub mod check;
pub mod cluster;
pub mod disk;
pub mod history;
pub mod judge;
pub mod nemesis;
pub mod net;
pub mod recipe;
pub mod recorder;
pub mod report;
pub mod run;
pub mod stop;
pub mod suite;
pub mod workload;
