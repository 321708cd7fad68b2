//! Admits requests and answers by their bytes, so that no load makes a node run out of memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes that many connections share; a cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    total: u32,
    free: Arc<Semaphore>,
}

/// Bytes taken from a [`ByteBudget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct BytesTaken(Option<OwnedSemaphorePermit>);

impl ByteBudget {
    pub(crate) fn new(total: usize) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(total).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { total, free: Arc::new(Semaphore::new(permits)) }
    }

    /// Waits until `bytes` are free. What is larger than the whole budget takes all of it, and so is served alone.
    pub(crate) async fn take(&self, bytes: usize) -> BytesTaken {
        let bytes = self.clamp(bytes);
        // Only a closed semaphore refuses, and this one is never closed.
        BytesTaken(Arc::clone(&self.free).acquire_many_owned(bytes).await.ok())
    }

    /// Takes up to `bytes`: all of them if they are free, else half as many, and so on; waits only for `least`.
    pub(crate) async fn take_up_to(&self, bytes: usize, least: usize) -> BytesTaken {
        let mut wanted = bytes;
        while wanted > least {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(self.clamp(wanted)) {
                return BytesTaken(Some(permit));
            }
            wanted /= 2;
        }
        self.take(least.min(bytes)).await
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total)
    }
}

impl BytesTaken {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let spare = self.len().saturating_sub(bytes);
        drop(self.0.as_mut().and_then(|permit| permit.split(spare)));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn waits_for_bytes_to_be_given_back() {
        let budget = ByteBudget::new(100);
        let mut first = budget.take(80).await;
        assert!(budget.take(30).now_or_never().is_none());
        first.shrink_to(70);
        let second = budget.take(30).now_or_never().expect("30 are free");
        assert_eq!((first.len(), second.len()), (70, 30));
        drop((first, second));
        assert_eq!(budget.take(1_000_000).await.len(), 100);
    }

    #[tokio::test]
    async fn takes_less_rather_than_wait() {
        let budget = ByteBudget::new(100);
        let held = budget.take(70).await;
        assert_eq!(budget.take_up_to(80, 10).await.len(), 20);
        let tight = budget.take(25).await;
        assert!(budget.take_up_to(80, 10).now_or_never().is_none());
        drop((held, tight));
        assert_eq!(budget.take_up_to(80, 10).await.len(), 80);
    }
}
