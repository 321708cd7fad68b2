//! For each anomaly a history that shows it, and one that differs little and is legal.

mod cluster;
mod life;
mod order;
mod records;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use caudal_jepsen::check::{Anomaly, Validity};
use records::two_records;
use support::History;

struct Case {
    anomaly: Anomaly,
    allowed: bool,
    /// It shows the anomaly.
    shows: History,
    /// It is legal, and does not.
    legal: History,
}

fn case(anomaly: Anomaly, shows: History, legal: History) -> Case {
    Case { anomaly, allowed: false, shows, legal }
}

/// An anomaly that does not count.
fn allowed(anomaly: Anomaly, shows: History, legal: History) -> Case {
    Case { anomaly, allowed: true, shows, legal }
}

fn cases() -> Vec<Case> {
    let records = [records::offsets(), records::lost(), records::unseen(), records::reads()];
    let order = [order::sends(), order::polls(), order::int_polls(), order::cycles()];
    let cluster =
        [cluster::commits(), cluster::groups(), cluster::availability(), cluster::registers(), cluster::topics()];
    let life = [life::logs(), life::compaction()];
    records.into_iter().chain(order).chain(cluster).chain(life).flatten().collect()
}

#[test]
fn each_is_found() {
    for (number, case) in cases().iter().enumerate() {
        let verdict = case.shows.verdict();
        let found =
            verdict.findings.iter().find(|finding| finding.anomaly == case.anomaly && finding.allowed == case.allowed);
        let found = found.unwrap_or_else(|| panic!("case {number}, {}: not found; {verdict}", case.anomaly.name()));
        assert!(found.total > 0 && !found.examples[0].operations.is_empty(), "case {number}: {found:?}");
        let expected = if case.allowed { Validity::Valid } else { Validity::Anomalies };
        assert_eq!(verdict.validity, expected, "case {number}, {}: {verdict}", case.anomaly.name());
    }
}

#[test]
fn legal_histories_are_valid() {
    for (number, case) in cases().iter().enumerate() {
        let verdict = case.legal.verdict();
        let name = case.anomaly.name();
        assert_eq!(verdict.validity, Validity::Valid, "case {number}, legal sibling of {name}: {verdict}");
        let found =
            verdict.findings.iter().any(|finding| finding.anomaly == case.anomaly && finding.allowed == case.allowed);
        assert!(!found, "case {number}, {name}: found in the legal sibling; {verdict}");
    }
}

#[test]
fn all_anomalies_have_a_case() {
    let tested: BTreeSet<_> = cases().iter().map(|case| case.anomaly).collect();
    let missing: Vec<_> = Anomaly::ALL.iter().filter(|anomaly| !tested.contains(anomaly)).collect();
    assert!(missing.is_empty(), "without a case: {missing:?}");
}

#[test]
fn without_a_drain_nothing_is_known() {
    assert_eq!(two_records().polled(2, &[(0, 10)]).verdict().validity, Validity::Unknown);
    assert_eq!(History::new().verdict().validity, Validity::Unknown);
    // What is known to be wrong is wrong without it too.
    assert_eq!(two_records().polled(2, &[(0, 11)]).verdict().validity, Validity::Anomalies);
}
