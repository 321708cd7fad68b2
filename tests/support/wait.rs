//! Waiting for a state with a deadline. The one place in the tests that pauses: other processes cannot be awaited.

use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `state` holds.
///
/// # Panics
/// When it does not within `deadline`, naming `what`.
pub fn until(deadline: Duration, what: &str, mut state: impl FnMut() -> bool) {
    until_some(deadline, what, || state().then_some(()));
}

/// Waits until `look` finds something.
///
/// # Panics
/// When it does not within `deadline`, naming `what`.
pub fn until_some<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "gave up after {deadline:?} waiting for {what}");
        thread::sleep(INTERVAL);
    }
}
