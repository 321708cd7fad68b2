//! Histories of a simulated log that does nothing wrong are valid; broken at random in one place, they are not.

#[allow(dead_code, reason = "the histories written by hand need more")]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use caudal_jepsen::check::generate::{Mix, Shape, generate};
use caudal_jepsen::check::{Anomaly, Validity};
use caudal_jepsen::history::{Event, Kind, Micro, Offset, Op, Value};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use support::History;

fn history(seed: u64, mix: Mix) -> History {
    let shape = Shape { seed, operations: 400, processes: 5, partitions: 3, mix };
    let mut history = History::new();
    generate(&shape, |event| {
        history.events.push(event.clone());
        Ok(())
    })
    .expect("it goes into memory");
    history
}

fn mixes() -> impl Strategy<Value = Mix> {
    prop_oneof![Just(Mix::Queue), Just(Mix::Transactions), Just(Mix::Group), Just(Mix::Admin)]
}

/// Breaks a history; false when it has nothing that could be broken like this.
type Mutation = fn(&mut [Event], &mut StdRng) -> bool;

const MUTATIONS: &[(&str, Mutation)] = &[
    ("nobody reads a record that was acknowledged", forget),
    ("a poll swaps the values of two offsets", swap_values),
    ("a poll swaps two records", swap_records),
    ("a poll repeats a record at its offset", repeat),
    ("a poll finds a record at another offset too", duplicate),
    ("a poll leaves out a record", leave_out),
    ("an acknowledgement tells another offset", lie),
    ("a send that was read failed", fail),
    ("a poll reads what nobody sent", make_up),
    ("a partition ends before a record that was read", truncate),
    ("a process reads a record again", read_again),
    ("a committed offset is one that nobody committed", commit_nothing),
    ("the committed offsets are gone", lose_commits),
    ("a setting is what was overwritten", misread),
    ("a topic has partitions that nobody gave it", mislist),
    (TORN, tear),
];

const TORN: &str = "of a transaction in doubt some records are read, and one is not";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_right_is_valid(seed in any::<u64>(), mix in mixes()) {
        let verdict = history(seed, mix).verdict();
        prop_assert_eq!(verdict.validity, Validity::Valid, "{}", verdict);
    }

    #[test]
    fn what_is_broken_is_found(seed in any::<u64>(), mix in mixes(), (name, mutation) in proptest::sample::select(MUTATIONS)) {
        let mut history = history(seed, mix);
        let mut rng = StdRng::seed_from_u64(seed);
        if mutation(&mut history.events, &mut rng) {
            let verdict = history.verdict();
            prop_assert_eq!(verdict.validity, Validity::Anomalies, "{}: {}", name, verdict);
        }
    }
}

#[test]
fn all_mutations_apply_somewhere() {
    for (name, mutation) in MUTATIONS {
        let mixes = [Mix::Queue, Mix::Transactions, Mix::Group, Mix::Admin].into_iter();
        let applies = mixes.flat_map(|mix| (1..8).map(move |seed| (mix, seed))).any(|(mix, seed)| {
            let mut history = history(seed, mix);
            mutation(&mut history.events, &mut StdRng::seed_from_u64(seed))
                && history.verdict().validity == Validity::Anomalies
        });
        assert!(applies, "{name}");
    }
}

/// All of those that need no group and no topics that come and go can be made in transactions.
#[test]
fn mutations_of_records_apply_to_transactions() {
    let others = [
        "a committed offset is one that nobody committed",
        "the committed offsets are gone",
        "a setting is what was overwritten",
        "a topic has partitions that nobody gave it",
    ];
    for (name, mutation) in MUTATIONS.iter().filter(|(name, _)| !others.contains(name)) {
        let applies = (1..20).any(|seed| {
            let mut history = history(seed, Mix::Transactions);
            mutation(&mut history.events, &mut StdRng::seed_from_u64(seed))
                && history.verdict().validity == Validity::Anomalies
        });
        assert!(applies, "{name}");
    }
}

#[test]
fn a_torn_transaction_is_called_one() {
    let mut torn = 0;
    for seed in 1..20 {
        let mut history = history(seed, Mix::Transactions);
        if tear(&mut history.events, &mut StdRng::seed_from_u64(seed)) {
            let verdict = history.verdict();
            assert!(verdict.findings.iter().any(|finding| finding.anomaly == Anomaly::TornTransaction), "{verdict}");
            torn += 1;
        }
    }
    assert!(torn > 0, "no history had a transaction in doubt that could be torn");
}

fn micros(event: &mut Event) -> &mut [Micro] {
    match &mut event.op {
        Op::Work { micros, .. } => micros,
        _ => &mut [],
    }
}

