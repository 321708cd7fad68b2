//! What changes of the cluster cost whoever wants them (KIP-599).

use std::cell::Cell;

use caudal_types::TimestampMs;

use crate::MetadataError;
use crate::quotas::{ClientLimit, Meters, Payer, Subject, TokenBucket};

/// The tokens of all payers, as the leader knows them.
pub(crate) type MutationMeters = Meters<Subject, TokenBucket>;

/// The account of one wish's payer.
#[derive(Debug)]
pub(crate) struct Charge<'a> {
    meters: &'a MutationMeters,
    limit: Option<ClientLimit>,
    strict: bool,
    now: TimestampMs,
    throttle_ms: Cell<i64>,
}

impl<'a> Charge<'a> {
    /// Opens the account; without a limit nothing costs anything.
    pub(crate) fn new(meters: &'a MutationMeters, limit: Option<ClientLimit>, payer: &Payer, now: TimestampMs) -> Self {
        Self { meters, limit, strict: payer.strict, now, throttle_ms: Cell::new(0) }
    }

    /// Takes a token for each partition that is made or taken away.
    ///
    /// # Errors
    /// [`MetadataError::Throttled`] when there are none, for a strict payer; then nothing is taken.
    pub(super) fn pay(&self, partitions: usize) -> Result<(), MetadataError> {
        let Some(limit) = &self.limit else { return Ok(()) };
        let bound = limit.bound;
        let throttle_ms = self.meters.with(limit.subject.clone(), self.now, |bucket, windows| {
            let before = if self.strict { bucket.throttle_ms(windows, bound, self.now) } else { 0 };
            if before > 0 {
                return before;
            }
            bucket.take(windows, bound, partitions as f64, self.now);
            if self.strict { 0 } else { bucket.throttle_ms(windows, bound, self.now) }
        });
        self.throttle_ms.set(self.throttle_ms.get().max(throttle_ms));
        if self.strict && throttle_ms > 0 {
            return Err(MetadataError::Throttled(format!(
                "This client may create and delete {bound} partition(s) a second (controller_mutation_rate), and has used them up; \
                 try again in {throttle_ms} ms"
            )));
        }
        Ok(())
    }

    /// How long the payer has to wait, in milliseconds.
    pub(crate) fn throttle_ms(&self) -> i32 {
        i32::try_from(self.throttle_ms.get()).unwrap_or(i32::MAX)
    }
}
