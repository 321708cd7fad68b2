use bytes::Bytes;
use parking_lot::Mutex;

use super::*;

/// A partition of batches of one record each.
struct FakePartition {
    batches: Mutex<Vec<Bytes>>,
    offsets: watch::Sender<PartitionOffsets>,
    leadership: watch::Sender<Leadership>,
    reads: watch::Sender<usize>,
}

impl FakePartition {
    fn new() -> Arc<Self> {
        let leading = Leadership { leader: None, term: 3, serving: true };
        Arc::new(Self {
            batches: Mutex::default(),
            offsets: watch::Sender::new(PartitionOffsets::default()),
            leadership: watch::Sender::new(leading),
            reads: watch::Sender::new(0),
        })
    }

    fn append(&self, len: usize) {
        let mut batches = self.batches.lock();
        batches.push(Bytes::from(vec![0; len]));
        let end = i64::try_from(batches.len()).unwrap();
        drop(batches);
        self.offsets.send_modify(|offsets| (offsets.high_watermark, offsets.last_stable) = (end, end));
    }
}

impl FakePartition {
    /// Waits until the partition was read so many times.
    async fn was_read(&self, times: usize) {
        self.reads.subscribe().wait_for(|reads| *reads >= times).await.unwrap();
    }
}

impl Readable for FakePartition {
    async fn read(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        self.reads.send_modify(|reads| *reads += 1);
        if request.leader_only && !self.leadership.borrow().serving {
            return Err(ReadError::NotLeader { leader: None });
        }
        let offsets = *self.offsets.borrow();
        if request.offset > offsets.high_watermark {
            return Err(ReadError::NotYet { offset: request.offset, end: offsets.high_watermark });
        }
        let (mut records, mut len) = (Vec::new(), 0);
        for batch in &self.batches.lock()[usize::try_from(request.offset).unwrap()..] {
            if len + batch.len() > request.max_bytes && !(request.at_least_one && records.is_empty()) {
                break;
            }
            len += batch.len();
            records.push(batch.clone());
        }
        Ok(ReadOutcome { offsets: *self.offsets.borrow(), records, aborted: Vec::new() })
    }

    fn epoch_end(&self, epoch: LeaderEpoch, _current: LeaderEpoch) -> Result<EpochEnd, ReadError> {
        Ok(EpochEnd { epoch: epoch.min(2), end_offset: 5 })
    }

    fn offsets(&self) -> watch::Receiver<PartitionOffsets> {
        self.offsets.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }
}

/// So long that a poll which ends before was woken.
const WAIT: Duration = Duration::from_secs(30);

fn limits(min_bytes: usize, max_bytes: usize) -> PollLimits {
    PollLimits { min_bytes, max_bytes, max_wait: WAIT, committed_only: false, leader_only: true }
}

fn wanted(max_bytes: usize) -> Wanted {
    Wanted { offset: 0, max_bytes, current_leader_epoch: -1, last_fetched_epoch: -1 }
}

fn poll(partitions: &[Arc<FakePartition>], limits: PollLimits) -> impl Future<Output = Polled> + use<> {
    let slots = partitions.iter().map(|p| (Arc::clone(p), wanted(1000))).collect();
    let poll = Poll::new(slots, limits);
    async move { poll.run(&ByteBudget::new(1 << 20), &CancellationToken::new()).await }
}

fn lens(polled: &Polled) -> Vec<usize> {
    polled.found.iter().map(Found::len).collect()
}

#[tokio::test]
async fn what_is_there_is_answered_at_once() {
    let partitions = [FakePartition::new(), FakePartition::new()];
    partitions[1].append(10);
    let started = Instant::now();
    let polled = poll(&partitions, limits(1, 1000)).await;
    assert_eq!(lens(&polled), [0, 10]);
    assert!(started.elapsed() < WAIT);
    assert_eq!(polled.held.unwrap().len(), 10, "only what was read occupies memory");
}

#[tokio::test]
async fn a_record_wakes_the_poll_and_only_its_partition_is_read_again() {
    let partitions = [FakePartition::new(), FakePartition::new(), FakePartition::new()];
    let started = Instant::now();
    let (polled, ()) = tokio::join!(poll(&partitions, limits(1, 1000)), async {
        partitions[2].was_read(1).await;
        partitions[1].append(10);
    });
    assert_eq!(lens(&polled), [0, 10, 0]);
    assert!(started.elapsed() < WAIT);
    let reads: Vec<usize> = partitions.iter().map(|p| *p.reads.borrow()).collect();
    assert_eq!(reads, [1, 2, 1]);
}

#[tokio::test]
async fn the_poll_gathers_min_bytes_over_all_partitions() {
    let partitions = [FakePartition::new(), FakePartition::new()];
    let started = Instant::now();
    let (polled, ()) = tokio::join!(poll(&partitions, limits(25, 1000)), async {
        for (partition, times) in [(0, 1), (1, 1), (0, 2)] {
            partitions[partition].was_read(times).await;
            partitions[partition].append(10);
        }
    });
    assert_eq!(lens(&polled), [20, 10]);
    assert!(started.elapsed() < WAIT);
}

