//! What was acknowledged is there again.

use std::sync::Arc;

use caudal_protocol::batch::RecordBatch;
use caudal_storage::{MemEngine, RocksEngine, RocksOptions};
use futures::future::join_all;

use crate::testing::{BatchSpec, TestNode, append, from, read_all, topic_config};
use crate::{Acks, Appended, Partition};

const WRITERS: i64 = 10;
const BATCHES_PER_WRITER: i32 = 100;

/// A thousand batches from ten idempotent producers at once; each producer's batches are pipelined.
async fn append_a_thousand(partition: &Arc<Partition>) -> Vec<(Appended, RecordBatch)> {
    let writer = |id: i64| async move {
        let mut pending = Vec::new();
        for sequence in 0..BATCHES_PER_WRITER {
            let spec = BatchSpec { value_len: 100, ..BatchSpec::plain(2).from(id, 0, 2 * sequence) };
            let batch = spec.build();
            pending.push((partition.append(batch.bytes().clone(), None, Acks::InSync).await.unwrap(), batch));
        }
        let mut done = Vec::new();
        for (outcome, batch) in pending {
            done.push((outcome.await.unwrap(), batch));
        }
        assert!(done.is_sorted_by_key(|(appended, _)| appended.base_offset), "a caller's order is kept");
        done
    };
    let mut all: Vec<_> = join_all((0..WRITERS).map(writer)).await.into_iter().flatten().collect();
    all.sort_by_key(|(appended, _)| appended.base_offset);
    all
}

async fn check(partition: &Arc<Partition>, expected: &[(Appended, RecordBatch)]) {
    for max_bytes in [1, 5_000, usize::MAX] {
        let read = read_all(partition, max_bytes).await;
        assert_eq!(read.len(), expected.len());
        for (at, (read, (appended, sent))) in read.iter().zip(expected).enumerate() {
            assert_eq!(appended.base_offset, 2 * at as i64, "offsets are dense");
            assert_eq!(read.base_offset(), appended.base_offset);
            assert!(read.leader_epoch() >= 0);
            assert_eq!(read.bytes()[16..], sent.bytes()[16..], "the batch is the producer's");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_batches_survive_a_restart_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap());
    let node = TestNode::start(open()).await;
    let partition = node.partition(topic_config()).await;
    let expected = append_a_thousand(&partition).await;
    check(&partition, &expected).await;
    drop(partition);
    node.stop().await;

    let node = TestNode::start(open()).await;
    let partition = node.partition(topic_config()).await;
    check(&partition, &expected).await;
    let again = BatchSpec { value_len: 100, ..BatchSpec::plain(2).from(0, 0, 2 * (BATCHES_PER_WRITER - 1)) };
    let appended = append(&partition, &again).await.unwrap();
    assert!(appended.duplicate, "producers are remembered");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_batches_survive_a_power_cut() {
    let engine = Arc::new(MemEngine::new());
    let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
    let partition = node.partition(topic_config()).await;
    let expected = append_a_thousand(&partition).await;
    drop(partition);
    node.stop().await;
    // Rows written at apply are not synced: all of them may be gone, and come again from the log.
    engine.crash();

    let node = TestNode::start(engine).await;
    let partition = node.partition(topic_config()).await;
    check(&partition, &expected).await;
    let next = append(&partition, &BatchSpec::plain(1)).await.unwrap();
    assert_eq!(next.base_offset, 2000);
    let end = partition.read(from(2001)).await.unwrap();
    assert!(end.is_empty());
    node.stop().await;
}
