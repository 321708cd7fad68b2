//! Log lines, on standard error: standard output is for what a command is asked for. Their levels can be changed while the node runs.

use std::io::IsTerminal;
use std::sync::OnceLock;

use caudal_broker::LogLevels;
use caudal_broker::log_levels::ApplyDirectives;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use crate::config::Settings;
use crate::config::value::LogFormat;

/// openraft tells of every step at `info`, and of every vote that a node that is down does not give at `warn`: thousands of lines where there are many partitions. `log.level` may ask for them by name.
const BASE: &str = "openraft=error";

/// What logs.
const TARGETS: [&str; 11] = [
    "caudal_admin",
    "caudal_broker",
    "caudal_client",
    "caudal_coordinator",
    "caudal_metadata",
    "caudal_partition",
    "caudal_protocol",
    "caudal_raft",
    "caudal_server",
    "caudal_storage",
    "caudal_types",
];

/// The levels of the process: what was changed while it runs outlives a start of the node within it.
static LEVELS: OnceLock<LogLevels> = OnceLock::new();

/// Begins to log as `settings` say. A second call changes nothing.
pub fn start(settings: &Settings) {
    let directives = directives(settings);
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&directives)).with_writer(std::io::stderr);
    let (begun, apply) = match settings.log_format {
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
            let apply = changing(lines.reload_handle());
            (lines.try_init(), apply)
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let apply = changing(lines.reload_handle());
            (lines.try_init(), apply)
        }
    };
    match begun {
        Ok(()) => {
            LEVELS.get_or_init(|| LogLevels::new(&directives, &TARGETS, apply));
        }
        Err(error) => tracing::debug!(%error, "logging had begun before"),
    }
}

/// The levels of log lines; where another program logs, its levels cannot be changed.
pub fn levels(settings: &Settings) -> LogLevels {
    let foreign = || {
        let refuse = |_: &str| Err("the program that this node is part of logs by itself".to_owned());
        LogLevels::new(&directives(settings), &TARGETS, Box::new(refuse))
    };
    LEVELS.get().cloned().unwrap_or_else(foreign)
}

fn directives(settings: &Settings) -> String {
    format!("{BASE},{}", settings.log_level.0)
}

fn changing<S: 'static>(handle: Handle<EnvFilter, S>) -> Box<ApplyDirectives> {
    Box::new(move |directives| {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    })
}
