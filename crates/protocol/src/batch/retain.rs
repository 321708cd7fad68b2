//! The same batch without some of its records: what log compaction leaves of it.

use std::ops::ControlFlow;

use bytes::{BufMut, Bytes, BytesMut};
use caudal_types::{TimestampMs, mutant};

use super::builder::{fit, put_varlong};
use super::{
    BATCH_HEADER_LEN, BatchError, CODEC_MASK, LENGTH_OVERHEAD, RecordBatch, RecordView, at, invalid, put, seal,
};

impl RecordBatch {
    /// The batch without the records that `keep` refuses; `None` when it refuses none, and the batch stays as it is.
    ///
    /// The records that stay are copied as they are, and so is the header: base timestamp, last offset delta, producer, base sequence and attributes say what
    /// they said, so that the batch still ends at the offset and the sequence at which it ended. Count, length, checksum and largest timestamp follow the
    /// records; records that were compressed are compressed again. A batch of which nothing is left is a header that says that it is not compressed, with
    /// its base timestamp as its largest. The outcome depends on what stays alone, not on how many steps led there.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] when the records cannot be decoded: then nothing can be said of them.
    pub fn retain(&self, keep: &mut dyn FnMut(&RecordView<'_>) -> bool) -> Result<Option<Self>, BatchError> {
        let mut kept = Vec::with_capacity(usize::try_from(self.record_count()).unwrap_or_default().min(KEPT_AT_FIRST));
        self.for_each_record(&mut |record| {
            kept.push(keep(&record));
            ControlFlow::Continue(())
        })?;
        if kept.iter().all(|keep| *keep) {
            return Ok(None);
        }
        let (mut plain, mut count, mut latest) = (BytesMut::new(), 0, None);
        let mut verdicts = kept.iter();
        self.for_each_record(&mut |record| {
            if verdicts.next() == Some(&true) {
                put_varlong(&mut plain, record.raw.len() as i64);
                plain.put_slice(record.raw);
                count += 1;
                latest = latest.max(Some(record.timestamp));
            }
            ControlFlow::Continue(())
        })?;
        self.with_records(&plain, count, latest).map(Some)
    }

    fn with_records(&self, plain: &[u8], count: i32, latest: Option<TimestampMs>) -> Result<Self, BatchError> {
        let is_empty = count == 0;
        let body = if is_empty { Ok(Vec::new()) } else { self.codec().compress(plain) };
        let body = body.map_err(|error| invalid(format!("compression failed: {error}")))?;
        let attributes = if is_empty { self.attributes() & !CODEC_MASK } else { self.attributes() };
        let len = BATCH_HEADER_LEN + body.len();
        let mut bytes = BytesMut::with_capacity(len);
        bytes.put_slice(self.bytes().get(..BATCH_HEADER_LEN).unwrap_or_default());
        bytes.put_slice(&body);
        put(&mut bytes, at::BATCH_LENGTH, &fit("bytes", len - LENGTH_OVERHEAD)?.to_be_bytes());
        put(&mut bytes, at::ATTRIBUTES, &attributes.to_be_bytes());
        put(&mut bytes, at::RECORD_COUNT, &count.to_be_bytes());
        if !self.is_log_append_time() {
            let max_timestamp = latest.unwrap_or(self.base_timestamp());
            put(&mut bytes, at::MAX_TIMESTAMP, &max_timestamp.to_be_bytes());
        }
        if mutant::active("cleaned_batch_loses_its_last_sequence") {
            put(&mut bytes, at::LAST_OFFSET_DELTA, &(count - 1).max(0).to_be_bytes());
        }
        seal(&mut bytes);
        Ok(Self::from_trusted(Bytes::from(bytes)))
    }
}

/// A header may claim more records than there are.
const KEPT_AT_FIRST: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BatchBuilder, Codec, Record};
    use super::*;

    fn record(number: usize, timestamp: TimestampMs) -> Record {
        Record {
            timestamp,
            key: Some(format!("key {number}").into()),
            value: (!number.is_multiple_of(3)).then(|| format!("value {number}").into()),
            headers: vec![("h".to_owned(), number.is_multiple_of(2).then(|| "x".into()))],
        }
    }

    fn batch(times: &[TimestampMs], codec: Codec) -> RecordBatch {
        let records: Vec<_> = times.iter().enumerate().map(|(number, time)| record(number, *time)).collect();
        BatchBuilder::new().codec(codec).producer(7, 2, 40).build(&records).unwrap()
    }

    type Seen = (i32, TimestampMs, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn records(batch: &RecordBatch) -> Vec<Seen> {
        let mut seen = Vec::new();
        batch
            .for_each_record(&mut |record| {
                let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                seen.push((record.offset_delta, record.timestamp, key, value, record.headers.count()));
                ControlFlow::Continue(())
            })
            .unwrap();
        seen
    }

    fn retain(batch: &RecordBatch, mask: &[bool]) -> Option<RecordBatch> {
        batch.retain(&mut |record| mask[usize::try_from(record.offset_delta).unwrap()]).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_are_golden() {
        let batch = batch(&[1000, 1005, 1003], Codec::None);
        let left = retain(&batch, &[false, false, true]).unwrap();
        let header = "000000000000000000000048ffffffff02";
        let fields = "000000000002\
                      00000000000003e800000000000003eb\
                      000000000000000700020000002800000001";
        let records = "2c000604 0a6b65792032 0e76616c75652032 0202680278";
        let records: String = records.split_whitespace().collect();
        let bytes = hex(left.bytes());
        assert_eq!(&bytes[..34], header, "{bytes}");
        assert_eq!(&bytes[42..122], fields, "{bytes}");
        assert_eq!(&bytes[122..], &records, "{bytes}");
        let none = retain(&left, &[false; 3]).unwrap();
        let fields = "000000000002\
                      00000000000003e800000000000003e8\
                      000000000000000700020000002800000000";
        assert_eq!(&hex(none.bytes())[42..], fields);
    }

    #[test]
    fn what_keeps_all_stays_and_what_cannot_be_read_is_an_error() {
        let good = batch(&[1, 2], Codec::Lz4);
        assert_eq!(retain(&good, &[true, true]), None);
        let mut bytes = good.bytes().to_vec();
        bytes.truncate(BATCH_HEADER_LEN + 5);
        let bad = RecordBatch::from_trusted(bytes.into());
        assert!(bad.retain(&mut |_| false).is_err());
    }

    #[test]
    fn the_brokers_time_stays() {
        let batch = batch(&[1, 2], Codec::Gzip).with_log_append_time(99);
        let left = retain(&batch, &[true, false]).unwrap();
        assert_eq!((left.max_timestamp(), left.is_log_append_time()), (99, true));
        assert_eq!(records(&left)[0].1, 99);
        assert_eq!(retain(&left, &[false, false]).unwrap().max_timestamp(), 99);
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_as_it_was(
            all in prop::collection::vec((0..10_000_i64, any::<bool>(), any::<bool>()), 1..30),
            codec in prop::sample::select(Codec::ALL.to_vec()),
        ) {
            let times: Vec<_> = all.iter().map(|(time, ..)| *time).collect();
            let first: Vec<_> = all.iter().map(|(_, first, _)| *first).collect();
            let both: Vec<_> = all.iter().map(|(_, first, second)| *first && *second).collect();
            let batch = batch(&times, codec);
            let before = records(&batch);
            let once = retain(&batch, &both);
            if let Some(left) = &once {
                let parsed = RecordBatch::parse_stored(left.bytes().clone());
                prop_assert_eq!(parsed.as_ref(), Ok(left), "its header is coherent");
                let kept: Vec<_> = before.iter().filter(|(delta, ..)| both[*delta as usize]).cloned().collect();
                prop_assert_eq!(left.record_count() as usize, kept.len());
                prop_assert_eq!(left.last_offset_delta(), batch.last_offset_delta());
                prop_assert_eq!(left.last_sequence(), batch.last_sequence());
                prop_assert_eq!(left.base_timestamp(), batch.base_timestamp());
                let latest = kept.iter().map(|(_, time, ..)| *time).max().unwrap_or(batch.base_timestamp());
                prop_assert_eq!(left.max_timestamp(), latest);
                prop_assert_eq!(left.codec(), if kept.is_empty() { Codec::None } else { codec });
                prop_assert_eq!(records(left), kept);
            }
            // The same records by two steps have the same bytes.
            let half = retain(&batch, &first).unwrap_or_else(|| batch.clone());
            let twice = retain(&half, &both).unwrap_or(half);
            prop_assert_eq!(twice, once.unwrap_or(batch));
        }
    }
}
