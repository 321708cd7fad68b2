//! A whole cluster of real components in one process and one thread, on virtual time, with faults; everything follows from a seed.
//!
//! Nodes are made of what a real node is made of: transport, Raft groups, controller, partitions, coordinator, broker. Simulated are only
//! what they stand on: the network, the disks, the clocks and chance. One process runs one seed, because what `std` and tokio draw by lot
//! depends on what the process did before.
//!
//! # Layout
//! - [`entropy`]: the process's chance, by seed
//! - [`trace`]: what happened, as a digest and, if wanted, as text
//! - [`net`]: the simulated network
//! - [`disk`]: a node's simulated disk
//! - [`clock`]: a node's simulated wall clock
//! - [`node`], [`cluster`]: the nodes, started, crashed and looked at
//! - [`command`]: the command `sim`: many seeds, each in a process of its own
//! - [`client`]: a Kafka client on the simulated network
//! - [`faults`]: what is done to the cluster, and when
//! - [`workload`]: what clients do meanwhile, and the history of it
//! - [`invariants`]: what must hold, one file each
//! - [`run`]: one seed from start to verdict
//! - [`shrink`]: a shorter schedule that fails too

pub mod client;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod disk;
pub mod entropy;
pub mod faults;
pub mod invariants;
pub mod net;
pub mod node;
pub mod run;
pub mod shrink;
pub mod trace;
pub mod workload;
