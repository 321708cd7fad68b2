//! One seed in a process of its own, as its parent sees it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use caudal_types::mutant::VARIABLE;

use crate::faults::Schedule;
use crate::run::Report;

/// How a seed is run.
#[derive(Clone, Debug)]
pub struct Child {
    /// For how long faults begin, in milliseconds.
    pub span: u64,
    /// The faults, if not those of the seed.
    pub schedule: Option<Schedule>,
    /// The planted defect that is switched on.
    pub mutant: Option<&'static str>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What must not be: the rule, a colon, and what happened.
    pub anomaly: Option<String>,
    /// The trace's digest.
    pub digest: u64,
    /// How many events the trace has.
    pub events: u64,
    /// How long it lasted, in virtual milliseconds.
    pub lasted_ms: u64,
    /// How many batches were acknowledged.
    pub acked: u64,
    /// The faults.
    pub schedule: String,
}

/// How long a seed may take in real time: far more than any does that gets on.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the parent looks for the end.
const LOOK: Duration = Duration::from_millis(2);

impl Child {
    /// Runs a seed.
    ///
    /// # Errors
    /// When the process cannot be started or read from.
    pub fn run(&self, seed: u64) -> anyhow::Result<Outcome> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child", "--span", &self.span.to_string(), &seed.to_string()]);
        if let Some(schedule) = &self.schedule {
            command.args(["--schedule", &schedule.to_string()]);
        }
        if let Some(mutant) = self.mutant {
            command.env(VARIABLE, mutant);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                return Ok(Outcome { anomaly: Some("alive: the simulation hangs".to_owned()), ..Outcome::default() });
            }
            std::thread::sleep(LOOK);
        };
        let mut text = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut text)?;
        }
        Ok(parse(&text).unwrap_or_else(|| Outcome {
            anomaly: Some(format!("no_panics: the process ended with {status}")),
            ..Outcome::default()
        }))
    }
}

/// What a child prints.
pub fn print(report: &Report) -> String {
    let anomaly = report
        .anomaly
        .as_ref()
        .map_or_else(|| "-".to_owned(), |anomaly| anomaly.to_string().replace(['\n', '\t'], " "));
    let acked = report.progress.get("produce").copied().unwrap_or_default();
    let (digest, events, lasted) = (report.digest, report.events, report.lasted.as_millis());
    format!("outcome\t{digest}\t{events}\t{lasted}\t{acked}\t{}\t{anomaly}", report.schedule)
}

fn parse(text: &str) -> Option<Outcome> {
    let line = text.lines().find_map(|line| line.strip_prefix("outcome\t"))?;
    let mut parts = line.split('\t');
    let mut number = || parts.next()?.parse().ok();
    let (digest, events, lasted_ms, acked) = (number()?, number()?, number()?, number()?);
    let schedule = parts.next()?.to_owned();
    let anomaly = Some(parts.next()?.to_owned()).filter(|anomaly| anomaly != "-");
    Some(Outcome { anomaly, digest, events, lasted_ms, acked, schedule })
}
