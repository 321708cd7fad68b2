//! The settings that decide what applying does, and therefore travel in the log.

use bytes::{Buf, BufMut, TryGetError};

/// See [`crate::command::Command::Configure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// A segment is closed before it grows beyond this (`segment.bytes`).
    pub(crate) segment_bytes: u64,
    /// A segment is closed when its first batch is older than this (`segment.ms`).
    pub(crate) segment_ms: i64,
    /// A producer that appends nothing for this long is forgotten (`producer.id.expiration.ms`).
    pub(crate) producer_expiration_ms: i64,
    /// The most producers remembered; the least recently active go first.
    pub(crate) producers_max: u32,
}

impl Default for Settings {
    /// What holds in a log until its first Configure command: Kafka's defaults. Fixed for ever, since replicas of different
    /// versions must apply the same log alike.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            producer_expiration_ms: 86_400_000,
            producers_max: 10_000,
        }
    }
}

impl Settings {
    pub(crate) const ENCODED_LEN: usize = 28;

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_u64(self.segment_bytes);
        out.put_i64(self.segment_ms);
        out.put_i64(self.producer_expiration_ms);
        out.put_u32(self.producers_max);
    }

    pub(crate) fn decode(bytes: &mut impl Buf) -> Result<Self, TryGetError> {
        Ok(Self {
            segment_bytes: bytes.try_get_u64()?,
            segment_ms: bytes.try_get_i64()?,
            producer_expiration_ms: bytes.try_get_i64()?,
            producers_max: bytes.try_get_u32()?,
        })
    }
}
