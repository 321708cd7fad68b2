//! The crates form one straight stack: each may use only those before it.

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The stack, lowest first; `protocol` lies beside `storage`, and the thin tops beside each other.
const LEVELS: &[&[&str]] = &[
    &["types", "testing"],
    &["storage", "protocol"],
    &["raft"],
    &["metadata"],
    &["partition"],
    &["coordinator"],
    &["broker"],
    &["client", "admin"],
    &["cli"],
    &["server", "testkit"],
    &["demo", "bench", "tests", "jepsen"],
];

/// Crates of ours that stand in for published ones, below everything.
const STAND_INS: &[&str] = &["base2histogram"];

fn level(package: &str) -> usize {
    let name = package.strip_prefix("caudal-").expect("packages are named caudal-*");
    LEVELS
        .iter()
        .position(|names| names.contains(&name))
        .unwrap_or_else(|| panic!("{package} has no place in the stack; give it one in LEVELS"))
}

#[test]
fn crates_use_only_those_below() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    assert!(metadata.packages.len() >= LEVELS.len(), "the workspace was not read");
    for package in metadata.packages.iter().filter(|package| !STAND_INS.contains(&package.name.as_str())) {
        let ours = package.dependencies.iter().filter(|dependency| dependency.name.starts_with("caudal-"));
        for dependency in ours.filter(|dependency| dependency.kind != DependencyKind::Development) {
            assert!(
                level(&dependency.name) < level(&package.name),
                "{} must not use {}: it is not below it in the stack",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn foreign_engines_stay_in_their_crates() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    for (library, only_in) in [("rocksdb", "caudal-storage"), ("openraft", "caudal-raft"), ("bincode", "caudal-raft")] {
        for package in &metadata.packages {
            let uses = package.dependencies.iter().any(|dependency| dependency.name == library);
            assert!(!uses || package.name == only_in, "{} uses {library}; only {only_in} may", package.name);
        }
    }
}
