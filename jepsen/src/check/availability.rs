//! unavailable: while a majority of the nodes is not hindered, sends are acknowledged within a bound.

use serde::{Deserialize, Serialize};

use crate::history::Kind;

use super::anomaly::Anomaly;
use super::faults::{faults, nodes, without_majority};
use super::findings::{Context, Example, Findings};
use super::table::{NEVER, Table};

/// A time in which clients sent and nothing was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Of which partition; of all when there is none.
    pub key: Option<String>,
    /// When it began, in nanoseconds.
    pub begins: u64,
    /// When it ended.
    pub ends: u64,
}

/// Looks at each partition, and at all together.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, index, options } = context;
    let count = options.nodes.unwrap_or_else(|| nodes(table));
    let exempt = without_majority(&faults(table), count);
    let bound = u64::try_from(options.bound.as_nanos()).unwrap_or(u64::MAX);
    for window in windows(table, bound) {
        let deleted = window
            .key
            .as_ref()
            .and_then(|key| table.keys.find(key))
            .is_some_and(|key| index.lives[key as usize].deleted);
        for (begins, ends) in pieces(&window, &exempt).filter(|(begins, ends)| ends - begins > bound && !deleted) {
            findings.add(Anomaly::Unavailable, || {
                let key = window.key.as_deref().unwrap_or("all partitions");
                let text = format!("{key}: nothing was acknowledged from {} to {} s", seconds(begins), seconds(ends));
                let example = Example::new(text);
                let pending = table.operations.iter().enumerate().find(|(at, operation)| {
                    let sends = table.sends_of(*at).1;
                    let of_key = sends
                        .iter()
                        .any(|send| window.key.as_deref().is_none_or(|key| table.keys.name(send.key) == key));
                    of_key && operation.kind != Kind::Ok && operation.invoked >= begins && operation.invoked <= ends
                });
                pending.iter().fold(example, |example, (at, _)| example.with(table, "not acknowledged", *at))
            });
        }
    }
}

/// The windows that are longer than so many nanoseconds, of all partitions together first.
#[must_use]
pub fn windows(table: &Table, longer: u64) -> Vec<Window> {
    let mut all = Vec::new();
    let mut by_key: Vec<Vec<u64>> = vec![Vec::new(); table.keys.len()];
    for (at, operation) in table.operations.iter().enumerate() {
        let mut keys: Vec<u32> = table.sends_of(at).1.iter().map(|send| send.key).collect();
        keys.dedup();
        let end = if operation.completed == NEVER { table.end } else { operation.completed };
        let tag = if operation.kind == Kind::Ok { Moment::Acknowledged } else { Moment::GivenUp };
        let moments = [moment(operation.invoked, Moment::Sent), moment(end, tag)];
        if !keys.is_empty() {
            all.extend(moments);
        }
        for key in keys {
            by_key[key as usize].extend(moments);
        }
    }
    let mut windows = Vec::new();
    let names = std::iter::once(None).chain(table.keys.iter().map(Some));
    for (key, mut moments) in names.zip(std::iter::once(all).chain(by_key)) {
        moments.sort_unstable();
        let mut put = |begins, ends| windows.push(Window { key: key.map(str::to_owned), begins, ends });
        sweep(&moments, longer, &mut put);
    }
    windows
}

/// What happens to a send.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Sent,
    Acknowledged,
    GivenUp,
}

/// A time and what happens then, so that times sort first.
fn moment(time: u64, what: Moment) -> u64 {
    time << 2 | what as u64
}

/// A window begins when something is sent, or at an acknowledgement while something else waits; it ends at the next acknowledgement.
fn sweep(moments: &[u64], longer: u64, put: &mut impl FnMut(u64, u64)) {
    let (mut waiting, mut since, mut idle) = (0_u64, None, 0);
    let mut last = 0;
    for moment in moments {
        let time = moment >> 2;
        last = time;
        match moment & 3 {
            0 => {
                // Whoever gave up and did not try for long has nothing to complain of.
                if since.is_none() || waiting == 0 && time - idle > longer / 2 {
                    since = Some(time);
                }
                waiting += 1;
            }
            what => {
                waiting = waiting.saturating_sub(1);
                idle = time;
                if what == Moment::Acknowledged as u64 {
                    if let Some(since) = since.filter(|since| time - since > longer) {
                        put(since, time);
                    }
                    since = (waiting > 0).then_some(time);
                }
            }
        }
    }
    if let Some(since) = since.filter(|since| last - since > longer) {
        put(since, last);
    }
}

/// What is left of a window outside of the exempt times.
fn pieces(window: &Window, exempt: &[(u64, u64)]) -> impl Iterator<Item = (u64, u64)> {
    let mut pieces = Vec::new();
    let mut begins = window.begins;
    for (from, to) in exempt.iter().filter(|(from, to)| *to > window.begins && *from < window.ends) {
        if *from > begins {
            pieces.push((begins, *from));
        }
        begins = begins.max(*to);
    }
    if begins < window.ends {
        pieces.push((begins, window.ends));
    }
    pieces.into_iter()
}

fn seconds(nanos: u64) -> String {
    let tenths = nanos / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
