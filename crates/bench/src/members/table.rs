//! Who has what, and what has happened to it.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// A partition.
pub(super) type Place = (Uuid, i32);

/// Who has what.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) owners: HashMap<Place, usize>,
    /// When a partition was given up, until somebody else has it.
    orphans: HashMap<Place, Instant>,
    pub(super) held: HashMap<usize, BTreeSet<Place>>,
    /// What they had when a change began.
    before: HashMap<usize, BTreeSet<Place>>,
    /// Of the witnesses.
    commits: HashMap<usize, Commits>,
    pub(super) news: News,
}

/// When a witness could commit.
#[derive(Clone, Copy, Debug)]
struct Commits {
    last: Instant,
    /// The longest time between two of them since the change began.
    longest: Duration,
}

/// What has happened since somebody last asked.
#[derive(Debug)]
pub(super) struct News {
    pub(super) last_change: Instant,
    pub(super) longest_orphaned: Duration,
    pub(super) moved: usize,
    pub(super) fenced: usize,
    pub(super) double: usize,
}

impl Default for News {
    fn default() -> Self {
        Self { last_change: Instant::now(), longest_orphaned: Duration::ZERO, moved: 0, fenced: 0, double: 0 }
    }
}

impl Table {
    /// A member has these partitions from now on.
    pub(super) fn hold(&mut self, member: usize, places: BTreeSet<Place>) {
        let now = Instant::now();
        let before = self.held.insert(member, places.clone()).unwrap_or_default();
        for place in before.difference(&places) {
            self.owners.remove(place);
            self.orphans.insert(*place, now);
            self.news.last_change = now;
        }
        for place in places.difference(&before) {
            self.news.double += usize::from(self.owners.insert(*place, member).is_some());
            if let Some(since) = self.orphans.remove(place) {
                self.news.longest_orphaned = self.news.longest_orphaned.max(now.duration_since(since));
            }
            self.news.moved += 1;
            self.news.last_change = now;
        }
    }

    /// A member is gone, and what it had is nobody's.
    pub(super) fn gone(&mut self, member: usize) {
        self.hold(member, BTreeSet::new());
        self.held.remove(&member);
    }

    /// Whether `members` have all `partitions`, none of them two more than another.
    pub(super) fn is_shared_out(&self, members: usize, partitions: usize) -> bool {
        let counts = || self.held.values().map(BTreeSet::len);
        let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        self.held.len() == members && self.owners.len() == partitions && most - least <= 1
    }

    /// A change begins: who has the same partitions in the end is to notice nothing of it.
    pub(super) fn begin(&mut self) {
        self.before = self.held.clone();
        self.commits.values_mut().for_each(|commits| commits.longest = Duration::ZERO);
    }

    /// A witness has committed.
    pub(super) fn committed(&mut self, member: usize, now: Instant) {
        let commits = self.commits.entry(member).or_insert(Commits { last: now, longest: Duration::ZERO });
        commits.longest = commits.longest.max(now.duration_since(commits.last));
        commits.last = now;
    }

    /// The longest time since the change began in which a witness could not commit that has what it had then; `None` if there is no such witness.
    pub(super) fn longest_pause(&self, now: Instant) -> Option<Duration> {
        let kept = self.commits.iter().filter(|(member, _)| self.keeps(**member));
        kept.map(|(_, commits)| commits.longest.max(now.duration_since(commits.last))).max()
    }

    /// Whether a member has what it had when the change began.
    fn keeps(&self, member: usize) -> bool {
        self.before.get(&member).is_some_and(|before| self.held.get(&member) == Some(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(partitions: &[i32]) -> BTreeSet<Place> {
        partitions.iter().map(|partition| (Uuid::nil(), *partition)).collect()
    }

    #[test]
    fn the_pause_is_that_of_witnesses_who_keep_what_they_have() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut table = Table::default();
        for (member, partitions) in [(0, [0, 1]), (1, [2, 3]), (2, [4, 5])] {
            table.hold(member, places(&partitions));
        }
        table.committed(0, start);
        table.committed(1, start);
        table.begin();
        assert_eq!(table.longest_pause(start + second), Some(second), "one that has not come yet counts");
        table.committed(0, start + second * 3);
        table.committed(0, start + second * 4);
        table.committed(1, start + second * 9);
        table.hold(1, places(&[2]));
        assert_eq!(table.longest_pause(start + second * 4), Some(second * 3), "the other one has given something up");
        table.begin();
        assert_eq!(table.longest_pause(start + second * 9), Some(second * 5), "from the last commit on");
        table.gone(0);
        table.gone(1);
        assert_eq!(table.longest_pause(start + second * 9), None, "nobody is left who can tell");
    }

    #[test]
    fn what_moves_is_counted_once() {
        let mut table = Table::default();
        table.hold(0, places(&[0, 1, 2]));
        table.hold(1, places(&[3]));
        table.news = News::default();
        table.hold(0, places(&[0, 1]));
        table.hold(1, places(&[2, 3]));
        assert_eq!((table.news.moved, table.news.double), (1, 0));
        assert!(table.is_shared_out(2, 4));
        table.hold(0, places(&[0, 1, 2]));
        assert_eq!(table.news.double, 1);
    }
}
