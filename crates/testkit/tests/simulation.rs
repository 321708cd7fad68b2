//! Some hundred seeds of the simulation, always the same; and that a seed decides everything. `scripts/sim` runs others.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("sim runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_cluster_in_peace_elects_makes_a_topic_produces_and_fetches() {
    let output = sim(&["7", "--replay", "--schedule", "none"]);
    assert!(output.status.success() && text(&output).contains("acked 0:0 "), "{}", text(&output));
}

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    for seed in ["1", "2", "3", "4"] {
        let [one, other] = [sim(&[seed, "--replay"]), sim(&[seed, "--replay"])];
        assert_eq!(text(&one), text(&other), "seed {seed}");
    }
    assert_ne!(sim(&["1", "--child"]).stdout, sim(&["2", "--child"]).stdout);
}

/// Two nodes were away at once, and the third one led on in its term: its coordinator shards must serve again, with what was proposed meanwhile decided.
#[test]
fn a_coordinator_that_lost_sight_of_the_others_leads_on_in_the_same_term() {
    let output = sim(&["104", "--replay", "--schedule", "1517+420:lose-disk,3;1896+291:kill,2,0"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn seeds() {
    let output = sim(&["1", "--count", "900"]);
    println!("{}", text(&output));
    assert!(output.status.success(), "{}", text(&output));
}
