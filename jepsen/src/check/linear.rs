//! Linearizability, after Wing and Gong, with Lowe's just-in-time order and memory of what was tried.
//!
//! Going through the history, all ways are kept in which the calls so far may have taken effect: the state, and which of the calls that
//! have not returned yet are in it. A call must have taken effect when it returns; where no way is left, no order explains the history.
//! A call in doubt never returns: it may take effect at any time, or never.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use rustc_hash::FxBuildHasher;

/// Something with a state that calls change.
pub trait Model {
    /// What it holds.
    type State: Clone + Eq + Hash + Debug;
    /// A call with its answer.
    type Action: Eq + Debug;

    /// The state after a call, where the call can have that answer.
    fn apply(state: &Self::State, action: &Self::Action) -> Option<Self::State>;
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call<A> {
    /// What was called, and what was answered.
    pub action: A,
    /// When.
    pub invoked: u32,
    /// When it returned, if it did.
    pub returned: Option<u32>,
}

/// Whether an order explains the calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<S> {
    /// One does.
    Linearizable,
    /// None does: the call that could not take effect, and what could be held before it.
    Not(usize, Vec<S>),
    /// There are too many ways to look at.
    TooHard(usize),
}

/// Ways that are looked at between two returns.
const WAYS: usize = 1 << 14;

/// A way in which the calls so far may have taken effect.
#[derive(Clone, Debug)]
struct Way<S> {
    state: S,
    /// The open calls that are in it and will return, ascending.
    returning: Vec<u32>,
    /// The calls in doubt that are in it, ascending.
    doubtful: Vec<u32>,
}

/// Ways, without those that are no better than another: one with the same state that needs fewer calls in doubt.
#[derive(Debug)]
struct Ways<S> {
    by_state: HashMap<(S, Vec<u32>), Vec<Vec<u32>>, FxBuildHasher>,
    count: usize,
}

impl<S: Clone + Eq + Hash> Ways<S> {
    fn new() -> Self {
        Self { by_state: HashMap::default(), count: 0 }
    }

    /// Adds a way; false when there is one that is as good.
    fn insert(&mut self, way: &Way<S>) -> bool {
        let sets = self.by_state.entry((way.state.clone(), way.returning.clone())).or_default();
        if sets.iter().any(|set| is_subset(set, &way.doubtful)) {
            return false;
        }
        self.count += 1;
        sets.retain(|set| !is_subset(&way.doubtful, set));
        sets.push(way.doubtful.clone());
        true
    }

    fn iter(&self) -> impl Iterator<Item = Way<S>> {
        self.by_state.iter().flat_map(|((state, returning), sets)| {
            let way = |doubtful: &Vec<u32>| Way {
                state: state.clone(),
                returning: returning.clone(),
                doubtful: doubtful.clone(),
            };
            sets.iter().map(way)
        })
    }
}

fn is_subset(small: &[u32], large: &[u32]) -> bool {
    small.len() <= large.len() && small.iter().all(|item| large.binary_search(item).is_ok())
}

/// Looks for an order.
///
/// # Panics
/// When there are more calls than short numbers.
pub fn check<M: Model>(initial: M::State, calls: &[Call<M::Action>]) -> Outcome<M::State> {
    let mut moments = Vec::with_capacity(calls.len() * 2);
    for (number, call) in (0_u32..).zip(calls) {
        moments.push((call.invoked, number, false));
        moments.extend(call.returned.map(|line| (line, number, true)));
    }
    moments.sort_unstable();
    let mut open = BTreeMap::new();
    let mut ways = Ways::new();
    ways.insert(&Way { state: initial, returning: Vec::new(), doubtful: Vec::new() });
    for (_, number, returns) in moments {
        if !returns {
            open.insert(number, &calls[number as usize]);
            continue;
        }
        let Some(next) = after::<M>(&ways, &open, number) else { return Outcome::TooHard(number as usize) };
        open.remove(&number);
        if next.count == 0 {
            let mut states: Vec<_> = ways.iter().map(|way| way.state).collect();
            states.dedup();
            states.truncate(4);
            return Outcome::Not(number as usize, states);
        }
        ways = next;
    }
    Outcome::Linearizable
}

/// The ways in which a call that returns has taken effect; `None` when there are too many.
fn after<M: Model>(
    ways: &Ways<M::State>,
    open: &BTreeMap<u32, &Call<M::Action>>,
    returning: u32,
) -> Option<Ways<M::State>> {
    let mut done = Ways::new();
    let mut tried = Ways::new();
    // Those that need the fewest calls in doubt come first, so that they keep the others out.
    let mut left: BTreeMap<usize, Vec<Way<M::State>>> = BTreeMap::new();
    for way in ways.iter() {
        tried.insert(&way);
        left.entry(way.doubtful.len()).or_default().push(way);
    }
    while let Some(mut entry) = left.first_entry() {
        let Some(way) = entry.get_mut().pop() else {
            entry.remove();
            continue;
        };
        if let Ok(at) = way.returning.binary_search(&returning) {
            let mut way = way;
            way.returning.remove(at);
            done.insert(&way);
            continue;
        }
        let effective =
            |number: &u32| way.returning.binary_search(number).is_ok() || way.doubtful.binary_search(number).is_ok();
        for (number, call) in open.iter().filter(|(number, _)| !effective(number)) {
            // Of equal open calls the one that returns first may as well be the first to take effect, and one that never returns the last.
            let sooner = |(other, same): (&u32, &&Call<M::Action>)| {
                same.action == call.action && (until(same), *other) < (until(call), *number) && !effective(other)
            };
            if open.iter().any(sooner) {
                continue;
            }
            let Some(state) = M::apply(&way.state, &call.action) else { continue };
            // What changes nothing need not have happened, when nobody was told that it did.
            if call.returned.is_none() && state == way.state {
                continue;
            }
            let mut next = Way { state, ..way.clone() };
            let set = if call.returned.is_some() { &mut next.returning } else { &mut next.doubtful };
            set.insert(set.partition_point(|other| other < number), *number);
            if tried.insert(&next) {
                left.entry(next.doubtful.len()).or_default().push(next);
            }
        }
        if tried.count > WAYS {
            return None;
        }
    }
    Some(done)
}

/// When a call must have taken effect.
fn until<A>(call: &Call<A>) -> u32 {
    call.returned.unwrap_or(u32::MAX)
}
