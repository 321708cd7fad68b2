use std::ops::ControlFlow;

use bytes::Bytes;
use kafka_protocol::records::{Compression, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::fuzzing;

/// One record, key `k`, value `v`, header `h: 1`, at 1700000000000, of producer 7, epoch 1, sequence 3.
const GOLDEN: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0, 0, // base offset
    0, 0, 0, 62, // length
    0xff, 0xff, 0xff, 0xff, // leader epoch
    2,    // magic
    0, 0, 0, 0, // checksum, computed in the test by another implementation
    0, 0, // attributes
    0, 0, 0, 0, // last offset delta
    0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0, // base timestamp
    0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0, // max timestamp
    0, 0, 0, 0, 0, 0, 0, 7, // producer id
    0, 1, // producer epoch
    0, 0, 0, 3, // base sequence
    0, 0, 0, 1, // records
    24, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 2, b'1',
];

fn golden_record() -> Record {
    Record {
        timestamp: 1_700_000_000_000,
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from_static(b"v")),
        headers: vec![("h".to_owned(), Some(Bytes::from_static(b"1")))],
    }
}

fn records_of(batch: &RecordBatch) -> Result<Vec<Record>, BatchError> {
    let mut records = Vec::new();
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    batch.for_each_record(&mut |record| {
        let headers = record.headers.map(|h| (String::from_utf8_lossy(h.key).into_owned(), copy(h.value))).collect();
        records.push(Record { timestamp: record.timestamp, key: copy(record.key), value: copy(record.value), headers });
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

fn batch_of(count: usize, codec: Codec) -> RecordBatch {
    let records: Vec<_> = (0..count)
        .map(|i| Record {
            value: Some(Bytes::from(format!("value {i}"))),
            timestamp: 1000 + i as i64,
            ..golden_record()
        })
        .collect();
    BatchBuilder::new().codec(codec).build(&records).expect("builds")
}

/// A copy with bytes replaced and a checksum that fits.
fn forged(batch: &RecordBatch, at: usize, value: &[u8]) -> Bytes {
    let mut bytes = batch.bytes().to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    seal(&mut bytes);
    bytes.into()
}

#[test]
fn a_batch_has_kafkas_bytes() {
    let batch = BatchBuilder::new().producer(7, 1, 3).build(&[golden_record()]).expect("builds");
    let mut golden = GOLDEN.to_vec();
    let crc = crc32c_bitwise(&golden[at::ATTRIBUTES..]);
    golden[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(batch.bytes(), &golden);

    let batch = RecordBatch::parse(golden.into()).expect("parses");
    assert_eq!((batch.base_offset(), batch.leader_epoch()), (0, -1));
    assert_eq!((batch.record_count(), batch.last_offset_delta()), (1, 0));
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_700_000_000_000, 1_700_000_000_000));
    assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (7, 1, 3));
    assert_eq!((batch.codec(), batch.is_log_append_time()), (Codec::None, false));
    assert!(!batch.is_transactional() && !batch.is_control());
    assert_eq!(records_of(&batch), Ok(vec![golden_record()]));
}

/// CRC32C by its definition, so that the golden bytes do not rest on the crate under use.
fn crc32c_bitwise(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[test]
fn batches_of_another_encoder_are_read() {
    for (compression, codec) in [
        (Compression::None, Codec::None),
        (Compression::Gzip, Codec::Gzip),
        (Compression::Snappy, Codec::Snappy),
        (Compression::Lz4, Codec::Lz4),
        (Compression::Zstd, Codec::Zstd),
    ] {
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression };
        RecordBatchEncoder::encode(&mut bytes, &foreign_records(50), &options).expect("encodes");
        let batch = RecordBatch::parse(bytes.freeze()).expect("parses");
        assert_eq!((batch.codec(), batch.record_count()), (codec, 50));
        assert_eq!((batch.producer_id(), batch.base_sequence(), batch.last_sequence()), (7, 10, 59));
        let records = records_of(&batch).expect("reads");
        assert_eq!(records[49].value, Some(Bytes::from("value 49")), "{codec:?}");
        assert_eq!((records[49].timestamp, records[0].key.clone()), (1049, None));
        assert_eq!(records[3].headers, [("h".to_owned(), None)]);
    }
}

fn foreign_records(count: i32) -> Vec<kafka_protocol::records::Record> {
    let record = |i: i32| kafka_protocol::records::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: 7,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(i),
        sequence: 10 + i,
        timestamp: 1000 + i64::from(i),
        key: None,
        value: Some(Bytes::from(format!("value {i}"))),
        headers: [(kafka_protocol::protocol::StrBytes::from_static_str("h"), None)].into_iter().collect(),
    };
    (0..count).map(record).collect()
}

