//! Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, so that requests name only what changes, and answers only partitions with news.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use caudal_protocol::ErrorCode;
use caudal_types::limits::FETCH_SESSION_PARTITIONS_MAX;
use caudal_types::{Clock, Offset, TimestampMs};
use parking_lot::Mutex;

use super::{Fetched, PartitionKey, Wanted};

/// "No session" on the wire.
pub(crate) const NO_SESSION: i32 = 0;
/// The epoch of a request that wants a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none.
const FINAL_EPOCH: i32 = -1;
/// How long a session may lie unused before it makes room for any other, and how old it must be to make room for a larger one.
const EVICTION_MS: i64 = 120_000;

/// The part of a Fetch request that sessions are about.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequest {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    /// Topics are named by id (version 13 on).
    pub(crate) by_id: bool,
    pub(crate) partitions: Vec<(PartitionKey, Wanted)>,
    pub(crate) forgotten: Vec<PartitionKey>,
}

/// How a Fetch goes on after its session was looked at.
#[derive(Debug)]
pub(crate) enum Context {
    /// Without a session.
    Sessionless,
    /// A session shall be made of it.
    Create { by_id: bool },
    /// Within a session.
    Continue { session: Arc<Mutex<Session>>, epoch: i32 },
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct Session {
    id: i32,
    /// The epoch that the next request must carry.
    epoch: i32,
    by_id: bool,
    /// The partitions in the order in which they are read. Those that were answered go to the end, so that none starves.
    order: BTreeMap<u64, PartitionKey>,
    partitions: HashMap<PartitionKey, Cached>,
    next_place: u64,
}

#[derive(Debug)]
struct Cached {
    place: u64,
    wanted: Wanted,
    high_watermark: Offset,
    log_start: Offset,
}

impl Session {
    fn new(id: i32, by_id: bool) -> Self {
        Self {
            id,
            epoch: next_epoch(INITIAL_EPOCH),
            by_id,
            order: BTreeMap::new(),
            partitions: HashMap::new(),
            next_place: 0,
        }
    }

    fn update(&mut self, partitions: Vec<(PartitionKey, Wanted)>, forgotten: &[PartitionKey]) {
        for (key, wanted) in partitions {
            match self.partitions.get_mut(&key) {
                Some(cached) => cached.wanted = wanted,
                None => self.insert(key, wanted, -1, -1),
            }
        }
        for key in forgotten {
            if let Some(cached) = self.partitions.remove(key) {
                self.order.remove(&cached.place);
            }
        }
    }

    fn insert(&mut self, key: PartitionKey, wanted: Wanted, high_watermark: Offset, log_start: Offset) {
        if self.partitions.contains_key(&key) {
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.order.insert(place, key.clone());
        self.partitions.insert(key, Cached { place, wanted, high_watermark, log_start });
    }

    fn wanted(&self) -> Vec<(PartitionKey, Wanted)> {
        let wanted = |key: &PartitionKey| self.partitions.get(key).map(|cached| (key.clone(), cached.wanted));
        self.order.values().filter_map(wanted).collect()
    }

    /// Whether the client must hear of `fetched`; remembers what it hears.
    fn is_news(&mut self, fetched: &Fetched) -> bool {
        let Some(cached) = self.partitions.get_mut(&fetched.key) else { return false };
        let has_records = fetched.records_len() > 0;
        let news = has_records
            || fetched.error.is_error()
            || fetched.diverging.is_some()
            || fetched.nearer.is_some()
            || cached.high_watermark != fetched.high_watermark
            || cached.log_start != fetched.log_start;
        // After an error the partition is answered once more when the error has gone.
        cached.high_watermark = if fetched.error.is_error() { -1 } else { fetched.high_watermark };
        cached.log_start = fetched.log_start;
        if has_records {
            self.order.remove(&cached.place);
            cached.place = self.next_place;
            self.next_place += 1;
            self.order.insert(cached.place, fetched.key.clone());
        }
        news
    }
}

fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        ..INITIAL_EPOCH => FINAL_EPOCH,
        i32::MAX => INITIAL_EPOCH + 1,
        _ => epoch + 1,
    }
}

/// All sessions of this node: a bounded cache.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    max_sessions: usize,
    max_partitions: usize,
    clock: Arc<dyn Clock>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Entry>,
    /// Over all sessions.
    partitions: usize,
    last_id: i32,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Mutex<Session>>,
    size: usize,
    created: TimestampMs,
    last_used: TimestampMs,
}

impl FetchSessions {
    pub(crate) fn new(max_sessions: usize, clock: Arc<dyn Clock>) -> Self {
        // The first id differs from start to start, so that sessions from before a restart are not found.
        let last_id = i32::try_from(clock.now_ms() & i64::from(i32::MAX)).unwrap_or_default();
        let cache = Mutex::new(Cache { last_id, ..Cache::default() });
        Self { max_sessions, max_partitions: FETCH_SESSION_PARTITIONS_MAX, clock, cache }
    }

