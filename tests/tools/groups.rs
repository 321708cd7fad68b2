//! Consumer groups of both protocols.

use std::time::Duration;

use caudal_tests::tools::{InputFile, SideBySide};
use caudal_tests::until;
use caudal_tests::verifiable::VerifiableConsumer;

const GROUPS: &str = "consumer.group.ConsumerGroupCommand";
const ALL_GROUPS: &str = "GroupsCommand";
/// How many records the topic has.
const RECORDS: i64 = 8;
const SOON: Duration = Duration::from_secs(60);

/// Lines in order: the tools go through hash tables.
fn sorted(text: String) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Lines in order, with a sign instead of each value in the columns that differ from cluster to cluster; that there is none is shown.
fn without(columns: &'static [&'static str]) -> impl Fn(String) -> String {
    move |text| {
        let head: Vec<_> =
            text.lines().find(|line| line.contains("GROUP ")).unwrap_or_default().split_whitespace().collect();
        let line = |line: &str| {
            let words = line.split_whitespace().enumerate().map(|(at, word)| {
                let differs = head.get(at).is_some_and(|name| columns.contains(name) && *name != word);
                if differs && word != "-" { "#" } else { word }
            });
            words.collect::<Vec<_>>().join(" ")
        };
        sorted(text.lines().map(line).collect::<Vec<_>>().join("\n"))
    }
}

#[test]
fn consumer_groups() {
    let mut both = SideBySide::start();
    both.same("TopicCommand", "@ --create --topic vendas --partitions 2");
    let keyed = "--reader-property parse.key=true --reader-property key.separator=:";
    let records = "a:1\nb:2\nc:3\nd:4\ne:5\nf:6\ng:7\nh:8\n";
    both.same_with("ConsoleProducer", &format!("@ --topic vendas {keyed}"), records);
    for (group, protocol) in [("leitores", "classic"), ("novos", "consumer")] {
        let read = "@ --topic vendas --from-beginning --max-messages 8";
        let read = format!("{read} --group {group} --consumer-property group.protocol={protocol}");
        let consumed = both.same_but("consumer.ConsoleConsumer", &read, sorted);
        let lines = consumed.lines();
        assert!((1..=8).all(|number| lines.contains(&number.to_string().as_str())), "{consumed:?}");
    }
    shown(&mut both);
    for group in ["leitores", "novos"] {
        reset(&mut both, group);
    }
    reset_by_file(&mut both);
    reset_all(&mut both);
    both.same_but(GROUPS, "@ --reset-offsets --group criado --topic vendas --execute --to-earliest", sorted);
    both.same(GROUPS, "@ --describe --group criado --state");
    deleted(&mut both);
    for (group, protocol) in [("vivos", "classic"), ("atuais", "consumer")] {
        let members = joined(&both, group, &["--group-protocol", protocol]);
        alive(&mut both, group);
        refused(&mut both, group);
        members.into_iter().for_each(VerifiableConsumer::stop);
        left(&mut both, group);
    }
    // A static member does not leave by ending.
    let _members = joined(&both, "fixos", &["--group-protocol", "classic", "--group-instance-id", "caixa-1"]);
    let member = alive(&mut both, "fixos");
    assert!(member.contains("GROUP-INSTANCE-ID") && member.contains(" caixa-1 "), "{member}");
    refused(&mut both, "fixos");
    deleted_all(&mut both);
}

fn shown(both: &mut SideBySide) {
    for what in ["", "--state", "--type", "--state Empty", "--type consumer", "--state Stable"] {
        both.same_but(GROUPS, &format!("@ --list {what}"), sorted);
    }
    for what in ["", "--consumer", "--protocol consumer", "--group-type classic"] {
        both.same_but(ALL_GROUPS, &format!("@ --list {what}"), sorted);
    }
    for group in ["leitores", "novos"] {
        let described = both.same_but(GROUPS, &format!("@ --describe --group {group}"), sorted);
        assert_eq!(described.rows().len(), 2, "{described:?}");
        both.same(GROUPS, &format!("@ --describe --group {group} --members"));
        both.same(GROUPS, &format!("@ --describe --group {group} --members --verbose"));
        both.same(GROUPS, &format!("@ --describe --group {group} --state"));
        both.same_but(GROUPS, &format!("@ --describe --group {group} --offsets --verbose"), without(&["LEADER-EPOCH"]));
    }
    both.same_but(GROUPS, "@ --describe --all-groups", sorted);
    both.same_failure(GROUPS, "@ --describe --group ninguem");
}

