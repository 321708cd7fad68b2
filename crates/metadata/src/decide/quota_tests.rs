//! Client quotas: what may be said, and who has to pay.

use super::*;

fn alter(entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]) -> AlterClientQuotas {
    AlterClientQuotas {
        entity: entity.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect(),
        ops: ops.iter().map(|(key, value)| ((*key).to_owned(), value.map(QuotaValue::new))).collect(),
    }
}

impl Bench {
    fn quotas(&mut self, entities: Vec<AlterClientQuotas>, validate_only: bool) -> Vec<Result<(), MetadataError>> {
        each_of(self.wish(Wish::AlterClientQuotas(AlterQuotas { entities, validate_only })))
    }

    fn set(&mut self, entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]) -> Result<(), MetadataError> {
        self.quotas(vec![alter(entity, ops)], false).remove(0)
    }

    fn charged(&mut self, strict: bool, wish: Wish) -> Results {
        let payer = Payer { user: "ANONYMOUS".into(), client_id: "c".into(), strict };
        self.wish(Wish::Charged(payer, Box::new(wish)))
    }

    fn create_charged(&mut self, strict: bool, names: &[&str], partitions: i32) -> Vec<bool> {
        let topics = names.iter().map(|name| (TopicId(Uuid::new_v4()), topic(name, partitions, 1))).collect();
        let wish = Wish::CreateTopics(CreateTopics { topics, validate_only: false });
        let results = topics_of(self.charged(strict, wish));
        results
            .into_iter()
            .map(|result| match result {
                Ok(_) => true,
                Err(MetadataError::Throttled(_)) => false,
                Err(other) => panic!("{other}"),
            })
            .collect()
    }
}

#[test]
fn quotas_are_set_changed_and_taken_away() {
    let mut bench = Bench::new(3);
    let entity = QuotaEntity {
        user: Some(EntityName::Named("u".into())),
        client_id: Some(EntityName::Default),
        ..QuotaEntity::default()
    };
    let named = [("user", Some("u")), ("client-id", None)];
    let values = |bench: &Bench| -> Vec<(&str, f64)> {
        let values = bench.table.image().client_quotas.of(&entity).into_iter().flatten();
        values.map(|(key, value)| (key.name(), value.get())).collect()
    };
    bench.set(&named, &[("producer_byte_rate", Some(1024.0)), ("request_percentage", Some(0.5))]).unwrap();
    assert_eq!(values(&bench), [("producer_byte_rate", 1024.0), ("request_percentage", 0.5)]);
    bench.set(&named, &[("producer_byte_rate", Some(2048.0)), ("consumer_byte_rate", None)]).unwrap();
    assert_eq!(values(&bench), [("producer_byte_rate", 2048.0), ("request_percentage", 0.5)]);
    assert_eq!(bench.quotas(vec![alter(&named, &[("producer_byte_rate", None)])], true), [Ok(())]);
    assert_eq!(values(&bench).len(), 2, "only validated");
    let version = bench.table.image().version;
    bench.set(&named, &[("producer_byte_rate", Some(2048.0)), ("never_heard_of", None)]).unwrap();
    assert_eq!(bench.table.image().version, version, "nothing changed, so that nothing is written");
    bench.set(&named, &[("producer_byte_rate", None), ("request_percentage", None)]).unwrap();
    assert_eq!(bench.table.image().client_quotas.of(&entity), None);
}

#[test]
fn what_is_no_quota_is_refused_with_the_reason() {
    const RATE: (&str, Option<f64>) = ("producer_byte_rate", Some(1.0));
    let mut bench = Bench::new(3);
    let mut refused = |entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)], reason: &str| {
        let before = bench.table.image().version;
        match bench.set(entity, ops) {
            Err(MetadataError::InvalidRequest(text)) => assert!(text.contains(reason), "{text}"),
            other => panic!("{entity:?} {ops:?}: {other:?}"),
        }
        assert_eq!(bench.table.image().version, before);
    };
    refused(&[], &[RATE], "for nobody");
    refused(&[("group", Some("g"))], &[RATE], "no quotas for the type 'group'");
    refused(&[("user", Some(""))], &[RATE], "is empty");
    refused(&[("user", Some("u")), ("user", None)], &[RATE], "twice");
    refused(&[("ip", Some("10.0.0.1")), ("user", None)], &[("connection_creation_rate", Some(1.0))], "combined");
    refused(&[("ip", Some("10.0.0.1"))], &[RATE], "there is connection_creation_rate");
    refused(&[("user", Some("u"))], &[("connection_creation_rate", Some(1.0))], "no quota");
    refused(&[("user", None)], &[("bytes", Some(1.0))], "no quota 'bytes' for the default user");
    refused(&[("user", None)], &[RATE, RATE], "twice");
    refused(&[("user", None)], &[("producer_byte_rate", Some(0.0))], "above 0");
    refused(&[("user", None)], &[("producer_byte_rate", Some(1.5))], "whole number");
}

