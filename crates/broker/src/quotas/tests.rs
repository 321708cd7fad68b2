//! Quotas with a clock that the test turns.

use caudal_metadata::quotas::{ClientQuotas, EntityName, QuotaEntity, QuotaValue, QuotaValues};
use caudal_types::clock::ManualClock;

use super::*;

const ME: Client<'static> = Client { user: "u", client_id: "c" };
const NEIGHBOUR: Client<'static> = Client { user: "u", client_id: "d" };

fn book(entity: QuotaEntity, values: &[(QuotaKey, f64)]) -> ClientQuotas {
    let values: QuotaValues = values.iter().map(|(key, value)| (*key, QuotaValue::new(*value))).collect();
    [(entity, values)].into_iter().collect()
}

/// So many connections a second from each address.
pub(crate) fn address_rate(bound: f64) -> Arc<ClientQuotas> {
    let entity = QuotaEntity { ip: Some(EntityName::Default), ..QuotaEntity::default() };
    Arc::new(book(entity, &[(QuotaKey::ConnectionCreationRate, bound)]))
}

/// Quotas of each client id, and the clock that they go by.
fn quotas(values: &[(QuotaKey, f64)]) -> (Arc<Quotas>, ManualClock) {
    let clock = ManualClock::new(1_000_000);
    let quotas = Quotas::new(QuotaWindows::default(), Arc::new(clock.clone()), Arc::new(Counters::new()));
    let entity = QuotaEntity { client_id: Some(EntityName::Default), ..QuotaEntity::default() };
    quotas.limits.store(Limits::of(&book(entity, values)).map(Arc::new));
    (Arc::new(quotas), clock)
}

fn counted(quotas: &Quotas, key: QuotaKey) -> (u64, f64) {
    let stats = quotas.counters.snapshot(0).throttles;
    let stats = stats.iter().find(|stats| stats.quota == key.name()).unwrap();
    (stats.times, stats.seconds)
}

#[test]
fn without_quotas_nothing_is_limited_or_remembered() {
    let (quotas, _clock) = quotas(&[(QuotaKey::ControllerMutationRate, 1.0)]);
    assert!(quotas.limits.load().is_none(), "changes of the cluster are the controller's to limit");
    for _ in 0..100 {
        assert_eq!(quotas.produce(ME, usize::MAX), 0);
        assert_eq!(quotas.fetch(ME, usize::MAX), Verdict::Send(0));
        assert_eq!(quotas.connect([127, 0, 0, 1].into()), None);
    }
    assert_eq!((quotas.fetch_at_once(ME), quotas.limits_requests()), (None, false));
    assert_eq!(quotas.request(ME, Duration::from_secs(1000)), 0);
}

#[test]
fn producers_wait_for_what_is_too_much_each_for_itself() {
    let (quotas, clock) = quotas(&[(QuotaKey::ProducerByteRate, 1000.0)]);
    assert_eq!(quotas.produce(ME, 10_000), 0);
    assert_eq!(quotas.produce(ME, 5_000), 5_000);
    assert_eq!(quotas.produce(NEIGHBOUR, 10_000), 0);
    assert_eq!(counted(&quotas, QuotaKey::ProducerByteRate), (1, 5.0));
    clock.advance(5_000);
    assert_eq!(quotas.produce(ME, 0), 5_000, "the burst counts for ten windows, as in Kafka");
    clock.advance(6_000);
    assert_eq!(quotas.produce(ME, 10_000), 0, "it is forgotten");
}

#[test]
fn what_readers_may_not_have_yet_is_withheld_and_not_counted() {
    let (quotas, clock) = quotas(&[(QuotaKey::ConsumerByteRate, 1000.0)]);
    assert_eq!(quotas.fetch_at_once(ME), Some(10_000));
    assert_eq!(quotas.fetch(ME, 9_000), Verdict::Send(0));
    assert_eq!(quotas.fetch(ME, 2_000), Verdict::Withhold(1_000));
    assert_eq!(quotas.fetch(ME, 2_000), Verdict::Withhold(1_000), "as if it had never been");
    assert_eq!(quotas.fetch(ME, 0), Verdict::Send(0), "news without records costs nothing");
    assert_eq!(counted(&quotas, QuotaKey::ConsumerByteRate), (2, 2.0));
    clock.advance(11_000);
    assert_eq!(quotas.fetch(ME, 2_000), Verdict::Send(0));
}

#[test]
fn a_batch_that_is_too_large_for_its_quota_gets_through_after_a_rest() {
    let (quotas, clock) = quotas(&[(QuotaKey::ConsumerByteRate, 1000.0)]);
    assert_eq!(quotas.fetch(ME, 1_000), Verdict::Send(0));
    assert_eq!(quotas.fetch(ME, 60_000), Verdict::Withhold(51_000));
    clock.advance(51_000);
    assert_eq!(quotas.fetch(ME, 60_000), Verdict::Send(50_000));
    assert_eq!(quotas.fetch(ME, 1_000), Verdict::Withhold(51_000), "it is counted");
}

#[test]
fn the_wait_for_time_is_a_window_at_most() {
    let (quotas, _clock) = quotas(&[(QuotaKey::RequestPercentage, 1.0)]);
    assert!(quotas.limits_requests());
    // One percent over ten seconds are a tenth of a second.
    assert_eq!(quotas.request(ME, Duration::from_millis(100)), 0);
    assert_eq!(quotas.request(ME, Duration::from_millis(5)), 500);
    assert_eq!(quotas.request(ME, Duration::from_millis(500)), 1000);
    quotas.request_remainder(NEIGHBOUR, Duration::from_secs(1));
    assert_eq!(quotas.request(NEIGHBOUR, Duration::ZERO), 1000, "what came after the answer counts for the next one");
}

#[test]
fn connections_of_an_address_that_come_too_soon_are_not_counted() {
    let (quotas, clock) = quotas(&[]);
    let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let rates = futures::executor::block_on(AddressRates::of(&address_rate(2.0)));
    quotas.addresses.store(rates.map(Arc::new));
    for _ in 0..20 {
        assert_eq!(quotas.connect(one), None);
    }
    for _ in 0..3 {
        assert_eq!(quotas.connect(one), Some(Duration::from_millis(500)));
    }
    assert_eq!(quotas.connect(other), None);
    clock.advance(500);
    assert_eq!(quotas.connect(one), None);
    assert_eq!(counted(&quotas, QuotaKey::ConnectionCreationRate), (3, 1.5));
}

#[tokio::test]
async fn only_the_time_within_polls_is_measured() {
    let (quotas, _clock) = quotas(&[(QuotaKey::RequestPercentage, 1e9)]);
    let timer = Arc::new(RequestTimer::new(Arc::clone(&quotas), "u".into(), "c".into()));
    let spin = |how_long: Duration| {
        let started = std::time::Instant::now();
        while started.elapsed() < how_long {}
    };
    let inner = Arc::clone(&timer);
    let work = async move {
        spin(Duration::from_millis(5));
        tokio::time::sleep(Duration::from_millis(60)).await;
        spin(Duration::from_millis(5));
        assert_eq!(inner.throttle_ms(), 0);
        spin(Duration::from_millis(5));
    };
    let started = std::time::Instant::now();
    timer.time(work).await;
    timer.settle();
    let took = started.elapsed().as_secs_f64() * 100.0;
    let now = quotas.clock.now_ms();
    let subject = Subject { user: None, client_id: Some("c".into()) };
    let percents = quotas.requests.with(subject, now, |window, windows| window.sum(windows, now));
    assert!(percents >= 1.5 && percents <= took - 5.0, "{percents} of {took}");
}
