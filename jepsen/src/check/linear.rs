//! Linearizability, after Wing and Gong, with Lowe's just-in-time order and memory of what was tried.
//!
//! Going through the history, all ways are kept in which the calls so far may have taken effect: the state, and which of the calls that
//! have not returned yet are in it. A call must have taken effect when it returns; where no way is left, no order explains the history.
//! A call in doubt never returns: it may take effect at any time, or never.

use std::collections::{BTreeMap, HashSet};
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

/// Ways that are kept at once.
const WAYS: usize = 1 << 17;

/// A way: the state, and which of the open calls are in it, ascending.
type Way<S> = (S, Vec<u32>);

type Ways<S> = HashSet<Way<S>, FxBuildHasher>;

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
    let mut ways = Ways::default();
    ways.insert((initial, Vec::new()));
    for (_, number, returns) in moments {
        if !returns {
            open.insert(number, &calls[number as usize]);
            continue;
        }
        let Some(next) = after::<M>(&ways, &open, number) else { return Outcome::TooHard(number as usize) };
        open.remove(&number);
        if next.is_empty() {
            let mut states: Vec<_> = ways.into_iter().map(|(state, _)| state).collect();
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
    let mut done = Ways::default();
    let mut tried = Ways::default();
    let mut left: Vec<Way<M::State>> = ways.iter().cloned().collect();
    while let Some((state, effective)) = left.pop() {
        if let Ok(at) = effective.binary_search(&returning) {
            let mut rest = effective;
            rest.remove(at);
            done.insert((state, rest));
            continue;
        }
        for (number, call) in open {
            let Err(at) = effective.binary_search(number) else { continue };
            // Of equal open calls the one that returns first may as well be the first to take effect, and one that never returns the last.
            let sooner = |(other, same): (&u32, &&Call<M::Action>)| {
                same.action == call.action && (until(same), *other) < (until(call), *number) && effective.binary_search(other).is_err()
            };
            if open.iter().any(sooner) {
                continue;
            }
            let Some(state) = M::apply(&state, &call.action) else { continue };
            let mut effective = effective.clone();
            effective.insert(at, *number);
            let way = (state, effective);
            if tried.insert(way.clone()) {
                left.push(way);
            }
        }
        if tried.len() + done.len() > WAYS {
            return None;
        }
    }
    Some(done)
}

/// When a call must have taken effect.
fn until<A>(call: &Call<A>) -> u32 {
    call.returned.unwrap_or(u32::MAX)
}
