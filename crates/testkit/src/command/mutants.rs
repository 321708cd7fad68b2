//! Which planted defects are caught, by what, and how fast.

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use caudal_types::mutant::PLANTED;

use super::child::Child;
use super::sweep::Sweep;

/// The planted defects, by their names in the code.
pub const MUTANTS: &[&str] = &[
    "ack_before_fsync",
    "ack_on_one_replica",
    "vote_not_persisted",
    "apply_skips_deduplication",
    "offsets_from_the_leaders_guess",
    "follower_serves_uncommitted",
    "truncation_of_committed_entries",
    "stale_leader_answers_latest",
    "lost_checkpoint_at_restart",
    "index_row_behind_by_one",
    "group_commit_acked_before_replication",
    "corrupt_entry_served",
    "old_generation_commits",
    "forgetful_replica_votes",
    "marker_before_prepare_is_durable",
    "aborted_data_visible",
    "offsets_visible_before_commit",
    "log_start_advanced_before_it_is_committed",
    "checkpoint_one_entry_too_new",
    "purge_above_the_checkpoint",
    "cleaned_batch_loses_its_last_sequence",
    "cleaned_entry_forgets_what_it_was",
];

/// For how long faults begin.
const SPAN_MS: u64 = 3000;

/// Runs seeds with each defect until it is caught, for at most so many seconds, and prints a table.
///
/// # Errors
/// When a process cannot be started.
pub fn run(seed: u64, seconds: u64, only: Option<&str>) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(PLANTED, "this program has no planted defects; scripts/mutants builds the one that has");
    let mut survivors = 0;
    println!("| Planted defect | Caught by | Seeds | Seconds |\n|---|---|---|---|");
    for mutant in MUTANTS.iter().filter(|mutant| only.is_none_or(|only| mutant.contains(only))) {
        let sweep = Sweep {
            seed,
            count: u64::MAX,
            until: Some(Instant::now() + Duration::from_secs(seconds)),
            jobs: available_parallelism().map_or(1, usize::from),
            child: Child { span: SPAN_MS, schedule: None, mutant: Some(mutant) },
            report_every: Duration::from_secs(3600),
        };
        let summary = sweep.run()?;
        let (seeds, took) = (summary.seeds, summary.took.as_secs_f64());
        match summary.failure {
            Some((_, outcome)) => {
                let rule = outcome.anomaly.as_deref().unwrap_or_default().split(':').take(2).collect::<Vec<_>>();
                let rule = if rule.first() == Some(&"told_truth") { rule.join(":") } else { rule[0].to_owned() };
                println!("| {} | {rule} | {seeds} | {took:.1} |", mutant.replace('_', " "));
            }
            None => {
                survivors += 1;
                println!("| {} | **nothing** | {seeds} | {took:.1} |", mutant.replace('_', " "));
            }
        }
    }
    Ok(if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
