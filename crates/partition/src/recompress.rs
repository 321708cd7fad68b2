//! Batches get the codec of their topic (`compression.type`), off the async threads.

use std::sync::Arc;
use std::thread::available_parallelism;

use caudal_protocol::batch::{Codec, RecompressError, RecordBatch};
use caudal_types::off_thread;
use caudal_types::topic_config::TopicConfig;
use tokio::sync::Semaphore;

use crate::AppendError;
use crate::validate::refusal;

/// A batch that is not compressed and no larger than this is compressed where it is: the way to another thread and back would take longer. How much there is
/// in a compressed one nobody knows beforehand.
const SMALL: usize = 4 << 10;

/// Compresses batches anew; a cheap handle, one per node. No more of them at once than there are cores: others would only take memory.
#[derive(Clone, Debug)]
pub(crate) struct Recompressions(Arc<Semaphore>);

impl Default for Recompressions {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))))
    }
}

impl Recompressions {
    /// The batch as its topic wants it stored.
    pub(crate) async fn fit(&self, batch: RecordBatch, config: &TopicConfig) -> Result<RecordBatch, AppendError> {
        let Some(compression) = config.compression.filter(|compression| batch.differs_from(*compression)) else {
            return Ok(batch);
        };
        let max_bytes = config.max_message_bytes;
        let small = batch.codec() == Codec::None && batch.bytes().len() <= SMALL;
        let work = move || batch.recompressed(compression, max_bytes);
        let done = if small {
            work()
        } else {
            // The semaphore is never closed.
            let _turn = self.0.acquire().await.ok();
            off_thread::run(work).await.map_err(|error| AppendError::Storage(error.to_string()))?
        };
        done.map_err(|error| match error {
            RecompressError::Batch(error) => refusal(error),
            RecompressError::TooLarge(max) => AppendError::GrowsTooLarge { max },
        })
    }
}
