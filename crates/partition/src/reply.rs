//! What applying a command answers to whoever proposed it.
//!
//! Replies stay on the node that proposed, in memory; the layout is explicit all the same, since the Raft layer carries bytes. Big-endian: kind (u8), then
//! the fields in their order.

use bytes::{Buf, BufMut, Bytes};
use caudal_types::{Offset, ProducerEpoch};

use crate::{AppendError, Appended};

const APPENDED: u8 = 1;
const OUT_OF_ORDER: u8 = 2;
const FENCED: u8 = 3;
const LOG_START: u8 = 4;
const CONFIGURED: u8 = 5;
const NOT_IN_TRANSACTION: u8 = 6;
const TRANSACTION_ENDED: u8 = 7;
const COMPACTION_ORDERED: u8 = 8;

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The batch has its offsets.
    Appended(Appended),
    /// The batch leaves a gap behind its producer's last.
    OutOfOrderSequence { got: i32, last: i32 },
    /// The batch's producer was replaced by a newer one.
    FencedProducer { got: ProducerEpoch, current: ProducerEpoch },
    /// The batch belongs to no transaction that is open, or to none while its producer has one open.
    NotInTransaction,
    /// The transaction has ended, now or before.
    TransactionEnded,
    /// The log starts here now.
    LogStart(Offset),
    /// The settings hold from here on.
    Configured,
    /// The log is to be cleaned.
    CompactionOrdered,
}

impl Reply {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(26);
        match *self {
            Self::Appended(Appended { base_offset, log_append_time, log_start, duplicate }) => {
                out.put_u8(APPENDED);
                out.put_i64(base_offset);
                out.put_i64(log_append_time);
                out.put_i64(log_start);
                out.put_u8(u8::from(duplicate));
            }
            Self::OutOfOrderSequence { got, last } => {
                out.put_u8(OUT_OF_ORDER);
                out.put_i32(got);
                out.put_i32(last);
            }
            Self::FencedProducer { got, current } => {
                out.put_u8(FENCED);
                out.put_i16(got);
                out.put_i16(current);
            }
            Self::LogStart(offset) => {
                out.put_u8(LOG_START);
                out.put_i64(offset);
            }
            Self::Configured => out.put_u8(CONFIGURED),
            Self::CompactionOrdered => out.put_u8(COMPACTION_ORDERED),
            Self::NotInTransaction => out.put_u8(NOT_IN_TRANSACTION),
            Self::TransactionEnded => out.put_u8(TRANSACTION_ENDED),
        }
        out.into()
    }

    fn decode(mut bytes: &[u8]) -> Result<Option<Self>, bytes::TryGetError> {
        Ok(Some(match bytes.try_get_u8()? {
            APPENDED => Self::Appended(Appended {
                base_offset: bytes.try_get_i64()?,
                log_append_time: bytes.try_get_i64()?,
                log_start: bytes.try_get_i64()?,
                duplicate: bytes.try_get_u8()? != 0,
            }),
            OUT_OF_ORDER => Self::OutOfOrderSequence { got: bytes.try_get_i32()?, last: bytes.try_get_i32()? },
            FENCED => Self::FencedProducer { got: bytes.try_get_i16()?, current: bytes.try_get_i16()? },
            LOG_START => Self::LogStart(bytes.try_get_i64()?),
            CONFIGURED => Self::Configured,
            COMPACTION_ORDERED => Self::CompactionOrdered,
            NOT_IN_TRANSACTION => Self::NotInTransaction,
            TRANSACTION_ENDED => Self::TransactionEnded,
            _ => return Ok(None),
        }))
    }

    /// The outcome of an append.
    ///
    /// # Errors
    /// The refusal; [`AppendError::Unknown`] for bytes that no append answers with.
    pub(crate) fn into_append_outcome(bytes: &[u8]) -> Result<Appended, AppendError> {
        match Self::decode(bytes) {
            Ok(Some(Self::Appended(appended))) => Ok(appended),
            Ok(Some(other)) => Err(other.refusal()),
            Ok(None) | Err(_) => Err(AppendError::Unknown),
        }
    }

    /// The outcome of a marker.
    ///
    /// # Errors
    /// The refusal; [`AppendError::Unknown`] for bytes that no marker answers with.
    pub(crate) fn into_end_outcome(bytes: &[u8]) -> Result<(), AppendError> {
        match Self::decode(bytes) {
            Ok(Some(Self::TransactionEnded)) => Ok(()),
            Ok(Some(other)) => Err(other.refusal()),
            Ok(None) | Err(_) => Err(AppendError::Unknown),
        }
    }

    /// Where the log begins, as advancing its start answers.
    pub(crate) fn into_log_start(bytes: &[u8]) -> Option<Offset> {
        match Self::decode(bytes) {
            Ok(Some(Self::LogStart(offset))) => Some(offset),
            Ok(_) | Err(_) => None,
        }
    }

    fn refusal(self) -> AppendError {
        match self {
            Self::OutOfOrderSequence { got, last } => AppendError::OutOfOrderSequence { got, last },
            Self::FencedProducer { got, current } => AppendError::FencedProducer { got, current },
            Self::NotInTransaction => AppendError::NotInTransaction,
            Self::Appended(_)
            | Self::TransactionEnded
            | Self::LogStart(_)
            | Self::Configured
            | Self::CompactionOrdered => AppendError::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_golden() {
        let appended = Appended { base_offset: 1, log_append_time: -1, log_start: 2, duplicate: true };
        assert_eq!(
            Reply::Appended(appended).encode().as_ref(),
            [1, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 2, 1]
        );
        assert_eq!(Reply::OutOfOrderSequence { got: 3, last: 1 }.encode().as_ref(), [2, 0, 0, 0, 3, 0, 0, 0, 1]);
        assert_eq!(Reply::FencedProducer { got: 3, current: 4 }.encode().as_ref(), [3, 0, 3, 0, 4]);
        assert_eq!(Reply::LogStart(5).encode().as_ref(), [4, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(Reply::Configured.encode().as_ref(), [5]);
        assert_eq!(Reply::NotInTransaction.encode().as_ref(), [6]);
        assert_eq!(Reply::TransactionEnded.encode().as_ref(), [7]);
        assert_eq!(Reply::CompactionOrdered.encode().as_ref(), [8]);
    }

    proptest! {
        #[test]
        fn replies_survive_the_trip(a: i64, b: i64, c: i64, duplicate: bool, got: i32, last: i32, e: i16, f: i16) {
            for reply in [
                Reply::Appended(Appended { base_offset: a, log_append_time: b, log_start: c, duplicate }),
                Reply::OutOfOrderSequence { got, last },
                Reply::FencedProducer { got: e, current: f },
                Reply::LogStart(a),
                Reply::Configured,
                Reply::NotInTransaction,
                Reply::TransactionEnded,
                Reply::CompactionOrdered,
            ] {
                prop_assert_eq!(Reply::decode(&reply.encode()), Ok(Some(reply)));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = (Reply::into_append_outcome(&bytes), Reply::into_end_outcome(&bytes), Reply::into_log_start(&bytes));
        }
    }
}