#[test]
fn entities_are_changed_each_for_itself_and_once() {
    let mut bench = Bench::new(3);
    let (u, v) = ([("user", Some("u"))], [("user", Some("v"))]);
    let rate = [("consumer_byte_rate", Some(5.0))];
    let bad = [("consumer_byte_rate", Some(-5.0))];
    let results = bench.quotas(vec![alter(&u, &rate), alter(&v, &bad)], false);
    assert!(matches!(results[..], [Ok(()), Err(MetadataError::InvalidRequest(_))]));
    let results = bench.quotas(vec![alter(&v, &rate), alter(&v, &rate)], false);
    assert!(matches!(results[..], [Err(MetadataError::InvalidRequest(_)), Err(MetadataError::InvalidRequest(_))]));
    assert_eq!(bench.table.image().client_quotas.iter().count(), 1);
}

#[test]
fn topics_and_partitions_are_paid_for() {
    let mut bench = Bench::new(3);
    bench.set(&[("user", None)], &[("controller_mutation_rate", Some(1.0))]).unwrap();
    // Eleven tokens; they can be overdrawn once.
    assert_eq!(bench.create_charged(true, &["a", "b", "c"], 6), [true, true, false]);
    assert_eq!(bench.throttle_ms, 1000);
    assert!(bench.table.image().topic("c").is_none());
    let grow = CreatePartitions { topic: "a".into(), count: 7, assignments: None };
    let grow = Wish::CreatePartitions(MorePartitions { topics: vec![grow], validate_only: false });
    bench.now = 999;
    assert!(matches!(each_of(bench.charged(true, grow.clone()))[..], [Err(MetadataError::Throttled(_))]));
    bench.now = 1000;
    assert_eq!(each_of(bench.charged(true, grow)), [Ok(())]);
    assert_eq!(bench.throttle_ms, 0);
    let id = bench.table.image().topic("b").unwrap().id;
    assert!(matches!(
        each_of(bench.charged(true, Wish::DeleteTopics(vec![id])))[..],
        [Err(MetadataError::Throttled(_))]
    ));
    bench.now = 2000;
    assert_eq!(each_of(bench.charged(true, Wish::DeleteTopics(vec![id]))), [Ok(())]);
    bench.now = 2001;
    assert_eq!(bench.create_charged(true, &["d"], 1), [false]);
    assert_eq!(bench.throttle_ms, 5999, "the six partitions of the deleted topic");
    bench.create(topic("e", 50, 1)).unwrap();
    assert_eq!(bench.throttle_ms, 0, "what nobody pays for costs nothing");
}

#[test]
fn who_need_not_be_refused_only_waits() {
    let mut bench = Bench::new(3);
    bench.set(&[("client-id", Some("c"))], &[("controller_mutation_rate", Some(2.0))]).unwrap();
    assert_eq!(bench.create_charged(false, &["a", "b"], 16), [true, true]);
    assert_eq!(bench.throttle_ms, 5000, "22 tokens, 32 taken, two a second");
    assert_eq!(bench.create_charged(true, &["c"], 1), [false], "the account is the same");
}

#[test]
fn a_second_try_of_what_is_done_costs_nothing() {
    let mut bench = Bench::new(3);
    bench.set(&[("user", None)], &[("controller_mutation_rate", Some(1.0))]).unwrap();
    let id = TopicId(Uuid::new_v4());
    let wish = Wish::CreateTopics(CreateTopics { topics: vec![(id, topic("a", 20, 1))], validate_only: false });
    assert!(topics_of(bench.charged(true, wish.clone()))[0].is_ok());
    let payer = Payer { user: "ANONYMOUS".into(), client_id: "c".into(), strict: true };
    let again = Request { again: true, wish: Wish::Charged(payer, Box::new(wish)) };
    assert!(topics_of(bench.ask(again))[0].is_ok());
    assert_eq!(bench.throttle_ms, 0);
}