#[tokio::test]
async fn the_time_ends_the_poll_with_what_there_is() {
    let partitions = [FakePartition::new()];
    partitions[0].append(10);
    let started = Instant::now();
    let short = PollLimits { max_wait: Duration::from_millis(30), ..limits(11, 1000) };
    assert_eq!(lens(&poll(&partitions, short).await), [10]);
    assert!(started.elapsed() >= short.max_wait);
}

#[tokio::test]
async fn losing_leadership_ends_the_poll() {
    let partitions = [FakePartition::new(), FakePartition::new()];
    let started = Instant::now();
    let (polled, ()) = tokio::join!(poll(&partitions, limits(1, 1000)), async {
        partitions[1].was_read(1).await;
        partitions[0].leadership.send_modify(|leadership| leadership.serving = false);
    });
    assert!(matches!(polled.found[..], [Found::Failed(ReadError::NotLeader { .. }), Found::Read(_)]));
    assert!(started.elapsed() < WAIT);
}

#[tokio::test]
async fn a_poll_of_a_follower_waits_for_what_its_client_has_seen_elsewhere() {
    let partition = FakePartition::new();
    partition.leadership.send_modify(|leadership| leadership.serving = false);
    partition.append(10);
    let limits = PollLimits { leader_only: false, ..limits(1, 1000) };
    let poll = |limits| {
        let wanted = Wanted { offset: 2, ..wanted(1000) };
        let poll = Poll::new(vec![(Arc::clone(&partition), wanted)], limits);
        async move { poll.run(&ByteBudget::new(1 << 20), &CancellationToken::new()).await }
    };
    let started = Instant::now();
    let polled = poll(limits).await;
    assert!(matches!(polled.found[..], [Found::Failed(ReadError::NotYet { offset: 2, end: 1 })]));
    assert!(started.elapsed() >= FOLLOWS_WITHIN && started.elapsed() < WAIT);
    let at_once = PollLimits { max_wait: Duration::ZERO, ..limits };
    assert!(matches!(poll(at_once).await.found[..], [Found::Failed(ReadError::NotYet { .. })]));
    let (polled, ()) = tokio::join!(poll(limits), async {
        partition.append(10);
        partition.was_read(3).await;
        partition.append(10);
    });
    assert_eq!(lens(&polled), [10]);
}

#[tokio::test]
async fn a_new_leader_elsewhere_makes_a_follower_look_again() {
    let partition = FakePartition::new();
    partition.leadership.send_modify(|leadership| leadership.serving = false);
    let poll = poll(&[Arc::clone(&partition)], PollLimits { leader_only: false, ..limits(1, 1000) });
    let (polled, ()) = tokio::join!(poll, async {
        partition.was_read(1).await;
        partition.leadership.send_modify(|leadership| leadership.term += 1);
        partition.was_read(2).await;
        partition.append(10);
    });
    assert_eq!(lens(&polled), [10]);
}

#[tokio::test]
async fn stopping_ends_the_poll() {
    let partition = FakePartition::new();
    let stop = CancellationToken::new();
    let poll = Poll::new(vec![(Arc::clone(&partition), wanted(1000))], limits(1, 1000));
    let memory = ByteBudget::new(1 << 20);
    let started = Instant::now();
    let (polled, ()) = tokio::join!(poll.run(&memory, &stop), async {
        partition.was_read(1).await;
        stop.cancel();
    });
    assert_eq!(lens(&polled), [0]);
    assert!(started.elapsed() < WAIT);
}

#[tokio::test]
async fn max_bytes_hold_over_all_partitions_but_the_first_batch_always_comes() {
    let partitions = [FakePartition::new(), FakePartition::new()];
    for partition in &partitions {
        partition.append(40);
        partition.append(40);
    }
    assert_eq!(lens(&poll(&partitions, limits(1, 30)).await), [40, 0]);
    assert_eq!(lens(&poll(&partitions, limits(1, 90)).await), [80, 0]);
    assert_eq!(lens(&poll(&partitions, limits(1, 130)).await), [80, 40]);
}

#[tokio::test]
async fn scarce_memory_makes_answers_smaller() {
    let partition = FakePartition::new();
    for _ in 0..8 {
        partition.append(50_000);
    }
    let memory = ByteBudget::new(200_000);
    let held = memory.take(90_000).await;
    let wanted = wanted(400_000);
    let poll = Poll::new(vec![(partition, wanted)], limits(1, 400_000));
    let polled = poll.run(&memory, &CancellationToken::new()).await;
    assert_eq!(lens(&polled), [100_000]);
    drop(held);
}

#[tokio::test]
async fn a_client_whose_history_differs_is_told_where() {
    let partition = FakePartition::new();
    partition.append(10);
    let at = |last_fetched_epoch, offset| Wanted { last_fetched_epoch, offset, ..wanted(1000) };
    for (wanted, diverges) in [(at(-1, 0), false), (at(2, 0), false), (at(3, 0), true), (at(2, 6), true)] {
        let poll = Poll::new(vec![(Arc::clone(&partition), wanted)], limits(1, 1000));
        let polled = poll.run(&ByteBudget::new(1 << 20), &CancellationToken::new()).await;
        assert_eq!(matches!(polled.found[..], [Found::Diverging(..)]), diverges, "{wanted:?}");
    }
}
