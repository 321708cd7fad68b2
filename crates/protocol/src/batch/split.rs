//! Several batches in a row, as they stand in a Fetch response, or (wrongly) in a Produce request.

use bytes::Bytes;

use super::{BatchError, LENGTH_OVERHEAD, at, corrupt};

/// Splits bytes into batches by their lengths alone, without looking at anything else; batches of magic 0 and 1 have the same frame.
///
/// # Errors
/// [`BatchError::Corrupt`] when the bytes do not end with a whole batch.
pub fn split(bytes: &Bytes) -> Result<Vec<Bytes>, BatchError> {
    let batches = whole_batches(bytes);
    let whole: usize = batches.iter().map(Bytes::len).sum();
    if whole == bytes.len() {
        Ok(batches)
    } else {
        let rest = bytes.len() - whole;
        Err(corrupt(format!("behind {} whole batches lie {rest} bytes that are none", batches.len())))
    }
}

/// The whole batches at the front of `bytes`: brokers may cut the last batch of a Fetch response off.
pub fn whole_batches(bytes: &Bytes) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let mut rest = bytes.clone();
    while let Some(len) = declared_len(&rest).filter(|len| *len <= rest.len()) {
        batches.push(rest.split_to(len));
    }
    batches
}

/// The length that the batch at the front of `bytes` has by its own word, which may be more than there is; `None` when there are too few bytes to tell.
pub fn declared_len(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(at::BATCH_LENGTH..).and_then(<[u8]>::first_chunk)?;
    usize::try_from(i32::from_be_bytes(*length)).ok()?.checked_add(LENGTH_OVERHEAD)
}
