//! The kinds of anomalies, what they mean, and which are allowed.

use serde::{Deserialize, Serialize};

macro_rules! anomalies {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $meaning:literal;)*) => {
        /// A kind of anomaly. The names are those of `jepsen.tests.kafka` where it has the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Anomaly {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        impl Anomaly {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

anomalies! {
    Duplicate = "duplicate", "A record lies at more than one offset.";
    InconsistentOffsets = "inconsistent-offsets", "An offset holds two records, by what was acknowledged or read.";
    LostWrite = "lost-write", "A record that was written lies before one that was read, and nobody ever read it.";
    Unseen = "unseen", "A record was acknowledged, and nobody had read it by the end of the final drain.";
    LogTruncated = "log-truncated", "After all faults, a partition ends at or before an offset that was acknowledged or read.";
    TornTransaction = "torn-transaction", "Of a transaction in doubt some records were read, and others not by the end of the final drain.";
    GarbageRead = "garbage-read", "A record was read that nobody had sent to that partition by then.";
    G1a = "G1a", "A record was read whose send, or whose transaction, had failed.";
    PrecommittedRead = "precommitted-read", "A transaction read what it wrote itself, before it was committed.";
    NonmonotonicSend = "nonmonotonic-send", "A process sent one record after the other, and the later one lies before the earlier.";
    IntNonmonotonicSend = "int-nonmonotonic-send", "Within one operation, the later of two records lies before the earlier.";
    IntSendSkip = "int-send-skip", "Within one operation, records of others lie between two that were sent one after the other.";
    PollSkip = "poll-skip", "A process went on reading behind records that it had not read.";
    NonmonotonicPoll = "nonmonotonic-poll", "A process went on reading at or before where it had been.";
    IntPollSkip = "int-poll-skip", "Within one operation, a process read on behind records that it had not read.";
    IntNonmonotonicPoll = "int-nonmonotonic-poll", "Within one operation, a process read on at or before where it had been.";
    G0 = "G0", "Transactions wrote in a circle, each before the next.";
    G1c = "G1c", "Transactions read in a circle, each what the one before had written.";
    G1cWw = "G1c-ww", "A circle of transactions that read and overwrote each other.";
    G1cRealtime = "G1c-realtime", "A circle of transactions that read from each other or began after another had ended.";
    SendOrder = "send-order", "Of two sends of one process, acknowledged one after the other, the later was given no higher offset.";
    ReadOrder = "read-order", "In the log, the records of one process do not lie in the order in which it sent them.";
    StaleCommitted = "stale-committed", "A committed offset was read, and later an older one, which nobody had committed again.";
    LostCommitted = "lost-committed", "A commit was acknowledged, and later an older offset was read, which nobody had committed again.";
    GarbageCommitted = "garbage-committed", "A committed offset was read that nobody had committed by then.";
    CommitAhead = "commit-ahead", "A group committed an offset behind a record that none of its members had read.";
    OffsetChanged = "offset-changed", "An offset of a cleaned log held one record, and later another.";
    StartFell = "start-fell", "A log began at an offset, and later at an earlier one.";
    KeptLost = "kept-lost", "An acknowledged record at or behind the start of the log was not there.";
    CameBack = "came-back", "A record was there again that lies before an earlier start of the log.";
    LostKey = "lost-key", "In a compacted log neither the newest acknowledged record of a key is there nor a newer one.";
    Resurrected = "resurrected", "In a compacted log an older record of a key stays, whose newer one is gone after a tombstone.";
    Unavailable = "unavailable", "Clients sent and nothing was acknowledged for longer than the bound, though a majority of nodes was not hindered.";
    NonlinearizableConfig = "nonlinearizable-config", "No order of the reads and writes of a topic's setting explains what was answered.";
    NonlinearizableTopics = "nonlinearizable-topics", "No order of the creations, growths, deletions and listings of a topic explains what was answered.";
}
