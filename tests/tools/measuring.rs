//! Tools that measure, and those that Kafka's own system tests are made of.

use std::time::Duration;

use caudal_tests::jvm::Jvm;
use caudal_tests::tools::SideBySide;
use caudal_tests::until;
use caudal_tests::verifiable::events;

const SOON: Duration = Duration::from_secs(60);

/// Words instead of numbers: what is measured differs.
fn without_numbers(text: String) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' => {
                if !plain.ends_with('#') {
                    plain.push('#');
                }
            }
            // A decimal point, or a large number's exponent.
            '.' | 'E' if plain.ends_with('#') => {}
            c => plain.push(c),
        }
    }
    plain
}

#[test]
fn measuring_tools() {
    let mut both = SideBySide::start();
    both.same("TopicCommand", "@ --create --topic medidas --partitions 1");
    let sent = both.same_but(
        "ProducerPerformance",
        "@ --topic medidas --num-records 20000 --record-size 100 --throughput -1 --command-property linger.ms=5",
        without_numbers,
    );
    assert!(sent.out.contains("20000 records sent"), "{sent:?}");
    let transactional = both.same_but(
        "ProducerPerformance",
        "@ --topic medidas --num-records 100 --record-size 100 --throughput -1 --transactional-id medidor --transaction-duration-ms 50",
        |text| without_numbers(text).lines().next().map(|line| line.split(',').next().unwrap_or_default().to_owned()).unwrap_or_default(),
    );
    assert!(transactional.out.contains("100 records sent"), "{transactional:?}");
    let read = both.same_but("ConsumerPerformance", "@ --topic medidas --num-records 20000", without_numbers);
    let rows = read.rows();
    let count = rows[0][6].trim_end_matches(',').parse::<u64>().expect("a count");
    assert!(count >= 20000, "{read:?}");
    end_to_end(&mut both);
    verifiable(&mut both);
}

/// The tool checks itself that it reads what it wrote, and nothing else.
fn end_to_end(both: &mut SideBySide) {
    const TOOL: &str = "EndToEndLatency";
    both.same("TopicCommand", "@ --create --topic ecos --partitions 1");
    let run = "@ --topic ecos --num-records 100 --producer-acks all --record-size 20";
    let measured = both.same_but(TOOL, run, without_numbers);
    let latencies: Vec<_> = measured.lines().into_iter().filter(|line| line.starts_with("Avg latency: ")).collect();
    assert!(latencies.len() == 1 && measured.out.contains("Percentiles: 50th = "), "{measured:?}");
    let more = "--record-key-size 10 --num-headers 3 --record-header-key-size 5 --record-header-size 7";
    both.same_but(TOOL, &format!("{run} {more}"), without_numbers);
    let created = "@ --topic novo --num-records 10 --producer-acks 1 --record-size 20";
    let measured = both.same_but(TOOL, created, without_numbers);
    assert!(measured.out.contains("Will create topic with 1 partition(s)"), "{measured:?}");
    assert_eq!(both.same("GetOffsetShell", "@ --topic-partitions ecos:0,novo:0").out, "ecos:0:200\nnovo:0:10\n");
}

fn verifiable(both: &mut SideBySide) {
    both.same("TopicCommand", "@ --create --topic numeros --partitions 3");
    for bootstrap in [both.caudal.bootstrap(), both.kafka.bootstrap()] {
        let output = produced(bootstrap);
        assert_eq!(events(&output, "producer_send_success").len(), 500, "{output}");
        assert_eq!(events(&output, "producer_send_error").len(), 0, "{output}");
        assert_eq!(events(&output, "tool_data")[0]["acked"], 500, "{output}");
    }
    let consume = "@ --topic numeros --max-messages 500 --reset-policy earliest --verbose";
    for protocol in ["classic", "consumer"] {
        let consume = format!("{consume} --group-id {protocol} --group-protocol {protocol}");
        for ran in [both.on_caudal("VerifiableConsumer", &consume), both.on_kafka("VerifiableConsumer", &consume)] {
            let mut values: Vec<_> =
                events(&ran.out, "record_data").iter().map(|event| event["value"].to_string()).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), 500, "{ran:?}");
            let committed = events(&ran.out, "offsets_committed");
            assert!(!committed.is_empty() && committed.iter().all(|event| event["success"] == true), "{ran:?}");
        }
    }
}

/// What the verifiable producer tells of 500 records. It says what came of it when its machine goes down, so it has one of its own.
fn produced(bootstrap: &str) -> String {
    let args = ["--bootstrap-server", bootstrap, "--topic", "numeros", "--max-messages", "500", "--value-prefix", "7"];
    let mut jvm = Jvm::start("org.apache.kafka.tools.VerifiableProducer", &args);
    until(SOON, "the verifiable producer to end", || !jvm.runs());
    jvm.output()
}