    /// Finds out what a request is to fetch.
    ///
    /// # Errors
    /// The code that the whole request is answered with.
    pub(crate) fn begin(&self, request: SessionRequest) -> Result<(Context, Vec<(PartitionKey, Wanted)>), ErrorCode> {
        let mut cache = self.cache.lock();
        if matches!(request.epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            cache.remove(request.session_id);
            let create = request.epoch == INITIAL_EPOCH;
            let context = if create { Context::Create { by_id: request.by_id } } else { Context::Sessionless };
            return Ok((context, request.partitions));
        }
        let entry = cache.sessions.get_mut(&request.session_id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let shared = Arc::clone(&entry.session);
        let mut session = shared.lock();
        if session.epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_id != request.by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.update(request.partitions, &request.forgotten);
        session.epoch = next_epoch(session.epoch);
        entry.last_used = self.clock.now_ms();
        let (before, size) = (entry.size, session.partitions.len());
        entry.size = size;
        cache.partitions = cache.partitions - before + size;
        let (wanted, epoch) = (session.wanted(), session.epoch);
        drop(session);
        // A session that has outgrown the cache, or fetches nothing, ends; the client makes a new one when it needs it.
        if size == 0 || cache.partitions > self.max_partitions {
            cache.remove(request.session_id);
            return Ok((Context::Sessionless, wanted));
        }
        Ok((Context::Continue { session: shared, epoch }, wanted))
    }

    /// The session's id, for an answer without any partition; what was found is told another time.
    ///
    /// # Errors
    /// As of [`finish`](Self::finish).
    pub(crate) fn finish_empty(&self, context: &Context) -> Result<i32, ErrorCode> {
        match context {
            // A session that is only wished for is not made: the client knows of it by the answer that names its partitions.
            Context::Sessionless | Context::Create { .. } => Ok(NO_SESSION),
            Context::Continue { session, epoch } => {
                let session = session.lock();
                if session.epoch == *epoch { Ok(session.id) } else { Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH) }
            }
        }
    }

    /// Finds out what is to be answered: the session's id, and the partitions with news.
    ///
    /// # Errors
    /// The code that the whole request is answered with.
    pub(crate) fn finish(
        &self,
        context: Context,
        fetched: Vec<Fetched>,
        wanted: &[(PartitionKey, Wanted)],
    ) -> Result<(i32, Vec<Fetched>), ErrorCode> {
        match context {
            Context::Sessionless => Ok((NO_SESSION, fetched)),
            Context::Create { by_id } => Ok((self.create(by_id, &fetched, wanted), fetched)),
            Context::Continue { session, epoch } => {
                let mut session = session.lock();
                if session.epoch != epoch {
                    // The same session is used by two requests at once.
                    return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
                }
                let news = fetched.into_iter().filter(|fetched| session.is_news(fetched)).collect();
                Ok((session.id, news))
            }
        }
    }

    fn create(&self, by_id: bool, fetched: &[Fetched], wanted: &[(PartitionKey, Wanted)]) -> i32 {
        let now = self.clock.now_ms();
        let mut cache = self.cache.lock();
        if wanted.is_empty() || !cache.make_room(self.max_sessions, self.max_partitions, wanted.len(), now) {
            return NO_SESSION;
        }
        let id = cache.next_id();
        let mut session = Session::new(id, by_id);
        let wanted: HashMap<_, _> = wanted.iter().map(|(key, wanted)| (key, *wanted)).collect();
        for part in fetched {
            let Some(wanted) = wanted.get(&part.key) else { continue };
            let high_watermark = if part.error.is_error() { -1 } else { part.high_watermark };
            session.insert(part.key.clone(), *wanted, high_watermark, part.log_start);
        }
        let size = session.partitions.len();
        let entry = Entry { session: Arc::new(Mutex::new(session)), size, created: now, last_used: now };
        cache.partitions += size;
        cache.sessions.insert(id, entry);
        id
    }
}

impl Cache {
    fn remove(&mut self, id: i32) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.partitions -= entry.size;
        }
    }

    fn next_id(&mut self) -> i32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1).max(1);
            if !self.sessions.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Makes room for a session of `size` partitions, at the cost of one that is stale, or else of an old one that is smaller. Of equal ones the
    /// first stays, or clients that are too many would take the place from each other all the time.
    fn make_room(&mut self, max_sessions: usize, max_partitions: usize, size: usize, now: TimestampMs) -> bool {
        if max_sessions == 0 || size > max_partitions {
            return false;
        }
        let has_room = |cache: &Self| cache.sessions.len() < max_sessions && cache.partitions + size <= max_partitions;
        while !has_room(self) {
            let stalest = self.sessions.iter().min_by_key(|(_, entry)| entry.last_used);
            let stale = stalest.filter(|(_, entry)| now - entry.last_used > EVICTION_MS).map(|(id, _)| *id);
            let old = self.sessions.iter().filter(|(_, entry)| now - entry.created > EVICTION_MS);
            let smallest = old.min_by_key(|(_, entry)| entry.size).filter(|(_, entry)| entry.size < size);
            let Some(id) = stale.or(smallest.map(|(id, _)| *id)) else { return false };
            self.remove(id);
        }
        true
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
