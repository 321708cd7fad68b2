//! The idempotent producers of a partition (KIP-98): which batch is new, which was seen, which leaves a gap.
//!
//! The rules are those of Apache Kafka's brokers: a window of five batches, exact matches only; a newer epoch begins with sequence 0; a producer that is
//! not known (new, expired or evicted) may begin anywhere, since its state may simply be gone.

use std::collections::BTreeMap;

use caudal_protocol::batch::RecordBatch;
use caudal_types::limits::PRODUCER_BATCHES_REMEMBERED;
use caudal_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use crate::reply::Reply;
use crate::state::Settings;

/// Who sent a batch, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
}

impl ProducerStamp {
    /// `None` when the producer is not idempotent.
    pub(crate) fn of(batch: &RecordBatch) -> Option<Self> {
        let id = batch.producer_id();
        (id >= 0).then(|| Self {
            id,
            epoch: batch.producer_epoch(),
            first_sequence: batch.base_sequence(),
            last_sequence: batch.last_sequence(),
        })
    }
}

/// A batch that a producer may send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RememberedBatch {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: Offset,
    pub(crate) timestamp: TimestampMs,
}

/// What a partition knows of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    /// When it last appended, by the log's clock.
    pub(crate) last_time: TimestampMs,
    /// Its newest batches, oldest first: at least one, at most five, all of `epoch`.
    pub(crate) batches: Vec<RememberedBatch>,
}

impl Producer {
    fn is_expired(&self, time: TimestampMs, settings: &Settings) -> bool {
        time.saturating_sub(self.last_time) >= settings.producer_expiration_ms
    }

    fn last_offset(&self) -> Offset {
        self.batches.last().map_or(-1, |batch| batch.base_offset)
    }
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is appended.
    New,
    /// It was appended before.
    Duplicate(RememberedBatch),
    /// It is refused.
    Refused(Reply),
}

/// The producers of a partition, by id; ordered, so that a checkpoint has one encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates(BTreeMap<ProducerId, Producer>);

impl ProducerStates {
    pub(crate) fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.0.get(&id)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.0.iter().map(|(&id, producer)| (id, producer))
    }

    pub(crate) fn insert(&mut self, id: ProducerId, producer: Producer) {
        self.0.insert(id, producer);
    }

    /// Judges a batch that comes at `time` of the log.
    pub(crate) fn judge(&self, stamp: &ProducerStamp, time: TimestampMs, settings: &Settings) -> Verdict {
        let Some(producer) = self.0.get(&stamp.id).filter(|producer| !producer.is_expired(time, settings)) else {
            return Verdict::New;
        };
        let last = producer.batches.last().map_or(-1, |batch| batch.last_sequence);
        let gap = Verdict::Refused(Reply::OutOfOrderSequence { got: stamp.first_sequence, last });
        if stamp.epoch < producer.epoch {
            return Verdict::Refused(Reply::FencedProducer { got: stamp.epoch, current: producer.epoch });
        }
        if stamp.epoch > producer.epoch {
            return if stamp.first_sequence == 0 { Verdict::New } else { gap };
        }
        let same = |batch: &&RememberedBatch| {
            batch.first_sequence == stamp.first_sequence && batch.last_sequence == stamp.last_sequence
        };
        match producer.batches.iter().find(same) {
            Some(first) => Verdict::Duplicate(*first),
            None if follows(last, stamp.first_sequence) => Verdict::New,
            None => gap,
        }
    }

    /// Remembers a batch that was appended; returns the producers that had to make room.
    pub(crate) fn record(
        &mut self,
        stamp: &ProducerStamp,
        appended: RememberedBatch,
        time: TimestampMs,
        settings: &Settings,
    ) -> Vec<ProducerId> {
        let fresh = || Producer { epoch: stamp.epoch, last_time: time, batches: Vec::with_capacity(1) };
        let producer = self.0.entry(stamp.id).or_insert_with(fresh);
        if producer.epoch != stamp.epoch || producer.is_expired(time, settings) {
            producer.batches.clear();
        }
        producer.epoch = stamp.epoch;
        producer.last_time = time;
        if producer.batches.len() == PRODUCER_BATCHES_REMEMBERED {
            producer.batches.remove(0);
        }
        producer.batches.push(appended);
        self.make_room(time, settings)
    }

    /// Forgets the producers that have expired.
    pub(crate) fn sweep(&mut self, time: TimestampMs, settings: &Settings) -> Vec<ProducerId> {
        let expired: Vec<_> =
            self.0.iter().filter(|(_, producer)| producer.is_expired(time, settings)).map(|(&id, _)| id).collect();
        for id in &expired {
            self.0.remove(id);
        }
        expired
    }

    /// Keeps the number of producers bounded: the least recently active tenth goes at once, so that the search for it is rare.
    fn make_room(&mut self, time: TimestampMs, settings: &Settings) -> Vec<ProducerId> {
        let max = usize::try_from(settings.producers_max).unwrap_or(usize::MAX).max(1);
        if self.0.len() <= max {
            return Vec::new();
        }
        let mut gone = self.sweep(time, settings);
        if self.0.len() > max {
            let mut by_age: Vec<_> = self.0.iter().map(|(&id, producer)| (producer.last_offset(), id)).collect();
            by_age.sort_unstable();
            by_age.truncate(self.0.len() - max + max / 10);
            for (_, id) in by_age {
                self.0.remove(&id);
                gone.push(id);
            }
        }
        gone
    }
}

