//! The layout of the disk, one file per kind of key. All integers are big-endian, so that keys sort by number; every value
//! begins with a version byte. Persisted: keep stable, and add versions instead of changing one.

pub mod index;
pub mod log;
pub mod raft;
pub mod state;
