//! What clients are told fits together; the history finds what does not when it is noted down.

use super::{Invariant, World};

/// The invariant.
#[derive(Debug)]
pub struct ToldTruth;

impl Invariant for ToldTruth {
    fn name(&self) -> &'static str {
        "told_truth"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        world.history.anomaly().map_or(Ok(()), |anomaly| Err(anomaly.to_string()))
    }
}