/// Sequences wrap at `i32::MAX`.
fn follows(last: i32, next: i32) -> bool {
    last.checked_add(1).unwrap_or(0) == next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { producer_expiration_ms: 1000, producers_max: 20, ..Settings::default() }
    }

    fn stamp(id: ProducerId, epoch: ProducerEpoch, first: i32, last: i32) -> ProducerStamp {
        ProducerStamp { id, epoch, first_sequence: first, last_sequence: last }
    }

    fn remembered(stamp: &ProducerStamp, base_offset: Offset) -> RememberedBatch {
        RememberedBatch {
            first_sequence: stamp.first_sequence,
            last_sequence: stamp.last_sequence,
            base_offset,
            timestamp: 0,
        }
    }

    fn record(states: &mut ProducerStates, stamp: ProducerStamp, offset: Offset, time: TimestampMs) -> Vec<ProducerId> {
        states.record(&stamp, remembered(&stamp, offset), time, &settings())
    }

    #[test]
    fn the_last_five_batches_are_known_again() {
        let mut states = ProducerStates::default();
        for n in 0..7 {
            record(&mut states, stamp(1, 0, n * 10, n * 10 + 9), i64::from(n) * 10, 0);
        }
        let judge = |first, last| states.judge(&stamp(1, 0, first, last), 0, &settings());
        for n in 2..7 {
            let Verdict::Duplicate(first) = judge(n * 10, n * 10 + 9) else { panic!("batch {n}") };
            assert_eq!(first.base_offset, i64::from(n) * 10);
        }
        let gap = |got| Verdict::Refused(Reply::OutOfOrderSequence { got, last: 69 });
        assert_eq!(judge(10, 19), gap(10), "older than the window");
        assert_eq!(judge(60, 68), gap(60), "only exact matches are duplicates");
        assert_eq!(judge(71, 72), gap(71));
        assert_eq!(judge(70, 72), Verdict::New);
    }

    #[test]
    fn epochs_fence_and_begin_at_zero() {
        let mut states = ProducerStates::default();
        record(&mut states, stamp(1, 3, 5, 9), 0, 0);
        let judge = |epoch, first| states.judge(&stamp(1, epoch, first, first), 0, &settings());
        assert_eq!(judge(2, 10), Verdict::Refused(Reply::FencedProducer { got: 2, current: 3 }));
        assert_eq!(judge(4, 10), Verdict::Refused(Reply::OutOfOrderSequence { got: 10, last: 9 }));
        assert_eq!(judge(4, 0), Verdict::New);
        record(&mut states, stamp(1, 4, 0, 0), 5, 0);
        assert_eq!(states.get(1).unwrap().batches.len(), 1, "an epoch's batches are its own");
    }

    #[test]
    fn sequences_wrap() {
        let mut states = ProducerStates::default();
        record(&mut states, stamp(1, 0, i32::MAX - 1, i32::MAX), 0, 0);
        assert_eq!(states.judge(&stamp(1, 0, 0, 4), 0, &settings()), Verdict::New);
        record(&mut states, stamp(1, 0, i32::MAX, 1), 0, 0);
        assert_eq!(states.judge(&stamp(1, 0, 2, 2), 0, &settings()), Verdict::New);
    }

    #[test]
    fn whoever_is_not_known_may_begin_anywhere() {
        let mut states = ProducerStates::default();
        assert_eq!(states.judge(&stamp(1, 0, 77, 78), 0, &settings()), Verdict::New);
        record(&mut states, stamp(1, 9, 77, 78), 0, 0);
        assert_eq!(states.judge(&stamp(1, 2, 5, 5), 1000, &settings()), Verdict::New, "expired, epoch and all");
        record(&mut states, stamp(1, 2, 5, 5), 2, 1000);
        assert_eq!(states.get(1).unwrap().batches, [remembered(&stamp(1, 2, 5, 5), 2)]);
        assert_eq!(states.sweep(1999, &settings()), Vec::<ProducerId>::new());
        assert_eq!(states.sweep(2000, &settings()), [1]);
    }

    #[test]
    fn the_least_recently_active_make_room() {
        let mut states = ProducerStates::default();
        for id in 0..20 {
            assert_eq!(record(&mut states, stamp(id, 0, 0, 0), id, 0), Vec::<ProducerId>::new());
        }
        record(&mut states, stamp(0, 0, 1, 1), 20, 0);
        assert_eq!(record(&mut states, stamp(99, 0, 0, 0), 21, 0), [1, 2, 3]);
        assert_eq!(states.iter().len(), 18);
        assert!(states.get(0).is_some() && states.get(99).is_some());
    }
}
