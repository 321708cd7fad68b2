//! What clients sent, were told and saw, and whether that fits together: the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_types::Offset;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Partition;
use crate::trace::{Event, Trace};

/// The history of all clients; clones are the same one. What does not fit is found when it is noted down.
#[derive(Clone)]
pub struct History {
    trace: Trace,
    state: Arc<Mutex<State>>,
    ack: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Partition, Seen>,
    committed: BTreeMap<Arc<str>, Commits>,
    /// What was acknowledged, in the order in which it was.
    acks: Vec<(Partition, Offset)>,
    progress: BTreeMap<&'static str, u64>,
    anomaly: Option<Anomaly>,
}

/// What is known of a partition.
#[derive(Debug, Default)]
struct Seen {
    /// What is at an offset, whoever said so.
    values: BTreeMap<Offset, Bytes>,
    /// Where a value is.
    places: BTreeMap<Bytes, Offset>,
    /// Offsets that were acknowledged.
    acked: BTreeMap<Offset, Bytes>,
    /// One past the newest record that is known for sure to be there.
    end: Offset,
    /// What somebody set out to delete: all before it.
    deletes: Offset,
    /// The largest start that a replica showed.
    start: Offset,
}

/// What is known of a group's commits; they grow.
#[derive(Debug)]
struct Commits {
    /// The newest that is there for sure.
    sure: Offset,
    /// The newest that was tried.
    newest: Offset,
    /// Those without an answer: they may have their effect at any time.
    unsure: BTreeSet<Offset>,
    /// Those that were under way when a larger one took effect, and may have theirs behind it; each with the newest that was tried when it was answered itself, if it
    /// was: the next after that undoes it.
    overtaken: BTreeMap<Offset, Option<Offset>>,
}

impl Commits {
    /// The offset is there, or was.
    fn took_effect(&mut self, offset: Offset) {
        self.sure = offset.max(self.sure);
        self.overtaken.extend(self.unsure.range(..offset).map(|under_way| (*under_way, None)));
    }

    fn answered(&mut self, offset: Offset) {
        self.unsure.remove(&offset);
        self.overtaken.retain(|_, answered_at| answered_at.is_none_or(|newest| newest >= offset));
        if let Some(answered_at) = self.overtaken.get_mut(&offset) {
            *answered_at = Some(self.newest);
        }
    }
}

