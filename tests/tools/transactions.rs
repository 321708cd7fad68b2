//! Transactions, some of which are ended by force, and one that hangs.

use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record};
use caudal_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceResponse, ProducerId, TransactionalId,
};
use caudal_tests::raw::{Raw, produce_request};
use caudal_tests::tools::{Ran, SideBySide};
use caudal_tests::{until, until_some};
use kafka_protocol::protocol::StrBytes;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const TRANSACTIONS: &str = "TransactionsCommand";
const OFFSETS: &str = "GetOffsetShell";
const CONSUMER: &str = "consumer.ConsoleConsumer";
const TOPIC: &str = "contas";
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A producer in the middle of a transaction: it has written two records to a partition.
fn begun(bootstrap: &str, id: &str, partition: i32) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", id)
        // Longer than all that is looked at meanwhile.
        .set("transaction.timeout.ms", "300000")
        .create()
        .expect("a producer");
    producer.init_transactions(ANSWER_WITHIN).expect("initialised");
    producer.begin_transaction().expect("begun");
    for value in ["1", "2"] {
        producer.send(BaseRecord::<str, str>::to(TOPIC).partition(partition).payload(value)).expect("enqueued");
    }
    producer.flush(ANSWER_WITHIN).expect("written");
    producer
}

/// Without what differs from cluster to cluster: ids of producers, epochs of coordinators and times.
fn essence(columns: &'static [usize]) -> impl Fn(String) -> String {
    move |text| {
        let line = |line: &str| {
            let words = line.split_whitespace().enumerate();
            words.map(|(at, word)| if columns.contains(&at) { "-" } else { word }).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn transactions() {
    let mut both = SideBySide::start();
    both.same("TopicCommand", "@ --create --topic contas --partitions 2");
    let producers = [both.caudal.bootstrap(), both.kafka.bootstrap()].map(|bootstrap| begun(bootstrap, "caixa", 0));

    let listed = both.same_but(TRANSACTIONS, "@ list", essence(&[1, 2]));
    let rows = listed.rows();
    assert!(rows.len() == 1 && rows[0][0] == "caixa" && rows[0][3] == "Ongoing", "{listed:?}");
    both.same_but(TRANSACTIONS, "@ list --duration-filter 600000", essence(&[]));
    both.same_but(TRANSACTIONS, "@ list --transactional-id-pattern caix.*", essence(&[1, 2]));
    let described = both.same_but(TRANSACTIONS, "@ describe --transactional-id caixa", essence(&[0, 2, 6, 7, 8]));
    assert!(described.out.contains("contas-0"), "{described:?}");
    both.same(TRANSACTIONS, "@ describe --transactional-id ninguem");
    both.same_but(TRANSACTIONS, "@ describe-producers --topic contas --partition 0", essence(&[0, 2, 4]));
    nothing_hangs(&mut both);

    assert_eq!(both.same(OFFSETS, "@ --topic-partitions contas:0").out, "contas:0:2\n");
    assert_eq!(both.same(TRANSACTIONS, "@ abort --topic contas --partition 0 --start-offset 0").code, 0);
    aborted(&mut both, 0);
    both.same_failure(TRANSACTIONS, "@ abort --topic contas --partition 0 --start-offset 0");

    both.same("ConsoleProducer", "@ --topic contas");
    for producer in producers {
        producer.abort_transaction(ANSWER_WITHIN).expect("ended by its producer, too");
    }
    let listed = both.same_but(TRANSACTIONS, "@ list", essence(&[1, 2]));
    assert_eq!(listed.rows()[0][3], "CompleteAbort", "{listed:?}");
    by_producer(&mut both);
    hanging(&mut both);
}

/// A transaction that its coordinator knows of does not hang, however long it takes: here every open one is looked into.
fn nothing_hangs(both: &mut SideBySide) {
    for within in ["--broker-id 1", "--topic contas", "--topic contas --partition 0", "--topic contas --broker-id 1"] {
        for how_long in ["", "--max-transaction-timeout 0"] {
            let found = both.same(TRANSACTIONS, &format!("@ find-hanging {within} {how_long}"));
            assert!(found.succeeded() && found.rows().is_empty(), "{found:?}");
        }
    }
    both.same(TRANSACTIONS, "@ find-hanging --broker-id 9");
    both.same_failure(TRANSACTIONS, "@ find-hanging --topic nope");
}

/// A partition has what was written to it and the mark that it does not count.
fn aborted(both: &mut SideBySide, partition: i32) {
    let describe = format!("@ describe-producers --topic contas --partition {partition}");
    let described = both.same_but(TRANSACTIONS, &describe, essence(&[0, 2, 4]));
    assert!(described.rows().iter().all(|row| row[5] == "None"), "{described:?}");
    let committed = format!("@ --topic contas --partition {partition} --offset earliest --timeout-ms 1000");
    assert_eq!(both.same(CONSUMER, &format!("{committed} --isolation-level read_committed")).out, "");
    let end = both.same(OFFSETS, &format!("@ --topic-partitions contas:{partition}"));
    assert_eq!(end.out, format!("contas:{partition}:3\n"));
}

/// How to abort the transaction of the one producer that was described.
fn abort(described: &Ran) -> String {
    let rows = described.rows();
    let (id, epoch, coordinator) = (rows[0][0], rows[0][1], rows[0][2].parse::<i32>().expect("an epoch"));
    // Before the first transaction has ended there is none, for which the tool takes 0 as well.
    let coordinator = coordinator.max(0);
    let producer = format!("--producer-id {id} --producer-epoch {epoch} --coordinator-epoch {coordinator}");
    format!("@ abort --topic contas --partition 1 {producer}")
}

/// A transaction that is named by its producer is ended by force.
fn by_producer(both: &mut SideBySide) {
    let producers = [both.caudal.bootstrap(), both.kafka.bootstrap()].map(|bootstrap| begun(bootstrap, "cofre", 1));
    let describe = "@ describe-producers --topic contas --partition 1";
    both.same_but(TRANSACTIONS, describe, essence(&[0, 2, 4]));
    let ours = abort(&both.on_caudal(TRANSACTIONS, describe));
    let theirs = abort(&both.on_kafka(TRANSACTIONS, describe));
    let (ours, theirs) = (both.on_caudal(TRANSACTIONS, &ours), both.on_kafka(TRANSACTIONS, &theirs));
    assert!(ours.succeeded(), "{ours:?}");
    assert_eq!((ours.code, &ours.out), (theirs.code, &theirs.out), "{theirs:?}");
    aborted(both, 1);
    for producer in producers {
        producer.abort_transaction(ANSWER_WITHIN).expect("ended by its producer, too");
    }
}

/// A producer that writes to the partition 1 without a word to the coordinator of its transaction.
struct Silent {
    raw: Raw,
    id: i64,
    epoch: i16,
}

impl Silent {
    fn start(bootstrap: &str) -> Self {
        let mut raw = Raw::connect(bootstrap);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(silent()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let (id, epoch) = until_some(ANSWER_WITHIN, "a producer's id", || {
            let answer: InitProducerIdResponse = raw.call(22, 4, true, &request);
            (answer.error_code == 0).then_some((answer.producer_id.0, answer.producer_epoch))
        });
        Self { raw, id, epoch }
    }

    /// The code for its first batch, and the batch's offset if it is taken.
    fn write(&mut self, version: i16) -> (ErrorCode, i64) {
        let record = Record { value: Some("1".into()), ..Record::default() };
        let batch = BatchBuilder::new().producer(self.id, self.epoch, 0).transactional().build(&[record]);
        let batch = batch.expect("a batch").bytes().clone();
        let request = produce_request(TOPIC, 1, batch).with_transactional_id(Some(silent()));
        until_some(ANSWER_WITHIN, "the coordinator to be asked", || {
            let answer: ProduceResponse = self.raw.call(0, version, true, &request);
            let answer = &answer.responses[0].partition_responses[0];
            let code = ErrorCode(answer.error_code);
            (code != ErrorCode::NOT_ENOUGH_REPLICAS).then_some((code, answer.base_offset))
        })
    }
}

fn silent() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str("mudo"))
}

/// A transaction that its coordinator has never heard of would hang for ever. Partitions make sure that none comes into being; only those of Apache Kafka can be
/// told to be careless, which shows that it is this that would have hung.
fn hanging(both: &mut SideBySide) {
    let (mut ours, mut theirs) = (Silent::start(both.caudal.bootstrap()), Silent::start(both.kafka.bootstrap()));
    for (version, code) in [(9, ErrorCode::INVALID_TXN_STATE), (11, ErrorCode::TRANSACTION_ABORTABLE)] {
        assert_eq!([ours.write(version).0, theirs.write(version).0], [code; 2], "version {version}");
    }
    let careless = "@ --alter --broker-defaults --add-config transaction.partition.verification.enable=false";
    let refused = both.on_caudal("kafka.admin.ConfigCommand", careless);
    assert!(!refused.succeeded() && refused.err.contains("always make sure"), "{refused:?}");
    let set = both.on_kafka("kafka.admin.ConfigCommand", careless);
    assert!(set.succeeded(), "{set:?}");
    let mut offset = -1;
    until(ANSWER_WITHIN, "Apache Kafka to be careless", || {
        let (code, at) = theirs.write(9);
        offset = at;
        code == ErrorCode::NONE
    });
    assert_eq!(ours.write(9).0, ErrorCode::INVALID_TXN_STATE);

    let find = "@ find-hanging --topic contas --partition 1";
    let found = both.on_kafka(TRANSACTIONS, find);
    let wanted = [TOPIC, "1", &theirs.id.to_string(), &theirs.epoch.to_string(), "-1", &offset.to_string()].join(" ");
    assert!(found.rows().len() == 1 && found.rows()[0].join(" ").starts_with(&wanted), "{found:?} {wanted}");
    let none = both.on_caudal(TRANSACTIONS, find);
    assert!(none.succeeded() && none.rows().is_empty(), "{none:?}");
    let ended = both.on_kafka(TRANSACTIONS, &format!("@ abort --topic contas --partition 1 --start-offset {offset}"));
    assert!(ended.succeeded(), "{ended:?}");
    assert!(both.same(TRANSACTIONS, find).rows().is_empty());
}
