//! Partitions on real Raft groups of one node, and of a few.

mod appends;
mod compaction;
mod compaction_replicas;
mod followers;
mod reads;
mod reconciling;
mod replicas;
mod restarts;
mod searches;
mod shortening;
