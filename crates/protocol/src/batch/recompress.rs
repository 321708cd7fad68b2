//! Another codec for a batch, its records untouched (`compression.type` of a topic).

use std::io::{self, Write};
use std::ops::ControlFlow;

use caudal_types::topic_config::Compression;

use super::{
    BATCH_HEADER_LEN, BatchError, CODEC_MASK, Codec, LENGTH_OVERHEAD, RecordBatch, RecordView, at, codec, corrupt, put,
    seal,
};

/// Why a batch did not get its other codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecompressError {
    /// Its records cannot be read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// It is larger then than it may be.
    #[error("with another codec it has more than {0} bytes")]
    TooLarge(usize),
}

impl RecordBatch {
    /// Whether it is compressed otherwise than `compression` says. As in Kafka, the level does not count: nobody can see which one was used.
    pub fn differs_from(&self, compression: Compression) -> bool {
        self.codec() != Codec::from(compression)
    }

    /// The same records, compressed as `compression` says, in at most `max_bytes`. Sequence, transaction and all other fields stay; the largest
    /// timestamp is taken from the records. The records are streamed from codec to codec: it takes no more memory than the batch itself.
    ///
    /// # Errors
    /// When the records cannot be read, or the batch gets too large.
    pub fn recompressed(&self, compression: Compression, max_bytes: usize) -> Result<Self, RecompressError> {
        let max_timestamp = self.check_records()?;
        let mut out = Bounded { bytes: Vec::with_capacity(self.bytes.len().min(max_bytes)), max_bytes, full: false };
        let body = self.bytes.get(BATCH_HEADER_LEN..).unwrap_or_default();
        let written = out.write_all(self.bytes.get(..BATCH_HEADER_LEN).unwrap_or_default()).and_then(|()| {
            let records = self.codec().decompress(body).map_err(io::Error::other)?;
            codec::compress_stream(compression, records, &mut out)
        });
        if out.full {
            return Err(RecompressError::TooLarge(max_bytes));
        }
        written.map_err(|error| corrupt(format!("the batch cannot be compressed anew: {error}")))?;
        let mut bytes = out.bytes;
        let length = i32::try_from(bytes.len() - LENGTH_OVERHEAD).map_err(|_| RecompressError::TooLarge(max_bytes))?;
        let attributes = self.attributes() & !CODEC_MASK | Codec::from(compression) as i16;
        put(&mut bytes, at::BATCH_LENGTH, &length.to_be_bytes());
        put(&mut bytes, at::ATTRIBUTES, &attributes.to_be_bytes());
        put(&mut bytes, at::MAX_TIMESTAMP, &max_timestamp.to_be_bytes());
        seal(&mut bytes);
        Ok(Self { bytes: bytes.into() })
    }

    /// Reads all records: who writes them anew answers for them. The largest of their timestamps.
    fn check_records(&self) -> Result<i64, BatchError> {
        let mut max_timestamp = None;
        self.for_each_record(&mut |record: RecordView<'_>| {
            max_timestamp = max_timestamp.max(Some(record.timestamp));
            ControlFlow::Continue(())
        })?;
        Ok(max_timestamp.unwrap_or_else(|| self.max_timestamp()))
    }
}

