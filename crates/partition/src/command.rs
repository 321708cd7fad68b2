//! The commands in a partition's Raft log.
//!
//! Layout, big-endian: version (u8), kind (u8), flags (u16), leader's clock in milliseconds (i64); then, by kind:
//! - append: one record batch, as the producer sent it
//! - append to a transaction: number (u64), version (u8), transactional id (length u16, text), one record batch
//! - end a transaction: number (u64), coordinator epoch (i32), commit (u8), the control batch, which has producer and epoch
//! - advance log start: offset (i64)
//! - compact: up to which offset (i64), tombstones before which offset (i64)
//! - configure: segment bytes (u64), segment ms (i64), producer expiration ms (i64), producers (u32)
//!
//! Flag 1 says that an append was cleaned (see [`Logged`]): behind its batch stand the bytes that the command had (u32), and the batch's largest
//! timestamp then (i64). All other flags are zero.
//!
//! Persisted and replicated: keep stable, and add versions instead of changing one.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use caudal_protocol::batch::{BATCH_HEADER_LEN, RecordBatch};
use caudal_types::{Offset, TimestampMs};

use crate::state::Settings;
use crate::state::orders::Order;
use crate::transaction::{EndMarker, Enlistment};

/// The length of what stands before a command's own bytes.
const HEADER_LEN: usize = 12;

/// The length of what stands behind a cleaned batch.
const TRAILER_LEN: usize = 12;

const VERSION: u8 = 1;
const CLEANED: u16 = 1;
const APPEND: u8 = 1;
const ADVANCE_LOG_START: u8 = 2;
const CONFIGURE: u8 = 3;
const APPEND_TO_TRANSACTION: u8 = 4;
const END_TRANSACTION: u8 = 5;
const COMPACT: u8 = 6;

/// What a Raft entry of a partition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Append a batch, if its producer's sequence allows.
    Append(RecordBatch),
    /// Append a batch of a transaction, if that is open and the producer's sequence allows.
    AppendToTransaction(Enlistment, RecordBatch),
    /// End a producer's transaction, if it has not ended, with a control batch.
    EndTransaction(EndMarker, RecordBatch),
    /// Forget what lies before an offset (retention, DeleteRecords).
    AdvanceLogStart(Offset),
    /// Apply later entries by these settings. They decide what applying does, so they must come from the log itself: a node's own
    /// configuration may differ from its peers'.
    Configure(Settings),
    /// Clean what lies before an offset (log compaction). What it takes with it no replica decides by itself, so that all end with the same records.
    Compact(Order),
}

/// A command and the clock of the leader that proposed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamped {
    /// The leader's clock. Concurrent appends may swap places on their way into the log, so whoever applies takes the running maximum.
    pub(crate) time: TimestampMs,
    /// The command.
    pub(crate) command: Command,
}

/// What applying an append still has to know of the batch that was there before log compaction took records out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Original {
    /// The bytes of the command: by these the log was cut into segments.
    pub(crate) bytes: u32,
    /// The batch's largest timestamp.
    pub(crate) max_timestamp: TimestampMs,
}

/// A command as it lies in the log: as it was proposed, or an append whose batch lacks records that were cleaned away. Applied again, by a replica that
/// starts anew or that is new, either does the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) stamped: Stamped,
    /// `None` as long as nothing was cleaned away.
    pub(crate) original: Option<Original>,
    /// Where the batch begins in the entry, if the command has one.
    pub(crate) position: usize,
}

impl Logged {
    /// Reads an entry; a batch stays a slice of `payload`.
    pub(crate) fn decode(payload: &Bytes) -> Result<Self, String> {
        let (flags, original) = (payload.get(2..4), payload.len().checked_sub(TRAILER_LEN));
        let (command, original) = match (flags, original) {
            (Some(flags), Some(end)) if flags == CLEANED.to_be_bytes() && end >= HEADER_LEN => {
                let mut trailer = &payload[end..];
                let bytes = get(trailer.try_get_u32())?;
                let max_timestamp = get(trailer.try_get_i64())?;
                (payload.slice(..end), Some(Original { bytes, max_timestamp }))
            }
            _ => (payload.clone(), None),
        };
        let stamped = Stamped::decode_flagged(&command, if original.is_some() { CLEANED } else { 0 })?;
        if original.is_some() && stamped.command.appended().is_none() {
            return Err("only an append can be cleaned".to_owned());
        }
        let len = stamped.command.batch().map_or(command.len(), |batch| batch.bytes().len());
        Ok(Self { stamped, original, position: command.len() - len })
    }

