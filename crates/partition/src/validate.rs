//! What a producer may send: Kafka's rules for a record batch. Pure.

use std::ops::ControlFlow;

use bytes::Bytes;
use caudal_protocol::batch::{BatchError, RecordBatch, RecordView};
use caudal_types::TimestampMs;
use caudal_types::topic_config::{TimestampType, TopicConfig};

use crate::{AppendError, RecordFault};

/// How many records of a batch are named at most: a batch of a megabyte may have some hundred thousand, and the answer a text for each.
const MAX_FAULTS: usize = 1000;

/// Checks a batch as it came, against the topic's settings and the leader's clock.
///
/// # Errors
/// Why it is refused.
pub(crate) fn check(bytes: Bytes, config: &TopicConfig, now: TimestampMs) -> Result<RecordBatch, AppendError> {
    if bytes.len() > config.max_message_bytes {
        return Err(AppendError::TooLarge { size: bytes.len(), max: config.max_message_bytes });
    }
    let batch = RecordBatch::parse(bytes).map_err(refusal)?;
    check_header(&batch)?;
    let times = Times::of(config, now);
    let header = times.as_ref().map_or(Ok(()), |times| {
        times.check(batch.max_timestamp())?;
        times.check(batch.base_timestamp())
    });
    // Records are decoded only where the header cannot tell, or does not say which, since that may mean to decompress them.
    if config.compact || header.is_err() || times.as_ref().is_some_and(Times::bounds_the_past) {
        check_records(&batch, config.compact, times.as_ref())?;
    }
    header.map_err(AppendError::InvalidTimestamp)?;
    Ok(batch)
}

pub(crate) fn refusal(error: BatchError) -> AppendError {
    match error {
        BatchError::OldMagic(magic) => AppendError::OldMagic(magic),
        BatchError::Corrupt(reason) => AppendError::Corrupt(reason),
        BatchError::Invalid(reason) => AppendError::InvalidRecord(reason),
    }
}

/// What is well-formed, and yet not taken from producers.
fn check_header(batch: &RecordBatch) -> Result<(), AppendError> {
    if batch.is_transactional() && batch.producer_id() < 0 {
        return Err(AppendError::InvalidRecord("a batch of a transaction needs a producer id".to_owned()));
    }
    if batch.is_log_append_time() {
        return Err(AppendError::InvalidTimestamp(
            "the batch says that its timestamps are LogAppendTime; only the broker may set that".to_owned(),
        ));
    }
    Ok(())
}