/// Takes no more than so many bytes.
struct Bounded {
    bytes: Vec<u8>,
    max_bytes: usize,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if more.len() > self.max_bytes.saturating_sub(self.bytes.len()) {
            self.full = true;
            return Err(io::Error::other("there is no more room"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{BatchBuilder, Record};

    /// Timestamp, key, value and headers.
    type Seen = (i32, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn records(batch: &RecordBatch) -> Vec<Seen> {
        let mut seen = Vec::new();
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        batch
            .for_each_record(&mut |record| {
                let headers = record.headers.map(|header| (header.key.to_vec(), owned(header.value))).collect();
                seen.push((record.offset_delta, record.timestamp, owned(record.key), owned(record.value), headers));
                ControlFlow::Continue(())
            })
            .expect("records that can be read");
        seen
    }

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        prop::option::of(prop::collection::vec(0_u8..4, 0..200).prop_map(Bytes::from))
    }

    fn record() -> impl Strategy<Value = Record> {
        let header = ("[a-z]{0,5}", bytes());
        (0_i64..1_000_000, bytes(), bytes(), prop::collection::vec(header, 0..3))
            .prop_map(|(timestamp, key, value, headers)| Record { timestamp, key, value, headers })
    }

    fn compression() -> impl Strategy<Value = Compression> {
        prop_oneof![
            Just(Compression::Uncompressed),
            Just(Compression::Gzip(-1)),
            (1..=9).prop_map(Compression::Gzip),
            Just(Compression::Snappy),
            (1..=17).prop_map(Compression::Lz4),
            prop_oneof![Just(-131_072), -5..=19].prop_map(Compression::Zstd),
        ]
    }

    proptest! {
        #[test]
        fn records_and_their_producer_stay_the_same(
            wanted in prop::collection::vec(record(), 1..20),
            codec in prop::sample::select(Codec::ALL.to_vec()),
            compression in compression(),
            transactional: bool,
        ) {
            let builder = BatchBuilder::new().codec(codec).producer(9, 3, 77);
            let builder = if transactional { builder.transactional() } else { builder };
            let before = builder.build(&wanted).expect("a batch");
            let after = before.recompressed(compression, usize::MAX).expect("another codec");
            let after = RecordBatch::parse(after.bytes().clone()).expect("a producer could have sent it");
            prop_assert_eq!(after.codec(), Codec::from(compression));
            prop_assert!(!after.differs_from(compression));
            prop_assert_eq!(records(&after), records(&before));
            let fields = |batch: &RecordBatch| {
                let producer = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
                let times = (batch.base_timestamp(), batch.max_timestamp());
                (producer, times, batch.is_transactional(), batch.record_count(), batch.last_offset_delta())
            };
            prop_assert_eq!(fields(&after), fields(&before));
        }
    }

    fn repetitive() -> RecordBatch {
        let value = Some(Bytes::from(vec![7; 100_000]));
        BatchBuilder::new().codec(Codec::Gzip).build(&[Record { value, ..Record::default() }]).expect("a batch")
    }

    #[test]
    fn a_batch_that_grows_too_large_is_noticed_before_it_is_there() {
        let batch = repetitive();
        assert!(batch.bytes().len() < 1000);
        assert_eq!(
            batch.recompressed(Compression::Uncompressed, 100_000),
            Err(RecompressError::TooLarge(100_000)),
            "the header and the record's own fields come on top"
        );
        assert!(batch.recompressed(Compression::Uncompressed, 100_100).is_ok());
        assert!(batch.recompressed(Compression::Zstd(3), 1000).is_ok());
    }

    #[test]
    fn records_that_cannot_be_read_are_refused() {
        let batch = repetitive();
        let mut bytes = batch.bytes().to_vec();
        bytes[BATCH_HEADER_LEN + 20] ^= 0xff;
        seal(&mut bytes);
        let broken = RecordBatch::parse(bytes.into()).expect("nobody has looked at the records");
        let error = broken.recompressed(Compression::Lz4(9), usize::MAX).expect_err("broken");
        assert!(matches!(error, RecompressError::Batch(BatchError::Corrupt(_))), "{error}");
    }

    #[test]
    fn the_largest_timestamp_is_that_of_the_records() {
        let at = |timestamp| Record { timestamp, ..Record::default() };
        let batch = BatchBuilder::new().build(&[at(5), at(9), at(7)]).expect("a batch");
        let mut bytes = batch.bytes().to_vec();
        put(&mut bytes, at::MAX_TIMESTAMP, &1000_i64.to_be_bytes());
        seal(&mut bytes);
        let lying = RecordBatch::parse(bytes.into()).expect("a batch");
        let after = lying.recompressed(Compression::Gzip(6), usize::MAX).expect("another codec");
        assert_eq!(after.max_timestamp(), 9);
    }
}