/// The lists of records that completions of this kind returned.
fn runs(events: &mut [Event], kind: Kind) -> Vec<&mut Vec<(Offset, Value)>> {
    let completions = events.iter_mut().filter(|event| event.kind == kind);
    let polls = completions.flat_map(micros).filter_map(|micro| match micro {
        Micro::Poll { records } => Some(records.values_mut()),
        Micro::Send { .. } => None,
    });
    polls.flatten().collect()
}

/// A list of at least so many records. After a rebalance polls are excused; so with a group only the drain at the end counts.
fn run<'e>(events: &'e mut [Event], rng: &mut StdRng, longer: usize) -> Option<&'e mut Vec<(Offset, Value)>> {
    let drain = events.last().expect("a history has events").process;
    let start =
        events.iter().position(|event| event.process == drain).filter(|_| has_group(events)).unwrap_or_default();
    let mut runs: Vec<_> = runs(&mut events[start..], Kind::Ok).into_iter().filter(|run| run.len() >= longer).collect();
    let at = (0..runs.len()).collect::<Vec<_>>();
    at.choose(rng).map(|at| runs.swap_remove(*at))
}

/// A send that was acknowledged: its partition, value and offset, to be changed.
fn acknowledged<'e>(events: &'e mut [Event], rng: &mut StdRng) -> Option<(&'e mut Kind, usize, Value)> {
    let mut sends: Vec<_> = events
        .iter_mut()
        .enumerate()
        .filter(|(_, event)| event.kind == Kind::Ok)
        .filter_map(|(at, event)| {
            let value = micros(event).iter().find_map(|micro| match micro {
                Micro::Send { value, .. } => Some(*value),
                Micro::Poll { .. } => None,
            })?;
            Some((&mut event.kind, at, value))
        })
        .collect();
    let at = (0..sends.len()).collect::<Vec<_>>();
    at.choose(rng).map(|at| sends.swap_remove(*at))
}

/// The values whose place in the log was told: of a record whose send got no answer, a history that misses it may be right.
fn told(events: &mut [Event]) -> BTreeSet<Value> {
    let micros = events.iter_mut().filter(|event| event.kind == Kind::Ok).flat_map(micros);
    let values = micros.filter_map(|micro| match micro {
        Micro::Send { value, offset: Some(_), .. } => Some(*value),
        _ => None,
    });
    values.collect()
}

fn forget(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some((_, _, value)) = acknowledged(events, rng) else { return false };
    for kind in [Kind::Ok, Kind::Info, Kind::Fail] {
        runs(events, kind).into_iter().for_each(|run| run.retain(|(_, read)| *read != value));
    }
    true
}

fn swap_values(events: &mut [Event], rng: &mut StdRng) -> bool {
    let told = told(events);
    let Some(run) = run(events, rng, 2) else { return false };
    let at: Vec<_> = (1..run.len()).filter(|at| told.contains(&run[*at].1)).collect();
    let Some(&at) = at.choose(rng) else { return false };
    (run[at - 1].1, run[at].1) = (run[at].1, run[at - 1].1);
    true
}

fn swap_records(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some(run) = run(events, rng, 2) else { return false };
    let at = rng.random_range(1..run.len());
    run.swap(at - 1, at);
    true
}

fn repeat(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some(run) = run(events, rng, 1) else { return false };
    let at = rng.random_range(0..run.len());
    run.insert(at, run[at]);
    true
}

fn duplicate(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some(run) = run(events, rng, 1) else { return false };
    let (offset, value) = run[rng.random_range(0..run.len())];
    run.push((offset + 1_000_000, value));
    true
}

fn leave_out(events: &mut [Event], rng: &mut StdRng) -> bool {
    let told = told(events);
    let Some(run) = run(events, rng, 3) else { return false };
    let at: Vec<_> = (1..run.len() - 1).filter(|at| told.contains(&run[*at].1)).collect();
    let Some(&at) = at.choose(rng) else { return false };
    run.remove(at);
    true
}

fn lie(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some((_, at, _)) = acknowledged(events, rng) else { return false };
    for micro in micros(&mut events[at]) {
        if let Micro::Send { offset: Some(offset), .. } = micro {
            *offset += 1;
            return true;
        }
    }
    false
}

fn fail(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some((kind, ..)) = acknowledged(events, rng) else { return false };
    *kind = Kind::Fail;
    true
}

fn make_up(events: &mut [Event], rng: &mut StdRng) -> bool {
    let Some(run) = run(events, rng, 1) else { return false };
    let at = rng.random_range(0..run.len());
    run[at].1 = Value::MAX - 1;
    true
}

fn truncate(events: &mut [Event], _: &mut StdRng) -> bool {
    let Some(Event { op: Op::Drain { ends }, .. }) = events.last_mut() else { return false };
    let Some(end) = ends.values_mut().find(|end| **end > 0) else { return false };
    *end /= 2;
    true
}

