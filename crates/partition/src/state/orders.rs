//! How far the log is to be cleaned, as its leaders have ordered (log compaction). Every replica cleans for itself, by the newest order alone.

use std::sync::Arc;

use bytes::{Buf, BufMut, TryGetError};
use caudal_types::limits::COMPACTION_ORDERS_REMEMBERED;
use caudal_types::{Offset, TimestampMs};

/// What a leader orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Order {
    /// Of each key only the newest record before this offset stays. The end of a closed segment, at or before the last stable offset.
    pub(crate) upto: Offset,
    /// Of the records without a value, which say that their keys were deleted, those before this offset go.
    pub(crate) tombstones_before: Offset,
}

/// How far the log was ordered to be cleaned at a time of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Past {
    upto: Offset,
    time: TimestampMs,
}

/// The newest order, and since when which tombstones are cleaned around. Cloned cheaply for readers; copied on a change, which is rare.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Orders {
    newest: Order,
    /// Rising in both.
    history: Arc<Vec<Past>>,
}

impl Orders {
    pub(crate) fn newest(&self) -> Order {
        self.newest
    }

    /// Takes an order that comes at `time` of the log. It never takes back what an earlier one said, nor goes beyond `end`, the log's.
    pub(crate) fn take(&mut self, order: Order, time: TimestampMs, end: Offset) {
        let upto = order.upto.min(end).max(self.newest.upto);
        let tombstones_before = order.tombstones_before.min(upto).max(self.newest.tombstones_before);
        let history = Arc::make_mut(&mut self.history);
        if upto > self.newest.upto {
            history.push(Past { upto, time });
        }
        // What tombstones are already gone by is of no use any more.
        history.retain(|past| past.upto > tombstones_before);
        if history.len() > COMPACTION_ORDERS_REMEMBERED {
            forget_one(history);
        }
        self.newest = Order { upto, tombstones_before };
    }

    /// Before which offset tombstones may go that have been the newest of their keys for `retention` milliseconds at `now`: readers who began before had so
    /// much time to see them.
    pub(crate) fn expired(&self, retention: i64, now: TimestampMs) -> Offset {
        let expired = self.history.iter().rev().find(|past| past.time.saturating_add(retention) <= now);
        expired.map_or(0, |past| past.upto).max(self.newest.tombstones_before)
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_i64(self.newest.upto);
        out.put_i64(self.newest.tombstones_before);
        out.put_u16(u16::try_from(self.history.len()).unwrap_or(u16::MAX));
        for past in self.history.iter() {
            out.put_i64(past.upto);
            out.put_i64(past.time);
        }
    }

    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, TryGetError> {
        let newest = Order { upto: bytes.try_get_i64()?, tombstones_before: bytes.try_get_i64()? };
        let mut history = Vec::new();
        for _ in 0..bytes.try_get_u16()? {
            history.push(Past { upto: bytes.try_get_i64()?, time: bytes.try_get_i64()? });
        }
        Ok(Self { newest, history: Arc::new(history) })
    }
}

/// Makes room: where two orders are nearest to each other in time the first is forgotten, so that its tombstones go as late as those of the second.
fn forget_one(history: &mut Vec<Past>) {
    let gap = |at: usize| history[at + 1].time.saturating_sub(history[at].time);
    if let Some(nearest) = (0..history.len().saturating_sub(1)).min_by_key(|at| gap(*at)) {
        history.remove(nearest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(upto: Offset, tombstones_before: Offset) -> Order {
        Order { upto, tombstones_before }
    }

    #[test]
    fn tombstones_go_when_their_order_is_old_enough() {
        let mut orders = Orders::default();
        assert_eq!(orders.expired(0, 100), 0);
        orders.take(order(10, 0), 100, 99);
        orders.take(order(20, 0), 200, 99);
        assert_eq!(orders.expired(50, 149), 0);
        assert_eq!(orders.expired(50, 150), 10);
        assert_eq!(orders.expired(50, 250), 20);
        assert_eq!(orders.expired(i64::MAX, 250), 0);
        orders.take(order(30, 10), 300, 99);
        assert_eq!(orders.newest(), order(30, 10));
        assert_eq!(orders.expired(i64::MAX, 300), 10, "what is gone stays gone");
        assert_eq!(orders.history.len(), 2);
    }

    #[test]
    fn an_order_takes_nothing_back_and_does_not_reach_beyond_the_log() {
        let mut orders = Orders::default();
        orders.take(order(50, 50), 1, 40);
        assert_eq!(orders.newest(), order(40, 40));
        orders.take(order(10, 5), 2, 60);
        assert_eq!(orders.newest(), order(40, 40));
        assert!(orders.history.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_never_makes_tombstones_go_early() {
        let (mut orders, mut all) = (Orders::default(), Vec::new());
        for number in 1..=500_i64 {
            let (upto, time) = (number * 10, number * number % 977 + number * 1000);
            orders.take(order(upto, 0), time, Offset::MAX);
            all.push((upto, time));
        }
        assert_eq!(orders.history.len(), COMPACTION_ORDERS_REMEMBERED);
        for now in (0..600_000).step_by(777) {
            let exact = all.iter().filter(|(_, time)| time + 100 <= now).map(|(upto, _)| *upto).max().unwrap_or(0);
            let told = orders.expired(100, now);
            assert!(told <= exact, "{told} {exact} at {now}");
        }
        assert_eq!(orders.expired(0, 600_000), 5000, "all of them in the end");
    }

    proptest! {
        #[test]
        fn orders_survive_the_trip(orders in prop::collection::vec((0..1000_i64, 0..1000_i64, 0..9_i64), 0..20)) {
            let (mut state, mut time) = (Orders::default(), 0);
            for (upto, before, later) in orders {
                time += later;
                state.take(order(upto, before), time, 900);
            }
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            prop_assert_eq!(Orders::decode(&mut &bytes[..]), Ok(state));
        }
    }
}