/// Sets the group's offsets in every way that there is, and looks at them after each.
fn reset(both: &mut SideBySide, group: &str) {
    for how in [
        "--to-earliest",
        "--to-latest",
        "--to-offset 2",
        "--shift-by 1",
        "--shift-by -100",
        "--shift-by 100",
        "--to-offset 1000",
        "--to-datetime 2020-01-01T00:00:00.000",
        "--by-duration PT1H",
        "--by-duration PT0S",
        "--to-current",
    ] {
        both.same_but(GROUPS, &format!("@ --reset-offsets --group {group} --topic vendas --execute {how}"), sorted);
        both.same_but(GROUPS, &format!("@ --describe --group {group}"), sorted);
    }
    let dry = format!("@ --reset-offsets --group {group} --topic vendas:0 --dry-run --to-earliest");
    assert_eq!(both.same(GROUPS, &dry).rows(), [[group, "vendas", "0", "0"]]);
    both.same_but(
        GROUPS,
        &format!("@ --reset-offsets --group {group} --all-topics --dry-run --export --to-offset 1"),
        sorted,
    );
    both.same(GROUPS, &format!("@ --reset-offsets --group {group} --topic nope --execute --to-earliest"));
    both.same_but(GROUPS, &format!("@ --describe --group {group}"), sorted);
}

/// What was exported can be read, for one group and for several.
fn reset_by_file(both: &mut SideBySide) {
    let groups = "--group leitores --group novos";
    for whose in ["--group leitores", groups] {
        let export = format!("@ --reset-offsets {whose} --all-topics --dry-run --export --to-offset 1");
        let exported = both.same_but(GROUPS, &export, sorted);
        assert_eq!(exported.lines().len(), 2 * whose.matches("--group").count(), "{exported:?}");
        let file = InputFile::of(&exported.out);
        both.same_but(GROUPS, &format!("@ --reset-offsets {whose} --from-file {} --dry-run", file.path()), sorted);
        both.same_but(GROUPS, &format!("@ --reset-offsets {whose} --from-file {} --execute", file.path()), sorted);
        both.same_but(GROUPS, "@ --describe --all-groups", sorted);
    }
    // One partition of one group is left as it is, and one offset is beyond the end.
    let file = InputFile::of("leitores,vendas,0,0\nleitores,vendas,1,1000\nnovos,vendas,1,0\n");
    for whose in [groups, "--all-groups"] {
        let reset = format!("@ --reset-offsets {whose} --from-file {} --execute", file.path());
        assert_eq!(both.same_but(GROUPS, &reset, sorted).rows().len(), 3);
        both.same_but(GROUPS, "@ --describe --all-groups", sorted);
    }
    let file = InputFile::of("outros,vendas,0,0\n");
    both.same_but(GROUPS, &format!("@ --reset-offsets {groups} --from-file {} --execute", file.path()), sorted);
}

