//! ListTransactions: the transactional ids that this node coordinates (KIP-664, KIP-994).

use std::sync::Arc;

use caudal_coordinator::Coordinator;
use caudal_coordinator::transactions::DescribedTransaction;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::list_transactions_request::ListTransactionsRequest;
use caudal_protocol::messages::list_transactions_response::{ListTransactionsResponse, TransactionState};
use caudal_protocol::messages::{ProducerId, StrBytes, TransactionalId};
use caudal_types::{Clock, TimestampMs};
use regex::Regex;

use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

/// Kafka's words for the states that there are.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
    "Dead",
];

pub(crate) struct ListTransactions {
    coordinator: Coordinator,
    clock: Arc<dyn Clock>,
}

impl ListTransactions {
    pub(crate) fn new(coordinator: Coordinator, clock: Arc<dyn Clock>) -> Self {
        Self { coordinator, clock }
    }
}

/// What is asked for.
struct Filter {
    states: Vec<StrBytes>,
    producers: Vec<ProducerId>,
    /// Only transactions that go on for longer, in milliseconds; negative: all.
    duration_ms: i64,
    pattern: Option<Regex>,
}

impl Filter {
    fn new(request: &ListTransactionsRequest) -> Result<Self, regex::Error> {
        let pattern = request.transactional_id_pattern.as_ref().filter(|pattern| !pattern.is_empty());
        Ok(Self {
            states: request.state_filters.clone(),
            producers: request.producer_id_filters.clone(),
            duration_ms: request.duration_filter,
            // The whole id, as Kafka has it.
            pattern: pattern.map(|pattern| Regex::new(&format!("^(?:{})$", &**pattern))).transpose()?,
        })
    }

    fn lets_pass(&self, transaction: &DescribedTransaction, now: TimestampMs) -> bool {
        let lasts = transaction.started_at >= 0 && now - transaction.started_at > self.duration_ms;
        let is_asked = |wanted: &StrBytes| &**wanted == transaction.state;
        (self.states.is_empty() || self.states.iter().any(is_asked))
            && (self.producers.is_empty() || self.producers.contains(&ProducerId(transaction.producer.id)))
            && (self.duration_ms < 0 || lasts)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&transaction.transactional_id))
    }
}

impl Handler for ListTransactions {
    type Request = ListTransactionsRequest;
    type Response = ListTransactionsResponse;

    async fn handle(&self, _context: &RequestContext, request: ListTransactionsRequest) -> ListTransactionsResponse {
        let Ok(filter) = Filter::new(&request) else {
            return ListTransactionsResponse::default().with_error_code(ErrorCode::INVALID_REGULAR_EXPRESSION.code());
        };
        let unknown = request.state_filters.into_iter().filter(|state| !STATES.contains(&&**state));
        let response = ListTransactionsResponse::default().with_unknown_state_filters(unknown.collect());
        let now = self.clock.now_ms();
        let found = self.coordinator.list_transactions();
        let found = found.iter().filter(|transaction| filter.lets_pass(transaction, now)).map(listed);
        response.with_transaction_states(found.collect())
    }
}

fn listed(transaction: &DescribedTransaction) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(TransactionalId(wire(&transaction.transactional_id)))
        .with_producer_id(ProducerId(transaction.producer.id))
        .with_transaction_state(transaction.state.into())
}

impl Outcome for ListTransactionsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

#[cfg(test)]
mod tests {
    use caudal_coordinator::transactions::ProducerIdentity;

    use super::*;

    fn transaction(id: &str, started_at: TimestampMs) -> DescribedTransaction {
        DescribedTransaction {
            transactional_id: id.into(),
            producer: ProducerIdentity { id: 7, epoch: 0 },
            state: "Ongoing",
            timeout_ms: 1,
            started_at,
            participants: vec![],
        }
    }

    #[test]
    fn filters_are_kafkas() {
        let passes = |request: &ListTransactionsRequest, transaction: &DescribedTransaction| {
            Filter::new(request).unwrap().lets_pass(transaction, 1000)
        };
        let all = ListTransactionsRequest::default().with_duration_filter(-1);
        let billing = transaction("billing-1", 400);
        assert!(passes(&all, &billing));
        assert!(!passes(&all.clone().with_state_filters(vec!["Empty".into()]), &billing));
        assert!(passes(&all.clone().with_state_filters(vec!["Empty".into(), "Ongoing".into()]), &billing));
        assert!(!passes(&all.clone().with_producer_id_filters(vec![ProducerId(8)]), &billing));
        for (duration, expected) in [(599, true), (600, false)] {
            assert_eq!(passes(&all.clone().with_duration_filter(duration), &billing), expected, "{duration}");
        }
        assert!(!passes(&all.clone().with_duration_filter(0), &transaction("idle", -1)));
        for (pattern, expected) in [("billing-.*", true), ("billing", false), ("", true)] {
            let request = all.clone().with_transactional_id_pattern(Some(pattern.into()));
            assert_eq!(passes(&request, &billing), expected, "{pattern}");
        }
        assert!(Filter::new(&all.with_transactional_id_pattern(Some("(".into()))).is_err());
    }
}
