//! Style that a machine can enforce: file sizes, left-over markers, tests that sleep, crate docs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// The files that git tracks, with their text, as paths from the root.
fn tracked(suffixes: &[&str]) -> Vec<(String, String)> {
    let output = Command::new("git").arg("-C").arg(root()).arg("ls-files").output().expect("git ls-files");
    let names = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let files: Vec<_> = names
        .lines()
        .filter(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)))
        .filter_map(|name| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?)))
        .collect();
    assert!(!files.is_empty(), "git tracks no {suffixes:?}");
    files
}

#[test]
fn files_are_short() {
    let long: Vec<_> = tracked(&[".rs"])
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "files over {FILE_LINES_MAX} lines; split them: {long:?}");
}

#[test]
fn no_markers_are_left() {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("unimple", "mented!")];
    let left: Vec<_> = tracked(&[".rs", ".sh", ".py", ".js", ".go", ".java"])
        .into_iter()
        .filter(|(_, text)| markers.iter().any(|marker| text.contains(marker)))
        .map(|(name, _)| name)
        .collect();
    assert!(left.is_empty(), "left-over markers in {left:?}");
}

#[test]
fn tests_do_not_sleep() {
    let sleepers: Vec<_> = tracked(&[".rs"])
        .into_iter()
        .filter(|(name, _)| name.starts_with("tests/") || name.contains("/tests/") || name.starts_with("jepsen/"))
        .filter(|(name, _)| !name.ends_with("tests/support/wait.rs") && !name.ends_with("tidy.rs"))
        .filter(|(_, text)| !sleeps_only_between_looks(text))
        .map(|(name, _)| name)
        .collect();
    assert!(sleepers.is_empty(), "wait for the state with a deadline instead of sleeping: {sleepers:?}");
}

/// Whether each pause is a short one in a loop that looks for a state and has a deadline.
fn sleeps_only_between_looks(text: &str) -> bool {
    let lines: Vec<_> = text.lines().collect();
    let pauses = lines.iter().enumerate().filter(|(_, line)| line.contains("::sleep("));
    pauses.clone().all(|(at, line)| {
        let before = lines[at.saturating_sub(20)..at].join("\n");
        let after = lines[at..lines.len().min(at + 8)].join("\n");
        let looks = before.contains("while ") || before.contains("loop {");
        let ends = format!("{before}{after}").to_lowercase();
        let short = line.contains("from_millis(") || line.contains("LOOK") || line.contains("INTERVAL");
        looks && short && (ends.contains("deadline") || ends.contains("timeout("))
    })
}

#[test]
fn every_crate_says_what_it_is_and_where_things_lie() {
    for (name, text) in tracked(&["src/lib.rs"]) {
        assert!(text.starts_with("//! "), "{name} has no crate documentation");
        if text.matches("mod ").count() > 2 {
            assert!(text.contains("# Layout"), "{name} does not say where things lie (# Layout)");
        }
    }
}

#[test]
fn no_machine_is_named() {
    let home = format!("{}{}", "/ro", "ot/");
    let work = format!("{}{}", "/wo", "rk/");
    let named: Vec<_> = tracked(&[".rs", ".md", ".toml", ".sh", ".py", ".js", ".go", ".java", ".xml"])
        .into_iter()
        .filter(|(_, text)| text.contains(&home) || text.contains(&work))
        .map(|(name, _)| name)
        .collect();
    assert!(named.is_empty(), "paths of a machine in {named:?}");
}

#[test]
fn headings_begin_each_document() {
    for (name, text) in tracked(&[".md"]) {
        assert!(text.starts_with("# "), "{name} does not begin with a title");
    }
}
