//! Partitions on real Raft groups of one node.

mod appends;
mod reads;
mod reconciling;
mod restarts;
mod searches;
