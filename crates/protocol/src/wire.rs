//! Reading Kafka's primitive types from a slice, without allocation.

/// Why a primitive cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("{wanted} bytes are missing: only {left} are left")]
    Truncated { wanted: usize, left: usize },
    #[error("a variable-length integer is too long")]
    VarintTooLong,
    #[error("the length {0} is negative")]
    NegativeLength(i64),
}

/// A position in bytes that moves forward as values are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(WireError::Truncated { wanted: len, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(WireError::Truncated { wanted: N, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, WireError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u32, WireError> {
        u32::try_from(self.varint_bits(5)?).map_err(|_| WireError::VarintTooLong)
    }

    /// A zigzag-encoded i32.
    pub(crate) fn varint(&mut self) -> Result<i32, WireError> {
        let bits = self.uvarint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// A zigzag-encoded i64.
    pub(crate) fn varlong(&mut self) -> Result<i64, WireError> {
        let bits = self.varint_bits(10)?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    fn varint_bits(&mut self, max_bytes: u32) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for i in 0..max_bytes {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                // The tenth byte has room for one bit only.
                return if i == 9 && byte > 1 { Err(WireError::VarintTooLong) } else { Ok(value) };
            }
        }
        Err(WireError::VarintTooLong)
    }

    /// The bytes behind a length that is a zigzag-encoded i32; `None` when that is -1.
    pub(crate) fn varint_bytes(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.varint()? {
            -1 => Ok(None),
            len => self.take(length(i64::from(len))?).map(Some),
        }
    }
}

/// A length or count as the wire has it.
pub(crate) fn length(len: i64) -> Result<usize, WireError> {
    usize::try_from(len).map_err(|_| WireError::NegativeLength(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_size_are_read() {
        for (bytes, value) in [
            (&[0_u8][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0xd8, 4], 300),
            (&[0xfe, 0xff, 0xff, 0xff, 0x0f], i32::MAX),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], i32::MIN),
        ] {
            assert_eq!(Reader::new(bytes).varint(), Ok(value));
        }
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&longest).varlong(), Ok(i64::MIN));
    }

    #[test]
    fn bad_integers_are_refused() {
        assert_eq!(Reader::new(&[0x80; 4]).uvarint(), Err(WireError::Truncated { wanted: 1, left: 0 }));
        assert_eq!(Reader::new(&[0x80; 6]).uvarint(), Err(WireError::VarintTooLong));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(), Err(WireError::VarintTooLong));
        assert_eq!(Reader::new(&[0xff; 11]).varlong(), Err(WireError::VarintTooLong));
        assert_eq!(Reader::new(&[0, 1]).i32(), Err(WireError::Truncated { wanted: 4, left: 2 }));
        assert_eq!(Reader::new(&[3]).varint_bytes(), Err(WireError::NegativeLength(-2)));
    }
}