    /// What to put in place of the entry `payload`, which holds this, when `batch` is left of its batch.
    pub(crate) fn cleaned(&self, payload: &Bytes, batch: &RecordBatch) -> Option<Bytes> {
        let before = self.stamped.command.appended()?;
        let original = match self.original {
            Some(original) => original,
            None => Original { bytes: u32::try_from(payload.len()).ok()?, max_timestamp: before.max_timestamp() },
        };
        let mut out = BytesMut::with_capacity(self.position + batch.bytes().len() + TRAILER_LEN);
        out.put_slice(&payload[..self.position]);
        out[2..4].copy_from_slice(&CLEANED.to_be_bytes());
        out.put_slice(batch.bytes());
        out.put_u32(original.bytes);
        out.put_i64(original.max_timestamp);
        Some(out.freeze())
    }
}

/// How many records an entry's command appends; nothing when it does something else. That is synced before it is acknowledged, whatever the topic says: the
/// coordinator forgets a transaction when all its partitions have its end, and nobody would end it again.
pub(crate) fn record_count(payload: &Bytes) -> Option<u64> {
    let logged = Logged::decode(payload).ok()?;
    u64::try_from(logged.stamped.command.appended()?.record_count()).ok()
}

impl Command {
    /// The batch of records, if it is an append.
    pub(crate) fn appended(&self) -> Option<&RecordBatch> {
        match self {
            Self::Append(batch) | Self::AppendToTransaction(_, batch) => Some(batch),
            Self::EndTransaction(..) | Self::AdvanceLogStart(_) | Self::Configure(_) | Self::Compact(_) => None,
        }
    }

    /// The marker, if it ends a transaction.
    pub(crate) fn marker(&self) -> Option<&EndMarker> {
        match self {
            Self::EndTransaction(marker, _) => Some(marker),
            _ => None,
        }
    }

    /// Its batch, of records or of control.
    pub(crate) fn batch(&self) -> Option<&RecordBatch> {
        match self {
            Self::EndTransaction(_, batch) => Some(batch),
            other => other.appended(),
        }
    }
}

impl Stamped {
    pub(crate) fn encode(&self) -> Bytes {
        match &self.command {
            Command::Append(batch) => {
                let mut out = header(APPEND, self.time, batch.bytes().len());
                out.put_slice(batch.bytes());
                out.freeze()
            }
            Command::AppendToTransaction(enlistment, batch) => {
                let body = enlistment.encoded_len() + batch.bytes().len();
                let mut out = header(APPEND_TO_TRANSACTION, self.time, body);
                enlistment.encode(&mut out);
                out.put_slice(batch.bytes());
                out.freeze()
            }
            Command::EndTransaction(marker, batch) => {
                let mut out = header(END_TRANSACTION, self.time, 13 + batch.bytes().len());
                out.put_u64(marker.number);
                out.put_i32(marker.coordinator_epoch);
                out.put_u8(u8::from(marker.commit));
                out.put_slice(batch.bytes());
                out.freeze()
            }
            Command::AdvanceLogStart(offset) => {
                let mut out = header(ADVANCE_LOG_START, self.time, 8);
                out.put_i64(*offset);
                out.freeze()
            }
            Command::Configure(settings) => {
                let mut out = header(CONFIGURE, self.time, Settings::ENCODED_LEN);
                settings.encode(&mut out);
                out.freeze()
            }
            Command::Compact(order) => {
                let mut out = header(COMPACT, self.time, 16);
                out.put_i64(order.upto);
                out.put_i64(order.tombstones_before);
                out.freeze()
            }
        }
    }

