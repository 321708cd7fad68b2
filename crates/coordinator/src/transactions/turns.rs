//! For what is looked through again and again: since when each thing has been seen, and whose turn it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// How many things are remembered at most; what is seen beyond that is as young as if it were new.
const REMEMBERED: usize = 1 << 20;

/// When things were first seen here, on this process's own clock. Whoever wrote the time of day that something began at may have had a clock that
/// was ahead; how long it has been here already, no such clock says.
#[derive(Debug)]
pub(super) struct FirstSeen<K> {
    /// What the look before has seen, and this one has not yet.
    before: HashMap<K, Instant>,
    seen: HashMap<K, Instant>,
    now: Instant,
}

impl<K: Eq + Hash> FirstSeen<K> {
    pub(super) fn new() -> Self {
        Self { before: HashMap::new(), seen: HashMap::new(), now: Instant::now() }
    }

    /// Begins a look. What is not seen in it is forgotten by the next one.
    pub(super) fn look(&mut self, now: Instant) {
        self.before = std::mem::take(&mut self.seen);
        self.now = now;
    }

    /// For how long a thing has been seen in every look: none at the first time.
    pub(super) fn age(&mut self, thing: K) -> Duration {
        let known = self.before.remove(&thing);
        if known.is_some() || self.before.len() + self.seen.len() < REMEMBERED {
            self.seen.insert(thing, known.unwrap_or(self.now));
        }
        known.map_or(Duration::ZERO, |since| self.now.saturating_duration_since(since))
    }
}

/// Picks some of many, so that all get their turn however many are left over each time.
#[derive(Debug)]
pub(super) struct Turns<K> {
    /// The last one picked.
    last: Option<K>,
}

impl<K: Ord + Clone> Turns<K> {
    pub(super) fn new() -> Self {
        Self { last: None }
    }

    /// At most `most` of them, those first that come behind the last one picked before.
    pub(super) fn pick<T>(&mut self, mut all: Vec<(K, T)>, most: usize) -> Vec<T> {
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        let behind = all.partition_point(|(key, _)| self.last.as_ref().is_some_and(|last| key <= last));
        all.rotate_left(behind);
        all.truncate(most);
        if let Some((key, _)) = all.last() {
            self.last = Some(key.clone());
        }
        all.into_iter().map(|(_, thing)| thing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_ages_while_it_is_seen() {
        let (mut seen, start) = (FirstSeen::new(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        seen.look(at(0));
        assert_eq!(seen.age("a"), Duration::ZERO);
        seen.look(at(10));
        assert_eq!((seen.age("a"), seen.age("b")), (Duration::from_millis(10), Duration::ZERO));
        seen.look(at(15));
        assert_eq!(seen.age("b"), Duration::from_millis(5));
        seen.look(at(40));
        assert_eq!(seen.age("a"), Duration::ZERO, "it was gone meanwhile");
        assert_eq!(seen.age("b"), Duration::from_millis(30));
        seen.look(at(41));
        seen.look(at(42));
        assert_eq!(seen.age("b"), Duration::ZERO, "what is gone is forgotten");
    }

    #[test]
    fn everyone_gets_a_turn() {
        let mut turns = Turns::new();
        let all = |keys: &[u8]| keys.iter().map(|key| (*key, *key)).collect::<Vec<_>>();
        assert_eq!(turns.pick(all(&[5, 1, 3, 2, 4]), 2), [1, 2]);
        assert_eq!(turns.pick(all(&[5, 1, 3, 2, 4]), 2), [3, 4]);
        assert_eq!(turns.pick(all(&[5, 1, 3, 2, 4]), 2), [5, 1]);
        assert_eq!(turns.pick(all(&[5, 0, 3, 2, 4]), 2), [2, 3], "the one that was last may be gone");
        assert_eq!(turns.pick(all(&[1, 2]), 9), [1, 2], "behind the last comes the first");
        assert_eq!(turns.pick(all(&[]), 2), [] as [u8; 0]);
        assert_eq!(turns.pick(all(&[2, 1]), 2), [1, 2]);
        assert_eq!(turns.pick(all(&[3, 2, 1]), 0), [] as [u8; 0]);
        assert_eq!(turns.pick(all(&[3, 2, 1]), 2), [3, 1], "whose turn it is stays while there is no room for any");
    }
}
