//! The idempotent producers of a partition (KIP-98): which batch is new, which was seen, which leaves a gap.
//!
//! The rules are those of Apache Kafka's brokers: a window of five batches, exact matches only; a newer epoch begins with sequence 0; a producer that is
//! not known (new, expired or evicted) may begin anywhere, since its state may simply be gone.
//!
//! Of a producer's transactions (see [`crate::transaction`]) one at most is open. It keeps its producer from being forgotten.

use std::collections::{BTreeMap, BTreeSet};

use caudal_protocol::batch::RecordBatch;
use caudal_types::limits::PRODUCER_BATCHES_REMEMBERED;
use caudal_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use crate::reply::Reply;
use crate::state::Settings;
use crate::transaction::{Enlistment, OpenTransaction};
use crate::view::Open;

/// Who sent a batch, and which of theirs it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    /// The transaction that it is part of.
    pub(crate) enlistment: Option<Enlistment>,
}

impl ProducerStamp {
    /// `None` when the producer is not idempotent.
    pub(crate) fn of(batch: &RecordBatch, enlistment: Option<Enlistment>) -> Option<Self> {
        let id = batch.producer_id();
        (id >= 0).then(|| Self {
            id,
            epoch: batch.producer_epoch(),
            first_sequence: batch.base_sequence(),
            last_sequence: batch.last_sequence(),
            enlistment,
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
    /// Its newest batches, oldest first: at most five, all of `epoch`.
    pub(crate) batches: Vec<RememberedBatch>,
    /// The number of its last transaction that has ended here; 0 for none.
    pub(crate) ended: u64,
    /// The leader epoch of the coordinator that ended it; -1 for none.
    pub(crate) coordinator_epoch: i32,
    pub(crate) open: Option<OpenTransaction>,
}

impl Producer {
    fn new(epoch: ProducerEpoch) -> Self {
        Self { epoch, last_time: 0, batches: Vec::with_capacity(1), ended: 0, coordinator_epoch: -1, open: None }
    }

    fn is_expired(&self, time: TimestampMs, settings: &Settings) -> bool {
        self.open.is_none() && time.saturating_sub(self.last_time) >= settings.producer_expiration_ms
    }

    fn last_offset(&self) -> Offset {
        self.batches.last().map_or(-1, |batch| batch.base_offset)
    }

    /// Its open transaction, as readers and producers are shown it.
    pub(crate) fn shown_open(&self) -> Option<Open> {
        self.open.clone().map(|transaction| Open { epoch: self.epoch, transaction })
    }

    /// The last sequence number of its epoch; -1 for none.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(-1, |batch| batch.last_sequence)
    }

    fn judge_sequence(&self, stamp: &ProducerStamp) -> Verdict {
        let last = self.last_sequence();
        let gap = Verdict::Refused(Reply::OutOfOrderSequence { got: stamp.first_sequence, last });
        if stamp.epoch < self.epoch {
            return Verdict::Refused(Reply::FencedProducer { got: stamp.epoch, current: self.epoch });
        }
        if stamp.epoch > self.epoch {
            return if stamp.first_sequence == 0 { Verdict::New } else { gap };
        }
        let same = |batch: &&RememberedBatch| {
            batch.first_sequence == stamp.first_sequence && batch.last_sequence == stamp.last_sequence
        };
        match self.batches.iter().find(same) {
            Some(first) => Verdict::Duplicate(*first),
            None if follows(last, stamp.first_sequence) => Verdict::New,
            None => gap,
        }
    }

    /// A batch that is new otherwise needs the transaction that is open, or one after all that have ended.
    fn judge_transaction(&self, stamp: &ProducerStamp) -> Verdict {
        let belongs = match (&self.open, &stamp.enlistment) {
            (None, None) => true,
            (None, Some(enlistment)) => enlistment.number > self.ended,
            (Some(_), None) => false,
            (Some(open), Some(enlistment)) => enlistment.number == open.enlistment.number && stamp.epoch == self.epoch,
        };
        if belongs { Verdict::New } else { Verdict::Refused(Reply::NotInTransaction) }
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
pub(crate) struct ProducerStates {
    by_id: BTreeMap<ProducerId, Producer>,
    /// Where open transactions begin.
    open: BTreeSet<(Offset, ProducerId)>,
}

/// A transaction that was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Where it began; `None` when it had no records here.
    pub(crate) first_offset: Option<Offset>,
}

/// What becomes of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndVerdict {
    /// It is appended, and ends the transaction.
    New,
    /// The transaction has ended before.
    Ended,
    /// It is refused.
    Refused(Reply),
}

impl ProducerStates {
    pub(crate) fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.by_id.get(&id)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(&id, producer)| (id, producer))
    }

