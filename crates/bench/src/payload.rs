//! Records that say who sent them, and as the how-manieth, so that a reader can tell what is missing or twice there.

const MAGIC: [u8; 4] = *b"CBN1";

/// The least bytes that a record has.
pub const LEAST: usize = 16;

/// Who sent a record, and as the how-manieth, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The producer's number.
    pub producer: u32,
    /// How many it sent before.
    pub sequence: u64,
}

/// A record of `size` bytes that [`stamp`] makes another one again and again. What fills it does not compress, as with Kafka's own tool.
#[must_use]
pub fn blank(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 56) as u8
    });
    let mut bytes: Vec<u8> = noise.take(size.max(LEAST)).collect();
    bytes[..4].copy_from_slice(&MAGIC);
    bytes
}

/// Writes an origin into a record.
pub fn stamp(record: &mut [u8], origin: Origin) {
    record[4..8].copy_from_slice(&origin.producer.to_be_bytes());
    record[8..LEAST].copy_from_slice(&origin.sequence.to_be_bytes());
}

/// Whose a record is; nothing when it is not one of ours.
#[must_use]
pub fn origin(record: &[u8]) -> Option<Origin> {
    let rest = record.strip_prefix(&MAGIC)?;
    let (producer, rest) = rest.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some(Origin { producer: u32::from_be_bytes(*producer), sequence: u64::from_be_bytes(*sequence) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back() {
        for size in [0, LEAST, 100, 1024] {
            let mut record = blank(size);
            assert_eq!(record.len(), size.max(LEAST));
            for origin_in in [Origin { producer: 7, sequence: 1 << 40 }, Origin { producer: u32::MAX, sequence: 0 }] {
                stamp(&mut record, origin_in);
                assert_eq!(origin(&record), Some(origin_in));
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert_eq!(origin(b""), None);
        assert_eq!(origin(b"CBN1short"), None);
        assert_eq!(origin(&[b'A'; 100]), None);
    }
}