    /// Reads a command that has these flags; a batch stays a slice of `payload`.
    fn decode_flagged(payload: &Bytes, known: u16) -> Result<Self, String> {
        let mut head = payload.as_ref();
        let version = get(head.try_get_u8())?;
        if version != VERSION {
            return Err(format!("version {version} of the format is newer than this program; update it"));
        }
        let kind = get(head.try_get_u8())?;
        let flags = get(head.try_get_u16())?;
        if flags != known {
            return Err(format!("flags {flags:#06x} are not known; update this program"));
        }
        let time = get(head.try_get_i64())?;
        let command = match kind {
            APPEND => Command::Append(batch(payload, head)?),
            APPEND_TO_TRANSACTION => {
                let enlistment = get(Enlistment::decode(&mut head))?;
                Command::AppendToTransaction(enlistment, batch(payload, head)?)
            }
            END_TRANSACTION => {
                let number = get(head.try_get_u64())?;
                let coordinator_epoch = get(head.try_get_i32())?;
                let commit = get(head.try_get_u8())? != 0;
                let batch = batch(payload, head)?;
                let (producer_id, epoch) = (batch.producer_id(), batch.producer_epoch());
                Command::EndTransaction(EndMarker { producer_id, epoch, number, coordinator_epoch, commit }, batch)
            }
            ADVANCE_LOG_START => Command::AdvanceLogStart(get(head.try_get_i64())?),
            CONFIGURE => Command::Configure(get(Settings::decode(&mut head))?),
            COMPACT => {
                Command::Compact(Order { upto: get(head.try_get_i64())?, tombstones_before: get(head.try_get_i64())? })
            }
            other => return Err(format!("kind {other} is not known; update this program")),
        };
        Ok(Self { time, command })
    }
}

/// The batch that is the rest of a payload.
fn batch(payload: &Bytes, rest: &[u8]) -> Result<RecordBatch, String> {
    if rest.len() < BATCH_HEADER_LEN {
        return Err(format!("a record batch of {} bytes is too short", rest.len()));
    }
    Ok(RecordBatch::from_trusted(payload.slice(payload.len() - rest.len()..)))
}

fn header(kind: u8, time: TimestampMs, body: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER_LEN + body);
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u16(0);
    out.put_i64(time);
    out
}

