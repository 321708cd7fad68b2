//! The recipes of the suites.

use anyhow::{Result, bail};

/// A run of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// What it is called.
    pub name: String,
    /// The workload.
    pub workload: &'static str,
    /// The faults.
    pub nemesis: String,
    /// How many nodes they are done to.
    pub targets: &'static str,
    /// How long.
    pub seconds: u64,
    /// How many nodes there are.
    pub nodes: u32,
}

impl Recipe {
    fn new(workload: &'static str, nemesis: &str, targets: &'static str, seconds: u64) -> Self {
        let name = format!("{workload}-{}-{targets}", nemesis.replace(',', "+"));
        Self { name, workload, nemesis: nemesis.to_owned(), targets, seconds, nodes: 3 }
    }

    fn nodes(self, nodes: u32) -> Self {
        Self { nodes, ..self }
    }

    /// On one node: nobody else has what it forgets, and nobody takes over what it coordinates.
    fn alone(workload: &'static str, nemesis: &str, seconds: u64) -> Self {
        let name = format!("{workload}-{}-alone", nemesis.replace(',', "+"));
        Self::new(workload, nemesis, "one", seconds).nodes(1).called(&name)
    }

    fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// What it is on the command line.
    pub fn arguments(&self) -> Vec<String> {
        let Self { workload, nemesis, targets, seconds, nodes, .. } = self;
        let words =
            format!("--workload {workload} --nemesis {nemesis} --targets {targets} --time {seconds} --nodes {nodes}");
        words.split(' ').map(str::to_owned).collect()
    }
}

/// The recipes of a suite.
///
/// # Errors
/// When there is no such suite.
pub fn suite(name: &str) -> Result<Vec<Recipe>> {
    Ok(match name {
        "ci" => ci(),
        "nightly" => nightly(),
        "published" => published(),
        _ => bail!("there is no suite '{name}'; there are ci, nightly, published"),
    })
}

/// A handful of short runs over all workloads and the faults that find most.
fn ci() -> Vec<Recipe> {
    vec![
        Recipe::new("queue", "kill", "any", 30),
        Recipe::new("queue", "power", "any", 30),
        Recipe::new("queue", "pause,partition", "any", 30),
        Recipe::new("group", "kill,pause", "any", 30),
        Recipe::new("admin", "kill,partition", "any", 30),
        Recipe::new("register", "power,partition", "any", 30),
        Recipe::new("queue-java", "transfer,power", "one", 30),
        Recipe::new("transactions", "kill,partition", "any", 30),
        Recipe::new("queue", "mixed", "any", 30),
        Recipe::new("group", "mixed", "any", 30),
        // Not with clocks that jump: tombstones would be old at once.
        Recipe::new("life", "kill,pause,partition,power", "any", 30),
        // Version 2 of transactions, whose coordinator is killed.
        Recipe::new("transactions-java", "kill", "coordinator", 10),
        Recipe::new("group-consumer", "kill,pause", "any", 10),
        Recipe::alone("transactions", "kill,power", 10),
    ]
}

/// All workloads with all faults, one by one and together.
fn nightly() -> Vec<Recipe> {
    let workloads =
        ["queue", "group", "transactions", "admin", "register", "queue-java", "transactions-java", "group-consumer"];
    let single = [
        "kill",
        "power",
        "pause",
        "partition",
        "flapping",
        "restart-storm",
        "transfer",
        "slow-disk",
        "clock-jump",
        "clock-strobe",
        "delay",
        "loss",
        "full-disk",
        "io-errors",
        "bit-flip",
        "truncate",
        "wipe",
        "outvote-bit-flip",
        "outvote-truncate",
        "outvote-wipe",
    ];
    let together =
        ["mixed", "pause,power", "kill,partition", "partition,power,pause", "clock-strobe,kill", "slow-disk,pause"];
    let mut recipes = Vec::new();
    // The workloads take turns, so that an hour has seen something of everything.
    for faults in together.iter().chain(&single) {
        for workload in workloads {
            recipes.push(Recipe::new(workload, faults, "any", 60));
        }
    }
    for faults in ["kill", "power", "pause", "partition", "slow-disk", "transfer", "wipe", "kill,pause,partition,power"]
    {
        recipes.push(Recipe::new("life", faults, "any", 60));
    }
    for workload in ["transactions", "transactions-java", "group", "group-consumer"] {
        for faults in ["kill", "power", "pause", "transfer", "slow-disk", "kill,partition"] {
            recipes.push(Recipe::new(workload, faults, "coordinator", 60));
        }
        for faults in ["kill", "power", "clock-jump", "clock-strobe", "kill,power,clock-jump"] {
            recipes.push(Recipe::alone(workload, faults, 60));
        }
    }
    for faults in ["mixed", "power,pause", "partition-ring,kill", "partition-bridge,power"] {
        recipes.push(Recipe::new("queue", faults, "any", 120).nodes(5));
    }
    recipes
}

