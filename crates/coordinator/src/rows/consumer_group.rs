//! A consumer group (KIP-848), without its members. Key: the group's id, UTF-8.
//!
//! Value: version (u8), epoch (i32), assignment epoch (i32), fingerprint of the topics (u64).

use bytes::Bytes;

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// A consumer group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerGroupRow {
    /// Rises when members, subscriptions or the topics subscribed to change.
    pub(crate) epoch: i32,
    /// The epoch for which the assignment was made.
    pub(crate) assignment_epoch: i32,
    /// What the topics subscribed to were like at the group's epoch.
    pub(crate) topics: u64,
}

impl ConsumerGroupRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(VERSION);
        out.i32(self.epoch);
        out.i32(self.assignment_epoch);
        out.u64(self.topics);
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let row = Self::read(&mut reader)?;
        reader.end()?;
        Ok(row)
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        check_version(reader, VERSION, "a consumer group")?;
        Ok(Self { epoch: reader.i32()?, assignment_epoch: reader.i32()?, topics: reader.u64()? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        pub(crate) fn any_consumer_group()(
            (epoch, assignment_epoch, topics) in any::<(i32, i32, u64)>(),
        ) -> ConsumerGroupRow {
            ConsumerGroupRow { epoch, assignment_epoch, topics }
        }
    }

    proptest! {
        #[test]
        fn round_trip(row in any_consumer_group()) {
            prop_assert_eq!(ConsumerGroupRow::decode(row.encode()), Ok(row));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = ConsumerGroupRow::decode(bytes.into());
        }
    }

    #[test]
    fn golden() {
        let row = ConsumerGroupRow { epoch: 258, assignment_epoch: -1, topics: 3 };
        let bytes = b"\x01\0\0\x01\x02\xff\xff\xff\xff\0\0\0\0\0\0\0\x03";
        assert_eq!(row.encode(), Bytes::from_static(bytes));
    }
}
