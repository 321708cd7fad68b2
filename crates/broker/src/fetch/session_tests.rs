use bytes::Bytes;
use caudal_types::clock::ManualClock;

use super::*;
use crate::cluster::TopicRef;

fn key(partition: i32) -> PartitionKey {
    PartitionKey { topic: TopicRef::Name("purchases".into()), partition }
}

fn wanted(offset: Offset) -> Wanted {
    Wanted { offset, max_bytes: 1000, current_leader_epoch: -1, last_fetched_epoch: -1 }
}

fn request(session_id: i32, epoch: i32, partitions: &[i32], forgotten: &[i32]) -> SessionRequest {
    SessionRequest {
        session_id,
        epoch,
        by_id: false,
        partitions: partitions.iter().map(|p| (key(*p), wanted(7))).collect(),
        forgotten: forgotten.iter().map(|p| key(*p)).collect(),
    }
}

fn fetched(partition: i32, high_watermark: Offset, records: usize) -> Fetched {
    Fetched {
        high_watermark,
        last_stable: high_watermark,
        log_start: 0,
        error: ErrorCode::NONE,
        records: vec![Bytes::from(vec![0; records])],
        ..Fetched::failed(key(partition), ErrorCode::NONE)
    }
}

fn sessions(max: usize) -> (FetchSessions, ManualClock) {
    let clock = ManualClock::new(1_000_000);
    (FetchSessions::new(max, Arc::new(clock.clone())), clock)
}

/// Opens a session over `partitions`, all at high watermark 10.
fn open(sessions: &FetchSessions, partitions: &[i32]) -> i32 {
    let (context, wanted) = sessions.begin(request(0, 0, partitions, &[])).unwrap();
    let parts = partitions.iter().map(|p| fetched(*p, 10, 0)).collect();
    let (id, answered) = sessions.finish(context, parts, &wanted).unwrap();
    assert_eq!(answered.len(), partitions.len(), "the first answer tells of every partition");
    id
}

fn order(wanted: &[(PartitionKey, Wanted)]) -> Vec<i32> {
    wanted.iter().map(|(key, _)| key.partition).collect()
}

#[test]
fn an_incremental_answer_has_only_partitions_with_news() {
    let (sessions, _) = sessions(10);
    let id = open(&sessions, &[0, 1, 2, 3]);
    let (context, all) = sessions.begin(request(id, 1, &[], &[])).unwrap();
    assert_eq!(order(&all), [0, 1, 2, 3]);
    let parts = vec![
        fetched(0, 10, 0),
        fetched(1, 10, 5),
        fetched(2, 11, 0),
        Fetched::failed(key(3), ErrorCode::NOT_LEADER_OR_FOLLOWER),
    ];
    let (answered_id, answered) = sessions.finish(context, parts, &all).unwrap();
    assert_eq!(answered_id, id);
    assert_eq!(answered.iter().map(|f| f.key.partition).collect::<Vec<_>>(), [1, 2, 3]);

    // The partition with records goes to the end, and the one that had an error is told of again when it recovers.
    let (context, all) = sessions.begin(request(id, 2, &[], &[])).unwrap();
    assert_eq!(order(&all), [0, 2, 3, 1]);
    let parts = vec![fetched(0, 10, 0), fetched(2, 11, 0), fetched(3, 10, 0), fetched(1, 10, 0)];
    let (_, answered) = sessions.finish(context, parts, &all).unwrap();
    assert_eq!(answered.iter().map(|f| f.key.partition).collect::<Vec<_>>(), [3]);
}

#[test]
fn requests_add_change_and_forget_partitions() {
    let (sessions, _) = sessions(10);
    let id = open(&sessions, &[0, 1]);
    let mut change = request(id, 1, &[1, 5], &[0]);
    change.partitions[0].1 = wanted(99);
    let (_, all) = sessions.begin(change).unwrap();
    assert_eq!(all, [(key(1), wanted(99)), (key(5), wanted(7))]);
    assert_eq!(sessions.cache.lock().partitions, 2);
}