/// The records at fault, up to [`MAX_FAULTS`]: clients take the others of the batch for good ones that were refused along with them.
fn check_records(batch: &RecordBatch, keys: bool, times: Option<&Times>) -> Result<(), AppendError> {
    let (mut faults, mut index) = (Vec::new(), 0);
    batch
        .for_each_record(&mut |record: RecordView<'_>| {
            faults.extend(fault(index, &record, keys, times));
            index += 1;
            if faults.len() < MAX_FAULTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .map_err(refusal)?;
    if faults.is_empty() { Ok(()) } else { Err(AppendError::Records(faults)) }
}

fn fault(index: i32, record: &RecordView<'_>, keys: bool, times: Option<&Times>) -> Option<RecordFault> {
    if keys && record.key.is_none() {
        let reason = "it has no key; records of a compacted topic need one".to_owned();
        return Some(RecordFault { index, reason, timestamp: false });
    }
    let reason = times?.check(record.timestamp).err()?;
    Some(RecordFault { index, reason, timestamp: true })
}

/// How far producers' clocks may be off.
#[derive(Clone, Copy, Debug)]
struct Times {
    now: TimestampMs,
    before_max_ms: i64,
    after_max_ms: i64,
}

impl Times {
    /// `None` when the broker's own clock stamps the records.
    fn of(config: &TopicConfig, now: TimestampMs) -> Option<Self> {
        (config.timestamp_type == TimestampType::CreateTime).then_some(Self {
            now,
            before_max_ms: config.timestamp_before_max_ms,
            after_max_ms: config.timestamp_after_max_ms,
        })
    }

    fn bounds_the_past(&self) -> bool {
        self.before_max_ms < i64::MAX
    }

    /// -1 means that a record has no timestamp.
    fn check(&self, timestamp: TimestampMs) -> Result<(), String> {
        let (oldest, newest) =
            (self.now.saturating_sub(self.before_max_ms), self.now.saturating_add(self.after_max_ms));
        if timestamp == -1 || (oldest..=newest).contains(&timestamp) {
            return Ok(());
        }
        Err(format!(
            "timestamp {timestamp} is out of range; it should be within {oldest} and {newest} \
             (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BatchSpec, topic_config};

    const NOW: TimestampMs = 1_000_000;

    fn refused(spec: &BatchSpec, config: &TopicConfig) -> AppendError {
        check(spec.build().bytes().clone(), config, NOW).unwrap_err()
    }

    #[test]
    fn a_plain_batch_passes() {
        let batch = BatchSpec::plain(3).at(NOW).build();
        assert_eq!(check(batch.bytes().clone(), &topic_config(), NOW).unwrap(), batch);
    }

    #[test]
    fn size_is_the_whole_batchs() {
        let batch = BatchSpec::plain(3).at(NOW).build();
        let len = batch.bytes().len();
        let config = |max_message_bytes| TopicConfig { max_message_bytes, ..topic_config() };
        assert!(check(batch.bytes().clone(), &config(len), NOW).is_ok());
        let error = check(batch.bytes().clone(), &config(len - 1), NOW).unwrap_err();
        assert!(matches!(error, AppendError::TooLarge { size, max } if size == len && max == len - 1));
    }

    #[test]
    fn damage_is_found() {
        let batch = BatchSpec::plain(3).at(NOW).build();
        let mut flipped = batch.bytes().to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let error = check(flipped.into(), &topic_config(), NOW).unwrap_err();
        assert!(matches!(error, AppendError::Corrupt(_)), "{error}");
        let error = check(batch.bytes().slice(..40), &topic_config(), NOW).unwrap_err();
        assert!(matches!(error, AppendError::Corrupt(_)), "{error}");
    }

    #[test]
    fn what_only_brokers_write_is_refused() {
        let plain = BatchSpec::plain(1).at(NOW);
        for attributes in [0x10, 0x20] {
            let error = refused(&BatchSpec { attributes, ..plain.clone() }, &topic_config());
            assert!(matches!(error, AppendError::InvalidRecord(_)), "{attributes}: {error}");
        }
        let error = refused(&BatchSpec { attributes: 0x08, ..plain.clone() }, &topic_config());
        assert!(matches!(error, AppendError::InvalidTimestamp(_)), "{error}");
        let error = refused(&BatchSpec { base_offset: 5, ..plain }, &topic_config());
        assert!(matches!(error, AppendError::InvalidRecord(_)), "{error}");
    }

    #[test]
    fn an_idempotent_batch_needs_a_sequence() {
        let spec = BatchSpec { producer_id: 4, epoch: 0, sequence: -1, ..BatchSpec::plain(1).at(NOW) };
        assert!(matches!(refused(&spec, &topic_config()), AppendError::InvalidRecord(_)));
    }

    #[test]
    fn timestamps_must_be_near_the_clock() {
        let config = TopicConfig { timestamp_before_max_ms: 100, timestamp_after_max_ms: 50, ..topic_config() };
        let at = |time| check(BatchSpec::plain(1).at(time).build().bytes().clone(), &config, NOW);
        assert!(at(NOW - 100).is_ok() && at(NOW + 50).is_ok() && at(-1).is_ok());
        for time in [NOW - 101, NOW + 51] {
            let Err(AppendError::Records(faults)) = at(time) else { panic!("{time} is refused") };
            assert!(matches!(&faults[..], [RecordFault { index: 0, timestamp: true, .. }]), "{faults:?}");
        }
        let stamped = TopicConfig { timestamp_type: TimestampType::LogAppendTime, ..config };
        assert!(check(BatchSpec::plain(1).at(3).build().bytes().clone(), &stamped, NOW).is_ok());
    }

    #[test]
    fn compacted_topics_need_keys() {
        let config = TopicConfig { compact: true, ..topic_config() };
        let keyed = BatchSpec { keyed: true, ..BatchSpec::plain(3).at(NOW) };
        assert!(check(keyed.build().bytes().clone(), &config, NOW).is_ok());
        let AppendError::Records(faults) = refused(&BatchSpec { keyed: false, ..keyed }, &config) else {
            panic!("the records are at fault")
        };
        assert_eq!(
            faults.iter().map(|fault| (fault.index, fault.timestamp)).collect::<Vec<_>>(),
            [(0, false), (1, false), (2, false)]
        );
    }

    #[test]
    fn no_more_records_are_named_than_an_answer_may_hold() {
        let config = TopicConfig { compact: true, max_message_bytes: 1 << 20, ..topic_config() };
        let spec = BatchSpec { keyed: false, ..BatchSpec::plain(5000).at(NOW) };
        let error = refused(&spec, &config);
        assert!(error.to_string().ends_with("; and 997 more"), "{error}");
        assert!(matches!(error, AppendError::Records(faults) if faults.len() == MAX_FAULTS));
    }
}
