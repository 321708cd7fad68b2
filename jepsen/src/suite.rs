//! Many runs, one after the other, each in a process of its own, and a table at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::judge;
use crate::recipe::{self, Recipe};
use crate::stop::Stop;

/// What a suite needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which.
    pub name: String,
    /// Where the runs' folders go.
    pub folder: PathBuf,
    /// Where the runs' seeds come from.
    pub seed: u64,
    /// When to begin no further run; without it, each recipe is run once.
    pub within: Option<Duration>,
    /// What every run is given besides.
    pub arguments: Vec<String>,
}

/// How a run of a suite ended.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    result: &'static str,
    seconds: u64,
    operations: u64,
    faults: String,
    problem: String,
}

/// Runs a suite, and prints a table; whether nothing was wrong.
///
/// # Errors
/// When there is no such suite, or its folder cannot be made.
pub fn run(settings: &Settings, stop: &Stop) -> Result<bool> {
    let recipes = recipe::suite(&settings.name)?;
    fs::create_dir_all(&settings.folder)?;
    let (began, mut random) = (Instant::now(), StdRng::seed_from_u64(settings.seed));
    let mut rows = Vec::new();
    'all: loop {
        for recipe in &recipes {
            let over = settings.within.is_some_and(|within| began.elapsed() > within);
            if over || stop.is_stopped() {
                break 'all;
            }
            let row = run_one(settings, recipe, rows.len() + 1, random.random_range(1..1_000_000), stop)?;
            println!("{}", row.line());
            rows.push(row);
            write_table(&settings.folder, &rows)?;
        }
        if settings.within.is_none() {
            break;
        }
    }
    let count = |result| rows.iter().filter(|row| row.result == result).count();
    println!("\n{}", table(&rows));
    println!(
        "{} runs in {} s: {} ok, {} with anomalies, {} that could not be run; in {}",
        rows.len(),
        began.elapsed().as_secs(),
        count(OK),
        count(ANOMALIES),
        count(BROKEN),
        settings.folder.display()
    );
    if rows.is_empty() {
        bail!("nothing was run");
    }
    Ok(count(OK) == rows.len())
}

fn run_one(settings: &Settings, recipe: &Recipe, number: usize, seed: u64, stop: &Stop) -> Result<Row> {
    let folder = settings.folder.join(format!("{number:03}-{}", recipe.name));
    let began = Instant::now();
    println!("{number:03} {}: {}", recipe.name, recipe.arguments().join(" "));
    let output = fs::File::create(settings.folder.join(format!("{number:03}-{}.out", recipe.name)))?;
    // Whatever has become of the file meanwhile.
    let mut child = Command::new("/proc/self/exe")
        .args(recipe.arguments())
        .args(["--seed", &seed.to_string(), "--dir"])
        .arg(&folder)
        .args(&settings.arguments)
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot run this program again")?;
    let code = wait(&mut child, Duration::from_secs(recipe.seconds) + BESIDES, stop)?;
    let verdict: Json = fs::read(folder.join(judge::RESULT))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let operations = verdict["operations"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64());
    let faults = verdict["faults"].as_object().into_iter().flatten().map(|(name, count)| format!("{name} {count}"));
    let problem = match code {
        Some(0) => String::new(),
        Some(1) => verdict["problems"][0].as_str().unwrap_or_default().to_owned(),
        _ => last_line(&settings.folder.join(format!("{number:03}-{}.out", recipe.name))),
    };
    Ok(Row {
        name: format!("{number:03} {} (seed {seed})", recipe.name),
        result: match code {
            Some(0) => OK,
            Some(1) => ANOMALIES,
            _ => BROKEN,
        },
        seconds: began.elapsed().as_secs(),
        operations: operations.sum(),
        faults: faults.collect::<Vec<_>>().join(", "),
        problem,
    })
}

/// The child's exit code; `None` when it took too long and was ended.
fn wait(child: &mut Child, within: Duration, stop: &Stop) -> Result<Option<i32>> {
    let (deadline, mut told) = (Instant::now() + within, false);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        if stop.wait(LOOK) && !told {
            // It cleans up, and ends.
            told = true;
            kill_process(Pid::from_child(child), Signal::TERM)?;
        }
        Stop::default().wait(LOOK);
    }
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("took too long").to_owned()
}

impl Row {
    fn line(&self) -> String {
        let Self { name, result, seconds, operations, faults, problem } = self;
        let short: String = problem.chars().take(160).collect();
        format!(
            "{result:<9} {name}: {seconds} s, {operations} operations; {faults}{}{short}",
            if short.is_empty() { "" } else { " -- " }
        )
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| run | result | s | operations | faults | problem |\n|---|---|---|---|---|---|\n".to_owned();
    for Row { name, result, seconds, operations, faults, problem } in rows {
        let short: String = problem.chars().take(200).collect::<String>().replace('|', "/");
        text.push_str(&format!("| {name} | {result} | {seconds} | {operations} | {faults} | {short} |\n"));
    }
    text
}

fn write_table(folder: &Path, rows: &[Row]) -> Result<()> {
    Ok(fs::write(folder.join("summary.md"), format!("# Runs\n\n{}", table(rows)))?)
}

const LOOK: Duration = Duration::from_millis(100);
const OK: &str = "ok";
const ANOMALIES: &str = "ANOMALIES";
const BROKEN: &str = "BROKEN";
/// What a run takes beside the time of its faults, at most.
const BESIDES: Duration = Duration::from_secs(360);
