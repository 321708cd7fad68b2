//! Transactions, one of which is ended by force.

use std::time::Duration;

use caudal_tests::tools::SideBySide;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const TRANSACTIONS: &str = "TransactionsCommand";
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A producer in the middle of a transaction: it has written two records to the partition 0.
fn begun(bootstrap: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "caixa")
        .create()
        .expect("a producer");
    producer.init_transactions(ANSWER_WITHIN).expect("initialised");
    producer.begin_transaction().expect("begun");
    for value in ["1", "2"] {
        producer.send(BaseRecord::<str, str>::to("contas").partition(0).payload(value)).expect("enqueued");
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
    let producers = [begun(both.caudal.bootstrap()), begun(both.kafka.bootstrap())];

    let listed = both.same_but(TRANSACTIONS, "@ list", essence(&[1, 2]));
    let rows = listed.rows();
    assert!(rows.len() == 1 && rows[0][0] == "caixa" && rows[0][3] == "Ongoing", "{listed:?}");
    both.same_but(TRANSACTIONS, "@ list --duration-filter 600000", essence(&[]));
    both.same_but(TRANSACTIONS, "@ list --transactional-id-pattern caix.*", essence(&[1, 2]));
    let described = both.same_but(TRANSACTIONS, "@ describe --transactional-id caixa", essence(&[0, 2, 6, 7, 8]));
    assert!(described.out.contains("contas-0"), "{described:?}");
    both.same(TRANSACTIONS, "@ describe --transactional-id ninguem");
    both.same_but(TRANSACTIONS, "@ describe-producers --topic contas --partition 0", essence(&[0, 2, 4]));
    // A transaction that its coordinator knows of does not hang.
    assert!(both.same(TRANSACTIONS, "@ find-hanging --broker-id 1").rows().is_empty());
    assert!(both.same(TRANSACTIONS, "@ find-hanging --topic contas --max-transaction-timeout 1").rows().is_empty());

    let committed =
        "@ --topic contas --partition 0 --offset earliest --timeout-ms 1000 --isolation-level read_committed";
    let consumer = "consumer.ConsoleConsumer";
    assert_eq!(both.same("GetOffsetShell", "@ --topic-partitions contas:0").out, "contas:0:2\n");
    assert_eq!(both.same(TRANSACTIONS, "@ abort --topic contas --partition 0 --start-offset 0").code, 0);
    both.same_but(TRANSACTIONS, "@ describe-producers --topic contas --partition 0", essence(&[0, 2, 4]));
    assert_eq!(both.same(consumer, committed).out, "", "it was aborted");
    assert_eq!(both.same("GetOffsetShell", "@ --topic-partitions contas:0").out, "contas:0:3\n");
    both.same_failure(TRANSACTIONS, "@ abort --topic contas --partition 0 --start-offset 0");

    both.same("ConsoleProducer", "@ --topic contas");
    for producer in producers {
        producer.abort_transaction(ANSWER_WITHIN).expect("ended by its producer, too");
    }
    let listed = both.same_but(TRANSACTIONS, "@ list", essence(&[1, 2]));
    assert_eq!(listed.rows()[0][3], "CompleteAbort", "{listed:?}");
}