impl Default for Commits {
    fn default() -> Self {
        Self { sure: -1, newest: -1, unsure: BTreeSet::new(), overtaken: BTreeMap::new() }
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// The rule that it breaks.
    pub rule: &'static str,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

impl History {
    /// An empty history.
    pub fn new(trace: Trace) -> Self {
        Self { trace, state: Arc::default(), ack: Arc::default() }
    }

    /// The first thing that did not fit.
    pub fn anomaly(&self) -> Option<Anomaly> {
        self.state.lock().anomaly.clone()
    }

    /// Notes that a client was told something that must not be.
    pub fn report(&self, rule: &'static str, text: String) {
        self.state.lock().blame(rule, text);
    }

    /// Notes that a client has achieved something.
    pub fn progressed(&self, what: &'static str) {
        *self.state.lock().progress.entry(what).or_default() += 1;
    }

    /// How often each kind of client has achieved something.
    pub fn progress(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().progress.clone()
    }

    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.trace.elapsed()
    }

    /// Something that is worth reading, and no more.
    pub fn noted(&self, what: &impl fmt::Display) {
        self.trace.say(Event::Client, what);
    }

    /// A producer was told that its records have offsets from `base` on.
    pub fn acked(&self, partition: Partition, base: Offset, values: &[Bytes]) {
        self.trace.say(Event::Client, &format_args!("acked {partition}:{base} {values:?}"));
        self.progressed("produce");
        self.ack.notify_one();
        let mut state = self.state.lock();
        for (offset, value) in (base..).zip(values) {
            state.see(partition, offset, value, "acknowledged");
            let seen = state.partitions.entry(partition).or_default();
            seen.acked.insert(offset, value.clone());
            state.acks.push((partition, offset));
            let seen = state.partitions.entry(partition).or_default();
            seen.end = seen.end.max(offset + 1);
        }
    }

    /// Waits for the next acknowledgement.
    pub async fn next_ack(&self) {
        self.ack.notified().await;
    }

    /// A consumer was given a record.
    pub fn read(&self, partition: Partition, offset: Offset, value: &Bytes) {
        let mut state = self.state.lock();
        state.see(partition, offset, value, "read");
        let seen = state.partitions.entry(partition).or_default();
        seen.end = seen.end.max(offset + 1);
    }

    /// A consumer was given records from one offset up to another, without those at `missing`.
    pub fn read_past(&self, partition: Partition, missing: Offset, next: Offset) {
        self.report("lost-write", format!("partition {partition}: a read jumped from {missing} to {next}"));
    }

    /// One past the newest record that is known for sure: what the end of the partition must not be below from now on.
    pub fn end(&self, partition: Partition) -> Offset {
        self.state.lock().partitions.get(&partition).map_or(0, |seen| seen.end)
    }

    /// A client that asked when the end was known to be `known` was told that it is `end`.
    pub fn told_end(&self, partition: Partition, known: Offset, end: Offset) {
        let mut state = self.state.lock();
        if end < known {
            state.blame(
                "stale-latest",
                format!("partition {partition}: the end is told as {end} after {known} was known"),
            );
        }
        let seen = state.partitions.entry(partition).or_default();
        seen.end = seen.end.max(end);
    }

    /// A client sets out to commit a larger offset than anybody before.
    pub fn next_commit(&self, group: &Arc<str>) -> Offset {
        let mut state = self.state.lock();
        let commits = state.committed.entry(Arc::clone(group)).or_default();
        commits.newest += 1;
        commits.unsure.insert(commits.newest);
        commits.newest
    }

    /// The offset was committed.
    pub fn committed(&self, group: &Arc<str>, offset: Offset) {
        self.trace.say(Event::Client, &format_args!("committed {group} {offset}"));
        self.progressed("commit");
        let mut state = self.state.lock();
        let commits = state.committed.entry(Arc::clone(group)).or_default();
        commits.took_effect(offset);
        commits.answered(offset);
    }

    /// The newest offset that was committed for sure.
    pub fn sure_commit(&self, group: &Arc<str>) -> Offset {
        self.state.lock().committed.get(group).map_or(-1, |commits| commits.sure)
    }

    /// A client that asked when `known` was committed for sure was told `offset`.
    pub fn told_commit(&self, group: &Arc<str>, known: Offset, offset: Offset) {
        let mut state = self.state.lock();
        let commits = state.committed.entry(Arc::clone(group)).or_default();
        let newest = commits.newest;
        let late = commits.unsure.contains(&offset) || commits.overtaken.contains_key(&offset);
        commits.took_effect(offset);
        if offset < known && !late {
            state.blame("stale-commit", format!("{group}: {offset} is told as committed after {known} was known"));
        }
        if offset > newest {
            state.blame(
                "phantom-commit",
                format!("{group}: {offset} is told as committed, the newest tried is {newest}"),
            );
        }
    }

    /// One past the newest offset of a partition that was acknowledged.
    pub fn acked_end(&self, partition: Partition) -> Offset {
        let state = self.state.lock();
        state.partitions.get(&partition).and_then(|seen| seen.acked.last_key_value()).map_or(0, |(last, _)| last + 1)
    }

    /// The acknowledgements, in the order in which they came, without the first `seen`.
    pub fn acks_since(&self, seen: usize) -> Vec<(Partition, Offset)> {
        self.state.lock().acks[seen..].to_vec()
    }

    /// A client sets out to delete all records before an offset.
    pub fn deletes(&self, partition: Partition, before: Offset) {
        let mut state = self.state.lock();
        let seen = state.partitions.entry(partition).or_default();
        seen.deletes = seen.deletes.max(before);
    }

    /// What clients set out to delete: all before it.
    pub fn deleted_up_to(&self, partition: Partition) -> Offset {
        self.state.lock().partitions.get(&partition).map_or(0, |seen| seen.deletes)
    }

    /// A replica shows that a partition begins here.
    pub fn begins_at(&self, partition: Partition, start: Offset) {
        let mut state = self.state.lock();
        let seen = state.partitions.entry(partition).or_default();
        seen.start = seen.start.max(start);
    }

    /// The largest offset at which a replica showed that a partition begins.
    pub fn start(&self, partition: Partition) -> Offset {
        self.state.lock().partitions.get(&partition).map_or(0, |seen| seen.start)
    }

    /// The value known to be at an offset.
    pub fn value(&self, partition: Partition, offset: Offset) -> Option<Bytes> {
        self.state.lock().partitions.get(&partition)?.values.get(&offset).cloned()
    }
}

impl State {
    fn blame(&mut self, rule: &'static str, text: String) {
        self.anomaly.get_or_insert(Anomaly { rule, text });
    }

    fn see(&mut self, partition: Partition, offset: Offset, value: &Bytes, how: &str) {
        let seen = self.partitions.entry(partition).or_default();
        let before = seen.values.insert(offset, value.clone()).filter(|before| before != value);
        let place = seen.places.insert(value.clone(), offset).filter(|place| *place != offset);
        if let Some(before) = before {
            let text = format!("partition {partition}: {value:?} was {how} at {offset}, where {before:?} was before");
            self.blame("inconsistent-offsets", text);
        }
        if let Some(place) = place {
            let text = format!("partition {partition}: {value:?} was {how} at {offset}, and is at {place} too");
            self.blame("duplicate", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_was_overtaken_may_be_told_until_the_next() {
        let mut commits = Commits { newest: 5, unsure: [4, 5].into(), ..Commits::default() };
        commits.took_effect(5);
        commits.answered(5);
        assert!(commits.overtaken.contains_key(&4), "under way still");
        commits.took_effect(4);
        commits.answered(4);
        assert_eq!((commits.sure, commits.overtaken.get(&4)), (5, Some(&Some(5))));
        commits.newest = 6;
        commits.unsure.insert(6);
        assert!(commits.overtaken.contains_key(&4));
        commits.took_effect(6);
        commits.answered(6);
        assert!(commits.overtaken.is_empty() && commits.unsure.is_empty(), "begun behind the answer, and answered");
    }
}
