//! Which requests of a client come too early, or too late. No clock: the time is told.

use caudal_protocol::ErrorCode;
use caudal_types::TimestampMs;

/// What is remembered of a client's requests, for as long as its subscription is the same.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    last_get: Option<TimestampMs>,
    last_push: Option<TimestampMs>,
    /// The client has said that no push follows.
    pub(super) terminating: bool,
    pub(super) last_error: ErrorCode,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { last_get: None, last_push: None, terminating: false, last_error: ErrorCode::NONE }
    }

    /// Whether the client may ask for its subscription at `now`: once an interval, unless it was told to.
    pub(super) fn admits_get(&mut self, now: TimestampMs, interval_ms: i32) -> bool {
        let in_time = is_over(self.last_get.max(self.last_push), now, interval_ms);
        if in_time {
            self.last_get = Some(now);
        }
        let told_to = [ErrorCode::UNKNOWN_SUBSCRIPTION_ID, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE];
        in_time || told_to.contains(&self.last_error)
    }

    /// Whether the client may push at `now`: at once after it has asked for its subscription (clients wait for half an interval to one and a half then), else
    /// once an interval.
    pub(super) fn admits_push(&mut self, now: TimestampMs, interval_ms: i32) -> bool {
        let in_time = self.last_get > self.last_push || is_over(self.last_push, now, interval_ms);
        if in_time {
            self.last_push = Some(now);
        }
        in_time
    }
}

fn is_over(since: Option<TimestampMs>, now: TimestampMs, interval_ms: i32) -> bool {
    since.is_none_or(|since| now.saturating_sub(since) >= i64::from(interval_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_may_follow_a_get_at_once_and_the_next_an_interval_later() {
        let mut gate = Gate::new();
        assert!(gate.admits_get(1000, 100));
        assert!(gate.admits_push(1001, 100));
        assert!(!gate.admits_push(1100, 100));
        assert!(gate.admits_push(1101, 100));
    }

    #[test]
    fn a_get_comes_once_an_interval_unless_the_client_was_told_to_ask() {
        let mut gate = Gate::new();
        assert!(gate.admits_get(1000, 100));
        assert!(!gate.admits_get(1099, 100));
        gate.last_error = ErrorCode::UNKNOWN_SUBSCRIPTION_ID;
        assert!(gate.admits_get(1099, 100));
        gate.last_error = ErrorCode::NONE;
        assert!(gate.admits_push(1099, 100));
        assert!(!gate.admits_get(1198, 100), "a push counts, too");
        assert!(gate.admits_get(1199, 100));
    }
}
