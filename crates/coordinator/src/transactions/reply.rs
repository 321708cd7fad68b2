//! What applying a command about transactions answers to whoever proposed it. Replies stay on the node that proposed, in memory; the layout is explicit
//! all the same, since the Raft layer carries bytes.

use bytes::Bytes;

use super::{ProducerIdentity, TransactionError};
use crate::codec::{DecodeError, Reader, Writer};

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It is done, or was before.
    Done,
    /// The transactional id is this producer's now; or the transaction ends, and the producer goes on as this one.
    Producer(ProducerIdentity),
    /// What joins takes part in the transaction of this number.
    Joined(u64),
    /// It needs a producer id that nobody has: propose it again with one.
    NeedsId,
    /// It is refused.
    Refused(Refusal),
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Refusal {
    /// See [`TransactionError::UnknownProducer`].
    UnknownProducer = 1,
    /// See [`TransactionError::Fenced`].
    Fenced = 2,
    /// See [`TransactionError::OldEpoch`].
    OldEpoch = 3,
    /// See [`TransactionError::Concurrent`].
    Concurrent = 4,
    /// See [`TransactionError::InvalidState`].
    InvalidState = 5,
    /// See [`TransactionError::NotEnlisted`].
    NotEnlisted = 6,
}

impl Refusal {
    pub(crate) const ALL: [Self; 6] =
        [Self::UnknownProducer, Self::Fenced, Self::OldEpoch, Self::Concurrent, Self::InvalidState, Self::NotEnlisted];

    pub(crate) fn decode(byte: u8) -> Result<Self, DecodeError> {
        let found = Self::ALL.into_iter().find(|refusal| *refusal as u8 == byte);
        found.ok_or_else(|| DecodeError(format!("{byte} is no refusal")))
    }
}

impl From<Refusal> for TransactionError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownProducer => Self::UnknownProducer,
            Refusal::Fenced => Self::Fenced,
            Refusal::OldEpoch => Self::OldEpoch,
            Refusal::Concurrent => Self::Concurrent,
            Refusal::InvalidState => Self::InvalidState,
            Refusal::NotEnlisted => Self::NotEnlisted,
        }
    }
}

impl Reply {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = Writer::new();
        match self {
            Self::Done => out.u8(1),
            Self::Producer(producer) => {
                out.u8(2);
                producer.write(&mut out);
            }
            Self::Joined(number) => {
                out.u8(3);
                out.u64(number);
            }
            Self::NeedsId => out.u8(4),
            Self::Refused(refusal) => {
                out.u8(5);
                out.u8(refusal as u8);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            1 => Self::Done,
            2 => Self::Producer(ProducerIdentity::read(&mut reader)?),
            3 => Self::Joined(reader.u64()?),
            4 => Self::NeedsId,
            5 => Self::Refused(Refusal::decode(reader.u8()?)?),
            other => return Err(DecodeError(format!("{other} is no kind of reply"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn replies_survive_the_trip(id: i64, epoch: i16, number: u64) {
            let fixed = [Reply::Done, Reply::Producer(ProducerIdentity { id, epoch }), Reply::Joined(number), Reply::NeedsId];
            for reply in fixed.into_iter().chain(Refusal::ALL.map(Reply::Refused)) {
                prop_assert_eq!(Reply::decode(reply.encode()), Ok(reply));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            let _ = Reply::decode(bytes.into());
        }
    }
}
