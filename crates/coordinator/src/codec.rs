//! The bytes of rows and commands: big-endian integers, texts and byte strings with their length (u32) before them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why bytes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DecodeError(pub(crate) String);

impl DecodeError {
    fn short(what: &str) -> Self {
        Self(format!("the bytes end within {what}"))
    }
}

/// Appends fields.
#[derive(Debug, Default)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.put_u8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.0.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.0.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.put_i64(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.put_u64(value);
    }

    pub(crate) fn uuid(&mut self, value: uuid::Uuid) {
        self.0.put_slice(value.as_bytes());
    }

    /// The length of a list. Lists come from requests that were read from frames of bounded length.
    pub(crate) fn len(&mut self, value: usize) {
        self.0.put_u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.put_slice(value);
    }

    pub(crate) fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn opt_str(&mut self, value: Option<&str>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            self.str(value);
        }
    }

    pub(crate) fn opt_i64(&mut self, value: Option<i64>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            self.i64(value);
        }
    }

    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.0.put_slice(value);
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Takes fields off the front.
#[derive(Debug)]
pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::short("a byte"))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.0.try_get_i16().map_err(|_| DecodeError::short("an i16"))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.0.try_get_i32().map_err(|_| DecodeError::short("an i32"))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.0.try_get_i64().map_err(|_| DecodeError::short("an i64"))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.0.try_get_u64().map_err(|_| DecodeError::short("a u64"))
    }

    pub(crate) fn uuid(&mut self) -> Result<uuid::Uuid, DecodeError> {
        self.0.try_get_u128().map(uuid::Uuid::from_u128).map_err(|_| DecodeError::short("an id"))
    }

    /// The length of a list or byte string.
    pub(crate) fn len(&mut self) -> Result<usize, DecodeError> {
        let length = self.0.try_get_u32().map_err(|_| DecodeError::short("a length"))?;
        usize::try_from(length).map_err(|_| DecodeError("a length is larger than memory".to_owned()))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.len()?;
        if length > self.0.len() {
            return Err(DecodeError::short("a byte string"));
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn str(&mut self) -> Result<String, DecodeError> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| DecodeError("a text is not UTF-8".to_owned()))
    }

    pub(crate) fn opt_str(&mut self) -> Result<Option<String>, DecodeError> {
        if self.flag()? { self.str().map(Some) } else { Ok(None) }
    }

    pub(crate) fn opt_i64(&mut self) -> Result<Option<i64>, DecodeError> {
        if self.flag()? { self.i64().map(Some) } else { Ok(None) }
    }

    /// A list, each item read by `item`.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.len()?;
        // Every item has a byte at least, so a length that lies reserves no more than is there.
        let mut items = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError(format!("{} bytes too many", self.0.len()))) }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError(format!("{other} is neither 0 nor 1"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_or_too_long_is_refused() {
        assert!(Reader::new(Bytes::from_static(&[0, 0, 0, 5, b'a'])).str().is_err());
        assert!(Reader::new(Bytes::from_static(&[0, 0, 0, 1, 0xff])).str().is_err());
        assert!(Reader::new(Bytes::from_static(&[2])).opt_str().is_err());
        assert!(Reader::new(Bytes::from_static(&[1])).end().is_err());
        assert!(Reader::new(Bytes::from_static(&[0xff; 4])).list(Reader::u8).is_err());
    }
}
