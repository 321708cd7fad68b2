//! Consumer groups of both protocols.

use caudal_tests::tools::SideBySide;

const GROUPS: &str = "consumer.group.ConsumerGroupCommand";
const ALL_GROUPS: &str = "GroupsCommand";

/// Lines in order: the tools go through hash tables.
fn sorted(text: String) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Without the epochs of leaders.
fn without_epochs(text: String) -> String {
    let line = |line: &str| {
        let mut words: Vec<_> = line.split_whitespace().collect();
        if words.len() > 4 {
            words.remove(3);
        }
        words.join(" ")
    };
    sorted(text.lines().map(line).collect::<Vec<_>>().join("\n"))
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
    both.same_but(GROUPS, "@ --reset-offsets --group criado --topic vendas --execute --to-earliest", sorted);
    both.same(GROUPS, "@ --describe --group criado --state");
    deleted(&mut both);
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
        both.same_but(GROUPS, &format!("@ --describe --group {group} --offsets --verbose"), without_epochs);
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

fn deleted(both: &mut SideBySide) {
    both.same(GROUPS, "@ --delete-offsets --group leitores --topic vendas:0");
    assert_eq!(both.same(GROUPS, "@ --describe --group leitores").rows().len(), 1);
    both.same(GROUPS, "@ --delete-offsets --group leitores --topic nope");
    both.same(GROUPS, "@ --delete-offsets --group novos --topic vendas");
    both.same(GROUPS, "@ --delete --group leitores --group novos");
    both.same(GROUPS, "@ --delete --group leitores");
    assert_eq!(both.same_but(GROUPS, "@ --list", sorted).lines(), ["criado"]);
}