    /// The producers with open transactions, the oldest transaction first.
    pub(crate) fn iter_open(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.open.iter().filter_map(|(_, id)| Some((*id, self.by_id.get(id)?)))
    }

    /// Where the oldest open transaction begins.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.first().map(|(offset, _)| *offset)
    }

    pub(crate) fn insert(&mut self, id: ProducerId, producer: Producer) {
        if let Some(open) = &producer.open {
            self.open.insert((open.first_offset, id));
        }
        self.by_id.insert(id, producer);
    }

    /// Judges a batch that comes at `time` of the log.
    pub(crate) fn judge(&self, stamp: &ProducerStamp, time: TimestampMs, settings: &Settings) -> Verdict {
        let Some(producer) = self.known(stamp.id, time, settings) else {
            // With version 2 every transaction begins with sequence 0; if not, a part of it is missing.
            let in_the_middle = stamp.enlistment.as_ref().is_some_and(|enlistment| enlistment.version >= 2)
                && stamp.first_sequence != 0;
            let gap = Reply::OutOfOrderSequence { got: stamp.first_sequence, last: -1 };
            return if in_the_middle { Verdict::Refused(gap) } else { Verdict::New };
        };
        match producer.judge_sequence(stamp) {
            Verdict::New => producer.judge_transaction(stamp),
            other => other,
        }
    }

    /// Judges a marker that comes at `time` of the log.
    pub(crate) fn judge_end(
        &self,
        (id, epoch): (ProducerId, ProducerEpoch),
        number: u64,
        time: TimestampMs,
        settings: &Settings,
    ) -> EndVerdict {
        match self.known(id, time, settings) {
            Some(producer) if number <= producer.ended => EndVerdict::Ended,
            Some(producer) if producer.open.as_ref().is_some_and(|open| open.enlistment.number > number) => {
                EndVerdict::Ended
            }
            Some(producer) if epoch < producer.epoch => {
                EndVerdict::Refused(Reply::FencedProducer { got: epoch, current: producer.epoch })
            }
            Some(_) | None => EndVerdict::New,
        }
    }

    fn known(&self, id: ProducerId, time: TimestampMs, settings: &Settings) -> Option<&Producer> {
        self.by_id.get(&id).filter(|producer| !producer.is_expired(time, settings))
    }

    /// Remembers a batch that was appended; returns the producers that had to make room.
    pub(crate) fn record(
        &mut self,
        stamp: &ProducerStamp,
        appended: RememberedBatch,
        time: TimestampMs,
        settings: &Settings,
    ) -> Vec<ProducerId> {
        let producer = self.by_id.entry(stamp.id).or_insert_with(|| Producer::new(stamp.epoch));
        if producer.epoch != stamp.epoch || producer.is_expired(time, settings) {
            producer.batches.clear();
        }
        producer.epoch = stamp.epoch;
        producer.last_time = time;
        if producer.batches.len() == PRODUCER_BATCHES_REMEMBERED {
            producer.batches.remove(0);
        }
        producer.batches.push(appended);
        if let (None, Some(enlistment)) = (&producer.open, &stamp.enlistment) {
            let first_offset = appended.base_offset;
            producer.open = Some(OpenTransaction { enlistment: enlistment.clone(), first_offset, since: time });
            self.open.insert((first_offset, stamp.id));
        }
        self.make_room(time, settings)
    }

    /// Ends a transaction; returns it, and the producers that had to make room.
    pub(crate) fn end(
        &mut self,
        (id, epoch): (ProducerId, ProducerEpoch),
        number: u64,
        coordinator_epoch: i32,
        time: TimestampMs,
        settings: &Settings,
    ) -> (Ended, Vec<ProducerId>) {
        let producer = self.by_id.entry(id).or_insert_with(|| Producer::new(epoch));
        if producer.epoch != epoch {
            producer.batches.clear();
        }
        (producer.epoch, producer.last_time, producer.ended) = (epoch, time, number);
        producer.coordinator_epoch = coordinator_epoch;
        let first_offset = producer.open.take().map(|open| open.first_offset);
        if let Some(offset) = first_offset {
            self.open.remove(&(offset, id));
        }
        (Ended { first_offset }, self.make_room(time, settings))
    }

    /// Forgets the producers that have expired.
    pub(crate) fn sweep(&mut self, time: TimestampMs, settings: &Settings) -> Vec<ProducerId> {
        let expired: Vec<_> =
            self.by_id.iter().filter(|(_, producer)| producer.is_expired(time, settings)).map(|(&id, _)| id).collect();
        for id in &expired {
            self.by_id.remove(id);
        }
        expired
    }

    /// Keeps the number of producers bounded: the least recently active tenth goes at once, so that the search for it is rare. Those with open
    /// transactions stay, whatever their number: their coordinators end them.
    fn make_room(&mut self, time: TimestampMs, settings: &Settings) -> Vec<ProducerId> {
        let max = usize::try_from(settings.producers_max).unwrap_or(usize::MAX).max(1);
        if self.by_id.len() <= max {
            return Vec::new();
        }
        let mut gone = self.sweep(time, settings);
        if self.by_id.len() > max {
            let idle = self.by_id.iter().filter(|(_, producer)| producer.open.is_none());
            let mut by_age: Vec<_> = idle.map(|(&id, producer)| (producer.last_offset(), id)).collect();
            by_age.sort_unstable();
            by_age.truncate(self.by_id.len() - max + max / 10);
            for (_, id) in by_age {
                self.by_id.remove(&id);
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
        ProducerStamp { id, epoch, first_sequence: first, last_sequence: last, enlistment: None }
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

    fn in_transaction(number: u64, version: u8, stamp: ProducerStamp) -> ProducerStamp {
        let enlistment = Enlistment { number, version, transactional_id: "billing".into() };
        ProducerStamp { enlistment: Some(enlistment), ..stamp }
    }

    const LATE: Verdict = Verdict::Refused(Reply::NotInTransaction);

    #[test]
    fn a_transaction_takes_its_own_batches_until_its_marker_comes() {
        let mut states = ProducerStates::default();
        let judge = |states: &ProducerStates, stamp: ProducerStamp| states.judge(&stamp, 0, &settings());
        let first = in_transaction(1, 1, stamp(7, 0, 0, 4));
        assert_eq!(judge(&states, first.clone()), Verdict::New);
        record(&mut states, first.clone(), 10, 0);
        assert_eq!(states.first_open(), Some(10));
        assert_eq!(judge(&states, in_transaction(1, 1, stamp(7, 0, 5, 5))), Verdict::New);
        assert_eq!(judge(&states, stamp(7, 0, 5, 5)), LATE, "not without the transaction");
        assert_eq!(judge(&states, in_transaction(2, 1, stamp(7, 0, 5, 5))), LATE, "nor with another one");
        assert_eq!(judge(&states, in_transaction(1, 1, stamp(7, 1, 0, 0))), LATE, "nor with another epoch");
        assert_eq!(states.sweep(1_000_000, &settings()), Vec::<ProducerId>::new(), "it is not forgotten");

        assert_eq!(states.judge_end((7, 0), 1, 0, &settings()), EndVerdict::New);
        assert_eq!(states.end((7, 0), 1, 3, 0, &settings()).0, Ended { first_offset: Some(10) });
        assert_eq!(states.first_open(), None);
        assert_eq!(states.judge_end((7, 0), 1, 0, &settings()), EndVerdict::Ended, "a marker that comes again");
        assert!(matches!(judge(&states, first), Verdict::Duplicate(_)));
        assert_eq!(judge(&states, in_transaction(1, 1, stamp(7, 0, 5, 5))), LATE, "a batch that is late");
        assert_eq!(judge(&states, in_transaction(2, 1, stamp(7, 0, 5, 5))), Verdict::New);
        record(&mut states, in_transaction(2, 1, stamp(7, 0, 5, 5)), 16, 0);
        assert_eq!(states.judge_end((7, 0), 1, 0, &settings()), EndVerdict::Ended, "and it does not end the next one");
        assert_eq!(states.first_open(), Some(16));
    }

    #[test]
    fn a_marker_fences_the_epochs_before_its_own() {
        let mut states = ProducerStates::default();
        assert_eq!(states.judge_end((7, 4), 9, 0, &settings()), EndVerdict::New, "the producer need not be known");
        assert_eq!(states.end((7, 4), 9, 3, 0, &settings()).0, Ended { first_offset: None });
        let judge = |stamp: ProducerStamp| states.judge(&stamp, 0, &settings());
        let fenced = Verdict::Refused(Reply::FencedProducer { got: 3, current: 4 });
        assert_eq!(judge(in_transaction(9, 2, stamp(7, 3, 0, 0))), fenced);
        assert_eq!(judge(in_transaction(10, 2, stamp(7, 4, 0, 0))), Verdict::New);
        assert!(matches!(judge(in_transaction(10, 2, stamp(7, 4, 1, 1))), Verdict::Refused(_)), "it begins at 0");
        let refused = EndVerdict::Refused(Reply::FencedProducer { got: 3, current: 4 });
        assert_eq!(states.judge_end((7, 3), 10, 0, &settings()), refused);
    }

    #[test]
    fn version_2_begins_with_sequence_0() {
        let states = ProducerStates::default();
        let judge = |version| states.judge(&in_transaction(1, version, stamp(7, 0, 5, 5)), 0, &settings());
        assert_eq!(judge(1), Verdict::New);
        assert_eq!(judge(2), Verdict::Refused(Reply::OutOfOrderSequence { got: 5, last: -1 }));
    }
}
