//! Record batches of version 2, as far as they must be understood: how long each is, how many records it has, and where its offset lies.

use std::iter;

/// Where a batch says how many bytes follow.
const LENGTH_AT: usize = 8;
/// Where it says how many records it has, and the least bytes that it has itself.
const COUNT_AT: usize = 57;
const HEADER: usize = 61;

/// The first whole batch of some.
pub(super) fn first(batches: &[u8]) -> Option<&[u8]> {
    let length = i32::from_be_bytes(*batches.get(LENGTH_AT..)?.first_chunk()?);
    batches.get(..LENGTH_AT + 4 + usize::try_from(length).ok()?)
}

/// All whole batches of some, one after the other.
pub(super) fn whole(batches: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = batches;
    iter::from_fn(move || {
        let batch = first(rest)?;
        rest = &rest[batch.len()..];
        Some(batch)
    })
}

/// How many records some batches have.
pub(super) fn records(mut batches: &[u8]) -> i64 {
    let mut count = 0;
    while batches.len() >= HEADER {
        let int = |at: usize| batches[at..].first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes));
        count += i64::from(int(COUNT_AT));
        let length = LENGTH_AT + 4 + int(LENGTH_AT).max(0) as usize;
        batches = batches.get(length..).unwrap_or_default();
    }
    count
}

/// Gives a batch the offset of its first record, which its checksum does not cover.
pub(super) fn set_offset(batch: &mut [u8], offset: i64) {
    batch[..LENGTH_AT].copy_from_slice(&offset.to_be_bytes());
}

/// A batch of so many records, as a producer sends it.
#[cfg(test)]
pub(super) fn example(records: i32, payload: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; HEADER];
    batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&((HEADER - 12 + payload.len()) as i32).to_be_bytes());
    batch[COUNT_AT..].copy_from_slice(&records.to_be_bytes());
    batch.extend(payload);
    batch
}

/// The same, as a consumer gets it.
#[cfg(test)]
pub(super) fn at(offset: i64, mut batch: Vec<u8>) -> Vec<u8> {
    set_offset(&mut batch, offset);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_told_apart() {
        let [a, b] = [example(3, &[7; 100]), example(40, &[])];
        let mut both = [&a[..], &b].concat();
        assert_eq!(whole(&both).collect::<Vec<_>>(), [&a[..], &b]);
        assert_eq!(records(&both), 43);
        both.pop();
        assert_eq!(whole(&both).collect::<Vec<_>>(), [&a[..]], "half a batch is none");
        assert_eq!((whole(b"too short").count(), first(b"too short")), (0, None));
    }

    #[test]
    fn a_negative_length_ends_them() {
        let mut batch = example(1, &[]);
        batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(whole(&batch).count(), 0);
    }

    #[test]
    fn only_the_offset_changes() {
        let batch = example(3, b"purchases");
        let given = at(77, batch.clone());
        assert_eq!((&given[..8], &given[8..]), (&77_i64.to_be_bytes()[..], &batch[8..]));
    }
}