fn reset_all(both: &mut SideBySide) {
    for how in ["--dry-run --to-earliest", "--execute --to-latest", "--execute --shift-by -1"] {
        let reset = both.same_but(GROUPS, &format!("@ --reset-offsets --all-groups --all-topics {how}"), sorted);
        assert_eq!(reset.rows().len(), 4, "{reset:?}");
        both.same_but(GROUPS, "@ --describe --all-groups", sorted);
    }
    for what in ["--members", "--state", "--members --verbose"] {
        both.same_but(GROUPS, &format!("@ --describe --all-groups {what}"), sorted);
    }
    let epochs = without(&["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]);
    both.same_but(GROUPS, "@ --describe --all-groups --state --verbose", epochs);
}

fn deleted(both: &mut SideBySide) {
    both.same(GROUPS, "@ --delete-offsets --group leitores --topic vendas:0");
    assert_eq!(both.same(GROUPS, "@ --describe --group leitores").rows().len(), 1);
    both.same(GROUPS, "@ --delete-offsets --group leitores --topic nope");
    both.same(GROUPS, "@ --delete-offsets --group novos --topic vendas");
    both.same(GROUPS, "@ --delete --group leitores --group novos");
    both.same(GROUPS, "@ --delete --group leitores");
    assert_eq!(both.same_but(GROUPS, "@ --list", sorted).lines(), ["criado"]);
}

/// A member of a group of Caudal's and one of Apache Kafka's, which have read and committed all that there is.
fn joined(both: &SideBySide, group: &str, options: &[&str]) -> [VerifiableConsumer; 2] {
    let start = |bootstrap| VerifiableConsumer::start(bootstrap, "vendas", group, options);
    let members = [both.caudal.bootstrap(), both.kafka.bootstrap()].map(start);
    members.iter().for_each(|member| member.wait_committed(RECORDS));
    members
}

fn wait_state(both: &mut SideBySide, group: &str, state: &str) {
    let describe = format!("@ --describe --group {group} --state");
    until(SOON, "the groups to be in the same state", || {
        let states = [both.on_caudal(GROUPS, &describe), both.on_kafka(GROUPS, &describe)];
        states.iter().all(|ran| ran.rows().first().is_some_and(|row| row.contains(&state)))
    });
}

/// Looks at a group that has one member. What is said of the member.
fn alive(both: &mut SideBySide, group: &str) -> String {
    wait_state(both, group, "Stable");
    for what in ["--list --state", "--list --state Stable", "--list --type"] {
        both.same_but(GROUPS, &format!("@ {what}"), sorted);
    }
    both.same_but(ALL_GROUPS, "@ --list", sorted);
    let describe = format!("@ --describe --group {group}");
    let described = both.same_but(GROUPS, &describe, without(&["CONSUMER-ID"]));
    assert!(described.rows().len() == 2 && described.rows().iter().all(|row| row[7] == "/127.0.0.1"), "{described:?}");
    let offsets = without(&["LEADER-EPOCH", "CONSUMER-ID"]);
    both.same_but(GROUPS, &format!("{describe} --offsets --verbose"), offsets);
    both.same(GROUPS, &format!("{describe} --state"));
    let epochs = without(&["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]);
    both.same_but(GROUPS, &format!("{describe} --state --verbose"), epochs);
    both.same_but(GROUPS, &format!("{describe} --members"), without(&["CONSUMER-ID"]));
    let member = without(&["CONSUMER-ID", "CURRENT-EPOCH", "TARGET-EPOCH"]);
    let member = both.same_but(GROUPS, &format!("{describe} --members --verbose"), member);
    assert!(member.rows().len() == 1 && member.out.contains("vendas:0,1"), "{member:?}");
    member.out
}

/// What must not be done to a group while it has members.
fn refused(both: &mut SideBySide, group: &str) {
    for whose in [format!("--group {group}"), "--all-groups".to_owned()] {
        let reset = format!("@ --reset-offsets {whose} --topic vendas --execute --to-earliest");
        let refused = both.same_but(GROUPS, &reset, sorted);
        assert!(refused.out.contains("is inactive, but the current state is Stable"), "{refused:?}");
    }
    let refused = both.same(GROUPS, &format!("@ --delete --group {group}"));
    assert!(refused.out.contains("GroupNotEmptyException"), "{refused:?}");
    for topic in ["vendas", "vendas:0", "nope"] {
        let refused = both.same(GROUPS, &format!("@ --delete-offsets --group {group} --topic {topic}"));
        assert!(refused.out.contains("Error: "), "{refused:?}");
    }
    let kept = both.same_but(GROUPS, &format!("@ --describe --group {group}"), without(&["CONSUMER-ID"]));
    let committed = kept.rows().iter().filter_map(|row| row[3].parse::<i64>().ok()).sum::<i64>();
    assert_eq!(committed, RECORDS, "{kept:?}");
}

/// What was refused is done once the member has left.
fn left(both: &mut SideBySide, group: &str) {
    wait_state(both, group, "Empty");
    both.same_but(GROUPS, &format!("@ --describe --group {group}"), sorted);
    both.same_but(GROUPS, &format!("@ --reset-offsets --group {group} --topic vendas --execute --to-earliest"), sorted);
    both.same(GROUPS, &format!("@ --delete-offsets --group {group} --topic vendas:0"));
    assert!(both.same(GROUPS, &format!("@ --delete --group {group}")).out.contains("was successful"));
}

/// Of all groups those go that have no members.
fn deleted_all(both: &mut SideBySide) {
    let deleted = both.same_but(GROUPS, "@ --delete --all-groups", sorted);
    assert!(deleted.out.contains("GroupNotEmptyException") && deleted.out.contains("'criado'"), "{deleted:?}");
    assert_eq!(both.same(GROUPS, "@ --list").lines(), ["fixos"]);
}
