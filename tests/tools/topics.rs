//! Topics and records.

use caudal_tests::tools::SideBySide;

const TOPICS: &str = "TopicCommand";
const PRODUCER: &str = "ConsoleProducer";
const CONSUMER: &str = "consumer.ConsoleConsumer";
const OFFSETS: &str = "GetOffsetShell";

/// Without the ids of topics, and without the setting that Apache Kafka gives the whole cluster once it knows of eligible leader replicas (KIP-966).
fn essence(text: String) -> String {
    let without_id = |line: &str| match line.split_once("TopicId: ") {
        Some((before, after)) => format!("{before}{}", after.split_once('\t').map_or("", |(_, rest)| rest)),
        None => line.to_owned(),
    };
    let lines = text.lines().map(without_id).map(|line| line.replace("min.insync.replicas=1,", ""));
    lines.map(|line| line.replace("min.insync.replicas=1", "")).collect::<Vec<_>>().join("\n")
}

#[test]
fn topics_and_records() {
    let mut both = SideBySide::start();
    topics(&mut both);
    records(&mut both);
    offsets(&mut both);
    both.same(TOPICS, "@ --delete --topic lojas");
    both.same(TOPICS, "@ --delete --topic lojas");
    assert_eq!(both.same(TOPICS, "@ --list --exclude-internal").lines(), ["atribuido"]);
}

fn topics(both: &mut SideBySide) {
    assert_eq!(
        both.same(
            TOPICS,
            "@ --create --topic lojas --partitions 3 --replication-factor 1 --config retention.ms=86400000"
        )
        .out,
        "Created topic lojas.\n"
    );
    both.same(TOPICS, "@ --create --topic lojas --if-not-exists");
    both.same(TOPICS, "@ --create --topic atribuido --replica-assignment 1,1");
    for refused in [
        "--topic lojas",
        "--topic grande --replication-factor 5",
        "--topic errado --config no.such=1",
        "--topic errado --config retention.ms=breve",
        "--topic a%b",
        "--topic zero --partitions 0",
        "--topic nenhum --replica-assignment 9",
    ] {
        assert!(!both.same_failure(TOPICS, &format!("@ --create {refused}")).succeeded(), "{refused}");
    }
    both.same(TOPICS, "@ --list --exclude-internal");
    let described = both.same_but(TOPICS, "@ --describe --topic lojas", essence);
    assert!(described.out.contains("PartitionCount: 3"), "{described:?}");
    both.same_but(TOPICS, "@ --describe --exclude-internal", essence);
    both.same(TOPICS, "@ --describe --topic nope");
    for which in ["under-replicated", "unavailable", "under-min-isr"] {
        assert_eq!(both.same(TOPICS, &format!("@ --describe --exclude-internal --{which}-partitions")).out, "");
    }
    both.same(TOPICS, "@ --describe --exclude-internal --at-min-isr-partitions");
    both.same(TOPICS, "@ --alter --topic lojas --partitions 5");
    both.same_failure(TOPICS, "@ --alter --topic lojas --partitions 2");
    let described = both.same_but(TOPICS, "@ --describe --topic lojas", essence);
    assert!(described.out.contains("PartitionCount: 5"), "{described:?}");
}

fn records(both: &mut SideBySide) {
    let keyed = "--reader-property parse.key=true --reader-property key.separator=:";
    both.same_with(PRODUCER, &format!("@ --topic lojas {keyed}"), "a:1\nb:2\nc:3\n");
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        both.same_with(
            PRODUCER,
            &format!("@ --topic lojas --compression-codec {codec} {keyed}"),
            &format!("{codec}:4\n"),
        );
    }
    both.same_with(PRODUCER, &format!("@ --topic lojas --command-property acks=0 {keyed}"), "nada:5\n");
    let shown = "--formatter-property print.key=true --formatter-property print.partition=true --formatter-property print.offset=true";
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let line = format!("@ --topic lojas --from-beginning --max-messages 8 {shown}");
    assert_eq!(both.same_but(CONSUMER, &line, sorted).lines().len(), 8);
    let consumed =
        both.same_but(CONSUMER, &format!("{line} --group novos --consumer-property group.protocol=consumer"), sorted);
    assert!(consumed.lines().contains(&"Partition:4\tOffset:0\ta\t1"), "{consumed:?}");
    both.same(CONSUMER, &format!("@ --topic lojas --partition 4 --offset 1 --max-messages 1 {shown}"));
    both.same(CONSUMER, "@ --topic lojas --partition 0 --offset latest --timeout-ms 500");
}

fn offsets(both: &mut SideBySide) {
    let ends = both.same(OFFSETS, "@ --topic lojas");
    assert_eq!(ends.lines().len(), 5);
    // Who asks for what is uploaded elsewhere finds none: -5 and -6.
    for time in ["earliest", "latest", "max-timestamp", "-1", "-2", "-3", "-4", "-5", "-6", "0", "1600000000000"] {
        both.same(OFFSETS, &format!("@ --topic lojas --time {time}"));
    }
    both.same(OFFSETS, "@ --topic-partitions lojas:0-2,atribuido:1");
    both.same(OFFSETS, "@ --topic loj.* --exclude-internal-topics");
    both.same_failure(OFFSETS, "@ --topic nope");
    both.same_failure(OFFSETS, "@ --topic lojas --time ontem");
}
