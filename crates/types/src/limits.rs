//! Every bound of the system, in one place. Those that users may set are defaults in the configuration.

use std::time::Duration;

/// The longest topic name, in bytes (Kafka's own limit).
pub const TOPIC_NAME_MAX_LEN: usize = 249;

/// The most partitions that one topic may have.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 10_000;

/// The most elements that all arrays of one Kafka request may have together, so that a request cannot ask for much more memory than its own size.
pub const REQUEST_ELEMENTS_MAX: usize = 1_000_000;

/// The most bytes that the records of one batch may have when they are decompressed: a bound against decompression bombs.
pub const BATCH_DECOMPRESSED_MAX_BYTES: usize = 512 << 20;

/// The most bytes that one record may have when it is decompressed.
pub const RECORD_MAX_BYTES: usize = 128 << 20;

/// The most bytes of record batches that may wait for the disk on one node.
pub const LOG_WRITER_QUEUE_BYTES: usize = 64 << 20;

/// The most bytes that one synced write batch gathers before it goes to the disk.
pub const LOG_WRITER_BATCH_BYTES: usize = 8 << 20;

/// The most bytes of rows, made by applying entries, that a node holds back in memory before it writes them.
pub const WRITE_BEHIND_BYTES: usize = 8 << 20;

/// The most bytes of proposals that may wait in one Raft group.
pub const PROPOSAL_QUEUE_BYTES: usize = 16 << 20;

/// The most bytes of entries in one AppendEntries message.
pub const APPEND_ENTRIES_BYTES: usize = 1 << 20;

/// How long a follower of a partition may go without word that an entry is committed, unless the next entry takes it along. Only who reads from
/// a follower (KIP-392) sees it; Kafka's followers learn of it with their next fetch.
pub const COMMIT_WITHIN: Duration = Duration::from_millis(50);

/// By when a follower whose sync nobody waits for has synced what it is sent, in groups of three replicas and more: a leader commits with those that make a
/// majority with it. Whole milliseconds; zero makes every follower sync at once.
pub const SPARE_SYNC_WITHIN: Duration = Duration::from_millis(5);

/// When a follower that a leader commits with owes an answer for this long, the others make haste as well.
pub const FOLLOWER_LATE_AFTER: Duration = Duration::from_millis(20);

/// The batches whose sequence numbers a partition remembers for each idempotent producer (Kafka's number; clients
/// keep no more than five requests in flight).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

/// The most idempotent producers that a partition remembers; the least recently active goes first.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;

/// The newest batches whose places in the log a partition keeps in memory, for readers of the tail.
pub const PARTITION_TAIL_BATCHES: usize = 512;

/// The newest aborted transactions that a partition keeps in memory; older ones are read from its rows.
pub const PARTITION_ABORTED_REMEMBERED: usize = 256;

/// The leader epochs that a partition remembers; the oldest goes first.
pub const PARTITION_EPOCHS_MAX: usize = 10_000;

/// The partitions of one node whose logs are shortened by retention side by side.
pub const RETENTION_AT_ONCE: usize = 32;

/// The Raft logs of one node that are purged side by side.
pub const PURGES_AT_ONCE: usize = 8;

/// The orders to clean a partition's log whose times a partition remembers, to know how long tombstones were there to be seen.
pub const COMPACTION_ORDERS_REMEMBERED: usize = 64;

/// The most bytes of entries that log compaction writes anew at once.
pub const COMPACTION_CHUNK_BYTES: usize = 1 << 20;

/// The most memory in which log compaction gathers keys (`log.cleaner.dedupe.buffer.size`), over all its threads.
pub const COMPACTION_KEYS_MAX_BYTES: usize = 8 << 30;

/// The partitions of one node for which it orders log compaction side by side.
pub const COMPACTION_ORDERS_AT_ONCE: usize = 16;

/// The partitions of one node that are opened or removed side by side.
pub const PARTITION_OPENS: usize = 64;

/// The reads of partitions that may be at the disk at once on one node.
pub const PARTITION_COLD_READS: usize = 32;

/// The bytes of a partition's log that are read with one call, unless one entry has more.
pub const READ_AT_ONCE_BYTES: usize = 1 << 20;

/// The reads of partitions that go ahead of their readers at once on one node, and the most bytes of each.
pub const READ_AHEADS_MAX: usize = 8;
/// See [`READ_AHEADS_MAX`].
pub const READ_AHEAD_BYTES: usize = 1 << 20;

/// The longest metadata string that an offset commit may carry, in bytes (`offset.metadata.max.bytes`).
pub const OFFSET_METADATA_MAX_BYTES: usize = 4096;

/// The most member ids of one consumer group that were given out and that nobody has joined with yet (KIP-394).
pub const PENDING_MEMBERS_PER_GROUP_MAX: usize = 10_000;

/// The longest regular expression that a consumer may subscribe to, in bytes.
pub const TOPIC_REGEX_MAX_BYTES: usize = 4096;

/// The most bytes of commands that may wait in one coordinator shard.
pub const COORDINATOR_QUEUE_BYTES: usize = 8 << 20;

/// The bytes at which one Raft entry of a coordinator shard takes no further commands.
pub const COORDINATOR_ENTRY_BYTES: usize = 512 << 10;

/// The most committed offsets that one look for expired ones removes in a coordinator shard; the next look goes on.
pub const OFFSETS_EXPIRED_AT_ONCE: usize = 50_000;

/// The longest frame between nodes, in bytes.
pub const TRANSPORT_FRAME_BYTES: usize = 128 << 20;

/// The most partitions that one request may create, over all its topics (Kafka's own limit).
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// The longest value of a topic setting, in bytes (Kafka's own limit).
pub const CONFIG_VALUE_MAX_BYTES: usize = 32_767;

/// The most wishes that may wait for the controller on its node.
pub const CONTROLLER_QUEUE_WISHES: usize = 1024;

/// The most partitions that all fetch sessions of a node remember together.
pub const FETCH_SESSION_PARTITIONS_MAX: usize = 1_000_000;

/// The most topics whose bytes are counted by name.
pub const TOPIC_STATS_MAX: usize = 10_000;

/// The most subjects of a kind of quota whose use is measured apart; those beyond share one measure.
pub const QUOTA_SUBJECTS_MAX: usize = 10_000;

/// The most connections, refused for their address's rate, that are held open for a while before they are closed.
pub const HELD_CONNECTIONS_MAX: usize = 1_000;

/// The most partitions that one DescribeTopicPartitions answer lists (`max.request.partition.size.limit`).
pub const DESCRIBED_PARTITIONS_MAX: usize = 2_000;

/// The most clients whose metrics a node takes (KIP-714; Kafka's number); the one that was silent for longest goes first.
pub const TELEMETRY_CLIENTS_MAX: usize = 16_384;

/// The most values of metrics that are kept of one client, and the most bytes of their names and labels over all clients of a node.
pub const TELEMETRY_VALUES_PER_CLIENT_MAX: usize = 2_000;
/// See [`TELEMETRY_VALUES_PER_CLIENT_MAX`].
pub const TELEMETRY_VALUES_BYTES: usize = 32 << 20;
/// The most bytes of the name and the labels of one value of a client's metrics.
pub const TELEMETRY_VALUE_BYTES: usize = 4 << 10;
