//! What the members of a consumer group were told, and whether that fits together.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::History;

/// A member in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The generation.
    pub generation: i32,
    /// The member.
    pub member: String,
    /// The member that shares out.
    pub leader: String,
}

/// All that members were told; clones are the same.
#[derive(Clone, Debug)]
pub struct Membership {
    history: History,
    generations: Arc<Mutex<BTreeMap<i32, Generation>>>,
}

#[derive(Debug, Default)]
struct Generation {
    leader: String,
    /// What the leader has shared out.
    shares: BTreeMap<String, Bytes>,
}

impl Membership {
    /// Nobody has joined yet.
    pub fn new(history: History) -> Self {
        Self { history, generations: Arc::default() }
    }

    /// A member was told that it has joined. All of a generation are told the same leader.
    pub fn joined(&self, place: &Place) {
        let mut generations = self.generations.lock();
        let generation = generations.entry(place.generation).or_default();
        if generation.leader.is_empty() {
            generation.leader.clone_from(&place.leader);
        } else if generation.leader != place.leader {
            let text = format!("{place:?}, but {} was told to lead that generation", generation.leader);
            self.history.report("two-group-leaders", text);
        }
    }

    /// The leader shares out, and what it says holds for the generation.
    pub fn shares_out(&self, place: &Place, shares: &[(String, Bytes)]) {
        let mut generations = self.generations.lock();
        generations.entry(place.generation).or_default().shares = shares.iter().cloned().collect();
    }

    /// A member was given its share: that which the leader of the generation has for it.
    pub fn got(&self, place: &Place, share: &Bytes) {
        let generations = self.generations.lock();
        let wanted = generations.get(&place.generation).and_then(|generation| generation.shares.get(&place.member));
        if wanted != Some(share) {
            self.history.report("wrong-share", format!("{place:?} got {share:?}, not {wanted:?}"));
        }
    }

    /// Whether a member's share has a slot.
    pub fn has_slot(&self, place: &Place, slot: u8) -> bool {
        let generations = self.generations.lock();
        let share = generations.get(&place.generation).and_then(|generation| generation.shares.get(&place.member));
        share.is_some_and(|share| share.get(size_of::<i32>()..).is_some_and(|slots| slots.contains(&slot)))
    }

    /// Whether somebody was told of a later generation.
    pub fn is_old(&self, place: &Place) -> bool {
        self.generations.lock().last_key_value().is_some_and(|(newest, _)| *newest > place.generation)
    }

    /// A member was told that its generation still counts, in answer to what it asked when the generation `was_old` or not.
    pub fn kept(&self, place: &Place, was_old: bool, what: &str) {
        if was_old {
            self.history.report("old-generation", format!("{place:?}: a {what} counted after a later generation"));
        }
    }
}
