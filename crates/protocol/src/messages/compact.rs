//! The primitives of flexible versions (KIP-482), which `kafka-protocol` keeps to itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};

/// What `kafka-protocol`'s traits ask for.
pub(super) type Error = anyhow::Error;

/// The fields of a struct that its reader does not know, by tag.
pub(super) type UnknownTags = BTreeMap<i32, Bytes>;

pub(super) fn put_uvarint<B: ByteBufMut>(buf: &mut B, mut value: u32) {
    while value >= 0x80 {
        buf.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buf.put_u8(value as u8);
}

pub(super) fn get_uvarint<B: ByteBuf>(buf: &mut B) -> Result<u32, Error> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = u32::from(buf.try_get_u8()?);
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    anyhow::bail!("a variable-length integer is too long")
}

/// The length of a compact string or array plus one; 0 stands for null.
fn put_len<B: ByteBufMut>(buf: &mut B, len: usize) -> Result<(), Error> {
    put_uvarint(buf, u32::try_from(len)?.checked_add(1).ok_or_else(|| anyhow::anyhow!("{len} is too long"))?);
    Ok(())
}

pub(super) fn put_string<B: ByteBufMut>(buf: &mut B, value: Option<&str>) -> Result<(), Error> {
    match value {
        None => put_uvarint(buf, 0),
        Some(value) => {
            put_len(buf, value.len())?;
            buf.put_slice(value.as_bytes());
        }
    }
    Ok(())
}

pub(super) fn get_nullable_string<B: ByteBuf>(buf: &mut B) -> Result<Option<StrBytes>, Error> {
    match get_uvarint(buf)? {
        0 => Ok(None),
        len => Ok(Some(StrBytes::from_utf8(buf.try_get_bytes(len as usize - 1)?)?)),
    }
}

pub(super) fn get_string<B: ByteBuf>(buf: &mut B) -> Result<StrBytes, Error> {
    get_nullable_string(buf)?.ok_or_else(|| anyhow::anyhow!("a string is null that must not be"))
}

pub(super) fn put_array<B: ByteBufMut, T>(
    buf: &mut B,
    elements: Option<&[T]>,
    mut put: impl FnMut(&mut B, &T) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(elements) = elements else {
        put_uvarint(buf, 0);
        return Ok(());
    };
    put_len(buf, elements.len())?;
    elements.iter().try_for_each(|element| put(buf, element))
}

/// Nothing is allocated by the length on the wire: it is believed as far as elements follow.
pub(super) fn get_nullable_array<B: ByteBuf, T>(
    buf: &mut B,
    mut get: impl FnMut(&mut B) -> Result<T, Error>,
) -> Result<Option<Vec<T>>, Error> {
    match get_uvarint(buf)? {
        0 => Ok(None),
        len => (1..len).map(|_| get(buf)).collect::<Result<Vec<T>, Error>>().map(Some),
    }
}

pub(super) fn get_array<B: ByteBuf, T>(
    buf: &mut B,
    get: impl FnMut(&mut B) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    get_nullable_array(buf, get)?.ok_or_else(|| anyhow::anyhow!("an array is null that must not be"))
}

pub(super) fn put_tags<B: ByteBufMut>(buf: &mut B, tags: &UnknownTags) -> Result<(), Error> {
    put_uvarint(buf, u32::try_from(tags.len())?);
    for (tag, value) in tags {
        put_uvarint(buf, tag.cast_unsigned());
        put_uvarint(buf, u32::try_from(value.len())?);
        buf.put_slice(value);
    }
    Ok(())
}

pub(super) fn get_tags<B: ByteBuf>(buf: &mut B) -> Result<UnknownTags, Error> {
    let mut tags = UnknownTags::new();
    for _ in 0..get_uvarint(buf)? {
        let tag = get_uvarint(buf)?;
        let size = get_uvarint(buf)?;
        tags.insert(tag.cast_signed(), buf.try_get_bytes(size as usize)?);
    }
    Ok(tags)
}

pub(super) fn get_uuid<B: ByteBuf>(buf: &mut B) -> Result<uuid::Uuid, Error> {
    let mut bytes = [0; 16];
    buf.try_copy_to_slice(&mut bytes)?;
    Ok(uuid::Uuid::from_bytes(bytes))
}

/// The size that `encode` writes: these messages are small and rare, so that writing them twice is cheaper than a second codec.
pub(super) fn measure(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<usize, Error> {
    let mut buf = Vec::new();
    encode(&mut buf)?;
    Ok(buf.len())
}