/// What exposed the anomalies that were published of other systems, as far as it applies.
fn published() -> Vec<Recipe> {
    vec![
        Recipe::new("queue", "pause,kill", "any", 300).called("redpanda-3039-duplicates"),
        Recipe::new("queue", "pause,kill,partition", "any", 300).called("redpanda-3003-inconsistent-offsets"),
        Recipe::new("queue", "kill,pause,partition,clock-strobe", "any", 300).called("bufstream-lost-writes"),
        Recipe::new("queue", "none", "any", 120).called("bufstream-healthy-cluster"),
        Recipe::new("group", "kill,pause,partition", "any", 300).called("bufstream-stuck-consumers"),
        Recipe::new("queue", "kill", "minority", 180).nodes(5).called("nats-6888-kill-few"),
        Recipe::new("admin", "kill", "minority", 180).nodes(5).called("nats-6888-kill-few-topics"),
        Recipe::new("queue", "power", "all", 180).called("nats-7564-power-all"),
        Recipe::new("queue", "power,pause", "one", 180).nodes(5).called("nats-7567-power-one-and-pauses"),
        Recipe::new("queue", "bit-flip,kill", "one", 120).called("nats-7549-bit-flip"),
        Recipe::new("queue", "truncate,kill", "one", 120).called("nats-7549-truncate"),
        Recipe::new("queue", "outvote-bit-flip", "all", 60).called("nats-7549-damaged-leader"),
        Recipe::new("queue", "outvote-truncate", "all", 60).called("nats-7549-truncated-leader"),
        Recipe::new("register", "bit-flip,kill", "one", 120).called("nats-7556-damaged-metadata"),
        Recipe::new("transactions", "kill,pause,partition", "any", 300).called("redpanda-3036-aborted-reads"),
        Recipe::new("transactions-java", "kill,pause,partition", "any", 300).called("redpanda-6018-lost-transactions"),
        Recipe::new("queue", "delay,pause", "any", 180).called("kafka-17754-late-requests"),
        Recipe::new("transactions", "delay,pause", "any", 180).called("kafka-17754-late-ends"),
        Recipe::new("transactions-java", "delay,pause", "any", 180).called("kafka-17754-late-ends-java"),
        Recipe::new("queue", "slow-disk,kill", "any", 180).called("tikv-slow-disk"),
        Recipe::new("queue", "partition-one-way,pause", "any", 180).called("tikv-hibernate-partition"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::{Fault, Targets};
    use crate::workload::Workload;

    #[test]
    fn recipes_say_what_can_be_run() {
        for recipe in ["ci", "nightly", "published"].into_iter().flat_map(|name| suite(name).unwrap()) {
            Fault::parse_list(&recipe.nemesis).unwrap();
            Targets::parse(recipe.targets).unwrap();
            let workload = Workload::ALL.into_iter().find(|workload| workload.name() == recipe.workload).unwrap();
            assert!(recipe.targets != "coordinator" || !workload.coordinated().is_empty(), "{}", recipe.name);
        }
    }

    #[test]
    fn transactions_and_groups_run_on_one_node_and_lose_their_coordinators() {
        let has = |name: &str, workload: &str, wanted: &dyn Fn(&Recipe) -> bool| {
            suite(name).unwrap().iter().any(|recipe| recipe.workload == workload && wanted(recipe))
        };
        let alone = |faults: &'static str| move |recipe: &Recipe| recipe.nodes == 1 && recipe.nemesis.contains(faults);
        let aimed = |recipe: &Recipe| recipe.targets == "coordinator" && recipe.nemesis.contains("kill");
        for workload in ["transactions", "transactions-java", "group", "group-consumer"] {
            assert!(has("nightly", workload, &aimed), "{workload}");
            for faults in ["kill", "power", "clock-jump"] {
                assert!(has("nightly", workload, &alone(faults)), "{workload} {faults}");
            }
        }
        assert!(has("ci", "transactions", &alone("power")));
        assert!(has("ci", "transactions-java", &aimed));
    }

    #[test]
    fn the_ci_suite_is_short() {
        assert!(ci().iter().map(|recipe| recipe.seconds).sum::<u64>() <= 360);
    }
}
