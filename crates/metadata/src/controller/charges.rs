//! Wishes that someone pays for (KIP-599), and the same for nobody.

use std::time::Duration;

use caudal_types::TopicId;
use tokio::time::Instant;

use super::wish::{Results, Wish};
use super::{Controller, CreatePartitions, CreateTopic, CreatedTopic};
use crate::MetadataError;
use crate::quotas::{Charged, Payer, QuotaKey};

/// How long a payer has to wait, from the moment that it was said.
pub(super) struct Debt {
    throttle: Duration,
    since: Instant,
}

impl Debt {
    fn new(throttle_ms: i32) -> Self {
        Self { throttle: Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0)), since: Instant::now() }
    }

    /// Results with what is left of the wait: some of it has passed while they came about.
    pub(super) fn with<T>(&self, results: T) -> Charged<T> {
        let left = self.throttle.saturating_sub(self.since.elapsed());
        Charged { results, throttle_ms: i32::try_from(left.as_millis()).unwrap_or(i32::MAX) }
    }
}

impl Controller {
    /// [`create_topics_for`](Self::create_topics_for) nobody in particular.
    pub async fn create_topics(
        &self,
        topics: Vec<CreateTopic>,
        validate_only: bool,
        within: Duration,
    ) -> Vec<Result<CreatedTopic, MetadataError>> {
        self.create_topics_for(None, topics, validate_only, within).await.results
    }

    /// [`delete_topics_for`](Self::delete_topics_for) nobody in particular.
    pub async fn delete_topics(&self, topics: Vec<TopicId>, within: Duration) -> Vec<Result<(), MetadataError>> {
        self.delete_topics_for(None, topics, within).await.results
    }

    /// [`create_partitions_for`](Self::create_partitions_for) nobody in particular.
    pub async fn create_partitions(
        &self,
        topics: Vec<CreatePartitions>,
        validate_only: bool,
        within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        self.create_partitions_for(None, topics, validate_only, within).await.results
    }

    /// Submits a wish at the cost of a payer. Where no quota is set, nobody is asked to pay.
    pub(super) async fn submit_for(
        &self,
        payer: Option<Payer>,
        wish: Wish,
        deadline: Instant,
    ) -> (Result<(u64, Results), MetadataError>, Debt) {
        let payer = payer.filter(|_| self.image().client_quotas.has(QuotaKey::ControllerMutationRate));
        let wish = match payer {
            Some(payer) => Wish::Charged(payer, Box::new(wish)),
            None => wish,
        };
        match self.submit(wish, deadline).await {
            Ok((version, Results::Charged(throttle_ms, results))) => (Ok((version, *results)), Debt::new(throttle_ms)),
            other => (other, Debt::new(0)),
        }
    }
}