#[test]
fn every_flipped_bit_is_refused_or_lies_outside_the_checksum() {
    for codec in Codec::ALL {
        let batch = batch_of(20, codec);
        for at in 0..batch.bytes().len() {
            for bit in 0..8 {
                let mut bytes = batch.bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let refused = RecordBatch::parse(bytes.into()).is_err();
                let outside = (at::LEADER_EPOCH..at::MAGIC).contains(&at);
                assert_ne!(refused, outside, "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn every_truncation_and_addition_is_refused() {
    let batch = batch_of(3, Codec::None);
    for len in 0..batch.bytes().len() {
        let result = RecordBatch::parse(batch.bytes().slice(..len));
        assert!(matches!(result, Err(BatchError::Corrupt(_))), "{len} bytes: {result:?}");
    }
    let mut longer = batch.bytes().to_vec();
    longer.push(0);
    assert!(matches!(RecordBatch::parse(longer.into()), Err(BatchError::Corrupt(_))));
}

#[test]
fn old_and_unknown_magic_are_told_apart() {
    let batch = batch_of(1, Codec::None);
    for (magic, expected) in [(0, true), (1, true), (3, false), (-1, false)] {
        let result = RecordBatch::parse(forged(&batch, at::MAGIC, &[magic as u8]));
        assert_eq!(matches!(result, Err(BatchError::OldMagic(m)) if m == magic), expected, "{result:?}");
        assert_eq!(matches!(result, Err(BatchError::Corrupt(_))), !expected, "{result:?}");
    }
    // An old message set may be shorter than a batch's header.
    assert_eq!(RecordBatch::parse(Bytes::from_static(&[0; 34])), Err(BatchError::OldMagic(0)));
}

#[test]
fn what_a_producer_may_not_send_is_invalid_though_undamaged() {
    let batch = BatchBuilder::new().producer(7, 0, 0).build(&[golden_record()]).expect("builds");
    let cases: [(&str, usize, &[u8]); 6] = [
        ("last offset delta", at::LAST_OFFSET_DELTA, &[0, 0, 0, 9]),
        ("no records", at::RECORD_COUNT, &[0; 4]),
        ("base offset", at::BASE_OFFSET, &[0, 0, 0, 0, 0, 0, 0, 1]),
        ("control", at::ATTRIBUTES, &[0, CONTROL as u8]),
        ("sequence", at::BASE_SEQUENCE, &[0xff; 4]),
        ("epoch", at::PRODUCER_EPOCH, &[0xff; 2]),
    ];
    for (what, at, value) in cases {
        let bytes = forged(&batch, at, value);
        let result = RecordBatch::parse(bytes.clone());
        assert!(matches!(result, Err(BatchError::Invalid(_))), "{what}: {result:?}");
        assert!(RecordBatch::parse_stored(bytes).is_ok(), "{what}");
    }
    let anonymous = BatchBuilder::new().transactional().build(&[golden_record()]).expect("builds");
    assert!(matches!(RecordBatch::parse(anonymous.bytes().clone()), Err(BatchError::Invalid(_))));
}

#[test]
fn impossible_counts_and_codecs_are_corrupt() {
    let batch = batch_of(2, Codec::None);
    for (at, value) in [
        (at::RECORD_COUNT, &[0xff, 0xff, 0xff, 0xff][..]),
        (at::RECORD_COUNT, &[0, 0, 0, 3]),
        (at::LAST_OFFSET_DELTA, &[0xff, 0xff, 0xff, 0xff]),
        (at::ATTRIBUTES, &[0, 5]),
        (at::ATTRIBUTES, &[0, 7]),
    ] {
        let result = RecordBatch::parse(forged(&batch, at, value));
        assert!(matches!(result, Err(BatchError::Corrupt(_))), "{result:?}");
    }
}

#[test]
fn records_that_contradict_the_header_are_corrupt() {
    for codec in Codec::ALL {
        let batch = batch_of(3, codec);
        for count in [2_u8, 4] {
            let header = [0, 0, 0, count - 1];
            let bytes = forged(&batch, at::LAST_OFFSET_DELTA, &header);
            let batch =
                RecordBatch::parse(forged(&RecordBatch::from_trusted(bytes), at::RECORD_COUNT, &[0, 0, 0, count]));
            let read = records_of(&batch.expect("the header is coherent"));
            assert!(matches!(read, Err(BatchError::Corrupt(_))), "{codec:?} {count}: {read:?}");
        }
    }
}

#[test]
fn a_gap_in_the_offsets_is_corrupt_unless_records_are_missing() {
    let last_delta = |batch: &RecordBatch, delta: u8| forged(batch, at::LAST_OFFSET_DELTA, &[0, 0, 0, delta]);
    let batch = batch_of(2, Codec::None);
    // The first record's offset delta: behind length, attributes and timestamp delta.
    let first = forged(&batch, BATCH_HEADER_LEN + 3, &[2]);
    let mut seen = 0;
    let result = RecordBatch::parse(first).expect("the header is coherent").for_each_record(&mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(BatchError::Corrupt(_))), "{result:?}");
    assert_eq!(seen, 0);

    let compacted = RecordBatch::parse_stored(last_delta(&batch, 9)).expect("a compacted batch");
    assert_eq!(records_of(&compacted).expect("reads").len(), 2);
}

#[test]
fn reading_stops_when_the_visitor_says_so() {
    for codec in Codec::ALL {
        let mut seen = 0;
        let result = batch_of(10, codec).for_each_record(&mut |_| {
            seen += 1;
            if seen == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((result, seen), (Ok(()), 4));
    }
}

#[test]
fn patching_touches_offset_and_epoch_only() {
    let batch = batch_of(3, Codec::Zstd);
    let [head, rest] = batch.patched(1_000_000_007, 12);
    assert_eq!(rest.as_ptr(), batch.bytes()[16..].as_ptr());
    let patched = RecordBatch::parse_stored([head, rest].concat().into()).expect("its checksum still fits");
    assert_eq!((patched.base_offset(), patched.leader_epoch()), (1_000_000_007, 12));
    assert_eq!(records_of(&patched), records_of(&batch));
}

#[test]
fn log_append_time_stamps_every_record() {
    for codec in Codec::ALL {
        let batch = RecordBatch::parse(batch_of(3, codec).with_log_append_time(5555).bytes().clone()).expect("parses");
        assert!(batch.is_log_append_time());
        assert_eq!((batch.max_timestamp(), batch.codec()), (5555, codec));
        assert!(records_of(&batch).expect("reads").iter().all(|record| record.timestamp == 5555));
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let last = |first| {
        BatchBuilder::new().producer(1, 0, first).build(&vec![golden_record(); 3]).expect("builds").last_sequence()
    };
    assert_eq!(last(0), 2);
    assert_eq!(last(i32::MAX - 2), i32::MAX);
    assert_eq!(last(i32::MAX - 1), 0);
    assert_eq!(last(i32::MAX), 1);
    assert_eq!(last(-1), -1);
}

#[test]
fn batches_in_a_row_are_split_and_counted() {
    let (a, b) = (batch_of(1, Codec::None), batch_of(2, Codec::Gzip));
    let row: Bytes = [a.bytes().clone(), b.bytes().clone()].concat().into();
    assert_eq!(split(&row).expect("splits"), [a.bytes().clone(), b.bytes().clone()]);
    assert_eq!(split(&Bytes::new()).expect("splits").len(), 0);
    let cut = row.slice(..row.len() - 1);
    assert!(split(&cut).is_err());
    assert_eq!(whole_batches(&cut), [a.bytes().clone()]);
    assert!(split(&Bytes::from_static(&[0xff; 20])).is_err());
}

#[test]
fn a_batch_needs_records() {
    assert!(matches!(BatchBuilder::new().build(&[]), Err(BatchError::Invalid(_))));
}

fn any_bytes() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..50).prop_map(Bytes::from))
}

fn any_record() -> impl Strategy<Value = Record> {
    let headers = prop::collection::vec(("[a-z]{0,5}", any_bytes()), 0..3);
    (any::<i64>(), any_bytes(), any_bytes(), headers).prop_map(|(timestamp, key, value, headers)| Record {
        timestamp,
        key,
        value,
        headers,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_read(records in prop::collection::vec(any_record(), 1..20), codec in 0..5_usize) {
        let built = BatchBuilder::new().codec(Codec::ALL[codec]).build(&records).expect("builds");
        let batch = RecordBatch::parse(built.bytes().clone()).expect("parses");
        prop_assert_eq!(records_of(&batch), Ok(records));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn mutated_batches_never_panic(
        count in 1..5_usize,
        codec in 0..5_usize,
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        resealed: bool,
    ) {
        let mut bytes = batch_of(count, Codec::ALL[codec]).bytes().to_vec();
        for (at, byte) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if resealed {
            bytes = sealed(&bytes);
        }
        fuzzing::batch(&bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::batch(&bytes);
        fuzzing::batch(&sealed(&bytes));
    }
}
