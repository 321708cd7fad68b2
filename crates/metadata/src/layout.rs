//! The layout of everything that this crate stores or sends: a version byte, then fields in order. Integers are big-endian; a text is its length
//! (u32) and its bytes; a list is its length (u32) and its items; an optional field is 0, or 1 and the field. Persisted: add versions
//! instead of changing one.

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_types::{NodeId, RaftGroupId, TopicId};
use uuid::Uuid;

/// Why bytes cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it ends too early")]
    Short,
    #[error("{0} bytes are left over")]
    Long(usize),
    #[error(
        "its version is {found}, and this program knows only {known}; run the version of Caudal that wrote it, or a newer one"
    )]
    Version { found: u8, known: u8 },
    #[error("{0} is not a kind of {1}")]
    Kind(u8, &'static str),
    #[error("a text is not UTF-8")]
    Text,
    #[error("{0}")]
    Broken(&'static str),
}

/// What is left to read.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

/// Something with a layout. Encoder and decoder stand beside each other.
pub(crate) trait Layout: Sized {
    /// Appends the value.
    fn put(&self, to: &mut Vec<u8>);

    /// Reads a value.
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// The version byte and the value.
pub(crate) fn encode(version: u8, value: &impl Layout) -> Bytes {
    let mut bytes = vec![version];
    value.put(&mut bytes);
    Bytes::from(bytes)
}

/// Reads what [`encode`] wrote, to the last byte.
pub(crate) fn decode<T: Layout>(version: u8, bytes: &[u8]) -> Result<T, Malformed> {
    let mut reader = Reader(bytes);
    let found = u8::get(&mut reader)?;
    if found != version {
        return Err(Malformed::Version { found, known: version });
    }
    let value = T::get(&mut reader)?;
    if reader.0.is_empty() { Ok(value) } else { Err(Malformed::Long(reader.0.len())) }
}

/// Lays out a struct as its fields, in the order given.
macro_rules! layout {
    ($type:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::layout::Layout for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $($crate::layout::Layout::put(&self.$field, to);)+
            }

            fn get(from: &mut $crate::layout::Reader<'_>) -> Result<Self, $crate::layout::Malformed> {
                Ok(Self { $($field: $crate::layout::Layout::get(from)?),+ })
            }
        }
    };
}
pub(crate) use layout;

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl Layout for $type {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_be_bytes());
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok(Self::from_be_bytes(from.array()?))
            }
        }
    )+};
}
integers!(u8, u16, u32, u64, i16, i32, i64);

/// A length as it is written. What is longer than 4 Gi does not fit into a command anyway.
fn put_length(length: usize, to: &mut Vec<u8>) {
    u32::try_from(length).unwrap_or(u32::MAX).put(to);
}

fn get_length(from: &mut Reader<'_>) -> Result<usize, Malformed> {
    let length = u32::get(from)? as usize;
    // Whatever has this length takes at least as many bytes: a wrong length must not make us reserve memory.
    if length > from.0.len() { Err(Malformed::Short) } else { Ok(length) }
}

impl Layout for bool {
    fn put(&self, to: &mut Vec<u8>) {
        u8::from(*self).put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed::Kind(other, "yes or no")),
        }
    }
}

impl Layout for String {
    fn put(&self, to: &mut Vec<u8>) {
        put_length(self.len(), to);
        to.extend_from_slice(self.as_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let length = get_length(from)?;
        let text = std::str::from_utf8(from.take(length)?).map_err(|_| Malformed::Text)?;
        Ok(text.to_owned())
    }
}

impl Layout for Bytes {
    fn put(&self, to: &mut Vec<u8>) {
        put_length(self.len(), to);
        to.extend_from_slice(self);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let length = get_length(from)?;
        from.take(length).map(Self::copy_from_slice)
    }
}

impl<T: Layout> Layout for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Layout> Layout for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_length(self.len(), to);
        for item in self {
            item.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let length = get_length(from)?;
        (0..length).map(|_| T::get(from)).collect()
    }
}

impl<A: Layout, B: Layout> Layout for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<K: Layout + Ord, V: Layout> Layout for BTreeMap<K, V> {
    fn put(&self, to: &mut Vec<u8>) {
        put_length(self.len(), to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Vec::<(K, V)>::get(from)?.into_iter().collect())
    }
}

impl<T: Layout, E: Layout> Layout for Result<T, E> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_ok().put(to);
        match self {
            Ok(value) => value.put(to),
            Err(error) => error.put(to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if bool::get(from)? { T::get(from).map(Ok) } else { E::get(from).map(Err) }
    }
}

impl Layout for NodeId {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u32::get(from).map(Self)
    }
}

impl Layout for RaftGroupId {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u64::get(from).map(Self)
    }
}

impl Layout for TopicId {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self(Uuid::from_bytes(from.array()?)))
    }
}

impl Layout for () {
    fn put(&self, _to: &mut Vec<u8>) {}

    fn get(_from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_ours_are_refused() {
        assert_eq!(decode::<u16>(1, &[]), Err(Malformed::Short));
        assert_eq!(decode::<u16>(1, &[2, 0, 0]), Err(Malformed::Version { found: 2, known: 1 }));
        assert_eq!(decode::<u16>(1, &[1, 0]), Err(Malformed::Short));
        assert_eq!(decode::<u16>(1, &[1, 0, 7, 9]), Err(Malformed::Long(1)));
        assert_eq!(decode::<bool>(1, &[1, 2]), Err(Malformed::Kind(2, "yes or no")));
        assert_eq!(decode::<String>(1, &[1, 0, 0, 0, 1, 0xff]), Err(Malformed::Text));
    }

    #[test]
    fn a_wrong_length_reserves_no_memory() {
        assert_eq!(decode::<Vec<u64>>(1, &[1, 0xff, 0xff, 0xff, 0xff]), Err(Malformed::Short));
        assert_eq!(decode::<String>(1, &[1, 0xff, 0xff, 0xff, 0xff]), Err(Malformed::Short));
    }

    #[test]
    fn a_text_is_its_length_and_its_bytes() {
        assert_eq!(encode(1, &Some("ab".to_owned())).as_ref(), [1, 1, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(encode(1, &vec![7_u16, 8]).as_ref(), [1, 0, 0, 0, 2, 0, 7, 0, 8]);
    }
}
