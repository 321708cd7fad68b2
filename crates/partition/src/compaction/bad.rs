//! Batches that log compaction cannot read: each is counted once.

use std::sync::atomic::{AtomicI64, Ordering};

use caudal_types::Offset;

/// One past the last such batch of a replica that was met. That is enough to know them all: every pass goes over the log in order from its beginning, and
/// what cannot be read stays so.
#[derive(Debug, Default)]
pub(crate) struct BadBatches(AtomicI64);

impl BadBatches {
    /// Whether the one at `offset` was not met before; it is from now on.
    pub(crate) fn is_new(&self, offset: Offset) -> bool {
        self.0.fetch_max(offset.saturating_add(1), Ordering::Relaxed) <= offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once() {
        let bad = BadBatches::default();
        let pass = |upto: Offset| [0, 3, 9, 20].into_iter().filter(|at| *at < upto && bad.is_new(*at)).count();
        // The third pass goes over all of it, the second one over what the first one saw.
        assert_eq!([5, 5, 30, 30].map(pass), [2, 0, 2, 0]);
    }
}