fn has_group(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event.op, Op::Subscribe { .. }))
}

/// The last record of a poll comes again at the start of the next of the same process.
fn read_again(events: &mut [Event], _: &mut StdRng) -> bool {
    if has_group(events) {
        return false;
    }
    let mut before = BTreeMap::new();
    for event in events.iter_mut().filter(|event| event.kind == Kind::Ok) {
        let process = event.process;
        if matches!(event.op, Op::Assign { .. }) {
            before.retain(|(reader, _), _| *reader != process);
        }
        for micro in micros(event) {
            let Micro::Poll { records } = micro else { continue };
            for (key, run) in records {
                let last = run.last().copied();
                if let Some(record) = before.remove(&(process, key.clone())) {
                    run.insert(0, record);
                    return true;
                }
                before.extend(last.map(|record| ((process, key.clone()), record)));
            }
        }
    }
    false
}

/// The answers to questions for committed offsets.
fn answers(events: &mut [Event]) -> Vec<&mut BTreeMap<String, Offset>> {
    let answers = events.iter_mut().filter(|event| event.kind == Kind::Ok).filter_map(|event| match &mut event.op {
        Op::Committed { offsets, .. } if !offsets.is_empty() => Some(offsets),
        _ => None,
    });
    answers.collect()
}

fn commit_nothing(events: &mut [Event], _: &mut StdRng) -> bool {
    let mut answers = answers(events);
    let Some(offset) = answers.last_mut().and_then(|offsets| offsets.values_mut().next()) else { return false };
    *offset += 1_000_000;
    true
}

fn lose_commits(events: &mut [Event], _: &mut StdRng) -> bool {
    let mut answers = answers(events);
    if answers.len() < 2 {
        return false;
    }
    answers.last_mut().into_iter().for_each(|offsets| offsets.clear());
    true
}

/// A read returns what was written before something else was written, each one after the other.
fn misread(events: &mut [Event], _: &mut StdRng) -> bool {
    let writes: Vec<_> = (0..events.len()).filter(|at| events[*at].kind == Kind::Ok).collect();
    let writes: Vec<_> = writes
        .into_iter()
        .filter_map(|at| match &events[at].op {
            Op::WriteConfig { topic, value } => Some((invocation(events, at), at, topic.clone(), *value)),
            _ => None,
        })
        .collect();
    for at in (0..events.len()).rev() {
        if events[at].kind != Kind::Ok || !matches!(events[at].op, Op::ReadConfig { .. }) {
            continue;
        }
        let invoked = invocation(events, at);
        let Op::ReadConfig { topic, value: Some(value) } = &mut events[at].op else { continue };
        let Some(last) = writes.iter().rev().find(|(_, done, written, _)| *done < invoked && written == topic) else {
            continue;
        };
        if let Some(stale) = writes.iter().find(|(_, done, written, _)| *done < last.0 && written == topic) {
            *value = stale.3;
            return true;
        }
    }
    false
}

fn invocation(events: &[Event], completion: usize) -> usize {
    let process = events[completion].process;
    events[..completion].iter().rposition(|event| event.process == process).expect("it was invoked")
}

/// Before the first fault: from then on a node may list what it last knew.
fn mislist(events: &mut [Event], _: &mut StdRng) -> bool {
    let before = events.iter().position(|event| matches!(event.op, Op::Fault { .. })).unwrap_or(events.len());
    let mut lists =
        events[..before].iter_mut().filter(|event| event.kind == Kind::Ok).filter_map(|event| match &mut event.op {
            Op::ListTopics { topics } => topics.values_mut().next(),
            _ => None,
        });
    let Some(count) = lists.next_back() else { return false };
    *count += 1000;
    true
}

/// Takes one record of a transaction in doubt away from all who read it, where another one of it is read.
fn tear(events: &mut [Event], rng: &mut StdRng) -> bool {
    let read: BTreeSet<_> = runs(events, Kind::Ok).into_iter().flatten().map(|(_, value)| *value).collect();
    let in_doubt = events
        .iter_mut()
        .filter(|event| event.kind == Kind::Info && matches!(event.op, Op::Work { transactional: true, .. }));
    let sent = |event: &mut Event| {
        let values = micros(event).iter().filter_map(|micro| match micro {
            Micro::Send { value, .. } => Some(*value),
            Micro::Poll { .. } => None,
        });
        values.filter(|value| read.contains(value)).collect::<Vec<_>>()
    };
    let candidates: Vec<_> = in_doubt.map(sent).filter(|values| values.len() > 1).collect();
    let Some(gone) = candidates.choose(rng).and_then(|values| values.choose(rng)) else { return false };
    for kind in [Kind::Ok, Kind::Info, Kind::Fail] {
        runs(events, kind).into_iter().for_each(|run| run.retain(|(_, value)| value != gone));
    }
    true
}