fn get<T>(read: Result<T, bytes::TryGetError>) -> Result<T, String> {
    read.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::BatchSpec;

    fn end(marker: EndMarker) -> Command {
        Command::EndTransaction(marker, marker.batch(5).unwrap())
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_are_golden() {
        let advance = Stamped { time: 0x0102_0304, command: Command::AdvanceLogStart(7) };
        assert_eq!(hex(&advance.encode()), "0102000000000000010203040000000000000007");
        let settings =
            Settings { segment_bytes: 1 << 30, segment_ms: 604_800_000, producer_expiration_ms: 9, producers_max: 3 };
        let configure = Stamped { time: 5, command: Command::Configure(settings) };
        assert_eq!(
            hex(&configure.encode()),
            "010300000000000000000005\
             0000000040000000000000002\
             40c8400000000000000000900000003"
        );
        let order = Order { upto: 300, tombstones_before: 7 };
        let compact = Stamped { time: 5, command: Command::Compact(order) };
        assert_eq!(hex(&compact.encode()), "010600000000000000000005000000000000012c0000000000000007");
        let batch = BatchSpec::plain(1).build();
        let append = Stamped { time: 5, command: Command::Append(batch.clone()) }.encode();
        assert_eq!(hex(&append[..HEADER_LEN]), "010100000000000000000005");
        assert_eq!(&append[HEADER_LEN..], batch.bytes());
        let enlistment = Enlistment { number: 7, version: 2, transactional_id: "ab".into() };
        let append = Stamped { time: 5, command: Command::AppendToTransaction(enlistment, batch.clone()) }.encode();
        assert_eq!(hex(&append[..25]), "01040000000000000000000500000000000000070200026162");
        assert_eq!(&append[25..], batch.bytes());
        let marker = EndMarker { producer_id: 3, epoch: 1, number: 7, coordinator_epoch: 4, commit: true };
        let bytes = Stamped { time: 5, command: end(marker) }.encode();
        assert_eq!(hex(&bytes[..25]), "01050000000000000000000500000000000000070000000401");
        assert_eq!(&bytes[25..], marker.batch(5).unwrap().bytes());
    }

    #[test]
    fn only_records_may_wait_for_their_sync() {
        let count = |command| record_count(&Stamped { time: 5, command }.encode());
        let batch = BatchSpec::plain(3).build();
        assert_eq!(count(Command::Append(batch.clone())), Some(3));
        let enlistment = Enlistment { number: 7, version: 2, transactional_id: "ab".into() };
        assert_eq!(count(Command::AppendToTransaction(enlistment, batch)), Some(3));
        assert_eq!(count(Command::AdvanceLogStart(7)), None);
        let marker = EndMarker { producer_id: 3, epoch: 1, number: 7, coordinator_epoch: 4, commit: true };
        assert_eq!(count(end(marker)), None);
        assert_eq!(record_count(&Bytes::from_static(b"what?")), None);
    }

    #[test]
    fn a_cleaned_appends_bytes_are_golden() {
        let batch = BatchSpec { times: vec![7, 9], ..BatchSpec::plain(2) }.build();
        let left = batch.retain(&mut |record| record.offset_delta == 0).unwrap().unwrap();
        let enlistment = Enlistment { number: 7, version: 2, transactional_id: "ab".into() };
        for (command, position) in
            [(Command::Append(batch.clone()), 12), (Command::AppendToTransaction(enlistment, batch), 25)]
        {
            let payload = Stamped { time: 5, command }.encode();
            let cleaned = Logged::decode(&payload).unwrap().cleaned(&payload, &left).unwrap();
            let (head, rest) = cleaned.split_at(position);
            assert_eq!(hex(&head[..12]), hex(&payload[..2]) + "00010000000000000005");
            assert_eq!(head[12..], payload[12..position]);
            assert_eq!(&rest[..left.bytes().len()], left.bytes());
            assert_eq!(hex(&rest[left.bytes().len()..]), format!("{:08x}0000000000000009", payload.len()));
            // Cleaned again, it still knows what was there first.
            let none = left.retain(&mut |_| false).unwrap().unwrap();
            let twice = Logged::decode(&Logged::decode(&cleaned).unwrap().cleaned(&cleaned, &none).unwrap()).unwrap();
            let original = Original { bytes: u32::try_from(payload.len()).unwrap(), max_timestamp: 9 };
            assert_eq!((twice.original, twice.position), (Some(original), position));
            assert_eq!(twice.stamped.command.appended(), Some(&none));
        }
    }

    #[test]
    fn only_appends_are_cleaned() {
        let marker = EndMarker { producer_id: 3, epoch: 1, number: 7, coordinator_epoch: 4, commit: true };
        for command in [Command::AdvanceLogStart(7), end(marker)] {
            let payload = Stamped { time: 5, command }.encode();
            let logged = Logged::decode(&payload).unwrap();
            assert_eq!(logged.cleaned(&payload, &BatchSpec::plain(1).build()), None);
            let mut flagged = [&payload[..], &[0; TRAILER_LEN]].concat();
            flagged[3] = 1;
            assert!(Logged::decode(&flagged.into()).is_err());
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let good = Stamped { time: 5, command: Command::AdvanceLogStart(7) }.encode();
        for (at, value) in [(0, 2), (1, 99), (2, 1), (3, 1), (3, 2)] {
            let mut bad = good.to_vec();
            bad[at] = value;
            assert!(Logged::decode(&bad.into()).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn commands_survive_the_trip(time: i64, offset: i64, bytes: u64, ms: i64, expiration: i64, max: u32, records in 1..20i32) {
            let settings = Settings { segment_bytes: bytes, segment_ms: ms, producer_expiration_ms: expiration, producers_max: max };
            for command in [
                Command::AdvanceLogStart(offset),
                Command::Configure(settings),
                Command::Compact(Order { upto: offset, tombstones_before: ms }),
                Command::Append(BatchSpec::plain(records).build()),
                Command::AppendToTransaction(
                    Enlistment { number: bytes, version: 2, transactional_id: "billing".into() },
                    BatchSpec::plain(records).build(),
                ),
                end(EndMarker { producer_id: offset, epoch: 3, number: bytes, coordinator_epoch: 4, commit: records > 9 }),
            ] {
                let stamped = Stamped { time, command };
                let logged = Logged::decode(&stamped.encode()).unwrap();
                prop_assert_eq!((logged.stamped, logged.original), (stamped, None));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = Logged::decode(&bytes.into());
        }
    }
}
