//! What a node takes on its disk.

use std::fs;
use std::path::Path;

use crate::Cluster;

/// What large record batches take: those of less than a KiB lie in other files.
pub fn blob_bytes(cluster: &Cluster, node: u32) -> u64 {
    bytes(&cluster.node_dir(node).join("data"), &|file| has_extension(file, "blob"))
}

/// What a node's whole data folder takes, but for the write-ahead log: a bounded number of its files is kept to be written again, whatever they hold.
pub fn data_bytes(cluster: &Cluster, node: u32) -> u64 {
    bytes(&cluster.node_dir(node).join("data"), &|file| !has_extension(file, "log"))
}

fn has_extension(file: &Path, wanted: &str) -> bool {
    file.extension().is_some_and(|extension| extension == wanted)
}

/// Files come and go meanwhile; one that is gone takes nothing.
fn bytes(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| match file.path() {
            path if path.is_dir() => bytes(&path, counts),
            path if counts(&path) => file.metadata().map_or(0, |data| data.len()),
            _ => 0,
        })
        .sum()
}