#[test]
fn epochs_and_kinds_are_checked() {
    let (sessions, _) = sessions(10);
    let id = open(&sessions, &[0]);
    let error = |request| sessions.begin(request).unwrap_err();
    assert_eq!(error(request(id + 1, 1, &[], &[])), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(error(request(id, 2, &[], &[])), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let by_id = SessionRequest { by_id: true, ..request(id, 1, &[], &[]) };
    assert_eq!(error(by_id), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    assert!(sessions.begin(request(id, 1, &[], &[])).is_ok());
    assert_eq!(error(request(id, 1, &[], &[])), ErrorCode::INVALID_FETCH_SESSION_EPOCH, "the epoch was used");
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn two_requests_at_once_do_not_mix() {
    let (sessions, _) = sessions(10);
    let id = open(&sessions, &[0]);
    let (slow, all) = sessions.begin(request(id, 1, &[], &[])).unwrap();
    let (fast, _) = sessions.begin(request(id, 2, &[], &[])).unwrap();
    assert!(sessions.finish(fast, vec![fetched(0, 10, 0)], &all).is_ok());
    let error = sessions.finish(slow, vec![fetched(0, 10, 0)], &all).unwrap_err();
    assert_eq!(error, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
}

#[test]
fn a_session_ends_when_told_or_empty() {
    let (sessions, _) = sessions(10);
    let id = open(&sessions, &[0]);
    let (context, _) = sessions.begin(request(id, -1, &[0], &[])).unwrap();
    assert!(matches!(context, Context::Sessionless));
    assert_eq!(sessions.begin(request(id, 1, &[], &[])).unwrap_err(), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);

    let id = open(&sessions, &[0]);
    let (context, all) = sessions.begin(request(id, 1, &[], &[0])).unwrap();
    assert!(matches!(context, Context::Sessionless) && all.is_empty());
    assert_eq!(sessions.cache.lock().sessions.len(), 0);
    assert_eq!(sessions.cache.lock().partitions, 0);
}

#[test]
fn the_cache_keeps_what_is_used_and_declines_the_rest() {
    let (sessions, clock) = sessions(2);
    let (first, second) = (open(&sessions, &[0]), open(&sessions, &[0, 1]));
    assert_eq!(open(&sessions, &[0, 1, 2]), NO_SESSION, "both are young");

    // Old but in use: the smaller one makes room for a larger one, and not for a smaller one.
    clock.advance(EVICTION_MS);
    for id in [first, second] {
        sessions.begin(request(id, 1, &[], &[])).unwrap();
    }
    clock.advance(1);
    assert_eq!(open(&sessions, &[7]), NO_SESSION, "as large as the first");
    assert_ne!(open(&sessions, &[0, 1, 2]), NO_SESSION);
    assert_eq!(sessions.begin(request(first, 2, &[], &[])).unwrap_err(), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(open(&sessions, &[0]), NO_SESSION);

    // Unused for long: makes room for any.
    clock.advance(EVICTION_MS + 1);
    assert_ne!(open(&sessions, &[0]), NO_SESSION);
    assert_eq!(sessions.cache.lock().sessions.len(), 2);
}

#[test]
fn the_partitions_of_all_sessions_are_bounded() {
    let (mut sessions, _) = sessions(10);
    sessions.max_partitions = 3;
    assert_eq!(open(&sessions, &[0, 1, 2, 3]), NO_SESSION);
    let id = open(&sessions, &[0, 1]);
    assert_ne!(id, NO_SESSION);
    assert_eq!(open(&sessions, &[0, 1]), NO_SESSION);
    let (context, all) = sessions.begin(request(id, 1, &[2, 3], &[])).unwrap();
    assert!(matches!(context, Context::Sessionless), "it outgrew the cache");
    assert_eq!(order(&all), [0, 1, 2, 3], "and is answered whole once more");
    assert_eq!(sessions.cache.lock().partitions, 0);
}
