//! Tests of whole nodes, several in one process, over real sockets, on engines in memory.

mod bench;
mod cluster;
mod errands;
mod failover;
mod flush;
mod load;
mod lost_disk;
mod machine;
mod members;
mod proposals;
mod proxy;
mod restart;
mod rewrites;
mod snapshots;
mod spares;
mod suite;
mod support;
mod traffic;
