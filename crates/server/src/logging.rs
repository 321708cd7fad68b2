//! Log lines, on standard error: standard output is for what a command is asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Settings;
use crate::config::value::LogFormat;

/// openraft tells of every step at `info`, and of every vote that a node that is down does not give at `warn`: thousands of lines where there are many partitions. `log.level` may ask for them by name.
const BASE: &str = "openraft=error";

/// Begins to log as `settings` say. A second call changes nothing.
pub fn start(settings: &Settings) {
    let filter = EnvFilter::new(format!("{BASE},{}", settings.log_level.0));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if let Err(error) = begun {
        tracing::debug!(%error, "logging had begun before");
    }
}
