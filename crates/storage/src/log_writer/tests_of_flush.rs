//! Appends that are complete when they are written, and synced later.

use std::sync::mpsc::{self, Receiver};

use tokio::time::timeout;

use super::*;
use crate::{ColumnFamily, MemEngine};

const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(3600);

/// What an append is told, in order.
type Heard = Receiver<(&'static str, Result<(), String>)>;

fn rig() -> (Arc<MemEngine>, LogWriter) {
    let engine = Arc::new(MemEngine::new());
    let writer = LogWriter::start(Arc::clone(&engine) as Arc<dyn Engine>);
    (engine, writer)
}

fn row(number: u8) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(ColumnFamily::Log, vec![number], "value");
    batch
}

async fn append(writer: &LogWriter, number: u8, within: Duration) -> Heard {
    let (sender, heard) = mpsc::channel();
    let tell = |what| -> Completion {
        let sender = sender.clone();
        Box::new(move |result| sender.send((what, result.map_err(|error| error.to_string()))).unwrap())
    };
    timeout(DEADLINE, writer.append_relaxed(row(number), within, tell("written"), tell("synced")))
        .await
        .unwrap()
        .unwrap();
    heard
}

fn next(heard: &Heard) -> (&'static str, Result<(), String>) {
    heard.recv_timeout(DEADLINE).unwrap()
}

fn is_synced(engine: &MemEngine, number: u8) -> bool {
    engine.get_synced(ColumnFamily::Log, &[number]).is_some()
}

#[tokio::test]
async fn it_is_complete_before_it_is_synced() {
    let (engine, writer) = rig();
    for number in 0..5 {
        let heard = append(&writer, number, LONG).await;
        assert_eq!(next(&heard), ("written", Ok(())));
        assert!(engine.get(ColumnFamily::Log, &[number]).unwrap().is_some() && !is_synced(&engine, number));
        assert!(heard.try_recv().is_err());
    }
    assert_eq!((writer.stats().syncs, writer.stats().appends), (0, 5));
}

#[tokio::test]
async fn it_is_synced_when_its_time_has_come() {
    let (engine, writer) = rig();
    let patient = append(&writer, 1, LONG).await;
    let hasty = append(&writer, 2, Duration::from_millis(30)).await;
    for heard in [patient, hasty] {
        assert_eq!(next(&heard), ("written", Ok(())));
        assert_eq!(next(&heard), ("synced", Ok(())), "one sync serves all");
    }
    assert!(is_synced(&engine, 1) && is_synced(&engine, 2));
    assert_eq!(writer.stats().syncs, 1);
}

#[tokio::test]
async fn what_has_to_be_synced_is_before_it_is_complete_and_takes_the_others_along() {
    let (engine, writer) = rig();
    let mut all = Vec::new();
    for round in 0..20 {
        all.push(append(&writer, 2 * round, LONG).await);
        timeout(DEADLINE, writer.write(row(2 * round + 1))).await.unwrap().unwrap();
        assert!(is_synced(&engine, 2 * round) && is_synced(&engine, 2 * round + 1));
    }
    assert_eq!(writer.stats().syncs, 20);
    for heard in all {
        assert_eq!((next(&heard), next(&heard)), (("written", Ok(())), ("synced", Ok(()))));
    }
}

#[tokio::test]
async fn a_farewell_syncs_what_is_left() {
    let (engine, writer) = rig();
    let heard = append(&writer, 1, LONG).await;
    timeout(DEADLINE, writer.close()).await.unwrap();
    assert!(is_synced(&engine, 1));
    assert_eq!((next(&heard), next(&heard)), (("written", Ok(())), ("synced", Ok(()))));
}

#[tokio::test]
async fn a_sync_that_fails_turns_the_store_read_only() {
    let (engine, writer) = rig();
    let heard = append(&writer, 1, Duration::from_millis(200)).await;
    assert_eq!(next(&heard), ("written", Ok(())));
    engine.fail_writes(Some("broken".to_owned()));
    let mut state = writer.state();
    timeout(DEADLINE, state.wait_for(|state| *state != StoreState::Writable)).await.unwrap().unwrap();
    assert!(matches!(next(&heard), ("synced", Err(reason)) if reason.contains("broken")));
    assert!(writer.write(row(2)).await.is_err());
}

#[tokio::test]
async fn a_closed_writer_answers_both_ways() {
    let (_, writer) = rig();
    timeout(DEADLINE, writer.close()).await.unwrap();
    let (sender, heard) = mpsc::channel();
    let second = sender.clone();
    let refused = writer
        .append_relaxed(
            row(1),
            LONG,
            Box::new(move |_| sender.send(1).unwrap()),
            Box::new(move |_| second.send(2).unwrap()),
        )
        .await;
    assert!(refused.is_err());
    let mut both: Vec<_> = heard.iter().collect();
    both.sort_unstable();
    assert_eq!(both, [1, 2]);
}
