//! Offsets of groups in files: written and read by `caudal`, and by Kafka's own tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use caudal_tests::Cluster;
use caudal_tests::tools::Tools;

use crate::{TOPIC, by_partition, cluster, committed, refused, reset, said};

const GROUP: &str = "faturas";
const KAFKAS: &str = "consumer.group.ConsumerGroupCommand";

/// A group that goes on reading at this offset everywhere.
fn at(cluster: &Cluster, offset: &str) {
    cluster.must(&["group", "reset-offsets", GROUP, "--to-offset", offset, "--topic", TOPIC, "--execute"]);
}

fn exported(cluster: &Cluster, flags: &[&str]) -> String {
    said(cluster, &[&["group", "reset-offsets", GROUP, "--export"], flags].concat())
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path in UTF-8")
}

#[test]
fn offsets_are_kept_in_a_file_and_brought_back() {
    let (cluster, dir) = (cluster(), tempfile::tempdir().expect("a folder"));
    let file = dir.path().join("offsets.csv");
    at(&cluster, "7");
    let plain = exported(&cluster, &["--to-current"]);
    assert_eq!(plain, "compras,0,7\ncompras,1,7\ncompras,2,7\n");
    let grouped = exported(&cluster, &["--to-current", "--with-group"]);
    assert_eq!(grouped, "faturas,compras,0,7\nfaturas,compras,1,7\nfaturas,compras,2,7\n");
    for text in [plain, grouped] {
        fs::write(&file, text).expect("written");
        at(&cluster, "9");
        assert_eq!(reset(&cluster, GROUP, &["--from-file", path(&file)]), by_partition([7, 7, 7]));
    }

    assert_eq!(exported(&cluster, &["--to-latest"]), "compras,0,10\ncompras,1,20\ncompras,2,30\n");
    assert_eq!(committed(&cluster, GROUP), by_partition([7, 7, 7]), "exported, and not done");
    exported(&cluster, &["--to-latest", "--topic", "compras:0", "--execute"]);
    assert_eq!(committed(&cluster, GROUP), by_partition([10, 7, 7]), "exported, and done");

    fs::write(&file, "outra,compras,0,1\n\"faturas\",compras,1,3\r\nfaturas,compras,2,99\n").expect("written");
    let own = BTreeMap::from([(1, 3), (2, 30)]);
    assert_eq!(reset(&cluster, GROUP, &["--from-file", path(&file)]), own, "its own lines, within what there is");
}

#[test]
fn files_that_cannot_be_are_refused() {
    let (cluster, dir) = (cluster(), tempfile::tempdir().expect("a folder"));
    let file = dir.path().join("offsets.csv");
    let args = ["group", "reset-offsets", GROUP, "--execute", "--from-file", path(&file)];
    refused(&cluster, &args, &["cannot read", path(&file)]);
    for (text, words) in [
        ("compras,0,1\ncompras,0\n", &["line 2", "TOPIC,PARTITION,OFFSET"][..]),
        ("outra,compras,0,1\n", &["'faturas'", "'outra'"]),
        ("compras,7,1\n", &["no partition 7", "it has 3"]),
        ("nada,0,1\n", &["'nada'", "topic list"]),
    ] {
        fs::write(&file, text).expect("written");
        refused(&cluster, &args, words);
    }
    assert_eq!(committed(&cluster, GROUP), BTreeMap::new());
}

#[test]
fn kafkas_tool_reads_what_is_written_and_the_other_way_round() {
    let (cluster, dir) = (cluster(), tempfile::tempdir().expect("a folder"));
    let file = dir.path().join("offsets.csv");
    let mut tools = Tools::start();
    let mut kafkas = |flags: &str| {
        let line = format!("@ --reset-offsets --group {GROUP} {flags}");
        let ran = tools.run(cluster.bootstrap(), KAFKAS, &line, "");
        assert!(ran.succeeded(), "{line}: {} {}", ran.out, ran.err);
        ran.out
    };
    at(&cluster, "7");
    for flags in [&["--to-current"][..], &["--to-current", "--with-group"]] {
        fs::write(&file, exported(&cluster, flags)).expect("written");
        at(&cluster, "9");
        kafkas(&format!("--execute --from-file {}", path(&file)));
        assert_eq!(committed(&cluster, GROUP), by_partition([7, 7, 7]), "{flags:?}");
    }

    let text = kafkas("--all-topics --dry-run --export --to-latest");
    fs::write(&file, text).expect("written");
    assert_eq!(reset(&cluster, GROUP, &["--from-file", path(&file)]), by_partition([10, 20, 30]));
}
