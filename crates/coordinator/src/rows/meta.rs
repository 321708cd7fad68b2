//! Where a shard's table stands. One row, with an empty key.
//!
//! Value: version (u8), applied index (u64), newest image version (u64).

use bytes::Bytes;

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// Where a shard's table stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetaRow {
    /// The index of the last entry that is in the rows.
    pub(crate) applied_index: u64,
    /// The newest version of the cluster's image that the proposer of any applied command knew. Whoever takes a topic that it does not see in its
    /// image for deleted must know at least this version: an older image may not have the topic *yet*.
    pub(crate) image_version: u64,
}

impl MetaRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.u64(self.applied_index);
        out.u64(self.image_version);
        out.finish()
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        check_version(&mut reader, VERSION, "a shard's position")?;
        let row = Self { applied_index: reader.u64()?, image_version: reader.u64()? };
        reader.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let row = MetaRow { applied_index: 258, image_version: 3 };
        let bytes = [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(row.encode(), Bytes::copy_from_slice(&bytes));
        assert_eq!(MetaRow::decode(row.encode()), Ok(row));
        assert!(MetaRow::decode(Bytes::from_static(&[2, 0])).is_err());
    }
}
