//! Trying again, for a while.

use std::time::Duration;

use tokio::time::Instant;

use crate::ClientError;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The tries of one operation.
#[derive(Debug)]
pub(crate) struct Retry {
    deadline: Instant,
    pause: Duration,
}

impl Retry {
    pub(crate) fn new(within: Duration) -> Self {
        Self { deadline: Instant::now() + within, pause: FIRST_PAUSE }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// `error` itself, when another try is not worth it or comes too late.
    pub(crate) async fn after(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.is_retriable() || Instant::now() + self.pause >= self.deadline {
            return Err(error);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use caudal_protocol::ErrorCode;

    use super::*;

    fn refusal(code: ErrorCode) -> ClientError {
        ClientError::Kafka { what: "a test".to_owned(), code, message: None }
    }

    #[tokio::test]
    async fn only_what_may_succeed_is_tried_again() {
        let mut retry = Retry::new(Duration::from_secs(5));
        assert!(retry.after(refusal(ErrorCode::NOT_LEADER_OR_FOLLOWER)).await.is_ok());
        assert!(retry.after(refusal(ErrorCode::INVALID_TOPIC_EXCEPTION)).await.is_err());
    }

    #[tokio::test]
    async fn the_deadline_ends_it() {
        let mut retry = Retry::new(Duration::from_millis(50));
        let mut tries = 0;
        while retry.after(refusal(ErrorCode::REQUEST_TIMED_OUT)).await.is_ok() {
            tries += 1;
        }
        assert!((1..3).contains(&tries), "{tries}");
    }
}
