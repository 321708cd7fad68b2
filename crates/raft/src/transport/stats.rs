//! How many messages were sent to other nodes, by kind.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::{Request, Response};

/// Messages of a kind, sent to other nodes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentMessages {
    /// What they ask, or what they answer to.
    pub kind: &'static str,
    /// That ask.
    pub requests: u64,
    /// That answer.
    pub answers: u64,
}

/// The kinds; a request and its answers are of the same, but for the answers that refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Ping,
    Call,
    Vote,
    TransferLeader,
    Heartbeats,
    Append,
    Snapshot,
    Canvass,
    Confirm,
    Recall,
    Refusal,
}

/// The names, in the order of the kinds.
const NAMES: [&str; 11] = [
    "ping",
    "call",
    "vote",
    "transfer_leader",
    "heartbeats",
    "append",
    "snapshot",
    "canvass",
    "confirm",
    "recall",
    "refusal",
];

/// Counts what is handed to the connections.
#[derive(Debug, Default)]
pub(crate) struct SentCounters {
    requests: [AtomicU64; NAMES.len()],
    answers: [AtomicU64; NAMES.len()],
}

impl SentCounters {
    pub(crate) fn request(&self, request: &Request) {
        self.requests[MessageKind::from(request) as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self, response: &Response) {
        self.answers[MessageKind::from(response) as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Vec<SentMessages> {
        let counts = self.requests.iter().zip(&self.answers);
        let read = |(kind, (requests, answers)): (&'static str, (&AtomicU64, &AtomicU64))| SentMessages {
            kind,
            requests: requests.load(Ordering::Relaxed),
            answers: answers.load(Ordering::Relaxed),
        };
        NAMES.into_iter().zip(counts).map(read).collect()
    }
}

impl From<&Request> for MessageKind {
    fn from(request: &Request) -> Self {
        match request {
            Request::Ping => Self::Ping,
            Request::Call { .. } => Self::Call,
            Request::Vote { .. } => Self::Vote,
            Request::TransferLeader { .. } => Self::TransferLeader,
            Request::Heartbeats(_) => Self::Heartbeats,
            Request::Append(_) => Self::Append,
            Request::Snapshot(_) => Self::Snapshot,
            Request::Canvass { .. } => Self::Canvass,
            Request::Confirm(_) => Self::Confirm,
            Request::Recall { .. } | Request::IsNew { .. } => Self::Recall,
        }
    }
}

impl From<&Response> for MessageKind {
    fn from(response: &Response) -> Self {
        match response {
            Response::Pong { .. } => Self::Ping,
            Response::Called => Self::Call,
            Response::Vote { .. } => Self::Vote,
            Response::TransferLeader(_) => Self::TransferLeader,
            Response::Heartbeats(_) => Self::Heartbeats,
            Response::Append(_) => Self::Append,
            Response::SnapshotPart | Response::Snapshot { .. } => Self::Snapshot,
            Response::Canvass { .. } => Self::Canvass,
            Response::Denied(_) => Self::Confirm,
            Response::Recall { .. } | Response::RecallDoubtful { .. } | Response::IsNew(_) => Self::Recall,
            Response::NotServed | Response::Failed { .. } => Self::Refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_their_kind() {
        let counters = SentCounters::default();
        counters.request(&Request::Ping);
        counters.request(&Request::Confirm(Vec::new()));
        counters.answer(&Response::Denied(Vec::new()));
        counters.answer(&Response::NotServed);
        let sent: Vec<_> = counters.read().into_iter().filter(|sent| sent.requests + sent.answers > 0).collect();
        let expected = [("ping", 1, 0), ("confirm", 1, 1), ("refusal", 0, 1)];
        assert_eq!(sent, expected.map(|(kind, requests, answers)| SentMessages { kind, requests, answers }));
        assert_eq!(NAMES[MessageKind::Refusal as usize], "refusal");
    }
}
