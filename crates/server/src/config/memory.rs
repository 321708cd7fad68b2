//! How `memory.limit` is divided.

use caudal_types::limits::COMPACTION_KEYS_MAX_BYTES;

use super::{ConfigError, Settings};

/// What each consumer of memory may take. Their sum leaves room for what has no bound of its own: connections, replicas, the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Entries that wait for a file, in each of up to [`MEMTABLES`] tables.
    pub log_memtable: usize,
    /// The newest entries of all Raft groups.
    pub log_cache: usize,
    /// Blocks of the storage engine.
    pub block_cache: usize,
    /// Requests that are being served.
    pub requests: usize,
    /// Answers to Fetch that are not written yet.
    pub answers: usize,
    /// The keys of a log that is being compacted.
    pub compaction_keys: usize,
}

/// How many log memtables there may be at once.
const MEMTABLES: usize = 4;

impl Memory {
    /// Divides `memory.limit`; a part that is set by itself has what it was given.
    ///
    /// # Errors
    /// When the parts do not fit into the limit.
    pub fn divide(settings: &Settings) -> Result<Self, ConfigError> {
        let limit = settings.memory_limit;
        let memory = Self {
            log_memtable: settings.storage_log_memtable_bytes.unwrap_or(limit / 8 / MEMTABLES),
            log_cache: settings.raft_log_cache_bytes.unwrap_or(limit / 8),
            block_cache: settings.storage_block_cache_bytes.unwrap_or(limit / 32),
            // The largest request must fit in.
            requests: settings.queued_max_request_bytes.unwrap_or((limit / 8).max(settings.socket_request_max_bytes)),
            answers: settings.queued_max_response_bytes.unwrap_or(limit / 8),
            compaction_keys: settings.log_cleaner_dedupe_buffer_size.unwrap_or(limit / 8),
        };
        if memory.sum() > limit - limit / 4 {
            return Err(ConfigError::Conflict(format!(
                "memory.limit = {limit} leaves less than a quarter beside its parts: 4 x storage.log.memtable.bytes = {}, raft.log.cache.bytes = {}, \
                 storage.block.cache.bytes = {}, queued.max.request.bytes = {} (at least socket.request.max.bytes), queued.max.response.bytes = {}, \
                 log.cleaner.dedupe.buffer.size = {}; \
                 raise the limit or lower a part",
                memory.log_memtable.saturating_mul(MEMTABLES),
                memory.log_cache,
                memory.block_cache,
                memory.requests,
                memory.answers,
                memory.compaction_keys,
            )));
        }
        Ok(memory)
    }

    /// The most that the keys of a log that is compacted may take beside all the others.
    pub fn compaction_keys_max(&self, limit: usize) -> usize {
        (limit - limit / 4).saturating_sub(self.sum() - self.compaction_keys).min(COMPACTION_KEYS_MAX_BYTES)
    }

    fn sum(&self) -> usize {
        let parts = [self.log_cache, self.block_cache, self.requests, self.answers, self.compaction_keys];
        parts.iter().fold(self.log_memtable.saturating_mul(MEMTABLES), |sum, part| sum.saturating_add(*part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config};

    fn load(flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        config::load(flags, &[])
    }

    #[test]
    fn the_parts_grow_with_the_limit() {
        const MIB: usize = 1 << 20;
        let small = load(&[]).unwrap().memory;
        let parts = (small.log_memtable, small.log_cache, small.block_cache, small.requests, small.answers);
        assert_eq!(parts, (32 * MIB, 128 * MIB, 32 * MIB, 128 * MIB, 128 * MIB));
        let most = small.compaction_keys_max(1 << 30);
        assert_eq!(small.sum() - small.compaction_keys + most, 768 * MIB);
        let large = load(&[("memory.limit", "8589934592")]).unwrap().memory;
        assert_eq!(large.sum(), 8 * small.sum());
    }

    #[test]
    fn a_part_can_be_set_by_itself_but_all_must_fit() {
        assert_eq!(load(&[("raft.log.cache.bytes", "1048576")]).unwrap().memory.log_cache, 1 << 20);
        let refused = load(&[("raft.log.cache.bytes", "1073741824")]).unwrap_err().to_string();
        assert!(refused.contains("raise the limit or lower a part"), "{refused}");
        let refused = load(&[("memory.limit", "268435456")]).unwrap_err().to_string();
        assert!(refused.contains("socket.request.max.bytes"), "{refused}");
        load(&[("memory.limit", "268435456"), ("socket.request.max.bytes", "33554432")]).unwrap();
    }
}
